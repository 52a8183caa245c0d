"""
BitTorrent clients that find no peer and take a blob from the gateway's webseed, over HTTP and over TLS; libtorrent and
qBittorrent of v2 and hybrid torrents, too.
"""

import hashlib
import os

import pytest
from conftest import USERS, registry_row
from support.announce import get
from support.certificates import Authority
from support.client_matrix import PATIENCE, make_gate
from support.clients import Aria2, Libtorrent, Qbittorrent, Rtorrent, Transmission, Webtorrent
from support.image import small_image
from support.netns import Network
from support.registry import Registry
from support.tls import trusting
from test_clients import can_make_hosts

pytestmark = pytest.mark.skipif(not can_make_hosts(), reason="network namespaces want root")

KINDS = [Libtorrent, Transmission, Aria2, Qbittorrent, Webtorrent]  # rtorrent has no webseeds
OF_ALL_FORMATS = [Libtorrent, Qbittorrent]
WAYS = {"http": ({}, KINDS), "tls": ({"tls": True}, KINDS), "v2": ({"form": "v2"}, OF_ALL_FORMATS),
        "hybrid": ({"form": "hybrid"}, OF_ALL_FORMATS)}


class Place:
    """A registry and swarmgated on one host, with the torrents of an image registered."""

    def __init__(self, folder, network, tls=False, form="v1"):
        self.network, self.folder = network, str(folder)
        self.hub = network.add()
        layout = os.path.join(self.folder, "layout")
        small_image(layout, "webseed", sizes=(3_000_000, 70_000))
        self.registry = Registry(os.path.join(self.folder, "registry"), USERS, self.hub.address, 5000, self.hub.prefix)
        gate, self.ca = os.path.join(self.folder, "gate"), None
        more = {"tracker": {}, "gateway": {"torrents": {"format": form}}}
        os.makedirs(gate)
        if tls:
            self.ca = Authority(os.path.join(self.folder, "ca"))
            leaf = self.ca.server(names=(self.hub.address,))
            for role in more.values():
                role["tls"] = {"certificate": leaf.cert, "key": leaf.key}
        self.gate = make_gate(gate, self.hub, registries=[registry_row(self.registry, gate)], **more)
        self.layout = layout

    def __enter__(self):
        self.registry.start()
        self.registry.push(f"oci:{self.layout}:1", "team/app:1", "alice")
        self.gate.start()
        out = os.path.join(self.folder, "out")
        self.gate.tool("torrent", "create", f"docker://{self.registry.address}/team/app:1", "--register", "--config",
                       self.gate.config, "--tls-verify=false", "--authfile", self.registry.auth_file("alice"), "--output", out)
        self.names = sorted(name[: -len(".torrent")] for name in os.listdir(out) if name.endswith(".torrent"))
        return self

    def __exit__(self, *ignored):
        self.gate.stop()
        self.registry.stop()

    def check(self, client):
        """Its data against their digests."""
        for name in self.names:
            with open(os.path.join(client.folder, name), "rb") as f:
                assert "sha256-" + hashlib.sha256(f.read()).hexdigest() == name

    def torrents(self, folder):
        """What the gateway hands out, for each blob of the image."""
        os.makedirs(folder)
        paths = []
        for name in self.names:
            path = os.path.join(folder, name + ".torrent")
            with self.hub.entered():
                status, _, body = get(self.gate.gateway, "/v1/team/app/blobs/" + name.replace("-", ":"),
                                      self.registry.basic("alice"), context=self.ca and trusting(self.ca))
            assert status == 200, body
            with open(path, "wb") as f:
                f.write(body)
            paths.append(path)
        return paths


@pytest.fixture(scope="module")
def place(request, tmp_path_factory):
    with Network() as network, Place(tmp_path_factory.mktemp("place"), network, **request.param) as running:
        yield running


@pytest.mark.parametrize("place, kind", [pytest.param(options, kind, id=f"{way}-{kind.name}")
                                         for way, (options, kinds) in WAYS.items() for kind in kinds], indirect=["place"])
def test_webseed_alone(place, kind, tmp_path):
    kind.require()
    host = place.network.add()
    torrents = place.torrents(str(tmp_path / "torrents"))
    with kind(str(tmp_path / "data"), torrents, host.address, host.prefix, place.ca and place.ca.cert) as client:
        client.wait_complete(PATIENCE)
        place.check(client)


@pytest.mark.parametrize("place", [{}], ids=["http"], indirect=True)
def test_who_has_no_webseeds(place, tmp_path):
    """rtorrent asks the gateway for nothing; a peer that had the blob from the webseed alone has it for rtorrent, too."""
    first, second = place.network.add(), place.network.add()
    with Libtorrent(str(tmp_path / "one"), place.torrents(str(tmp_path / "one.torrents")), first.address, first.prefix) as peer:
        peer.wait_complete(PATIENCE)
        with Rtorrent(str(tmp_path / "two"), place.torrents(str(tmp_path / "two.torrents")), second.address, second.prefix) as client:
            client.wait_complete(PATIENCE)
            place.check(client)
    sent = [line for line in place.gate.process.lines if "webseed: sent" in line]
    assert any(f"to {first.address}:" in line for line in sent) and not any(f"to {second.address}:" in line for line in sent)
