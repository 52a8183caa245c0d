"""swarmgate pull among peers that are not as one would wish, and over IPv6 alone."""

import json
import os

import pytest
from support.clients import Libtorrent
from support.process import Process, free_port, run, wait_for
from test_pull import World


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Of a gateway that is slower than peers."""
    made = World(tmp_path_factory.mktemp("pull-peers"), {"webseed": {"max_rate": "2MiB"}})
    yield made
    made.stop()


def torrents(world, folder):
    """A torrent of each blob, as a plain client has them."""
    os.makedirs(folder)
    blobs = world.folder / "image" / "blobs" / "sha256"
    manifest = json.loads((blobs / world.digest[7:]).read_bytes())
    for blob in [manifest["config"], *manifest["layers"]]:
        name = f"sha256-{blob['digest'][7:]}"
        got = run(["curl", "-sS", "--fail", "-u", "alice:correct horse", "-o", str(folder / f"{name}.torrent"),
                   f"{world.gate.gateway_url}/v1/team/app/blobs/{blob['digest']}"])
        assert got.returncode == 0
        yield str(folder / f"{name}.torrent")


def test_a_peer_that_sends_garbage_is_no_hindrance(world, tmp_path):
    world.pull(tmp_path / "warm")  # torrents are made
    blobs, garbage = world.folder / "image" / "blobs" / "sha256", tmp_path / "garbage"
    os.makedirs(garbage)
    paths = list(torrents(world, tmp_path / "torrents"))
    names = [os.path.basename(path)[:-len(".torrent")] for path in paths]
    for name in names:
        (garbage / name).write_bytes((blobs / name.removeprefix("sha256-")).read_bytes())
    with Libtorrent(str(garbage), paths).start() as liar:
        liar.wait_complete(60)
        for name in names:  # it has looked at them, and believes that all is there
            with open(garbage / name, "r+b") as f:
                f.write(b"\xff" * os.path.getsize(garbage / name))
        told = world.pull(tmp_path / "layout")
    assert told["from_peers"] > 0  # it has sent some
    assert told["from_gateway"] >= told["size"]


def test_over_ipv6_alone(tmp_path):
    made = World(tmp_path, host="::1")
    try:
        with Process(made.command(tmp_path / "first", "--seed-for", "1h", "--address", "::1")):
            wait_for("the first node", 60, lambda: os.path.exists(tmp_path / "first" / "index.json"))
            told = made.pull(tmp_path / "second", "--skip-webseed", "--address", "::1")
        assert told["from_peers"] == told["size"]
    finally:
        made.stop()


def test_without_a_tracker_it_goes_on_alone(tmp_path):
    made = World(tmp_path, tracker={"url": f"http://127.0.0.1:{free_port()}/announce"})
    try:
        told = made.pull(tmp_path / "layout")
        assert (told["from_peers"], told["from_gateway"]) == (0, told["size"])
    finally:
        made.stop()


@pytest.mark.parametrize("option, wrong", [("--address", "eth0"), ("--upload-slots", "many"), ("--upload-rate", "fast")])
def test_refuses(world, tmp_path, option, wrong):
    done = run(world.command(tmp_path / "layout", option, wrong), check=False)
    assert done.returncode == 2 and f"{option} {wrong}" in done.stderr, done.stderr
