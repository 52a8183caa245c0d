"""swarmgate seed: gives what is there to other nodes, for as long as it may, and leaves in order."""

import json
import os
import signal
from datetime import datetime

import pytest

from support.announce import scrape
from support.process import Process, binary, run, wait_for
from test_pull import World


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = World(tmp_path_factory.mktemp("seed"), tracker={"interval": "5s", "min_interval": "5s"})
    made.pull(made.folder / "first")  # the torrents are there
    yield made
    made.stop()


def seed_command(world, *options):
    return [binary("swarmgate"), "seed", f"{world.registry.address}/team/app:1", "--gateway", world.gate.gateway_url,
            "--authfile", world.registry.auth_file("alice"), *options]


def seeds(world):
    """How many seeds the tracker knows of the image's largest layer."""
    listed = json.loads(world.gate.tool("torrent", "list", "--config", world.gate.config, "--json").stdout)
    infohash = max(listed, key=lambda torrent: torrent["size"])["infohash"]
    answer = scrape(world.gate.tracker, [infohash], world.gate.token(infohash))
    return answer[b"files"][bytes.fromhex(infohash)][b"complete"]


@pytest.mark.parametrize("source", ["oci", "oci-archive", None])
def test_another_node_takes_it_from_the_seed(world, tmp_path, source):
    options = []
    if source == "oci":
        options = ["--from", f"oci:{world.folder}/image:1"]
    elif source == "oci-archive":
        run(["skopeo", "copy", "-q", "--insecure-policy", f"oci:{world.folder}/image:1", f"oci-archive:{tmp_path}/x.tar:1"])
        options = ["--from", f"oci-archive:{tmp_path}/x.tar:1"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with Process(seed_command(world, *options), env=environment) as seed:
        seed.wait_line("seeding")
        wait_for("the seed at the tracker", 20, lambda: seeds(world) == 1)
        told = world.pull(tmp_path / "layout", "--skip-webseed")
        assert told["from_peers"] == told["size"]
        seed.popen.send_signal(signal.SIGINT)
        assert seed.popen.wait(20) == 0, seed.output()
    assert seeds(world) == 0
    assert not [name for name in os.listdir(tmp_path) if name.startswith("swarmgate-")]


def test_ends_at_its_duration(world):
    with Process(seed_command(world, "--from", f"oci:{world.folder}/image:1", "--duration", "2s")) as seed:
        wait_for("the seed at the tracker", 20, lambda: seeds(world) == 1)
        assert seed.popen.wait(20) == 0, seed.output()
    assert seeds(world) == 0


def test_ends_when_it_is_revoked(world):
    with Process(seed_command(world, "--from", f"oci:{world.folder}/image:1")) as seed:
        wait_for("the seed at the tracker", 20, lambda: seeds(world) == 1)
        try:
            world.gate.tool("revoke", "--config", world.gate.config, "--sub", f"{world.registry.address}/alice", "--for", "1h")
            assert seed.popen.wait(60) == 3, seed.output()
            assert "the right to this image has ended" in seed.output()
        finally:
            world.gate.tool("revoke", "remove", "--config", world.gate.config, "--sub", f"{world.registry.address}/alice")


def test_a_killed_seed_is_forgotten(world):
    with Process(seed_command(world, "--from", f"oci:{world.folder}/image:1")) as seed:
        wait_for("the seed at the tracker", 20, lambda: seeds(world) == 1)
        seed.popen.send_signal(signal.SIGKILL)
        seed.popen.wait(20)
    assert seeds(world) == 1  # it could not say that it leaves
    wait_for("the peer time-out, two and a half intervals", 60, lambda: seeds(world) == 0)


def test_renews_its_tokens_long_before_the_session_ends(tmp_path):
    made = World(tmp_path, tracker={"interval": "5s", "min_interval": "5s"},
                 auth={"ttl": {"swarm": "1s", "session": "12s"}, "leeway": "0s"})

    def issued(sub):
        """(when, until when one may stay) of the tokens that were given to a user, seconds since 1970."""
        lines = made.gate.tool("audit", "--config", made.gate.config, "--sub", sub, "--json").stdout.splitlines()
        events = [event for event in map(json.loads, lines) if event.get("kind") == "swarm"]
        return [(datetime.fromisoformat(event["time"].replace("Z", "+00:00")).timestamp(), event["session"]) for event in events]

    try:
        alice = f"{made.registry.address}/alice"
        with Process(seed_command(made, "--from", f"oci:{made.folder}/image:1")) as seed:
            (_, session), (renewed, _) = wait_for("a renewal", 60, lambda: issued(alice)[:2] if len(issued(alice)) > 1 else None)
            assert renewed < session - 3  # half-way, give or take
            wait_for("a token after the first one's session", 60, lambda: issued(alice)[-1][0] > session)
            wait_for("the seed at the tracker", 20, lambda: seeds(made) == 1)
            assert seed.popen.poll() is None, seed.output()
    finally:
        made.stop()


def test_what_is_not_there_cannot_be_seeded(world, tmp_path):
    os.makedirs(tmp_path / "empty")
    done = run(seed_command(world, "--from", f"oci:{tmp_path}/empty:1"), check=False)
    assert done.returncode == 4, done.stderr
