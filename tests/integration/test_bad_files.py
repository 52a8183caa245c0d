"""
Files that are not what they should be, given to the programs: images on disk, configurations,
torrents. Each gives the contract's exit code and one line that says what and where.
"""

import gzip
import hashlib
import io
import json
import lzma
import os
import re
import tarfile

import pytest
from support.evil_registry import CONFIG, INDEX, LAYER, MANIFEST, digest_of, noise
from support.process import binary, run


def tool(*argv, **more):
    done = run([binary("swarmgate"), *argv], check=False, timeout=60, **more)
    assert "Sanitizer" not in done.stderr and "runtime error" not in done.stderr, done.stderr
    return done


def one_line(done, status, says):
    assert done.returncode == status, (done.returncode, done.stderr)
    assert done.stderr.startswith("swarmgate") and done.stderr.count("\n") == 1, done.stderr
    assert done.stderr[:-1].isprintable(), done.stderr
    assert says in done.stderr, (says, done.stderr)


def create(source, out, status, says):
    """swarmgate torrent create; with status 0 the blobs of its index, else there is nothing in `out`."""
    out.mkdir(exist_ok=True)
    done = tool("torrent", "create", source, "--output", out)
    if status == 0:
        assert done.returncode == 0, done.stderr
        return json.loads((out / "index.json").read_text())["blobs"]
    one_line(done, status, says)
    assert os.listdir(out) == []
    return None


# --- oci: ---

class Layout:
    """A right OCI layout of two layers, to be broken."""

    def __init__(self, path):
        self.path, self.blobs = path, path / "blobs" / "sha256"
        self.blobs.mkdir(parents=True)
        (path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        self.layers = [self.put(data, LAYER) for data in (noise(1, 70_000), b"two")]
        self.document = {"schemaVersion": 2, "mediaType": MANIFEST, "config": self.put(b"{}", CONFIG), "layers": self.layers}
        self.manifest = self.put(json.dumps(self.document).encode(), MANIFEST)
        self.index(self.manifest)

    def put(self, data, media_type):
        (self.blobs / hashlib.sha256(data).hexdigest()).write_bytes(data)
        return {"mediaType": media_type, "digest": digest_of(data), "size": len(data)}

    def index(self, *manifests):
        self.write("index.json", json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": list(manifests)}))

    def write(self, name, text):
        (self.path / name).write_bytes(text if isinstance(text, bytes) else text.encode())

    def blob(self, number):
        return self.blobs / self.layers[number]["digest"][7:]

    def replace(self, number, make):
        """Puts something else in a layer's place; `make` gets the path and what was there."""
        path = self.blob(number)
        data = path.read_bytes()
        path.unlink()
        make(path, data)

    def replace_file(self, name, make):
        (self.path / name).unlink()
        make(self.path / name)


def linked(path, data):
    """As rules_oci makes them, and stores of blobs that several layouts share."""
    outside = path.parents[3] / "outside"
    outside.write_bytes(data)
    path.symlink_to(outside)


LAYOUTS = {
    "right": (lambda l: None, 0, ""),
    "no layout file": (lambda l: (l.path / "oci-layout").unlink(), 4, "oci-layout"),
    "layout of nonsense": (lambda l: l.write("oci-layout", "1"), 1, "oci-layout"),
    "layout of another version": (lambda l: l.write("oci-layout", '{"imageLayoutVersion":"2.0.0"}'), 1, "imageLayoutVersion"),
    "layout too large": (lambda l: l.write("oci-layout", " " * 5000), 1, "larger than"),
    "layout is a folder": (lambda l: l.replace_file("oci-layout", lambda p: p.mkdir()), 1, "oci-layout"),
    "layout is a pipe": (lambda l: l.replace_file("oci-layout", os.mkfifo), 1, "not a regular file"),
    "layout is endless": (lambda l: l.replace_file("oci-layout", lambda p: p.symlink_to("/dev/zero")), 1, "oci-layout"),
    "no index": (lambda l: (l.path / "index.json").unlink(), 4, "index.json"),
    "index is empty": (lambda l: l.write("index.json", ""), 1, "index.json"),
    "index of nonsense": (lambda l: l.write("index.json", noise(5, 3000)), 1, "index.json"),
    "index is no index": (lambda l: l.write("index.json", json.dumps({"schemaVersion": 2, "layers": []})), 1, "manifests is missing"),
    "index nested deep": (lambda l: l.write("index.json", b'{"a":' + b"[" * 100_000), 1, "depth"),
    "index too large": (lambda l: l.write("index.json", b" " * (4 * 1024 * 1024 + 1)), 1, "larger than"),
    "index is a pipe": (lambda l: l.replace_file("index.json", os.mkfifo), 1, "not a regular file"),
    "index of nothing": (lambda l: l.index(), 4, "no image"),
    "two images": (lambda l: l.index(l.manifest, l.manifest), 2, "name one"),
    "manifest missing": (lambda l: l.index({**l.manifest, "digest": digest_of(b"other")}), 4, digest_of(b"other")[7:]),
    "manifest of another size": (lambda l: l.index({**l.manifest, "size": 5}), 5, "should have 5 bytes"),
    "manifest of another digest": (lambda l: (l.blobs / l.manifest["digest"][7:]).write_bytes(b"{}"), 5, "digest should be"),
    "manifest is an index of itself": (lambda l: l.index(l.put(json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
        l.manifest] * 2000}).encode(), INDEX)), 1, "2000 entries"),
    "layer missing": (lambda l: l.blob(0).unlink(), 4, "cannot open"),
    "layer shorter": (lambda l: l.replace(0, lambda p, d: p.write_bytes(d[:-1])), 5, "should have 70000"),
    "layer longer": (lambda l: l.replace(0, lambda p, d: p.write_bytes(d + b"x")), 5, "longer than"),
    "layer of other bytes": (lambda l: l.replace(0, lambda p, d: p.write_bytes(d[::-1])), 5, "digest"),
    "layer is a folder": (lambda l: l.replace(0, lambda p, d: p.mkdir()), 1, "regular file"),
    "layer is a pipe": (lambda l: l.replace(0, lambda p, d: os.mkfifo(p)), 1, "regular file"),
    "layer is a link": (lambda l: l.replace(0, linked), 0, ""),
    "layer is a link to other bytes": (lambda l: l.replace(0, lambda p, d: linked(p, d[::-1])), 5, "digest"),
    "layer is a link to nothing": (lambda l: l.replace(0, lambda p, d: p.symlink_to("none")), 4, "cannot open"),
    "layer is a link to a pipe": (lambda l: l.replace(0, lambda p, d: (os.mkfifo(l.path / "pipe"), p.symlink_to(l.path / "pipe"))), 1, "regular file"),
    "manifest is a link": (lambda l: l.replace_file("blobs/sha256/" + l.manifest["digest"][7:],
                                                    lambda p: linked(p, json.dumps(l.document).encode())), 0, ""),
    "layer is a link to itself": (lambda l: l.replace(0, lambda p, d: p.symlink_to(p)), 1, "cannot open"),
    "layer is a device": (lambda l: l.replace(0, lambda p, d: p.symlink_to("/dev/zero")), 1, "regular file"),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layout(tmp_path, name):
    spoil, status, says = LAYOUTS[name]
    layout = Layout(tmp_path / "image")
    spoil(layout)
    made = create(f"oci:{layout.path}", tmp_path / "out", status, says)
    assert made is None or len(made) == 3


# --- docker-archive: ---

def archive(path, entries, mode="w", form=tarfile.PAX_FORMAT):
    """A tar of (name, bytes) or (name, type, link) entries."""
    with tarfile.open(path, mode, format=form) as tar:
        for name, *what in entries:
            info = tarfile.TarInfo(name)
            if len(what) == 1:
                info.size = len(what[0])
                tar.addfile(info, io.BytesIO(what[0]))
            else:
                info.type, info.linkname = what
                tar.addfile(info)


def saved(layers=(noise(1, 70_000), b"two"), **more):
    """The entries of what `docker save` writes; `more` is laid over the image in manifest.json."""
    config = json.dumps({"rootfs": {"type": "layers", "diff_ids": [digest_of(data) for data in layers]}}).encode()
    image = {"Config": "config.json", "RepoTags": ["app:1"], "Layers": [f"{n}/layer.tar" for n in range(len(layers))], **more}
    return [("manifest.json", json.dumps([image]).encode()), ("config.json", config),
            *[(f"{n}/layer.tar", data) for n, data in enumerate(layers)]]


def with_manifest(text):
    return [("manifest.json", text), *saved()[1:]]


def without(name):
    return [entry for entry in saved() if entry[0] != name]


ARCHIVES = {
    "right": (saved(), 0, ""),
    "linked layer": ([*without("1/layer.tar"), ("1/layer.tar", tarfile.SYMTYPE, "../x/layer.tar"), ("x/layer.tar", b"two")], 0, ""),
    "names with dots": ([("./" + name, data) for name, data in saved()], 0, ""),
    "foreign entries": ([*saved(), ("dev", tarfile.CHRTYPE, ""), ("pipe", tarfile.FIFOTYPE, ""), ("folder", tarfile.DIRTYPE, "")], 0, ""),
    "names that lead out": ([*saved(), ("../../../../tmp/evil", b"x"), ("/etc/evil", b"x"), ("l", tarfile.SYMTYPE, "/../../etc/passwd")], 0, ""),
    "no layers": (saved(()), 0, ""),
    "empty": ([], 1, "no manifest.json"),
    "no manifest": (without("manifest.json"), 1, "no manifest.json"),
    "no config": (without("config.json"), 1, "no config.json"),
    "no layer": (without("1/layer.tar"), 1, "no 1/layer.tar"),
    "manifest of nonsense": (with_manifest(noise(1, 2000)), 1, "manifest.json"),
    "manifest is empty": (with_manifest(b""), 1, "manifest.json"),
    "manifest is an object": (with_manifest(b"{}"), 1, "not a list"),
    "manifest of no image": (with_manifest(b"[]"), 4, "no such image"),
    "manifest of a number": (with_manifest(b"[5]"), 1, "config"),
    "manifest of two images": (with_manifest(b"[{},{}]"), 2, "name one"),
    "manifest nested deep": (with_manifest(b"[" * 100_000), 1, "depth"),
    "manifest too large": (with_manifest(b" " * (4 * 1024 * 1024 + 1)), 1, "larger than"),
    "config is a number": (saved(Config=5), 1, "config"),
    "config leads out": (saved(Config="../../etc/passwd"), 1, "etc/passwd"),
    "config is absolute": (saved(Config="/etc/passwd"), 1, "etc/passwd"),
    "layers is a text": (saved(Layers="0/layer.tar"), 1, "0 layers"),
    "layers of numbers": (saved(Layers=[1, 2]), 1, "no file"),
    "a layer more": (saved(Layers=["0/layer.tar", "1/layer.tar", "0/layer.tar"]), 1, "3 layers"),
    "too many layers": (saved(Layers=["0/layer.tar"] * 1025), 1, "1025 layers"),
    "layers swapped": (saved(Layers=["1/layer.tar", "0/layer.tar"]), 5, "digest"),
    "layer of other bytes": ([*without("1/layer.tar"), ("1/layer.tar", b"TWO")], 5, digest_of(b"two")),
    "layer of gzip": ([*without("1/layer.tar"), ("1/layer.tar", gzip.compress(b"two"))], 0, ""),
    "layer of gzip of other bytes": ([*without("1/layer.tar"), ("1/layer.tar", gzip.compress(b"TWO"))], 5, "unpacks to the digest " + digest_of(b"TWO")),
    "layer of gzip cut": ([*without("1/layer.tar"), ("1/layer.tar", gzip.compress(noise(1, 70_000))[:-9])], 5, "damaged"),
    "layer of xz": ([*without("1/layer.tar"), ("1/layer.tar", lzma.compress(b"two"))], 1, "only gzip and zstd are supported"),
    "link loop": ([*without("1/layer.tar"), ("1/layer.tar", tarfile.SYMTYPE, "../a"), ("a", tarfile.SYMTYPE, "b"), ("b", tarfile.SYMTYPE, "a")],
                  1, "no 1/layer.tar"),
    "link to itself": ([*without("1/layer.tar"), ("1/layer.tar", tarfile.LNKTYPE, "1/layer.tar")], 1, "no 1/layer.tar"),
    "link out": ([*without("1/layer.tar"), ("1/layer.tar", tarfile.SYMTYPE, "../../../../etc/passwd")], 1, "no 1/layer.tar"),
    "absolute link": ([*without("1/layer.tar"), ("1/layer.tar", tarfile.SYMTYPE, "/etc/passwd")], 1, "no 1/layer.tar"),
    "link to a folder": ([*without("1/layer.tar"), ("1/layer.tar", tarfile.SYMTYPE, ".")], 1, "no 1/layer.tar"),
    "layer is a folder": ([*without("1/layer.tar"), ("1/layer.tar", tarfile.DIRTYPE, "")], 1, "no 1/layer.tar"),
    "doubled": ([*saved(), ("1/layer.tar", b"two")], 1, "twice"),
    "doubled in disguise": ([*saved(), ("./1//layer.tar", b"two")], 1, "twice"),
    "long name": ([*saved(), ("x" * 5000, b"")], 1, "name of more than"),
    "many files": ([*saved(), *[(str(n), b"") for n in range(16 * 1024)]], 1, "more than 16384 files"),
    "names that steer": ([("manifest.json", json.dumps([{"Config": "\x1b[2J\n"}]).encode())], 1, "config"),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_archive(tmp_path, name):
    entries, status, says = ARCHIVES[name]
    archive(tmp_path / "a.tar", entries)
    made = create(f"docker-archive:{tmp_path}/a.tar", tmp_path / "out", status, says)
    assert made is None or len(made) == (1 if name == "no layers" else 3)
    assert not os.path.exists("/tmp/evil")


def whole(path):
    archive(path, saved())
    return path.read_bytes()


def sparse(path):
    """A GNU tar whose manifest.json says it is a petabyte of hole."""
    archive(path, saved(), form=tarfile.GNU_FORMAT)
    data = bytearray(path.read_bytes())
    data[124:136] = b"\x80" + (1 << 50).to_bytes(11, "big")
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    return bytes(data)


TARS = {
    "empty": (lambda p: b"", 1),
    "nonsense": (lambda p: noise(1, 20_000), 1),
    "text": (lambda p: b"hello\n" * 1000, 1),
    "zeros": (lambda p: bytes(20_000), 1),
    "cut in a head": (lambda p: whole(p)[:700], 1),
    "cut in a file": (lambda p: whole(p)[:40_000], 1),
    "cut in the last file": (lambda p: whole(p)[:whole(p).rindex(b"two") + 1], 1),
    "bad checksum": (lambda p: whole(p)[:600] + b"\xff" + whole(p)[601:], 1),
    "gzip": (lambda p: gzip.compress(whole(p)), 0),
    "gzip cut": (lambda p: gzip.compress(whole(p))[:-500], 1),
    "gzip twice": (lambda p: gzip.compress(gzip.compress(whole(p))), 1),
    "gzip of a bomb": (lambda p: gzip.compress(gzip.compress(bytes(1 << 26))), 1),
    "a size of a petabyte": (sparse, 1),
    "zip": (lambda p: b"PK\x03\x04" + noise(2, 1000), 1),
    "7z": (lambda p: b"7z\xbc\xaf\x27\x1c" + noise(2, 1000), 1),
    "bzip2 of nonsense": (lambda p: b"BZh91AY&SY" + noise(2, 1000), 1),
    "zstd of nonsense": (lambda p: b"\x28\xb5\x2f\xfd" + noise(2, 1000), 1),
}


@pytest.mark.parametrize("name", TARS)
def test_tar(tmp_path, name):
    make, status = TARS[name]
    path = tmp_path / "a.tar"
    path.write_bytes(make(path))
    create(f"docker-archive:{path}", tmp_path / "out", status, str(path))


def test_archive_of_a_bomb(tmp_path):
    """A manifest.json of 256 MiB of blanks in a few KiB."""
    archive(tmp_path / "a.tar.gz", with_manifest(b" " * (1 << 28)), mode="w:gz")
    create(f"docker-archive:{tmp_path}/a.tar.gz", tmp_path / "out", 1, "larger than 4194304 bytes")


# --- blob: and paths ---

@pytest.mark.parametrize("transport", ["blob", "docker-archive"])
def test_paths(tmp_path, transport):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name, status, says in (("folder", 1, "not a regular file"), ("pipe", 1, "not a regular file"), ("loop", 1, "cannot open"),
                               ("none", 4, "cannot open"), ("folder/none", 4, "cannot open"), ("pipe/none", 4, "cannot open")):
        create(f"{transport}:{tmp_path}/{name}", tmp_path / "out", status, says)
    create(f"{transport}:/dev/zero", tmp_path / "out", 1, "not a regular file")
    create(f"{transport}:{tmp_path}/{'x' * 300}", tmp_path / "out", 1, "cannot open")
    create(f"{transport}:{'x/' * 3000}", tmp_path / "out", 2, "longer than")


def test_blobs(tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    made = create(f"blob:{tmp_path}/empty", tmp_path / "out", 0, "")
    assert [(blob["digest"], blob["size"]) for blob in made] == [(digest_of(b""), 0)] and "infohash" not in made[0]
    (tmp_path / "one").write_bytes(b"1")
    assert "infohash" in create(f"blob:{tmp_path}/one", tmp_path / "out", 0, "")[0]


def test_output_that_cannot_be(tmp_path):
    (tmp_path / "one").write_bytes(b"1")
    (tmp_path / "file").write_bytes(b"")
    for out in (tmp_path / "file", tmp_path / "file" / "below", "/proc/none"):
        one_line(tool("torrent", "create", f"blob:{tmp_path}/one", "--output", out), 1, str(out))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "index.json").mkdir()
    one_line(tool("torrent", "create", f"blob:{tmp_path}/one", "--output", tmp_path / "out"), 1, "index.json")
    assert os.listdir(tmp_path / "out") == ["index.json"]


# --- configurations ---

GOOD = """data_dir: data
tracker:
  listen: ["127.0.0.1:6969"]
auth:
  signing_keys: [announce.pem]
"""


def good(old="", new=""):
    assert old in GOOD
    return GOOD.replace(old, new, 1)


CONFIGURATIONS = {
    "empty": ("", 1), "blank": ("\n\n  \n", 1), "comment": ("# nothing\n", 1), "scalar": ("5\n", 1), "list": ("- a\n- b\n", 1), "null": ("~\n", 1),
    "cut in a list": (GOOD[:-3], 0), "cut in a text": (good('6969"]', "6969"), 0), "cut in a key": (GOOD + "log", 0), "no value": (GOOD + "log:\n", 6),
    "alias": (good("data_dir: data", "data_dir: &a data") + "log: *a\n", 1), "alias of nothing": (GOOD + "log: *a\n", 6),
    "merge": (GOOD + "<<: {log: {}}\n", 6), "tag": (good("data_dir: data", "data_dir: !!str data"), 1), "own tag": (GOOD + "log: !x {}\n", 6),
    "python tag": (GOOD + "log: !!python/object:os.system {}\n", 6),
    "two documents": (GOOD + "---\n" + GOOD, 6), "directive": ("%YAML 9.9\n---\n" + GOOD, 1), "bad directive": ("%%\n---\n" + GOOD, 1),
    "doubled key": (GOOD + "data_dir: other\n", 6), "doubled key below": (good("  listen", "  listen: []\n  listen"), 0), "unknown key": (GOOD + "x: 1\n", 6),
    "key is a list": (GOOD + "[a]: 1\n", 6), "key is a mapping": (GOOD + "{a: b}: 1\n", 6), "key is empty": (GOOD + ": 1\n", 6), "key is null": (GOOD + "~: 1\n", 6),
    "long key": (GOOD + "x" * 5000 + ": 1\n", 0), "key that steers": (GOOD + '"\\e[2J": 1\n', 6), "key with a NUL": (GOOD + '"a\\0b": 1\n', 6),
    "tab": (good("  listen", "\tlisten"), 3), "indent": (good("  listen", " listen") + "   x: 1\n", 0), "unclosed": (GOOD + "log: {level: info\n", 0),
    "closed twice": (GOOD + "log: {}}\n", 6), "deep lists": (GOOD + "log: " + "[" * 10_000 + "]" * 10_000 + "\n", 6),
    "deep mappings": (GOOD + "log: " + "{a: " * 1000 + "}" * 1000 + "\n", 6), "deep by indent": (GOOD + "".join(" " * n + "log:\n" for n in range(500)), 0),
    "many keys": (GOOD + "".join(f"k{n}: 1\n" for n in range(20_000)), 0), "many items": (good('["127', "[" + "a, " * 20_000 + '"127'), 0),
    "data_dir is a list": (good("data_dir: data", "data_dir: [data]"), 1), "data_dir is a mapping": (good("data_dir: data", "data_dir: {a: b}"), 1),
    "data_dir is empty": (good("data_dir: data", 'data_dir: ""'), 1), "data_dir is null": (good("data_dir: data", "data_dir: ~"), 1),
    "data_dir with a NUL": (good("data_dir: data", 'data_dir: "a\\0b"'), 1),
    "tracker is a list": (good('\n  listen: ["127.0.0.1:6969"]', " [1]"), 2), "tracker is a text": (good('\n  listen: ["127.0.0.1:6969"]', " yes"), 2),
    "listen is a text": (good('["127.0.0.1:6969"]', "127.0.0.1:6969"), 3), "listen is nested": (good('["127.0.0.1:6969"]', "[[a]]"), 3),
    "listen of nothing": (good('["127.0.0.1:6969"]', "[]"), 3), "listen without a port": (good(":6969"), 3), "port beyond": (good("6969", "69690"), 3),
    "port negative": (good("6969", "-1"), 3), "port of 2^64": (good("6969", "18446744073709558585"), 3), "host of nonsense": (good("127.0.0.1", "no such"), 3),
    "interval a number": (good("  listen", "  interval: 900\n  listen"), 3), "interval negative": (good("  listen", "  interval: -1s\n  listen"), 3),
    "interval huge": (good("  listen", "  interval: 99999999999999999999h\n  listen"), 3), "interval 0": (good("  listen", "  interval: 0s\n  listen"), 3),
    "peers a word": (good("  listen", "  max_peers: many\n  listen"), 3), "peers negative": (good("  listen", "  max_peers: -5\n  listen"), 3),
    "peers hex": (good("  listen", "  max_peers: 0x10\n  listen"), 3), "peers of 2^64": (good("  listen", "  max_peers: 18446744073709551616\n  listen"), 3),
    "peers a fraction": (good("  listen", "  max_peers: 1.5\n  listen"), 3), "level": (GOOD + "log: {level: loud}\n", 6),
    "url of ftp": (good("  listen", "  url: ftp://x/\n  listen"), 3), "url with a line end": (good("  listen", '  url: "http://x/\\n"\n  listen'), 3),
    "binary": (noise(7, 4000), 0), "NULs": (bytes(1000), 1), "a NUL inside": (GOOD.encode() + b"\0\n", 6), "UTF-16": (GOOD.encode("utf-16"), 1),
    "UTF-16 without a mark": (GOOD.encode("utf-16-be"), 1), "UTF-32": (GOOD.encode("utf-32"), 1), "Latin-1": (GOOD.encode() + b"# caf\xe9\n", 6),
    "overlong UTF-8": (GOOD.encode() + b"# \xc0\xaf\n", 6), "surrogates": (GOOD.encode() + b"# \xed\xa0\x80\n", 6), "ESC": (GOOD.encode() + b"# \x1b[2J\n", 6),
    "JSON cut": ('{"data_dir": "data", "tracker": {"listen": [', 0), "an archive": (gzip.compress(GOOD.encode()), 1), "PEM": ("-----BEGIN X-----\nAAAA\n-----END X-----\n", 0),
}


def check_configuration(path):
    done = run([binary("swarmgated"), "--config", path, "--check-config"], check=False, timeout=60)
    assert "Sanitizer" not in done.stderr and "runtime error" not in done.stderr, done.stderr
    return done


@pytest.fixture(scope="module")
def keyed(tmp_path_factory):
    """A folder with the key that GOOD names."""
    folder = tmp_path_factory.mktemp("keyed")
    assert tool("key", "generate", "--use", "announce", "--out", folder / "announce.pem").returncode == 0
    return folder


def test_right_configurations(keyed):
    for text in (GOOD, GOOD.replace("\n", "\r\n"), "\ufeff" + GOOD, "---\n" + GOOD + "...\n", json.dumps(json.loads(
            '{"data_dir":"data","tracker":{"listen":["127.0.0.1:6969"]},"auth":{"signing_keys":["announce.pem"]}}'))):
        (keyed / "c.yaml").write_bytes(text.encode())
        assert check_configuration(keyed / "c.yaml").returncode == 0


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_configuration(keyed, name):
    text, line = CONFIGURATIONS[name]
    (keyed / "c.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    done = check_configuration(keyed / "c.yaml")
    one_line(done, 2, str(keyed / "c.yaml"))
    where = re.search(r"c\.yaml:(\d+): ", done.stderr)
    assert where is not None, done.stderr
    assert line in (0, int(where[1])), done.stderr
    assert sorted(os.listdir(keyed)) == ["announce.pem", "c.yaml"]


def test_configuration_that_cannot_be_read(keyed, tmp_path):
    (tmp_path / "large.yaml").write_bytes(GOOD.encode() + b"#" * (1 << 20))
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "loop.yaml").symlink_to(tmp_path / "loop.yaml")
    for name, says in (("large", "larger than"), ("folder", "directory"), ("loop", "symbolic links"), ("none", "No such file")):
        one_line(check_configuration(tmp_path / f"{name}.yaml"), 2, says)
    one_line(check_configuration("/dev/zero"), 2, "larger than")


# --- torrents ---

def bencode(value):
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        return b"%d:%s" % (len(value), value)
    if isinstance(value, list):
        return b"l" + b"".join(map(bencode, value)) + b"e"
    return b"d" + b"".join(bencode(key) + bencode(item) for key, item in sorted(value.items())) + b"e"


DATA = noise(11, 50_000)
INFO = {"length": len(DATA), "name": "x", "piece length": 16384, "private": 1,
        "pieces": b"".join(hashlib.sha1(DATA[at:at + 16384]).digest() for at in range(0, len(DATA), 16384))}


def torrent(more=None, **info):
    merged = {key.replace("_", " "): value for key, value in {**INFO, **info}.items()}
    return bencode({"announce": "http://127.0.0.1:1/announce", "info": {key: value for key, value in merged.items() if value is not None}, **(more or {})})


TORRENTS = {
    "empty": b"", "nonsense": noise(1, 5000), "text": b"hello\n", "a number": b"i5e", "a list": b"le", "an empty dictionary": b"de",
    "not closed": torrent()[:-1], "cut": torrent()[:100], "followed by more": torrent() + b"x", "info is a list": bencode({"info": []}),
    "info is empty": bencode({"info": {}}), "nested lists": b"d4:info" + b"l" * 1_000_000, "nested and closed": b"d1:a" + b"l" * 1000 + b"e" * 1000 + torrent()[1:],
    "nested dictionaries": b"d1:a" * 500_000, "length that lies": torrent().replace(b"6:length", b"9999:length"),
    "length of 2^64": b"d18446744073709551616:x", "length of 2^63": b"d9223372036854775808:x", "length of many digits": b"d" + b"9" * 100_000 + b":x",
    "length negative": b"d-1:x", "length with zeros": b"d004:info", "huge integer": torrent().replace(b"i50000e", b"i99999999999999999999e"),
    "many digits": torrent().replace(b"i50000e", b"i" + b"9" * 100_000 + b"e"), "negative": torrent(length=-1), "zero": torrent(length=0),
    "minus zero": torrent().replace(b"i50000e", b"i-0e"), "leading zero": torrent().replace(b"i50000e", b"i050000e"), "no digits": torrent().replace(b"i50000e", b"ie"),
    "length of 2^63 - 1": torrent(length=2 ** 63 - 1), "length a text": torrent(length="50000"), "no length": torrent(length=None),
    "no name": torrent(name=None), "name a number": torrent(name=5), "no pieces": torrent(pieces=None), "pieces cut": torrent(pieces=INFO["pieces"][:-1]),
    "a piece more": torrent(pieces=INFO["pieces"] + bytes(20)), "no piece length": torrent(piece_length=None), "piece length 0": torrent(piece_length=0),
    "piece length odd": torrent(piece_length=16385), "piece length negative": torrent(piece_length=-16384), "piece length huge": torrent(piece_length=2 ** 40),
    "piece length 1": torrent(piece_length=1, pieces=bytes(20 * len(DATA))), "private 2": torrent(private=2), "private a text": torrent(private="1"),
    "keys out of order": b"d4:infod6:lengthi1e4:name1:x12:piece lengthi16384e6:pieces20:" + bytes(20) + b"e1:ai1ee",
    "doubled key": b"d4:infode4:infodee", "key is a number": b"di1ei2ee", "key without a value": b"d4:infoe",
    "several files": torrent(files=[{"length": 50000, "path": ["a"]}], length=None), "files and length": torrent(files=[]),
    "empty name": torrent(name=""), "name is a dot": torrent(name="."), "name is two dots": torrent(name=".."), "name leads out": torrent(name="../../etc/passwd"),
    "name is absolute": torrent(name="/etc/passwd"), "name with a NUL": torrent(name=b"a\0b"),
    "announce a number": torrent({"announce": 5}), "many URLs": torrent({"url-list": [f"http://{n}/" for n in range(5000)]}),
    "version 2 alone": torrent(**{"meta_version": 2}), "version 3": torrent(**{"meta_version": 3}),
    "tree of several": torrent(**{"meta_version": 2, "file_tree": {"a": {"": {"length": 1, "pieces root": bytes(32)}}, "b": {"": {"length": 1}}}}),
    "tree is deep": torrent(**{"meta_version": 2}).replace(b"d6:length", b"d9:file tree" + b"d1:a" * 1000 + b"e" * 1000 + b"6:length"),
    "root without a layer": torrent(**{"meta_version": 2, "file_tree": {"x": {"": {"length": len(DATA), "pieces root": bytes(32)}}}}),
    "layer of another root": torrent({"piece layers": {bytes(32): bytes(128)}},
                                     **{"meta_version": 2, "file_tree": {"x": {"": {"length": len(DATA), "pieces root": bytes(32)}}}}),
    "too large": torrent({"comment": bytes(32 << 20)}),
}


@pytest.mark.parametrize("name", TORRENTS)
def test_torrent(tmp_path, name):
    path, data = tmp_path / "t.torrent", tmp_path / "data"
    path.write_bytes(TORRENTS[name])
    data.write_bytes(DATA)
    for argv in (("show", path), ("verify", path, data)):
        one_line(tool("torrent", *argv), 1, str(path))


def test_right_torrents(tmp_path):
    path, data = tmp_path / "t.torrent", tmp_path / "data"
    data.write_bytes(DATA)
    for text in (torrent(), torrent({"comment": bytes(31 << 20)}), torrent({"azureus_properties": {"a": [[], {}]}}), torrent(private=None)):
        path.write_bytes(text)
        assert tool("torrent", "show", path).returncode == 0
        assert tool("torrent", "verify", path, data).returncode == 0
    path.write_bytes(torrent(pieces=bytes(80)))
    one_line(tool("torrent", "verify", path, data), 5, "4 of 4 pieces differ")


@pytest.mark.parametrize("text", ["\x1b]0;owned\x07\x1b[2J", "a\nb\rc\bd", "\x7f\x9b2J\x85"], ids=ascii)
def test_torrents_steer_no_terminal(tmp_path, text):
    path = tmp_path / "t.torrent"
    path.write_bytes(torrent(name="n" + text))
    one_line(tool("torrent", "show", path), 1, "no file name")
    path.write_bytes(torrent({"announce": "http://h/" + text, "url-list": "http://w/" + text}, name="caf\u00e9"))
    shown = tool("torrent", "show", path)
    assert shown.returncode == 0 and "name          caf\u00e9" in shown.stdout and "announce      http://h/" in shown.stdout
    assert all(line.isprintable() for line in shown.stdout.split("\n")), ascii(shown.stdout)


def test_verify_hostile_data(tmp_path):
    path = tmp_path / "t.torrent"
    path.write_bytes(torrent())
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "long").write_bytes(DATA + b"x")
    (tmp_path / "short").write_bytes(DATA[:-1])
    (tmp_path / "empty").write_bytes(b"")
    for name, status, says in (("folder", 1, "regular file"), ("pipe", 1, "regular file"), ("none", 4, "No such file"), ("long", 5, "50001 bytes"),
                               ("short", 5, "49999 bytes"), ("empty", 5, "0 bytes"), ("/dev/zero", 1, "regular file")):
        one_line(tool("torrent", "verify", path, tmp_path / name), status, says)


def test_huge_torrent_of_nothing(tmp_path):
    """A length that no disk holds asks for no memory."""
    path = tmp_path / "t.torrent"
    path.write_bytes(torrent(length=2 ** 62, piece_length=2 ** 26, pieces=bytes(20)))
    one_line(tool("torrent", "show", path), 1, str(path))
