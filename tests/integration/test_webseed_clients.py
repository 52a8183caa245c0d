"""BitTorrent clients that find no peer and take a blob from the gateway's webseed, over HTTP and over TLS."""

import hashlib
import os

import pytest
from conftest import USERS, registry_row
from support.announce import get
from support.certificates import Authority
from support.client_matrix import PATIENCE, make_gate
from support.clients import Aria2, Libtorrent, Qbittorrent, Transmission, Webtorrent
from support.image import small_image
from support.netns import Network
from support.registry import Registry
from support.tls import trusting
from test_clients import can_make_hosts, name_client

pytestmark = pytest.mark.skipif(not can_make_hosts(), reason="network namespaces want root")

KINDS = [Libtorrent, Transmission, Aria2, Qbittorrent, Webtorrent]  # rtorrent has no webseeds


class Place:
    """A registry and swarmgated on one host, with the torrents of an image registered."""

    def __init__(self, folder, network, tls):
        self.network, self.folder = network, str(folder)
        self.hub = network.add()
        layout = os.path.join(self.folder, "layout")
        small_image(layout, "webseed", sizes=(3_000_000, 70_000))
        self.registry = Registry(os.path.join(self.folder, "registry"), USERS, self.hub.address, 5000, self.hub.prefix)
        gate, more, self.ca = os.path.join(self.folder, "gate"), {}, None
        os.makedirs(gate)
        if tls:
            self.ca = Authority(os.path.join(self.folder, "ca"))
            leaf = self.ca.server(names=(self.hub.address,))
            more = {role: {"tls": {"certificate": leaf.cert, "key": leaf.key}} for role in ("tracker", "gateway")}
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


@pytest.fixture(scope="module", params=[False, True], ids=["http", "tls"])
def place(request, tmp_path_factory):
    with Network() as network, Place(tmp_path_factory.mktemp("place"), network, request.param) as running:
        yield running


@pytest.mark.parametrize("kind", KINDS, ids=name_client)
def test_webseed_alone(place, kind, tmp_path):
    kind.require()
    host = place.network.add()
    torrents = place.torrents(str(tmp_path / "torrents"))
    with kind(str(tmp_path / "data"), torrents, host.address, host.prefix, place.ca and place.ca.cert) as client:
        client.wait_complete(PATIENCE)
        for name in place.names:
            with open(os.path.join(client.folder, name), "rb") as f:
                assert "sha256-" + hashlib.sha256(f.read()).hexdigest() == name
