"""
Container runtimes that pull through `swarmgate agent`, each a public, a private and a multi-platform image; with the
agent or its gateway away. The table of docs/agent.md is what is seen here: a test a cell.
"""

import concurrent.futures
import contextlib

import pytest
from support.agent_world import USERS, World, blobs_of
from support.mirrored import RUNTIMES, CriThatDiscards, Docker, MirroredSkopeo
from support.process import free_port, wait_for

ALICE = ("alice", USERS["alice"])
FEW = 10_000  # bytes that a registry sends when it is asked for manifests alone


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = World(tmp_path_factory.mktemp("agent"))
    yield made
    made.stop()


@pytest.fixture(scope="module", params=RUNTIMES, ids=lambda runtime: runtime.name)
def runtime(request):
    with request.param() as running:
        yield running


@contextlib.contextmanager
def mirror(world, runtime, folder, registry=None, **more):
    """An agent that the runtime has as its mirror."""
    registry = registry or world.private
    with world.agent(folder, registries=None if runtime.ns else (registry,), **more) as agent:
        runtime.use(agent)
        yield agent


def taken(agent):
    """Bytes that the agent had of gateway and peers."""
    status = agent.status()
    return status["from_gateway"] + status["from_peers"]


def straight(registry, runtime):
    """Bytes that the runtime had of the registry itself so far."""
    registry.settle()
    return registry.bytes_sent(runtime.user_agent)


@pytest.mark.parametrize("of, image", [("private", "app"), ("public", "app"), ("private", "many")],
                         ids=("private", "public", "many"))
def test_cold_and_warm(world, runtime, tmp_path, of, image):
    registry = getattr(world, of)
    digests, size = {world.digest}, world.size
    if image == "many":
        # Some keep the index, some the one of it that fits.
        digests = {world.index, world.platforms["amd64"]}
        size = sum(blob["size"] for blob in blobs_of(world.many, world.platforms["amd64"]))
    with mirror(world, runtime, tmp_path, registry) as agent:
        before = straight(registry, runtime)
        for _ in "cold", "warm":
            got = runtime.pull(world.image(f"team/{image}:1", registry), *(ALICE if of == "private" else ()))
            assert got.digest in digests
            assert taken(agent) == size
        assert straight(registry, runtime) - before < FEW


def test_the_credentials_of_a_pod(world, runtime, tmp_path):
    with mirror(world, runtime, tmp_path, user=None, require_credentials=True) as agent:
        if not runtime.tells_agent:
            # Its credentials go by the name of the host, and the agent is another host.
            before = straight(world.private, runtime)
            assert runtime.pull(world.image(), *ALICE).digest == world.digest
            assert taken(agent) == 0 and straight(world.private, runtime) - before > world.size
            runtime.login_at_agent(world.image(), *ALICE)
        before = straight(world.private, runtime)
        assert runtime.pull(world.image(), *ALICE).digest == world.digest
        assert taken(agent) == world.size and straight(world.private, runtime) - before < FEW


def test_the_agent_is_killed_in_the_middle(world, runtime, tmp_path):
    with mirror(world, runtime, tmp_path, download_rate="2MiB") as agent, concurrent.futures.ThreadPoolExecutor(1) as beside:
        before = straight(world.private, runtime)
        pulling = beside.submit(runtime.pull, world.image(), *ALICE)
        wait_for("a part", 60, lambda: taken(agent) > 1_500_000)
        agent.kill()
        if runtime.when_cut == "fails":
            # It asks nobody else for a blob that is cut off. The next pull begins with the registry.
            assert pulling.exception() is not None
            pulling = beside.submit(runtime.pull, world.image(), *ALICE)
        assert pulling.result().digest == world.digest
        rest = straight(world.private, runtime) - before
        assert FEW < rest < world.size if runtime.when_cut == "goes on" else rest > world.size


@pytest.mark.parametrize("away", ["agent", "gateway"])
def test_away(world, runtime, tmp_path, away):
    with mirror(world, runtime, tmp_path, gateway=f"http://127.0.0.1:{free_port()}") as agent:
        if away == "agent":
            agent.stop()
        before = straight(world.private, runtime)
        assert runtime.pull(world.image(), *ALICE).digest == world.digest
        # All of it: what it pulled before, it does not have any more.
        assert straight(world.private, runtime) - before > world.size
        if away == "gateway":
            agent.process.wait_line("left to the registry")
            assert taken(agent) == 0


def test_what_containerd_discards_is_with_the_agent(world, tmp_path):
    layers = {layer["digest"] for layer in world.blobs[1:]}
    with CriThatDiscards() as runtime, mirror(world, runtime, tmp_path) as agent:
        runtime.fetch(world.image(), *ALICE)
        wait_for("no layers in containerd", 60, lambda: not layers & runtime.content())
        assert layers <= agent.blobs()
        assert agent.status()["seeding"] == len(world.blobs)


@pytest.mark.parametrize("kind", [MirroredSkopeo, Docker])
def test_another_platform(world, tmp_path, kind):
    with kind() as runtime, mirror(world, runtime, tmp_path) as agent:
        runtime.architecture = "arm64"
        got = runtime.pull(world.image("team/many:1"), *ALICE)
        assert got.digest in (world.index, world.platforms["arm64"])
        assert taken(agent) == sum(blob["size"] for blob in blobs_of(world.many, world.platforms["arm64"]))
