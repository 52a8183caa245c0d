"""
BitTorrent clients in the middle of a blob from the webseed alone when its token expires, or is revoked: docs/clients.md
says what each does. A clock that the test moves lets an hour pass.
"""

import concurrent.futures
import contextlib
import hashlib
import json
import os
import re

import libtorrent
import pytest
from conftest import USERS, registry_row
from support.announce import bdecode, get
from support.client_matrix import PATIENCE, is_there, make_gate
from support.clients import Aria2, Libtorrent, Qbittorrent, Transmission, Webtorrent
from support.counter import Counter
from support.faketime import Clock, library
from support.image import small_image
from support.jws import unb64
from support.netns import Network
from support.process import wait_for
from support.registry import Registry
from test_clients import can_make_hosts
from test_gateway import webseed_of
from test_session_time import plain_binaries

pytestmark = [pytest.mark.skipif(not can_make_hosts(), reason="network namespaces want root"),
              pytest.mark.skipif(library() is None, reason="libfaketime is not installed")]

KINDS = [Libtorrent, Transmission, Aria2, Qbittorrent, Webtorrent]  # rtorrent has no webseeds
LONG, ASKED = [Libtorrent, Aria2, Qbittorrent], 16 * 1024 * 1024  # who ask for so much at once, or for all; the others for a piece
SIZE, MIDDLE = 24_000_000, 6_000_000
ON_THE_WAY = 2_000_000  # in the tap's own buffers, and answers for a piece that were whole before
HOUR = 3600 + 60 + 1  # the token's, and the leeway


class Tap(Counter):
    """The way of one client to the gateway, which notes the answers' status codes."""

    def __init__(self, target, host, limit):
        self.statuses, self.tail = [], b""
        super().__init__(target, host, limit)

    def count(self, data):
        super().count(data)
        seen = self.tail + data
        self.statuses += [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", seen)]
        self.tail = seen[-12:]


class Place:
    """A registry and swarmgated, whose clock is moved, on one host; an image with a blob for each client."""

    def __init__(self, folder, network, form, kinds):
        self.folder, self.network, self.clock, self.kinds = str(folder), network, Clock(str(folder)), kinds
        self.hub = network.add()
        self.registry = Registry(os.path.join(self.folder, "registry"), USERS, self.hub.address, 5000, self.hub.prefix)
        gate = os.path.join(self.folder, "gate")
        os.makedirs(gate)
        self.gate = make_gate(gate, self.hub, registries=[registry_row(self.registry, gate)],
                              gateway={"cache": {"path": "cache"}, "torrents": {"format": form}})
        # The time of day alone: timers go on as they are.
        self.gate.prefix = [*self.hub.prefix, *self.clock.prefix, "DONT_FAKE_MONOTONIC=1"]

    def __enter__(self):
        layout = os.path.join(self.folder, "layout")
        manifest = small_image(layout, "ends", sizes=(SIZE,) * len(self.kinds))
        with open(os.path.join(layout, "blobs", "sha256", manifest.split(":")[1]), encoding="utf-8") as f:
            self.digests = [layer["digest"] for layer in json.load(f)["layers"]]
        self.registry.start()
        self.registry.push(f"oci:{layout}:1", "team/app:1", "alice")
        self.gate.start()
        return self

    def __exit__(self, *ignored):
        self.gate.stop()
        self.registry.stop()

    def ask(self, target, **more):
        with self.hub.entered():
            return get(self.gate.gateway, target, self.registry.basic("alice"), **more)

    def revoke(self, jti):
        self.gate.tool("revoke", "--config", self.gate.config, "--jti", jti)

    def cut(self):
        """Of which blobs an answer was cut so far."""
        return set(re.findall(r"cannot send (\S+) of registry.example/team/app: its token was revoked", self.gate.process.output()))


class Reader:
    """A client that has one blob from the webseed, through a tap of its own."""

    def __init__(self, place, kind, digest, folder):
        self.place, self.kind, self.digest = place, kind, digest
        self.name = digest.replace(":", "-")
        self.folder = os.path.join(str(folder), kind.name)
        self.host = place.network.add()
        self.tap = Tap(place.gate.gateway, place.hub, MIDDLE)
        self.client = None

    def torrent(self, name):
        """A new one from the gateway, with the tap in its webseed's URL."""
        status = 202
        while status == 202:
            status, _, body = self.place.ask(f"/v1/team/app/blobs/{self.digest}")
        assert status == 200, body
        metainfo = bdecode(body)
        self.webseed = webseed_of(metainfo).removeprefix(self.place.gate.gateway_url)
        self.jti = json.loads(unb64(self.webseed.split("/")[2].split(".")[1]))["jti"]
        folder = f"{self.folder}-{name}"
        os.makedirs(folder)
        path = os.path.join(folder, self.name + ".torrent")
        with open(path, "wb") as f:
            f.write(libtorrent.bencode({**metainfo, b"url-list": f"http://{self.tap.address}{self.webseed}".encode()}))
        return path

    def start(self):
        self.client = self.kind(self.folder, [self.torrent("first")], self.host.address, self.host.prefix).start()

    def refused(self):
        return self.place.ask(self.webseed + self.name, method="HEAD")[0] == 403

    def is_complete(self):
        return self.name in self.client.complete()

    def wait_end(self):
        """Until it has the blob, or is refused."""
        wait_for(f"{self.kind.name} has the blob or is refused", PATIENCE, lambda: 403 in self.tap.statuses or self.is_complete())

    def begin_anew(self):
        if not self.is_complete():
            self.client.take_anew(self.torrent("second"))
            self.client.wait_complete(PATIENCE)
        with open(os.path.join(self.folder, self.name), "rb") as f:
            assert "sha256-" + hashlib.sha256(f.read()).hexdigest() == self.name

    def stop(self):
        self.tap.stop()
        if self.client is not None:
            self.client.stop()


@pytest.fixture(scope="module", params=["v1", "v2", "hybrid"])
def place(request, tmp_path_factory):
    programs = plain_binaries()
    if programs is None:
        pytest.skip("libfaketime wants programs without a sanitizer: ./dev build")
    kinds = [kind for kind in KINDS if is_there(kind)] if request.param == "v1" else [Libtorrent]
    with pytest.MonkeyPatch.context() as patch, Network() as network:
        patch.setenv("SWARMGATE_BIN", programs)
        with Place(tmp_path_factory.mktemp("place"), network, request.param, kinds) as running:
            yield running


@contextlib.contextmanager
def in_the_middle(place, folder):
    """
    A Reader of each kind whose transfer is held in the middle; everyone(step) does something with all at once; `held`
    is to be closed for them to go on.
    """
    readers = [Reader(place, kind, digest, folder) for kind, digest in zip(place.kinds, place.digests)]
    # Clients end with the thread that starts them: it stays.
    with concurrent.futures.ThreadPoolExecutor(len(readers)) as pool, contextlib.ExitStack() as held:
        def everyone(step):
            return list(pool.map(step, readers))
        try:
            everyone(Reader.start)
            for reader in readers:
                held.enter_context(reader.tap.held(MIDDLE, PATIENCE))
            yield readers, everyone, held
        finally:
            everyone(Reader.stop)


def test_expires(place, tmp_path):
    """What is under way is finished, all other requests are refused, and a new token lets go on."""
    with in_the_middle(place, tmp_path) as (readers, everyone, held):
        cut = place.cut()
        place.clock.step(HOUR)
        assert all(reader.refused() for reader in readers)
        held.close()
        everyone(Reader.wait_end)
        for reader in readers:
            assert reader.is_complete() == (reader.kind is Aria2), reader.kind.name
            if reader.kind in LONG:
                wait_for(f"all that {reader.kind.name} had asked for", PATIENCE, lambda reader=reader: reader.tap.sent > ASKED)
        assert place.cut() == cut
        everyone(Reader.begin_anew)


def test_revoked(place, tmp_path):
    """
    What is under way is cut, and with it what the gateway's kernel has yet to send; all other requests are refused, and a
    new token lets go on.
    """
    with in_the_middle(place, tmp_path) as (readers, everyone, held):
        for reader in readers:
            place.revoke(reader.jti)
        under_way = {reader.digest for reader in readers if reader.kind in LONG}
        wait_for("a cut of what is under way", PATIENCE, lambda: under_way <= place.cut())
        assert all(reader.refused() for reader in readers)
        held.close()
        everyone(Reader.wait_end)
        for reader in readers:
            assert not reader.is_complete() and reader.tap.sent < MIDDLE + ON_THE_WAY, reader.kind.name
        everyone(Reader.begin_anew)
