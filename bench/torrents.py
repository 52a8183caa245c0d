"""Making torrents against mktorrent, transmission-create and libtorrent: wall and CPU time of whole runs.

No other program hashes a blob as a whole too, which is its digest and its name. `verify` hashes the same pieces without
it, and so tells what they cost alone.
"""

import glob
import os
import resource
import statistics
import time

from support.process import binary, run

SIZE = 4 << 30
PIECE = 1 << 21
ROUNDS = 3

LIBTORRENT = """
import sys, libtorrent as lt
files = lt.file_storage()
lt.add_files(files, sys.argv[1])
flags = {"v1": lt.create_torrent.v1_only, "v2": lt.create_torrent.v2_only, "hybrid": 0}[sys.argv[2]]
torrent = lt.create_torrent(files, int(sys.argv[3]), flags)
lt.set_piece_hashes(torrent, sys.argv[4])
lt.bencode(torrent.generate())
"""


def timed(argv):
    """Wall and CPU seconds of one run."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    run(argv)
    wall, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def compare(what, ours, other, name):
    pairs = [(timed(ours()), timed(other())) for _ in range(ROUNDS)]
    wall = statistics.median(a[0] / b[0] for a, b in pairs)
    cpu = statistics.median(a[1] / b[1] for a, b in pairs)
    our_wall = statistics.median(a[0] for a, _ in pairs)
    their_wall = statistics.median(b[0] for _, b in pairs)
    print(f"| {what} | {our_wall:.2f} s | {name} {their_wall:.2f} s | {wall:.2f} | {cpu:.2f} |", flush=True)


def torrents(folder):
    path = os.path.join(folder, "blob")
    with open("/dev/urandom", "rb") as source, open(path, "wb") as out:
        block = source.read(1 << 24)
        for number in range(SIZE >> 24):
            out.write(number.to_bytes(4, "big") + block[4:])
    with open(path, "rb") as f:  # into the page cache
        while f.read(1 << 24):
            pass
    outs = iter(range(1 << 30))

    def out(name):
        return os.path.join(folder, f"{name}{next(outs)}")

    def create(kind):
        return lambda: [binary("swarmgate"), "torrent", "create", "blob:" + path, "--format", kind, "--piece-length", PIECE,
                        "--output", out("ours")]

    def verify(kind):
        made = out("made")
        run([binary("swarmgate"), "torrent", "create", "blob:" + path, "--format", kind, "--piece-length", PIECE, "--output", made])
        return lambda: [binary("swarmgate"), "torrent", "verify", *glob.glob(os.path.join(made, "*.torrent")), path]

    def mktorrent():
        return ["mktorrent", "-t", os.cpu_count(), "-p", "-l", PIECE.bit_length() - 1, "-o", out("mk"), path]

    def transmission():
        return ["transmission-create", "-s", PIECE >> 10, "-o", out("transmission"), path]

    def libtorrent(kind):
        return lambda: ["/usr/bin/python3", "-c", LIBTORRENT, path, kind, PIECE, folder]

    print(f"\nA torrent of {SIZE >> 20} MiB in the page cache, {PIECE >> 20} MiB pieces, {os.cpu_count()} cores\n")
    print("| what | swarmgate, wall | other, wall | wall ratio | CPU ratio |\n| --- | --- | --- | --- | --- |")
    for what, ours in (("create", create), ("verify", verify)):
        v1 = ours("v1")
        compare(f"{what} v1", v1, mktorrent, "mktorrent")
        compare(f"{what} v1", v1, transmission, "transmission-create")
        compare(f"{what} v1", v1, libtorrent("v1"), "libtorrent")
        for kind in ("v2", "hybrid"):
            compare(f"{what} {kind}", ours(kind), libtorrent(kind), "libtorrent")
