"""Infohashes of `swarmgate torrent create blob:FILE` against those of other makers of torrents.

v1: mktorrent, transmission-create and libtorrent; v2 and hybrid: libtorrent. All are given the same
file, piece length and private flag. `pytest -s` shows the table.
"""

import hashlib
import json
import random
import subprocess
from concurrent.futures import ThreadPoolExecutor

import libtorrent
import pytest

from support.process import binary

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
FORMATS = {
    "v1": libtorrent.create_torrent.v1_only,
    "v2": libtorrent.create_torrent.v2_only,
    "hybrid": 0,
}


def around(*sizes):
    return {size + off for size in sizes for off in (-1, 0, 1)}


def cases():
    """(size, piece length): around a block, a piece and two; several pieces; odd sizes."""
    for piece, more in (
        (16 * KIB, {1, 100, 7 * 16 * KIB, 1 * MIB + 7}),
        (32 * KIB, {1, 3 * 32 * KIB, 9 * 32 * KIB + 777}),
        (64 * KIB, {12345, 5 * 64 * KIB - 1, 8 * 64 * KIB, 16 * 64 * KIB + 16 * KIB + 1}),
        (256 * KIB, {1, 33 * 256 * KIB + 5}),
        (1 * MIB, {3 * MIB, 17 * MIB + 54321}),
        (16 * MIB, {1}),
    ):
        sizes = more | around(piece, 2 * piece) | (around(16 * KIB) if piece <= 64 * KIB else set())
        for size in sorted(sizes):
            yield size, piece


def infohashes(torrent):
    """{"v1": hex, "v2": hex}, what there is of them, as libtorrent reads the file."""
    found = libtorrent.torrent_info(str(torrent)).info_hashes()
    return {version: str(getattr(found, version)) for version in ("v1", "v2")
            if getattr(found, "has_" + version)()}


def run(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


def ours(file, piece, form, folder):
    """Of the torrent itself; index.json must say the same."""
    out = folder / ("ours-" + form)
    run(binary("swarmgate"), "torrent", "create", f"blob:{file}", "--format", form,
        "--piece-length", piece, "--output", out)
    blob, = json.loads((out / "index.json").read_text())["blobs"]
    torrent = out / (file.name + ".torrent")
    found = infohashes(torrent)
    assert blob["digest"] == file.name.replace("-", ":", 1)
    assert blob["size"] == file.stat().st_size
    assert blob["file"] == torrent.name
    assert (blob.get("infohash"), blob.get("infohash_v2")) == (found.get("v1"), found.get("v2"))
    return found


def of_mktorrent(file, piece, folder):
    out = folder / "mktorrent.torrent"
    run("mktorrent", "-p", "-l", piece.bit_length() - 1, "-o", out, file)
    return infohashes(out)


def of_transmission(file, piece, folder):
    out = folder / "transmission.torrent"
    run("transmission-create", "-p", "-t", "http://127.0.0.1/announce", "-s", piece // KIB,
        "-o", out, file)
    return infohashes(out)


def of_libtorrent(file, piece, form, folder):
    out = folder / ("libtorrent-" + form + ".torrent")
    files = libtorrent.file_storage()
    files.add_file(file.name, file.stat().st_size)
    maker = libtorrent.create_torrent(files, piece, FORMATS[form])
    maker.set_priv(True)
    libtorrent.set_piece_hashes(maker, str(file.parent))
    out.write_bytes(libtorrent.bencode(maker.generate()))
    return infohashes(out)


def compare(file, piece, folder):
    """Asserts that all agree; returns the comparisons made."""
    with ThreadPoolExecutor(2) as pool:
        mine = {form: pool.submit(ours, file, piece, form, folder) for form in FORMATS}
        others = {("libtorrent", form): pool.submit(of_libtorrent, file, piece, form, folder)
                  for form in FORMATS}
        others["transmission", "v1"] = pool.submit(of_transmission, file, piece, folder)
        if piece >= 32 * KIB:  # mktorrent makes none that are smaller
            others["mktorrent", "v1"] = pool.submit(of_mktorrent, file, piece, folder)
    assert {form: set(found.result()) for form, found in mine.items()} == {
        "v1": {"v1"}, "v2": {"v2"}, "hybrid": {"v1", "v2"}}
    for (maker, form), theirs in others.items():
        assert mine[form].result() == theirs.result(), (maker, form, file.stat().st_size, piece)
    return [f"{maker} {form}" for maker, form in others]


def named(path):
    """The file under the name its torrent has, which is part of the info dictionary."""
    digest = hashlib.sha256()
    with open(path, "rb") as data:
        while part := data.read(MIB):
            digest.update(part)
    return path.rename(path.with_name("sha256-" + digest.hexdigest()))


def show(file, size, piece, made):
    print(f"{size:>11} {piece:>9}  {file.name[7:19]}  {', '.join(sorted(made))}")


def compare_case(folder, size, piece):
    folder.mkdir()
    (folder / "data").write_bytes(random.Random(size).randbytes(size))
    file = named(folder / "data")
    made = compare(file, piece, folder)
    file.unlink()
    return file, size, piece, made


def test_infohashes_equal(tmp_path):
    compared, files = 0, set()
    print(f"\n{'bytes':>11} {'piece':>9}  {'sha256':<12}  equal to")
    # Side by side, for transmission-create sleeps half a second whatever the size is.
    with ThreadPoolExecutor(8) as pool:
        for file, size, piece, made in pool.map(
                lambda case: compare_case(tmp_path / f"{case[0]}-{case[1]}", *case), cases()):
            show(file, size, piece, made)
            compared += len(made)
            files.add(file.name)
    print(f"{len(files)} files, {compared} comparisons")
    assert len(files) >= 40


def test_infohash_above_4_gib(tmp_path):
    """Sparse, with bytes at both ends and on either side of 4 GiB."""
    piece, size = 16 * MIB, 4 * GIB + 16 * MIB + 4321
    with open(tmp_path / "data", "wb") as data:
        data.truncate(size)
        for at in (0, 4 * GIB - 1, 4 * GIB, size - 1):
            data.seek(at)
            data.write(b"x")
    file = named(tmp_path / "data")
    made = compare(file, piece, tmp_path)
    print()
    show(file, size, piece, made)


@pytest.mark.parametrize("form", FORMATS)
def test_auto_piece_length(tmp_path, form):
    """256 KiB, as long as there are at most 2,048 pieces: then as if it had been given."""
    (tmp_path / "data").write_bytes(random.Random(1).randbytes(3 * 256 * KIB + 1))
    file = named(tmp_path / "data")
    assert ours(file, "auto", form, tmp_path) == of_libtorrent(file, 256 * KIB, form, tmp_path)
