"""
The webseed out of the cache: each byte leaves the registry once, and only what is right leaves the gateway. The blob
has $SWARMGATE_CACHE_BYTES.
"""

import concurrent.futures
import hashlib
import http.client
import json
import os
import random
import signal
import socket

import pytest
from conftest import USERS, registry_row
from support.announce import bdecode, get
from support.counter import Counter
from support.gate import Gate
from support.image import MANIFEST, small_image
from support.process import wait_for
from support.registry import Registry
from test_gateway import blob_file, blob_path, bytes_of, create, webseed_of

LAYERS = (int(os.environ.get("SWARMGATE_CACHE_BYTES", "30000000")), 300_000)
READERS = 64
ONE_COPY = 1.02
UNDER_WAY = 4 * 1024 * 1024  # of both fills of a blob: sockets' buffers, and a piece each


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("image"))
    small_image(folder, "cache", LAYERS)
    return folder


@pytest.fixture
def registry(image, tmp_path):
    with Registry(str(tmp_path / "registry"), USERS) as running:
        running.push(f"oci:{image}:1", "team/app:1", "alice")
        yield running


@pytest.fixture
def counter(registry):
    with Counter(registry.address) as running:
        yield running


def row_of(folder, registry, counter, **more):
    return {**registry_row(registry, str(folder)), "url": f"http://{counter.address}", **more}


def cached_gate(folder, registry, counter, **cache):
    return Gate(str(folder), [row_of(folder, registry, counter)], gateway={"cache": {"path": "cache", **cache}})


@pytest.fixture
def gate(registry, counter, tmp_path):
    with cached_gate(tmp_path, registry, counter) as running:
        yield running


class Blob:
    """The largest layer, with a path to read it by."""

    def __init__(self, gate, registry):
        self.blob = max(create(gate, registry, "team/app:1", "--registry", "registry.example")["blobs"], key=lambda blob: blob["size"])
        self.bytes = bytes_of(registry, self.blob)
        self.renew(gate, registry)

    def renew(self, gate, registry):
        status, _, torrent = get(gate.gateway, blob_path("team/app", self.blob), registry.basic("alice"))
        assert status == 200
        self.path = webseed_of(bdecode(torrent)).removeprefix(gate.gateway_url) + self.blob["digest"]

    def read(self, gate, first, end):
        """
        Asks for the range, again and again from where it was cut, until it has it all; checks every byte. Returns how
        often it asked.
        """
        at, asked = first, 0
        while at < end:
            connection = http.client.HTTPConnection(gate.gateway, timeout=60)
            try:
                connection.request("GET", self.path, headers={"Range": f"bytes={at}-{end - 1}"})
                asked += 1
                answer = connection.getresponse()
                assert answer.status == 206, answer.read()
                while piece := answer.read(1024 * 1024):
                    assert piece == self.bytes[at:at + len(piece)], f"{at}-{at + len(piece)}"
                    at += len(piece)
            except ConnectionRefusedError:
                wait_for("the gateway", 60, lambda: listens(gate.gateway))
            except (OSError, http.client.HTTPException):
                pass
            finally:
                connection.close()
        return asked

    def ranges(self, count):
        """That many: some the whole blob, some its far end, the others of all sizes, which overlap and leave no gap."""
        size, pick = len(self.bytes), random.Random(6)
        whole, far = max(1, count // 16), count // 8
        rest = count - whole - far
        edges = [i * size // rest for i in range(rest)]
        return ([(0, size)] * whole + [(size - pick.randrange(1, size // 16), size) for _ in range(far)]
                + [(edge, min(size, edge + size // rest + pick.randrange(2 * size // rest))) for edge in edges])


def listens(address):
    host, _, port = address.rpartition(":")
    with socket.socket() as s:
        return s.connect_ex((host, int(port))) == 0


def start_all(pool, blob, gate, ranges):
    return [pool.submit(blob.read, gate, *range_) for range_ in ranges]


def read_all(blob, gate, ranges):
    """Returns how often they asked."""
    with concurrent.futures.ThreadPoolExecutor(len(ranges)) as pool:
        return sum(reader.result() for reader in start_all(pool, blob, gate, ranges))


def kill(server):
    """A Gate or a Registry, which is there again when this returns."""
    server.process.stop(signal.SIGKILL)
    server.start()


def cache_file(gate, blob):
    return os.path.join(gate.folder, "cache", "sha256", blob.blob["digest"].removeprefix("sha256:"))


@pytest.mark.parametrize("killed", [None, "gateway", "registry"])
def test_cold_readers_share_one_copy(gate, registry, counter, killed):
    """The gateway, or the registry, is killed when half of the blob has left the registry."""
    blob = Blob(gate, registry)
    size, before = len(blob.bytes), counter.sent
    with concurrent.futures.ThreadPoolExecutor(READERS) as pool:
        readers = start_all(pool, blob, gate, blob.ranges(READERS))
        if killed:
            with counter.held(before + size // 2):
                kill({"gateway": gate, "registry": registry}[killed])
        asked = sum(reader.result() for reader in readers)
    copies = (counter.sent - before) / size
    print(f"{READERS} cold readers of {size} bytes, killed: {killed}: {asked} requests, {copies:.4f} copies left the registry")
    assert 1 <= copies <= max(ONE_COPY, (size + UNDER_WAY) / size if killed else 0)
    if killed == "registry":
        gate.process.wait_line("blobs of registry.example come into the cache again")
    # Whoever was cut asked again; of the registry's end no reader took notice.
    assert asked > READERS if killed == "gateway" else asked == READERS
    before = counter.sent
    assert blob.read(gate, 0, size) == 1
    assert counter.sent == before


def test_many_short_ranges_are_few_questions(gate, registry):
    """As nodes ask that share an image piece by piece: a question costs the registry much, however short its range."""
    blob = Blob(gate, registry)
    size, piece = len(blob.bytes), 256 * 1024
    starts = list(range(0, size, piece))
    random.Random(6).shuffle(starts)
    for at in starts:
        blob.read(gate, at, min(size, at + piece))
    asked = registry.asked("team/app", status=206)["GET", "blobs/" + blob.blob["digest"]]
    # Two MiB each, and less where it is between two that are there.
    assert asked < len(starts) / 3, (asked, len(starts))


def test_what_is_there_survives_a_kill(gate, registry, counter):
    blob = Blob(gate, registry)
    before = counter.sent
    half = len(blob.bytes) // 2
    blob.read(gate, 0, half)
    gate.process.stop(signal.SIGKILL)
    with open(cache_file(gate, blob), "r+b") as f:
        f.seek(100)
        f.write(b"?")  # a disk that lost something
    gate.start()
    read_all(blob, gate, [(half, len(blob.bytes)), (0, len(blob.bytes))])
    assert counter.sent - before <= ONE_COPY * len(blob.bytes) + 1024 * 1024  # the piece that was lost


def test_bytes_that_are_wrong_are_not_sent(gate, registry):
    blob = Blob(gate, registry)
    at = len(blob.bytes) - 5
    with open(blob_file(registry, blob.blob), "r+b") as f:
        f.seek(at)
        f.write(bytes([blob.bytes[at] ^ 1]))
    blob.read(gate, 0, 1024 * 1024)
    connection = http.client.HTTPConnection(gate.gateway, timeout=60)
    connection.request("GET", blob.path, headers={"Range": f"bytes={at}-"})
    assert connection.getresponse().status == 502
    connection.close()
    first = at - 5_000_000
    connection.request("GET", blob.path, headers={"Range": f"bytes={first}-"})
    with pytest.raises(http.client.IncompleteRead) as cut:
        connection.getresponse().read()
    assert cut.value.partial == blob.bytes[first:first + len(cut.value.partial)]
    connection.close()


def test_a_blob_that_is_gone_is_a_404(gate, registry):
    blob = Blob(gate, registry)
    os.unlink(blob_file(registry, blob.blob))
    connection = http.client.HTTPConnection(gate.gateway, timeout=60)
    connection.request("GET", blob.path)
    assert connection.getresponse().status == 404
    connection.close()


def test_room_is_bounded_and_the_rest_is_relayed(registry, counter, tmp_path):
    with cached_gate(tmp_path, registry, counter, max_size="64MiB", min_free="8000TiB") as gate:
        blob = Blob(gate, registry)
        blob.read(gate, 0, len(blob.bytes))
        assert os.stat(cache_file(gate, blob)).st_blocks == 0


def test_storage_is_read_where_it_is(registry, counter, tmp_path):
    row = row_of(tmp_path, registry, counter, storage=os.path.join(registry.folder, "storage"))
    with Gate(str(tmp_path), [row]) as gate:
        blob = Blob(gate, registry)
        before = counter.sent
        read_all(blob, gate, blob.ranges(8))
        assert counter.sent == before
        # The repository has it no more: the registry is asked, and says so.
        hexdigest = blob.blob["digest"].removeprefix("sha256:")
        link = os.path.join(registry.folder, "storage/docker/registry/v2/repositories/team/app/_layers/sha256", hexdigest, "link")
        os.unlink(link)
        connection = http.client.HTTPConnection(gate.gateway, timeout=60)
        connection.request("GET", blob.path)
        assert connection.getresponse().status == 404
        connection.close()
        assert counter.sent > before


def test_torrent_and_webseed_together_cost_one_copy(gate, registry, counter):
    """Hashing puts what it reads into the cache, and a reader then has it from there."""
    manifest = json.loads(get(registry.address, "/v2/team/app/manifests/1",
                              {**registry.basic("alice"), "Accept": MANIFEST})[2])
    layer = max(manifest["layers"], key=lambda described: described["size"])
    path, before = blob_path("team/app", layer), counter.sent

    def has_torrent():
        status, _, body = get(gate.gateway, path, registry.basic("alice"))
        return body if status == 200 else None
    seed = webseed_of(bdecode(wait_for("the torrent", 60, has_torrent))).removeprefix(gate.gateway_url)
    assert counter.sent - before <= ONE_COPY * layer["size"] + 65536
    hashed = counter.sent
    status, _, body = get(gate.gateway, seed + layer["digest"])
    assert status == 200 and "sha256:" + hashlib.sha256(body).hexdigest() == layer["digest"]
    assert counter.sent - hashed < 65536
