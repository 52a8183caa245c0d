"""swarmgate agent where swarms have a CA: agents show each other certificates, renew them, and leave when they get no more."""

import json
import os
import re
import threading
import types

import libtorrent as lt
import pytest
from support.agent import Agent
from support.agent_world import USERS, World, digest_of, pull_all
from support.announce import get
from support.certificates import Authority
from support.gate import Gate
from support.image import small_image
from support.process import free_port, run, wait_for
from support.registry import basic
from support.registry_clients import Skopeo
from support.swarm_tls import HELLO, steal


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """
    Of its gateway's two registries all swarms are under a CA, by certificates that are good for 6 seconds. It is
    slower than agents are.
    """
    folder = tmp_path_factory.mktemp("agent_tls")
    ca = Authority(str(folder / "ca"), "swarm")
    with pytest.MonkeyPatch.context() as patch:
        # libtorrent 2.0.8 does not free the names of a certificate that it has verified.
        patch.setenv("ASAN_OPTIONS", "detect_leaks=0")
        made = World(folder, {"swarm_tls": {"ca_certificate": ca.cert, "ca_key": ca.write_key(), "ttl": "6s"},
                              "webseed": {"max_rate": "2MiB"}})
        made.ca = ca
        yield made
        made.stop()


@pytest.fixture
def first(world, tmp_path):
    """An agent that has the image, and seeds it."""
    with world.agent(tmp_path / "first") as agent:
        pull_all(world, agent)
        await_seeding(world, agent)
        yield agent


def await_seeding(world, agent):
    wait_for("seeding", 20, lambda: agent.status()["seeding"] == len(world.blobs))


def certificates(world, user="alice"):
    """How many were handed out."""
    told = map(json.loads, world.gate.tool("audit", "--config", world.gate.config, "--json").stdout.splitlines())
    return sum(event.get("kind") == "certificate" and event["sub"].endswith("/" + user) for event in told)


def both(world, plain, folder, ports=10):
    """An agent that has the private registry's images of the world's gateway, and the public one's of another."""
    lower = free_port()
    return Agent(folder, {world.private.address: world.gate.gateway_url, world.public.address: plain.gateway_url},
                 authfile=world.private.auth_file("alice"), ports={"lower": lower, "upper": lower + ports - 1})


def fetch(world, agent, image, registry):
    """The bytes of all blobs of an image."""
    manifest = json.loads(agent.ask(world.path("manifests/1", image, registry)).body)
    blobs = [manifest["config"], *manifest["layers"]]
    for blob in blobs:
        assert digest_of(agent.ask(world.path("blobs/" + blob["digest"], image, registry)).body) == blob["digest"]
    return sum(blob["size"] for blob in blobs)


def peer_ports(agent):
    """What it listens on for peers, the port that it has opened first and the other one."""
    lines = run(["ss", "-Hltnp4"]).stdout.splitlines()
    here = [line.split()[3] for line in lines if f"pid={agent.process.popen.pid}," in line and line.split()[3].startswith("127.0.0.1")]
    ports = {int(address.rsplit(":", 1)[1]) for address in here if address != agent.address}
    assert len(ports) == 2, here
    return sorted(ports)


def layer(gate, registry, user=None, image="team/app"):
    """The largest one, as the gateway offers it."""
    status, _, body = get(gate.gateway, f"/v1/{image}/manifests/1?ns={registry.address}", registry.basic(user) if user else {})
    assert status == 200
    return max(json.loads(body)["layers"], key=lambda one: one["size"])


def certify(world, digest):
    """What a node of bob's shows."""
    key, csr, cert = (str(world.folder / f"bob.{ending}") for ending in ("key", "csr", "crt"))
    run(["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/", "-keyout", key, "-out", csr])
    with open(csr, encoding="utf-8") as f:
        body = json.dumps({"csr": f.read(), "digests": [digest]})
    status, _, body = get(world.gate.gateway, f"/v1/team/app/certificates?ns={world.private.address}", world.private.basic("bob"),
                          method="POST", body=body)
    assert status == 200, body
    with open(cert, "w", encoding="utf-8") as f:
        f.write(json.loads(body)["certificate"])
    return types.SimpleNamespace(cert=cert, key=key)


def dial(infohash, port):
    """Whether a peer answers one that speaks BitTorrent to it as nodes do, but without TLS."""
    session = lt.session({"listen_interfaces": "", "enable_dht": False, "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False,
                          "enable_outgoing_utp": False, "out_enc_policy": 0, "alert_mask": lt.alert.category_t.all_categories})
    magnet = lt.parse_magnet_uri(f"magnet:?xt=urn:btih:{infohash}")
    magnet.save_path = "/nowhere"
    handle = session.add_torrent(magnet)
    handle.connect_peer(("127.0.0.1", port))
    ends = (lt.peer_disconnected_alert, lt.peer_error_alert)
    pending = lt.peer_info.handshake | lt.peer_info.connecting

    def outcome():
        if any(not peer.flags & pending for peer in handle.get_peer_info()):
            return "answered"
        return "hung up" if any(isinstance(alert, ends) for alert in session.pop_alerts()) else None

    return wait_for("the peer", 20, outcome) == "answered"


def test_agents_exchange_by_tls(world, first, tmp_path):
    with world.agent(tmp_path / "second") as second, Skopeo() as client:
        _, conf = second.install(tmp_path / "root")
        client.command = lambda *argv, **more: Skopeo.command(client, "--registries-conf", conf, *argv, **more)
        assert client.pull(world.image(), "alice", USERS["alice"]).digest == world.digest
        seen = second.status()
        assert seen["from_peers"] > 0 and first.status()["from_gateway"] == world.size, seen
        pulled = second.process.wait_line(f"pulled {world.image()}, {world.digest}: {world.size} bytes")
        assert int(re.search(r"(\d+) % of those from peers", pulled)[1]) > 0


def test_agents_that_begin_at_once_share_a_copy_and_have_a_certificate_each(world, tmp_path):
    before = certificates(world)
    with world.agent(tmp_path / "first") as first, \
            world.agent(tmp_path / "second", user=None, require_credentials=True) as second:
        pulls = [threading.Thread(target=pull_all, args=(world, first)),
                 threading.Thread(target=lambda: pull_all(world, second, **basic("alice", USERS["alice"])))]
        for pull in pulls:
            pull.start()
        wait_for("certificates", 20, lambda: certificates(world) >= before + 2)
        for pull in pulls:
            pull.join()
        # Two, were each alone.
        assert first.status()["from_gateway"] + second.status()["from_gateway"] < 1.6 * world.size
        assert first.status()["from_peers"] + second.status()["from_peers"] > 0


def test_with_and_without_a_ca_side_by_side(world, tmp_path):
    """Of two gateways, one without a CA. Torrents of the other one are not had without a certificate, on neither port."""
    small_image(str(tmp_path / "image"), "plain", (3_000_000,))
    world.public.push(f"oci:{tmp_path / 'image'}:1", "team/plain:1", None)
    with Gate(str(tmp_path / "plain"), [{"name": world.public.address, "url": world.public.url}], gateway={"webseed": {"max_rate": "2MiB"}}) as plain:
        with both(world, plain, tmp_path / "first") as first, both(world, plain, tmp_path / "second") as second:
            for image, registry in ("team/app", world.private), ("team/plain", world.public):
                fetch(world, first, image, registry)
            wait_for("seeding", 20, lambda: first.status()["seeding"] == first.status()["blobs"] == len(world.blobs) + 2)
            for image, registry in ("team/app", world.private), ("team/plain", world.public):
                before = second.status()["from_peers"]
                fetch(world, second, image, registry)
                assert second.status()["from_peers"] > before, image
            by_tls, plainly = peer_ports(first)
            secret, public = layer(world.gate, world.private, "alice"), layer(plain, world.public, image="team/plain")
            assert dial(public["infohash"], plainly) and not dial(secret["infohash"], plainly)
            assert steal(by_tls, secret["infohash"]) == b""
            assert steal(by_tls, secret["infohash"], certify(world, secret["digest"])).startswith(HELLO)


def test_a_single_port_is_for_the_kind_that_comes_first(world, tmp_path):
    small_image(str(tmp_path / "image"), "single", (100_000,))
    world.public.push(f"oci:{tmp_path / 'image'}:1", "team/single:1", None)
    with Gate(str(tmp_path / "plain"), [{"name": world.public.address, "url": world.public.url}]) as plain:
        with both(world, plain, tmp_path / "first", ports=1) as first, world.agent(tmp_path / "second") as second:
            pull_all(world, first)
            await_seeding(world, first)
            manifest = json.loads(first.ask(world.path("manifests/1", "team/single", world.public)).body)
            assert first.ask(world.path("blobs/" + manifest["layers"][0]["digest"], "team/single", world.public)).status == 404
            first.process.wait_line("or we ourselves: torrents under a CA want another port")
            pull_all(world, second)
            assert second.status()["from_peers"] > 0  # how much is for test_agent.py


def test_a_certificate_is_renewed_without_a_pause(world, tmp_path):
    """Whoever dials the seed sees one that holds, until two others have come in its place; the first has run out then."""
    lower = free_port()
    with world.agent(tmp_path / "first", ports={"lower": lower, "upper": lower}) as first, \
            world.agent(tmp_path / "second") as second:
        pull_all(world, first)
        await_seeding(world, first)
        infohash, before = layer(world.gate, world.private, "alice")["infohash"], certificates(world)
        while certificates(world) < before + 2:
            own = certify(world, max(world.blobs, key=lambda blob: blob["size"])["digest"])
            assert steal(lower, infohash, own, ca=world.ca.cert).startswith(HELLO)
        pull_all(world, second)
        assert second.status()["from_peers"] > 0  # how much is for test_agent.py


def test_the_revoked_leave(world, first, tmp_path):
    with world.agent(tmp_path / "second", user="bob") as second:
        pull_all(world, second)
        await_seeding(world, second)
        world.gate.tool("revoke", "--sub", f"{world.private.address}/bob", "--ban", "--config", world.gate.config)
        wait_for("the end of the seed", 30, lambda: second.status()["seeding"] == 0)
        second.process.wait_line("is no longer seeded: the gateway answered 40")
        before = certificates(world, "bob")
        assert os.listdir(tmp_path / "second/store/unfinished") == []
    assert first.status()["seeding"] == len(world.blobs) and certificates(world, "bob") == before
