"""swarmgate seed: gives what is there to other nodes, for as long as it may, and leaves in order."""

import json
import os
import signal
import time
from datetime import datetime

import pytest

from support.agent_world import many_platforms
from support.announce import get, scrape
from support.process import Process, binary, run, wait_for
from support.registry_clients import Containerd, Podman
from test_pull import USERS, World
from test_pull_destinations import without


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = World(tmp_path_factory.mktemp("seed"), tracker={"interval": "5s", "min_interval": "5s"})
    made.pull(made.folder / "first")  # the torrents are there
    yield made
    made.stop()


def seed_command(world, *options, image="team/app:1"):
    return [binary("swarmgate"), "seed", f"{world.registry.address}/{image}", "--gateway", world.gate.gateway_url,
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


@pytest.mark.parametrize("which", ["upload", "download"])
def test_rates_hold_among_neighbours(world, tmp_path, which):
    """However slow the machine is, so fast it may not be."""
    options = {"upload": [], "download": []}
    options[which] = [f"--{which}-rate", "1MiB"]
    with Process(seed_command(world, "--from", f"oci:{world.folder}/image:1", *options["upload"])) as seed:
        wait_for("the seed at the tracker", 20, lambda: seeds(world) == 1)
        begun = time.monotonic()
        told = world.pull(tmp_path / "layout", "--skip-webseed", *options["download"])
        assert time.monotonic() - begun > told["size"] / 2**20 / 2
        seed.popen.send_signal(signal.SIGINT)
        assert seed.popen.wait(20) == 0, seed.output()


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
            wait_for("the gateway to hand out again", 20, lambda: get(world.gate.gateway, "/v1/team/app/manifests/1", world.registry.basic("alice"))[0] == 200)


def test_a_killed_seed_is_forgotten(world):
    with Process(seed_command(world, "--from", f"oci:{world.folder}/image:1")) as seed:
        wait_for("the seed at the tracker", 20, lambda: seeds(world) == 1)
        seed.popen.send_signal(signal.SIGKILL)
        seed.popen.wait(20)
    assert seeds(world) == 1  # it could not say that it leaves
    wait_for("the peer time-out, two and a half intervals", 60, lambda: seeds(world) == 0)


def test_renews_its_tokens_long_before_the_session_ends(tmp_path):
    made = World(tmp_path, tracker={"interval": "5s", "min_interval": "5s"},
                 auth={"ttl": {"swarm": "6s", "session": "16s"}, "leeway": "0s"})

    def issued(sub):
        """(when, until when one may stay) of the tokens that were given to a user, seconds since 1970."""
        lines = made.gate.tool("audit", "--config", made.gate.config, "--sub", sub, "--json").stdout.splitlines()
        events = [event for event in map(json.loads, lines) if event.get("kind") == "swarm"]
        return [(datetime.fromisoformat(event["time"].replace("Z", "+00:00")).timestamp(), event["session"]) for event in events]

    try:
        alice = f"{made.registry.address}/alice"
        with Process(seed_command(made, "--from", f"oci:{made.folder}/image:1")) as seed:
            (_, session), (renewed, _) = wait_for("a renewal", 60, lambda: issued(alice)[:2] if len(issued(alice)) > 1 else None)
            assert renewed < session - 5  # half-way, give or take
            wait_for("a token after the first one's session", 60, lambda: issued(alice)[-1][0] > session)
            wait_for("the seed at the tracker", 20, lambda: seeds(made) == 1)
            assert seed.popen.poll() is None, seed.output()
    finally:
        made.stop()


@pytest.mark.parametrize("source, says", [
    ("oci:empty:1", "empty is no OCI layout: there is no oci-layout in it"),
    ("oci:empty", "empty is no OCI layout: there is no oci-layout in it"),
    ("oci:none", "there is no folder none"),
    ("oci:image:2", "it holds no image of the name 2; there is: 1"),
])
def test_what_is_not_there_cannot_be_seeded(world, tmp_path, source, says):
    os.makedirs(tmp_path / "empty")
    os.symlink(world.folder / "image", tmp_path / "image")
    done = run(seed_command(world, "--from", source), cwd=tmp_path, check=False)
    assert done.returncode == 4 and "--from" in done.stderr and says in done.stderr, done.stderr


# --- out of the storage of runtimes ---


@pytest.fixture
def podman(tmp_path):
    """podman's storage, as the environment names it: (environment, Podman)."""
    with Podman() as client:
        conf = tmp_path / "storage.conf"
        conf.write_text(f'[storage]\ndriver = "vfs"\ngraphroot = "{client.path("root")}"\nrunroot = "{client.path("run")}"\n')
        yield {**os.environ, "CONTAINERS_STORAGE_CONF": str(conf), "TMPDIR": str(tmp_path)}, client


def nothing_is_left(folder):
    return not [name for name in os.listdir(folder) if name.startswith("swarmgate-")]


def must_seed(world, tmp_path, environment, image, *options):
    with Process(seed_command(world, *options, image=image), env=environment) as seed:
        seed.wait_line("seeding", 60)
        told = json.loads(run(world.command(tmp_path / "layout", "--skip-webseed", image=image)).stdout)
        assert told["from_peers"] == told["size"]
        seed.popen.send_signal(signal.SIGTERM)
        assert seed.popen.wait(20) == 0, seed.output()
    assert nothing_is_left(tmp_path)


@pytest.mark.parametrize("missing", [None, "skopeo"])
def test_from_podman_what_podman_has_packed(world, tmp_path, podman, missing):
    environment, client = podman
    image = f"{world.registry.address}/team/packed:1"
    run(["skopeo", "copy", "-q", "--insecure-policy", f"oci:{world.folder}/image:1", f"containers-storage:{image}"], env=environment)
    run(["skopeo", "copy", "-q", "--insecure-policy", "--dest-compress", f"containers-storage:{image}", f"dir:{tmp_path}/packed"], env=environment)
    world.registry.push(f"dir:{tmp_path}/packed", "team/packed:1", "alice")
    if missing is not None:
        environment["PATH"] = without(tmp_path / "path", missing)
    must_seed(world, tmp_path, environment, "team/packed:1", "--from", "containers-storage:")


def test_from_podman_what_others_have_packed(world, tmp_path, podman):
    environment, client = podman
    image = f"{world.registry.address}/team/app:1"
    run(["skopeo", "copy", "-q", "--insecure-policy", f"oci:{world.folder}/image:1", f"containers-storage:{image}"], env=environment)
    done = run(seed_command(world, "--from", "containers-storage:"), env=environment, check=False)
    assert done.returncode == 4 and "keeps layers unpacked" in done.stderr and "leave --from out" in done.stderr, done.stderr
    assert "sha256:" in done.stderr and nothing_is_left(tmp_path)
    done = run(seed_command(world, "--from", "containers-storage:localhost/none:1"), env=environment, check=False)
    assert done.returncode == 1 and "skopeo: exit 1" in done.stderr, done.stderr


def test_from_containerd(world, tmp_path):
    with Containerd() as client:
        environment = {**os.environ, "CONTAINERD_ADDRESS": client.path("sock"), "TMPDIR": str(tmp_path)}
        image = f"{world.registry.address}/team/app:1"
        missing = run(seed_command(world, "--from", "containerd:seeds"), env=environment, check=False)
        assert missing.returncode == 1 and "not found" in missing.stderr, missing.stderr
        pulled = client.ctr("--namespace", "seeds", "images", "pull", "--plain-http", "--snapshotter", "native",
                            "--user", "alice:" + USERS["alice"], image)
        assert pulled.returncode == 0, pulled.stderr
        must_seed(world, tmp_path, environment, "team/app:1", "--from", "containerd:seeds")


def test_from_containerd_of_many_platforms(world, tmp_path):
    """Of an index containerd has this machine's image, and gives out the whole index."""
    many_platforms(tmp_path / "many")
    world.registry.push(f"oci:{tmp_path}/many:1", "team/many:1", "alice", "--all")
    with Containerd() as client:
        environment = {**os.environ, "CONTAINERD_ADDRESS": client.path("sock"), "TMPDIR": str(tmp_path)}
        pulled = client.ctr("images", "pull", "--plain-http", "--snapshotter", "native", "--user", "alice:" + USERS["alice"],
                            f"{world.registry.address}/team/many:1")
        assert pulled.returncode == 0, pulled.stderr
        must_seed(world, tmp_path, environment, "team/many:1", "--from", "containerd:")


@pytest.mark.parametrize("source, says", [
    ("docker-archive:image.tar", "holds its layers unpacked"),
    ("blob:file", "is wanted"),
    ("nonsense", "oci:DIR[:TAG]"),
    ("/srv/x", "is wanted"),
    ("oci:", "is wanted"),
    ("containerd:a/b", "no namespace"),
])
def test_what_cannot_be_a_source(world, tmp_path, source, says):
    done = run(seed_command(world, "--from", source), cwd=tmp_path, check=False)
    assert done.returncode == 2 and says in done.stderr and "--from" in done.stderr, done.stderr


def test_a_copy_that_is_interrupted_is_removed(world, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "skopeo").write_text(f"#!/bin/sh\necho > {tmp_path}/fifo\nexec sleep infinity\n")
    (tmp_path / "bin" / "skopeo").chmod(0o755)
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
    with Process(seed_command(world, "--from", "containers-storage:"), env=environment) as seed:
        with open(tmp_path / "fifo", encoding="ascii"):
            seed.popen.send_signal(signal.SIGINT)
        assert seed.popen.wait(20) == 1 and "interrupted" in seed.output(), seed.output()
    assert nothing_is_left(tmp_path)
