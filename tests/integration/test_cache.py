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


@pytest.fixture
def registry(tmp_path):
    small_image(str(tmp_path / "image"), "cache", LAYERS)
    with Registry(str(tmp_path / "registry"), USERS) as running:
        running.push(f"oci:{tmp_path}/image:1", "team/app:1", "alice")
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
        """Asks for the range, again and again from where it was cut, until it has it all."""
        data = bytearray()
        while len(data) < end - first:
            connection = http.client.HTTPConnection(gate.gateway, timeout=60)
            try:
                connection.request("GET", self.path, headers={"Range": f"bytes={first + len(data)}-{end - 1}"})
                answer = connection.getresponse()
                assert answer.status == 206, answer.read()
                while piece := answer.read(1024 * 1024):
                    data += piece
            except (OSError, http.client.HTTPException) as e:
                if isinstance(e, http.client.IncompleteRead):
                    data += e.partial
            finally:
                connection.close()
        assert data == self.bytes[first:end], f"{first}-{end}"

    def ranges(self, count):
        """That many, of all sizes, which together are the blob, and overlap."""
        size, pick = len(self.bytes), random.Random(6)
        edges = [i * size // count for i in range(count)]
        return [(edge, min(size, edge + pick.randrange(1, 4 * size // count))) for edge in edges[:-1]] + [(edges[-1], size), (0, size)]


def read_all(blob, gate, ranges):
    with concurrent.futures.ThreadPoolExecutor(len(ranges)) as pool:
        for done in [pool.submit(blob.read, gate, *range_) for range_ in ranges]:
            done.result()


def cache_file(gate, blob):
    return os.path.join(gate.folder, "cache", "sha256", blob.blob["digest"].removeprefix("sha256:"))


def test_cold_readers_share_one_copy(gate, registry, counter):
    blob = Blob(gate, registry)
    before = counter.sent
    read_all(blob, gate, blob.ranges(READERS))
    copies = (counter.sent - before) / len(blob.bytes)
    print(f"{READERS} cold readers of {len(blob.bytes)} bytes: {copies:.4f} copies left the registry")
    assert 1 <= copies <= ONE_COPY
    before = counter.sent
    blob.read(gate, 0, len(blob.bytes))
    assert counter.sent == before


def test_what_is_there_survives_a_kill(gate, registry, counter):
    blob = Blob(gate, registry)
    before = counter.sent
    half = len(blob.bytes) // 2
    blob.read(gate, 0, half)
    gate.process.popen.send_signal(signal.SIGKILL)
    gate.process.popen.wait()
    gate.process = None
    with open(cache_file(gate, blob), "r+b") as f:
        f.seek(100)
        f.write(b"?")  # a disk that lost something
    gate.start()
    read_all(blob, gate, [(half, len(blob.bytes)), (0, len(blob.bytes))])
    assert counter.sent - before <= ONE_COPY * len(blob.bytes) + 1024 * 1024  # the piece that was lost


def test_a_registry_that_goes_away_and_comes_back(gate, registry, counter):
    blob = Blob(gate, registry)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        before = counter.sent
        readers = [pool.submit(blob.read, gate, *range_) for range_ in blob.ranges(6)]
        wait_for("bytes from the registry", 10, lambda: counter.sent > before + 1_000_000)
        registry.process.popen.send_signal(signal.SIGKILL)
        registry.process.popen.wait()
        registry.process = None
        registry.start()
        for reader in readers:
            reader.result()


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
