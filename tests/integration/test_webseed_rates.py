"""
How fast the webseed sends and to how many: rates of all and of a token, in equal shares, out of the cache, out of the
registry's storage, relayed, and over TLS. Judged by the bytes that have come to one when another has so many.
"""

import os
import selectors
import socket
import ssl
import time

import pytest
from conftest import USERS, registry_row
from support import announce
from support.certificates import Authority
from support.gate import Gate
from support.image import small_image
from support.process import wait_for
from support.registry import Registry
from support.tls import split, trusting
from test_gateway import blob_path, create, errors_of, webseed_of

MIB = 1 << 20
SIZE = 12 * MIB
WITHIN = 5  # seconds, from a revocation to the end of an answer
PATIENCE = 60
TURN = 256 * 1024  # of 4 MiB a second, as rate_slice() has it
KINDS = ["cache", "storage", "relay", "tls"]


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rates")
    small_image(str(folder / "image"), "rates", (SIZE,))
    with Registry(str(folder / "registry"), {**USERS, "bob": "bob-password"}) as running:
        running.push(f"oci:{folder}/image:1", "team/app:1", "alice")
        yield running


class Seed:
    """A gateway with these rates, and the blob in front of which it is."""

    def __init__(self, folder, registry, kind="cache", **webseed):
        row, gateway, self.context = registry_row(registry, folder), {"webseed": webseed}, None
        if kind == "storage":
            row["storage"] = os.path.join(registry.folder, "storage")
        elif kind != "relay":
            gateway["cache"] = {"path": "cache"}
        if kind == "tls":
            ca = Authority(os.path.join(folder, "ca"))
            leaf = ca.server("gateway")
            gateway["tls"], self.context = {"certificate": leaf.cert, "key": leaf.key}, trusting(ca)
        self.gate, self.registry = Gate(folder, [row], gateway=gateway), registry

    def __enter__(self):
        self.gate.start()
        self.blob = max(create(self.gate, self.registry)["blobs"], key=lambda blob: blob["size"])
        return self

    def __exit__(self, *_):
        self.gate.stop()

    def get(self, path, headers=None):
        return announce.get(self.gate.gateway, path, headers, context=self.context)

    def path(self, user="alice"):
        """With a token of its own."""
        status, _, torrent = self.get(blob_path("team/app", self.blob), self.registry.basic(user))
        assert status == 200
        return "/webseed/" + webseed_of(announce.bdecode(torrent)).split("/webseed/")[1] + self.blob["digest"]

    def read(self, path, first=0, last=SIZE - 1):
        return Reader(self, path, first, last)


class Reader:
    """Has asked for a range; takes what has come of it when it is told to, and never waits."""

    def __init__(self, seed, path, first, last):
        self.socket = socket.create_connection(split(seed.gate.gateway), timeout=PATIENCE)
        if seed.context:
            self.socket = seed.context.wrap_socket(self.socket, server_hostname="127.0.0.1")
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: g\r\nRange: bytes={first}-{last}\r\n\r\n".encode())
        self.socket.setblocking(False)
        self.head, self.count, self.ended, self.wanted = b"", 0, False, last - first + 1

    def take(self):
        """What is there now, a megabyte at most, so that the others have their turn."""
        for _ in range(16):
            try:
                got = self.socket.recv(65536)
            except (BlockingIOError, ssl.SSLWantReadError):
                return
            except ConnectionResetError:
                got = b""
            if not got:
                self.ended = True
                return
            if b"\r\n\r\n" in self.head:
                self.count += len(got)
            else:
                self.head += got
                self.count = len(self.head.partition(b"\r\n\r\n")[2])

    @property
    def status(self):
        return int(self.head.split()[1]) if b"\r\n\r\n" in self.head else None

    def close(self):
        self.socket.close()


def take_until(readers, done):
    """Has all take what there is, again and again."""
    end = time.monotonic() + PATIENCE
    with selectors.DefaultSelector() as selector:
        for reader in readers:
            selector.register(reader.socket, selectors.EVENT_READ)
        while not done():
            assert time.monotonic() < end, [(reader.status, reader.count, reader.ended) for reader in readers]
            selector.select(1)
            for reader in readers:
                reader.take()


def gained(readers, bytes_of_first):
    """Once all have begun: what each has got when the first of them has so much."""
    take_until(readers, lambda: all(reader.count > 0 for reader in readers))
    before = [reader.count for reader in readers]

    def gains():
        return [reader.count - was for reader, was in zip(readers, before)]
    take_until(readers, lambda: max(gains()) >= bytes_of_first)
    got = gains()
    for reader in readers:
        assert reader.status == 206 and not reader.ended
        reader.close()
    return got


@pytest.mark.parametrize("kind", KINDS)
def test_shares_are_equal(registry, tmp_path, kind):
    """Whatever they ask for, and whichever loop they are of. None is ahead by more than some turns."""
    with Seed(str(tmp_path), registry, kind, max_rate="4MiB") as seed:
        paths = [seed.path() for _ in range(3)]
        got = gained([seed.read(paths[i % 3], i * 1000, SIZE - 1 if i % 2 else 4 * MIB) for i in range(6)], 2 * MIB)
        print(kind, got)
        assert min(got) >= 2 * MIB - 4 * TURN


@pytest.mark.parametrize("kind", KINDS)
def test_no_more_than_the_rate(registry, tmp_path, kind):
    """Which no delay of anybody's can make untrue."""
    with Seed(str(tmp_path), registry, kind, max_rate="2MiB") as seed:
        path, before = seed.path(), time.monotonic()
        readers = [seed.read(path) for _ in range(4)]
        take_until(readers, lambda: sum(reader.count for reader in readers) >= 4 * MIB)
        got = sum(reader.count for reader in readers)
        assert got <= 2 * MIB * (time.monotonic() - before + 0.1)  # a tenth of a second's may come at once
        for reader in readers:
            reader.close()


def test_a_token_has_its_rate(registry, tmp_path):
    """Two with one token share it; one with another has as much alone."""
    with Seed(str(tmp_path), registry, max_rate_per_token="1MiB") as seed:
        shared, other = seed.path(), seed.path("bob")
        one, two, alone = gained([seed.read(shared), seed.read(shared), seed.read(other)], 2 * MIB)
        print(one, two, alone)
        assert abs(one - two) <= 4 * 65536
        assert 0.6 * alone < one + two < 1.5 * alone


def test_one_reader_too_many(registry, tmp_path):
    with Seed(str(tmp_path), registry, max_rate="16KiB", max_readers=2) as seed:
        path = seed.path()
        readers = [seed.read(path), seed.read(path)]
        take_until(readers, lambda: all(reader.count > 0 for reader in readers))
        for _ in range(10):  # on every loop
            status, headers, body = seed.get(path, {"Range": "bytes=0-0"})
            assert status == 503 and headers["Retry-After"] == "2" and errors_of(body) == ["UNAVAILABLE"]
        seed.gate.process.wait_line("gateway.webseed.max_readers")
        readers[0].close()
        wait_for("that one more may read", 30, lambda: seed.get(path, {"Range": "bytes=0-0"})[0] == 206)
        readers[1].close()


@pytest.mark.parametrize("kind", ["cache", "relay"])
def test_revoked_while_waiting(registry, tmp_path, kind):
    """Sixty who would have their turn once a minute."""
    with Seed(str(tmp_path), registry, kind, max_rate="16KiB") as seed:
        path, other = seed.path(), seed.path("bob")
        readers = [seed.read(path) for _ in range(60)]
        bob = seed.read(other)
        take_until(readers, lambda: any(reader.count > 0 for reader in readers))
        seed.gate.tool("revoke", "--sub", "registry.example/alice", "--config", seed.gate.config)

        def cut():
            for reader in readers:
                reader.take()
            return all(reader.status == 403 or reader.ended for reader in readers)
        wait_for("that all are cut", WITHIN, cut)
        assert sum(reader.status == 403 for reader in readers) > 40
        take_until([bob], lambda: bob.count > 16384)  # whose turn it is at last
        assert bob.status == 206 and not bob.ended
        for reader in [*readers, bob]:
            reader.close()


@pytest.mark.parametrize("kind", KINDS)
def test_who_goes_away_waits_no_longer(registry, tmp_path, kind):
    """Sixty who would have their turn once a minute, and have no patience: their places are others', and so are their turns."""
    with Seed(str(tmp_path), registry, kind, max_rate="16KiB", max_readers=60) as seed:
        path = seed.path()
        readers = [seed.read(path) for _ in range(60)]
        take_until(readers, lambda: any(reader.count > 0 for reader in readers))
        for reader in readers:
            reader.close()
        before, bob = time.monotonic(), None
        while bob is None or bob.status == 503:
            bob = seed.read(path)
            take_until([bob], lambda: bob.status is not None)
            bob.close()
        assert bob.status == 206 and time.monotonic() - before < 2 * WITHIN


def test_what_comes_at_a_rate_is_right(registry, tmp_path):
    """Turns are in the order of the bytes."""
    with Seed(str(tmp_path), registry, max_rate="64MiB", max_rate_per_token="32MiB") as seed:
        status, _, body = seed.get(seed.path())
        digest = seed.blob["digest"].split(":")[1]
        file = os.path.join(registry.folder, "storage/docker/registry/v2/blobs/sha256", digest[:2], digest, "data")
        with open(file, "rb") as f:
            assert status == 200 and body == f.read()
