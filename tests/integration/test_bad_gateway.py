"""A gateway that is wrong, or ill: what nodes have is not harmed by it, and they get what they can."""

import contextlib
import os

import libtorrent as lt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from support.agent import Agent
from support.bad_gateway import HOST, BadGateway, digest_of
from support.certificates import Authority
from support.evil_registry import noise
from support.process import binary, run, wait_for

IMAGE = f"{HOST}/team/app:1"
SIZE = 2 * 1024 * 1024


@pytest.fixture(name="gateway")
def fixture_gateway():
    with BadGateway(noise("layer", SIZE)).running() as made:
        made.layer = digest_of(noise("layer", SIZE))
        yield made


def node(command, gateway, *options):
    return [binary("swarmgate"), command, IMAGE, "--gateway", gateway.url, *options]


def pull(gateway, to, *options, **more):
    return run(node("pull", gateway, "--to", f"oci:{to}", *options), **more)


def blob(layout, digest):
    return layout / "blobs" / "sha256" / digest.partition(":")[2]


def is_whole(layout, digest):
    return digest_of(blob(layout, digest).read_bytes()) == digest


def test_a_right_one(gateway, tmp_path):
    pull(gateway, tmp_path / "layout")
    assert is_whole(tmp_path / "layout", gateway.layer)


# --- what is there already ---

def test_what_was_left_unfinished_of_a_blob_that_is_there_is_in_nobodys_way(gateway, tmp_path):
    pull(gateway, tmp_path / "layout")
    os.mkdir(tmp_path / "layout.unfinished", 0o700)
    (tmp_path / "layout.unfinished" / gateway.layer.replace(":", "-")).write_bytes(noise("layer", SIZE)[:300_000])
    pull(gateway, tmp_path / "layout", "--seed-for", "1s")
    assert is_whole(tmp_path / "layout", gateway.layer)


def test_seeds_from_a_relative_path_over_file_systems(gateway, tmp_path):
    """Where no hard link can be made, as TMPDIR is elsewhere."""
    if os.stat("/dev/shm").st_dev == os.stat(tmp_path).st_dev:
        pytest.skip("/dev/shm is no file system of its own")
    pull(gateway, tmp_path / "layout")
    run(node("seed", gateway, "--from", "oci:layout", "--duration", "1s"), cwd=tmp_path, env={**os.environ, "TMPDIR": "/dev/shm"})
    assert not [name for name in os.listdir("/dev/shm") if name.startswith("swarmgate-seed-")]


@contextlib.contextmanager
def peer(torrent, folder, data):
    """A seed of `data`, as libtorrent is without us; gives its port."""
    info = lt.torrent_info(lt.bdecode(torrent))
    folder.mkdir()
    (folder / info.name()).write_bytes(data)
    session = lt.session({"listen_interfaces": "127.0.0.1:0", "enable_dht": False, "enable_lsd": False, "enable_upnp": False,
                          "enable_natpmp": False, "alert_mask": 0})
    handle = session.add_torrent({"ti": info, "save_path": str(folder)})
    wait_for("the seed", 20, lambda: handle.status().is_seeding)
    try:
        yield session.listen_port()
    finally:
        session.pause()


@pytest.mark.parametrize("command", ["seed", "pull"])
def test_hashes_of_other_bytes_do_not_change_what_is_there(gateway, tmp_path, command):
    """Though a peer has these bytes, and would give them."""
    layout = tmp_path / "layout"
    pull(gateway, layout)
    other = noise("other", SIZE)
    gateway.hashed[gateway.layer] = other
    options = {"seed": ["--from", f"oci:{layout}", "--duration", "3s"], "pull": ["--to", f"oci:{layout}", "--seed-for", "3s"]}[command]
    with peer(gateway.torrent(gateway.layer), tmp_path / "peer", other) as port:
        gateway.peers = [port]
        done = run(node(command, gateway, *options), check=False)
    assert done.returncode == 1 and "is not of its bytes" in done.stderr
    assert is_whole(layout, gateway.layer)


def test_a_torrent_writes_to_no_other_blobs_file(gateway, tmp_path):
    """`name.utf-8` is what libtorrent prefers to `name`; the other blob is seeded, and so has its unfinished name still."""
    other = digest_of(noise("other", SIZE))
    with BadGateway(noise("other", SIZE)).running() as evil:
        evil.info["name.utf-8"] = gateway.layer.replace(":", "-")
        with Agent(tmp_path / "agent", {HOST: gateway.url, "evil.invalid": evil.url}) as agent:
            for host, digest in ((HOST, gateway.layer), ("evil.invalid", other), (HOST, gateway.layer)):
                assert agent.ask(f"/v2/team/app/manifests/1?ns={host}").status == 200
                answer = agent.ask(f"/v2/team/app/blobs/{digest}?ns={host}")
                assert (answer.status, digest_of(answer.body)) == (200, digest)
                wait_for("the blob", 20, lambda wanted=digest: wanted in agent.blobs())


# --- what is asked of it ---

@pytest.mark.parametrize("url", ["HTTP://gate.invalid", "gate.invalid", "ftp://gate.invalid"])
def test_its_url_is_of_http_or_https(tmp_path, url):
    done = run([binary("swarmgate"), "pull", IMAGE, "--to", f"oci:{tmp_path}/layout", "--gateway", url], check=False)
    assert done.returncode == 2 and "is no URL of http:// or https://" in done.stderr


def test_is_not_asked_without_a_pause_as_it_bids(gateway, tmp_path):
    gateway.before = lambda request, path: 202
    with Agent(tmp_path / "agent", {HOST: gateway.url}) as agent:
        assert agent.ask("/v2/team/app/manifests/1").status == 404
    assert 1 <= len(gateway.requests) < 20


@pytest.mark.parametrize("command", ["pull", "seed"])
def test_a_digest_is_not_answered_with_another_image(gateway, tmp_path, command):
    image = f"{HOST}/team/app@{digest_of(b'the one that is wanted')}"
    options = {"pull": ["--to", f"oci:{tmp_path}/layout"], "seed": ["--duration", "1s"]}[command]
    done = run([binary("swarmgate"), command, image, "--gateway", gateway.url, *options], check=False)
    assert done.returncode != 0 and f"and answered with {gateway.digest}" in done.stderr
    assert not (tmp_path / "layout").exists()


# --- what comes ---

@pytest.fixture(name="agent")
def fixture_agent(gateway, tmp_path):
    with Agent(tmp_path / "agent", {HOST: gateway.url}) as started:
        assert started.ask("/v2/team/app/manifests/1").status == 200
        yield started


def test_two_failures_end_no_answer_though_nobody_reaches_the_registry(gateway, agent):
    def twice(request, path):
        return 503 if path.startswith("/webseed/") and gateway.of_blob(gateway.layer) in (3, 4) else None

    gateway.before = twice
    answer = agent.ask(f"/v2/team/app/blobs/{gateway.layer}")
    assert (answer.status, digest_of(answer.body)) == (200, gateway.layer)


def test_wrong_pieces_are_not_asked_for_over_and_over(gateway, agent):
    gateway.sent[gateway.layer] = noise("another", SIZE)
    assert agent.ask(f"/v2/team/app/blobs/{gateway.layer}").status == 404
    agent.process.wait_line("the gateway sent bytes that the torrent does not say")
    assert 2 <= gateway.of_blob(gateway.layer) < 20


@pytest.mark.parametrize("status", [500, 404])
def test_without_a_certificate_all_comes_of_the_gateway_unless_it_says_no(gateway, tmp_path, status):
    def refuse(request, path):
        return status if path.endswith("/certificates") else None

    gateway.info["ssl-cert"] = Authority(tmp_path / "ca").x509.public_bytes(Encoding.PEM)
    gateway.before = refuse
    with Agent(tmp_path / "agent", {HOST: gateway.url}) as agent:
        assert agent.ask("/v2/team/app/manifests/1").status == 200
        answer = agent.ask(f"/v2/team/app/blobs/{gateway.layer}")
        assert answer.status == (200 if status == 500 else 404)
        assert status == 404 or digest_of(answer.body) == gateway.layer
