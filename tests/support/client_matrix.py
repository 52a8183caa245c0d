"""
Every client as the only seeder for every client as leecher: 36 transfers through swarmgated with tokens,
no webseed. tests/support/client_matrix.py [--ipv6] [--tls] [--format v1|v2|hybrid] prints the table, in
seconds from the start of all leechers to the end of each transfer.
"""

import argparse
import concurrent.futures
import json
import os
import random
import shutil
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support.announce import scrape  # noqa: E402
from support.certificates import Authority  # noqa: E402
from support.clients import CLIENTS  # noqa: E402
from support.gate import Gate  # noqa: E402
from support.netns import Network  # noqa: E402
from support.process import wait_for  # noqa: E402
from support.tls import trusting  # noqa: E402

# Thirteen pieces of 256 KiB, the last one short.
SIZE = 3 * 1024 * 1024 + 4321
PATIENCE = 60
ALL = [(seeder, leecher) for seeder in CLIENTS for leecher in CLIENTS]
# Each client once on either side.
RING = list(zip(CLIENTS, CLIENTS[1:] + CLIENTS[:1]))


def is_there(kind):
    try:
        kind.require()
    except unittest.SkipTest:
        return False
    return True


class Blob:
    """Bytes nobody has yet, and their torrent's infohashes."""

    def __init__(self, gate, folder, number, form="v1"):
        self.gate, self.form, self.data = gate, form, random.Random(number).randbytes(SIZE)
        self.source = os.path.join(folder, f"blob-{number}")
        with open(self.source, "wb") as f:
            f.write(self.data)
        made = gate.tool("torrent", "create", "blob:" + self.source, "--output", self.source + ".bare",
                         "--format", form, "--json")
        listed = json.loads(made.stdout)["blobs"][0]
        self.infohashes = [listed[key] for key in ("infohash", "infohash_v2") if key in listed]
        self.name = listed["digest"].replace(":", "-")

    def torrent(self, folder, announce, token):
        """Its .torrent with this tracker in it, made by the tool."""
        self.gate.tool("torrent", "create", "blob:" + self.source, "--output", folder, "--format", self.form,
                       "--announce", f"{announce}?jwt={token}")
        return os.path.join(folder, self.name + ".torrent")

    def put(self, folder):
        os.makedirs(folder, exist_ok=True)
        shutil.copyfile(self.source, os.path.join(folder, self.name))

    def same(self, folder):
        with open(os.path.join(folder, self.name), "rb") as f:
            return f.read() == self.data


def make_gate(folder, hub, ipv6=False, **more):
    """swarmgated on a host of a Network, its tracker on one address of it."""
    host = hub.address6 if ipv6 else hub.address
    return Gate(folder, host=host, prefix=hub.prefix, **more)


class Matrix:
    """
    Runs from __enter__ on; finished(seeder, leecher) waits for one transfer and says whether the bytes are
    right. With `tls` the tracker's certificate is of a private CA, which the clients are told to trust.
    `pairs` are those of (seeder, leecher) to try, where both can be had.
    """

    def __init__(self, folder, network, ipv6=False, tls=False, form="v1", pairs=ALL):
        self.folder, self.network, self.ipv6, self.tls, self.form = folder, network, ipv6, tls, form
        self.pairs = [pair for pair in pairs if all(is_there(kind) for kind in pair)]
        self.seconds = {}

    def __enter__(self):
        self.hub = self.network.add()
        tracker, self.ca = {}, None
        if self.tls:
            self.ca = Authority(os.path.join(self.folder, "ca"))
            leaf = self.ca.server(names=(self.hub.address, self.hub.address6))
            tracker = {"tls": {"certificate": leaf.cert, "key": leaf.key}}
        self.gate = make_gate(os.path.join(self.folder, "gate"), self.hub, self.ipv6, tracker=tracker).start()
        self.announce_url = self.gate.announce_url.replace("http:", "https:" if self.tls else "http:")
        self.running = []
        try:
            self.prepare()
            for kind in dict.fromkeys(seeder for seeder, _ in self.pairs):
                self.start(kind, "seeder")
            self.wait_seeds()
            self.begun = time.time()
            self.leechers = {kind: self.start(kind, "leecher") for kind in dict.fromkeys(leecher for _, leecher in self.pairs)}
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *ignored):
        with concurrent.futures.ThreadPoolExecutor() as pool:
            list(pool.map(lambda client: client.stop(), self.running))
        self.gate.stop()

    def path(self, kind, role):
        return os.path.join(self.folder, f"{role}-{kind.name}")

    def torrents(self, kind, role):
        return self.path(kind, role) + "-torrents"

    def prepare(self):
        """A blob for each pair, its .torrent for either side with that side's token, its data in the seeder's folder."""
        self.watched = {}
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            made = pool.map(lambda number: Blob(self.gate, self.folder, number, self.form), range(len(self.pairs)))
            self.blobs = dict(zip(self.pairs, made))
            jobs = []
            for side, role in enumerate(("seeder", "leecher")):
                for kind in {pair[side] for pair in self.pairs}:
                    mine = [blob for pair, blob in self.blobs.items() if pair[side] is kind]
                    infohashes = [infohash for blob in mine for infohash in blob.infohashes]
                    token = self.gate.token(*infohashes, sub=f"registry/{role}-{kind.name}")
                    if role == "seeder":
                        self.watched[kind] = infohashes, token
                    jobs += [pool.submit(blob.torrent, self.torrents(kind, role), self.announce_url, token) for blob in mine]
            for (seeder, _), blob in self.blobs.items():
                blob.put(self.path(seeder, "seeder"))
            for job in jobs:
                job.result()

    def start(self, kind, role):
        host = self.network.add()
        folder = self.torrents(kind, role)
        torrents = [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if name.endswith(".torrent")]
        client = kind(self.path(kind, role), torrents, host.address6 if self.ipv6 else host.address, host.prefix,
                      self.ca and self.ca.cert)
        self.running.append(client)
        return client.start()

    def lacking(self):
        """The seeders that some blob of theirs waits for."""
        lacking = set()
        with self.hub.entered():
            for seeder, (infohashes, token) in self.watched.items():
                files = scrape(self.gate.tracker, infohashes, token, context=self.ca and trusting(self.ca))[b"files"]
                if any(one[b"complete"] != 1 for one in files.values()):
                    lacking.add(seeder.name)
        return lacking

    def wait_seeds(self):
        """Until each blob has its seed."""
        try:
            wait_for("a seed in every swarm", PATIENCE, lambda: not self.lacking())
        except AssertionError as error:
            lacking = self.lacking()
            told = "\n".join(f"{client.name}: {client.errors()}" for client in self.running if client.name in lacking)
            raise AssertionError(f"{error}; missing: {lacking}\n{told}") from None

    def finished(self, seeder, leecher, seconds=PATIENCE):
        for kind in (seeder, leecher):
            kind.require()
        blob, client = self.blobs[seeder, leecher], self.leechers[leecher]
        wait_for(f"{seeder.name} to {leecher.name}", seconds, lambda: blob.name in client.complete(), every=0.2)
        path = os.path.join(client.folder, blob.name)
        self.seconds[seeder, leecher] = os.path.getmtime(path) - self.begun
        return blob.same(client.folder)

    def table(self):
        """Of all pairs, as Markdown; waits for them."""
        seeders, leechers = ([kind.name for kind in CLIENTS if any(kind is pair[side] for pair in self.pairs)] for side in (0, 1))
        cells = {}
        for seeder, leecher in self.pairs:
            try:
                good = self.finished(seeder, leecher, max(1, PATIENCE - (time.time() - self.begun)))
                cells[seeder.name, leecher.name] = f"{self.seconds[seeder, leecher]:.1f}" if good else "WRONG"
            except AssertionError:
                cells[seeder.name, leecher.name] = "-"
        rows = [["seeder \\ leecher", *leechers], ["---"] * (len(leechers) + 1)]
        rows += [[seeder, *[cells.get((seeder, leecher), "") for leecher in leechers]] for seeder in seeders]
        return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def main():
    parser = argparse.ArgumentParser(description="Prints the table of transfers between all clients.")
    parser.add_argument("--ipv6", action="store_true")
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--format", default="v1", choices=("v1", "v2", "hybrid"))
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="swarmgate-clients-")
    try:
        with Network() as network, Matrix(folder, network, options.ipv6, options.tls, options.format) as matrix:
            print(matrix.table())
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
