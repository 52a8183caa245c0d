"""swarmgate pull where swarms have a CA: nodes show each other certificates, renew them, and serve nobody without."""

import json
import os
import signal
import types

import pytest
from support import swarm_tls
from support.announce import get
from support.certificates import Authority
from support.gate import Gate
from support.image import small_image
from support.process import Process, binary, free_port, run, wait_for
from support.registry import Registry
from support.swarm_tls import HELLO, stay, steal, steal_plainly

USERS = {"alice": "correct horse", "gateway": "battery staple"}


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A registry with an image, and a gateway whose certificates for peers are good for 6 seconds."""
    made = types.SimpleNamespace(folder=tmp_path)
    made.registry = Registry(str(tmp_path / "registry"), USERS).start()
    small_image(str(tmp_path / "image"), "tls", (1_500_000, 70_000))
    made.registry.push(f"oci:{tmp_path / 'image'}:1", "team/app:1", "alice")
    os.makedirs(tmp_path / "gate")
    secret = tmp_path / "gate" / "gateway.pass"
    secret.write_text(USERS["gateway"])
    secret.chmod(0o600)
    ca = Authority(str(tmp_path / "ca"), "swarm")
    row = {"name": made.registry.address, "url": made.registry.url,
           "credentials": {"username": "gateway", "password_file": "gateway.pass"}}
    made.gate = Gate(str(tmp_path / "gate"), [row],
                     gateway={"cache": {"path": "cache"}, "swarm_tls": {"ca_certificate": ca.cert, "ca_key": ca.write_key(), "ttl": "6s"}})
    made.gate.start()
    # libtorrent 2.0.8 does not free the names of a certificate that it has verified.
    monkeypatch.setenv("ASAN_OPTIONS", "detect_leaks=0")
    yield made
    made.gate.stop()
    made.registry.stop()


def command(world, to, *options):
    return [binary("swarmgate"), "pull", f"{world.registry.address}/team/app:1", "--to", f"oci:{to}", "--gateway",
            world.gate.gateway_url, "--authfile", world.registry.auth_file("alice"), "--json", *options]


def pull(world, to, *options):
    told = json.loads(run(command(world, to, *options)).stdout)
    assert json.loads(run(["skopeo", "inspect", f"oci:{to}:1"]).stdout)["Digest"] == told["digest"]
    return told


def seed(world, *options):
    """A node that has pulled, and goes on seeding."""
    node = Process(command(world, world.folder / "first", "--seed-for", "1h", *options))
    wait_for("the first node", 60, lambda: os.path.exists(world.folder / "first" / "index.json"))
    return node


def certificates(world):
    """How many were handed out."""
    told = world.gate.tool("audit", "--config", world.gate.config, "--json").stdout
    return sum(json.loads(line).get("kind") == "certificate" for line in told.splitlines())


def offer(world):
    status, _, body = get(world.gate.gateway, f"/v1/team/app/manifests/1?ns={world.registry.address}", world.registry.basic("alice"))
    assert status == 200
    return json.loads(body)


def certify(world, digests, **more):
    return swarm_tls.certify(world.gate.gateway, world.registry.basic("alice"), "team/app", digests, str(world.folder), **more)


def test_nodes_exchange_by_tls(world):
    with seed(world) as first:
        told = pull(world, world.folder / "second", "--skip-webseed")
        assert (told["from_peers"], told["from_gateway"]) == (told["size"], 0)
        first.popen.send_signal(signal.SIGTERM)
        assert first.popen.wait(20) == 0, first.output()
    assert certificates(world) >= 2


def test_a_node_renews_its_certificate(world):
    """When the second comes the first certificate of the seed has run out, for another is asked for after 4 of its 6 seconds."""
    with seed(world) as first:
        wait_for("three certificates", 60, lambda: certificates(world) >= 3)
        told = pull(world, world.folder / "second", "--skip-webseed")
        assert (told["from_peers"], told["from_gateway"]) == (told["size"], 0)
        assert first.popen.poll() is None, first.output()


def test_a_node_goes_on_when_its_ca_is_replaced(world):
    """Its torrents stay under the old one, whose certificates it goes on to get, and its tokens' are those of a newer torrent."""
    port = free_port()
    with seed(world, "--lower-port", str(port)) as first:
        layer = max(offer(world)["layers"], key=lambda one: one["size"])
        old, new, before = world.folder / "old.crt", Authority(str(world.folder / "ca"), "new"), certificates(world)
        old.write_text((world.folder / "ca" / "swarm.crt").read_text())
        for path, other in ((world.folder / "ca" / "swarm.crt", new.cert), (world.folder / "ca" / "swarm.key", new.write_key())):
            with open(other, encoding="utf-8") as f:
                path.write_text(f.read() + path.read_text())
        world.gate.reload()
        assert max(offer(world)["layers"], key=lambda one: one["size"])["infohash"] != layer["infohash"]
        wait_for("two certificates more", 60, lambda: certificates(world) >= before + 2)
        own = certify(world, [layer["digest"]], ca=old.read_text())
        assert steal(port, layer["infohash"], own, ca=str(old)).startswith(HELLO)
        assert first.popen.poll() is None, first.output()


def test_thieves_get_no_byte_from_a_node(world):
    port = free_port()
    with seed(world, "--lower-port", str(port)):
        layer = max(offer(world)["layers"], key=lambda one: one["size"])
        assert steal(port, layer["infohash"]) == b""
        assert HELLO not in steal_plainly(port, layer["infohash"])
        other = min(offer(world)["layers"], key=lambda one: one["size"])
        assert steal(port, layer["infohash"], certify(world, [other["digest"]])) == b""
        assert steal(port, layer["infohash"], certify(world, [layer["digest"]])).startswith(HELLO)


def test_a_connection_ends_with_its_peers_certificate(world):
    port = free_port()
    with seed(world, "--lower-port", str(port)):
        layer = max(offer(world)["layers"], key=lambda one: one["size"])
        stay(port, layer["infohash"], certify(world, [layer["digest"]]))


def test_the_revoked_get_no_further_certificate(world):
    with seed(world) as first:
        world.gate.tool("revoke", "--sub", f"{world.registry.address}/alice", "--ban", "--config", world.gate.config)
        assert first.popen.wait(60) == 3, first.output()
        assert "the right to this image has ended" in first.output()
