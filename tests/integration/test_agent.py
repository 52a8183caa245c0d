"""swarmgate agent: containerd, podman, skopeo and docker's requests, pulling through it from a real registry."""

import contextlib
import hashlib
import http.client
import json
import os
import re
import signal
import socket
import threading

import pytest
from support.agent import Agent
from support.certificates import Authority
from support.cri import CriContainerd
from support.gate import Gate
from support.image import MANIFEST, small_image
from support.process import binary, free_port, run, wait_for
from support.registry import Registry, basic
from support.registry_clients import Containerd, Podman, Skopeo
from support.web import web_server

USERS = {"alice": "correct horse", "bob": "hunter two", "gateway": "battery staple"}
LAYERS = (6_000_000, 1_000_000, 70_000)
INDEX = "application/vnd.oci.image.index.v1+json"


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def many_platforms(folder, platforms=("amd64", "arm64")):
    """An index of an image for each platform, in a layout; returns the digests of the index and of the images."""
    entries = []
    for architecture in platforms:
        digest = small_image(str(folder), architecture, LAYERS[1:])
        size = os.path.getsize(folder / "blobs/sha256" / digest[7:])
        entries.append({"mediaType": MANIFEST, "digest": digest, "size": size, "platform": {"os": "linux", "architecture": architecture}})
    data = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode()
    (folder / "blobs/sha256" / digest_of(data)[7:]).write_bytes(data)
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [{
        "mediaType": INDEX, "digest": digest_of(data), "size": len(data), "annotations": {"org.opencontainers.image.ref.name": "1"}}]}))
    return digest_of(data), dict(zip(platforms, (entry["digest"] for entry in entries)))


class World:
    """Registries, private and public, with images, a gateway for both, and agents."""

    def __init__(self, folder, swarm_tls=None, **gate):
        self.folder = folder
        self.private = Registry(str(folder / "private"), USERS).start()
        self.public = Registry(str(folder / "public"), {}).start()
        self.layout = folder / "image"
        self.digest = small_image(str(self.layout), "agent", LAYERS)
        self.private.push(f"oci:{self.layout}:1", "team/app:1", "alice")
        self.public.push(f"oci:{self.layout}:1", "team/app:1", None)
        self.many = folder / "many"
        self.index, self.platforms = many_platforms(self.many)
        self.private.push(f"oci:{self.many}:1", "team/many:1", "alice", "--all")
        os.makedirs(folder / "gate")
        secret = folder / "gate" / "gateway.pass"
        secret.write_text(USERS["gateway"])
        secret.chmod(0o600)
        rows = [{"name": self.private.address, "url": self.private.url,
                 "credentials": {"username": "gateway", "password_file": "gateway.pass"}},
                {"name": self.public.address, "url": self.public.url}]
        self.gate = Gate(str(folder / "gate"), rows, gateway={"cache": {"path": "cache"}, "swarm_tls": swarm_tls}, **gate).start()
        self.manifest = json.loads((self.layout / "blobs/sha256" / self.digest[7:]).read_bytes())
        self.blobs = [self.manifest["config"], *self.manifest["layers"]]
        self.size = sum(blob["size"] for blob in self.blobs)

    def agent(self, folder, user="alice", gateway=None, **more):
        url = gateway or self.gate.gateway_url
        if user is not None:
            more["authfile"] = self.private.auth_file(user)
        return Agent(folder, {self.private.address: url, self.public.address: url}, **more)

    def path(self, what, image="team/app", registry=None):
        return f"/v2/{image}/{what}?ns={(registry or self.private).address}"

    def image(self, image="team/app:1", registry=None):
        return f"{(registry or self.private).address}/{image}"

    def stop(self):
        self.gate.stop()
        self.public.stop()
        self.private.stop()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = World(tmp_path_factory.mktemp("agent"))
    yield made
    made.stop()


@pytest.fixture
def agent(world, tmp_path):
    with world.agent(tmp_path / "agent") as running:
        yield running


# --- docker's requests, and what any runtime sees ---

def pull_all(world, agent, registry=None, **headers):
    """What docker asks for; returns the bytes of all blobs."""
    assert agent.ask("/v2/", **headers).status == 200
    head = agent.ask(world.path("manifests/1", registry=registry), "HEAD", **headers)
    got = agent.ask(world.path("manifests/" + head.headers["docker-content-digest"], registry=registry), **headers)
    assert (head.status, got.status, head.body) == (200, 200, b"")
    for answer in head, got:
        assert answer.headers["docker-content-digest"] == world.digest == digest_of(got.body)
        assert answer.headers["content-type"] == "application/vnd.oci.image.manifest.v1+json"
        assert int(answer.headers["content-length"]) == len(got.body)
    total = 0
    for blob in world.blobs:
        seen = agent.ask(world.path("blobs/" + blob["digest"], registry=registry), "HEAD", **headers)
        assert (seen.status, int(seen.headers["content-length"]), seen.body) == (200, blob["size"], b"")
        answer = agent.ask(world.path("blobs/" + blob["digest"], registry=registry), **headers)
        assert (answer.status, digest_of(answer.body)) == (200, blob["digest"])
        total += len(answer.body)
    return total


@pytest.mark.parametrize("of", ["private", "public"])
def test_docker_cold_and_warm(world, agent, of):
    registry = getattr(world, of)
    assert pull_all(world, agent, registry) == world.size
    status = wait_for("all blobs", 20, lambda: (s := agent.status())["blobs"] == len(world.blobs) and s)
    assert (status["from_gateway"], status["size"], status["fetching"]) == (world.size, world.size, 0)
    pull_all(world, agent, registry)
    assert agent.status()["from_gateway"] == world.size
    pulled = [line for line in agent.log().splitlines() if " pulled " in line]
    assert len(pulled) == 1 and re.search(
        rf"{re.escape(world.image(registry=registry))}, {world.digest}: {world.size} bytes, of which {world.size} were fetched, "
        r"0 % of those from peers; \d+\.\d s$", pulled[0]), agent.log()


def test_ranges(world, agent):
    blob = world.blobs[1]
    path = world.path("blobs/" + blob["digest"])
    whole = (world.layout / "blobs/sha256" / blob["digest"][7:]).read_bytes()
    agent.ask(world.path("manifests/1"))
    # Cold, as containerd resumes; then out of the store.
    for field, part in (("bytes=2000000-", whole[2_000_000:]), ("bytes=0-9", whole[:10]), ("bytes=-5", whole[-5:])):
        answer = agent.ask(path, Range=field)
        start = len(whole) - len(part) if field != "bytes=0-9" else 0
        assert (answer.status, answer.body) == (206, part)
        assert answer.headers["content-range"] == f"bytes {start}-{start + len(part) - 1}/{len(whole)}"
    beyond = agent.ask(path, Range=f"bytes={len(whole)}-")
    assert (beyond.status, beyond.headers["content-range"]) == (416, f"bytes */{len(whole)}")
    assert agent.ask(path).headers["accept-ranges"] == "bytes"


def test_what_is_not_a_clean_yes_is_a_404(world, agent):
    blob = world.blobs[1]["digest"]
    for path in (world.path("blobs/" + blob),  # before its manifest
                 world.path("manifests/none"), world.path("manifests/1", "team/none"),
                 "/v2/team/app/manifests/1?ns=elsewhere.example", "/v2/team/app/manifests/1",  # there are two registries
                 "/v2/team/app/tags/list", "/v2/team/app/blobs/md5:1", "/v2/UPPER/manifests/1"):
        for method in ("GET", "HEAD"):
            answer = agent.ask(path, method)
            assert answer.status == 404, path
        assert json.loads(agent.ask(path).body)["errors"][0]["code"]
    agent.ask(world.path("manifests/1"))
    assert agent.ask(world.path("blobs/" + blob, registry=world.public)).status == 404  # of another registry
    assert agent.ask(world.path("blobs/" + blob, "team/many")).status == 404


def test_an_index(world, agent):
    for reference in "1", world.index:
        for method in "GET", "HEAD":
            answer = agent.ask(world.path(f"manifests/{reference}", "team/many"), method)
            assert (answer.status, answer.headers["content-type"], answer.headers["docker-content-digest"]) == (200, INDEX, world.index)
        assert digest_of(agent.ask(world.path(f"manifests/{reference}", "team/many")).body) == world.index
    for digest in world.platforms.values():
        answer = agent.ask(world.path(f"manifests/{digest}", "team/many"))
        assert digest_of(answer.body) == answer.headers["docker-content-digest"] == digest
        layer = json.loads(answer.body)["layers"][0]["digest"]
        assert digest_of(agent.ask(world.path(f"blobs/{layer}", "team/many")).body) == layer


def test_a_path_that_names_the_registry(world, agent):
    host = world.private.address.replace(":", "_")
    assert agent.ask(f"/v2/{host}/team/app/manifests/1").headers["docker-content-digest"] == world.digest
    assert agent.ask(f"/v2/{host}/team/app/blobs/{world.blobs[0]['digest']}").status == 200


def test_many_askers_share_one_download(world, tmp_path):
    with world.agent(tmp_path / "agent", download_rate="3MiB") as agent:
        agent.ask(world.path("manifests/1"))
        blob = world.blobs[1]
        got = []
        askers = [threading.Thread(target=lambda: got.append(agent.ask(world.path("blobs/" + blob["digest"])))) for _ in range(6)]
        for asker in askers:
            asker.start()
        for asker in askers:
            asker.join()
        assert [digest_of(answer.body) for answer in got] == [blob["digest"]] * 6
        assert agent.status()["from_gateway"] == blob["size"]


def test_an_answer_begins_before_the_swarm_is_done(world, tmp_path):
    with world.agent(tmp_path / "agent", download_rate="1MiB") as agent:
        agent.ask(world.path("manifests/1"))
        blob = world.blobs[1]
        connection = http.client.HTTPConnection(agent.address, timeout=60)
        connection.request("GET", world.path("blobs/" + blob["digest"]))
        answer = connection.getresponse()
        half = answer.read(blob["size"] // 2)
        # What is read next is fetched next, else nearly all of it would have to be there for the half.
        swarms = json.loads(agent.ask("/v1/status").body)["swarms"]
        assert len(swarms) == 1 and swarms[0]["done"] < 0.75 * blob["size"]
        assert digest_of(half + answer.read()) == blob["digest"]
        connection.close()


@pytest.mark.parametrize("rate, whole", [("3MiB", True), ("300KiB", False)])
def test_it_ends_in_order(world, tmp_path, rate, whole):
    """An answer is finished when that takes seconds, else cut; either way the end is a good one."""
    agent = world.agent(tmp_path / "agent", download_rate=rate).start()
    agent.ask(world.path("manifests/1"))
    blob = world.blobs[1]
    connection = http.client.HTTPConnection(agent.address, timeout=60)
    connection.request("GET", world.path("blobs/" + blob["digest"]))
    answer = connection.getresponse()
    got = answer.read(1000)
    agent.process.popen.send_signal(signal.SIGTERM)

    def refuses():
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", int(agent.address.split(":")[1]))):
            return False
        return True

    wait_for("the end of listening", 20, refuses)
    if whole:
        assert digest_of(got + answer.read()) == blob["digest"]
    else:
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            answer.read()
    connection.close()
    # Not told once more: a second signal is for whoever does not want to wait.
    assert agent.process.popen.wait(20) == 0, agent.process.output()
    agent.stop()


def test_credentials_of_the_runtime(world, tmp_path):
    with world.agent(tmp_path / "agent", user=None, require_credentials=True) as agent:
        challenge = agent.ask("/v2/")
        assert (challenge.status, challenge.headers["www-authenticate"]) == (401, 'Basic realm="swarmgate"')
        assert agent.ask(world.path("manifests/1")).status == 401
        wrong = basic("alice", USERS["alice"].replace("horse", "house"))
        assert agent.ask(world.path("manifests/1"), **wrong).status == 404
        assert pull_all(world, agent, **basic("alice", USERS["alice"])) == world.size
        blob = world.path("blobs/" + world.blobs[1]["digest"])
        # It is there, but not for who has not shown that he may have it.
        assert agent.ask(blob, **wrong).status == 404
        assert agent.ask(blob, **basic("bob", USERS["bob"])).status == 404
        assert agent.ask(blob, **basic("alice", USERS["alice"])).status == 200
        for secret in (USERS["alice"], wrong["Authorization"], basic("alice", USERS["alice"])["Authorization"].split()[1]):
            assert secret not in agent.log()


def test_the_store_is_bounded(world, tmp_path):
    most = world.blobs[1]["size"] + world.blobs[3]["size"]
    with world.agent(tmp_path / "agent", store={"max_size": most}) as agent:
        agent.ask(world.path("manifests/1"))
        for number in (1, 3, 2, 1):
            blob = world.blobs[number]["digest"]
            assert digest_of(agent.ask(world.path("blobs/" + blob)).body) == blob
            wait_for("landed", 20, lambda: agent.status()["fetching"] == 0)
            assert blob in agent.blobs() and agent.status()["size"] <= most
        # The last one had no room beside any other; the one before beside the smallest alone.
        assert agent.blobs() == {world.blobs[1]["digest"]}
    with world.agent(tmp_path / "small", store={"max_size": 1_100_000}) as agent:
        # Who has a manifest from here may know no other way to its blobs.
        assert agent.ask(world.path("manifests/1")).status == 404
        agent.process.wait_line("larger than the store")


def test_a_blob_in_use_stays(world, tmp_path):
    with world.agent(tmp_path / "agent", store={"max_size": world.blobs[1]["size"]}, download_rate="2MiB") as agent:
        agent.ask(world.path("manifests/1"))
        got = []
        asker = threading.Thread(target=lambda: got.append(agent.ask(world.path("blobs/" + world.blobs[1]["digest"]))))
        asker.start()
        wait_for("the download", 20, lambda: agent.status()["fetching"] == 1)
        assert agent.ask(world.path("blobs/" + world.blobs[2]["digest"])).status == 404
        agent.process.wait_line("no room")
        asker.join()
        assert digest_of(got[0].body) == world.blobs[1]["digest"]


def test_a_blob_that_somebody_removed_is_fetched_anew(world, agent):
    agent.ask(world.path("manifests/1"))
    blob = world.blobs[2]["digest"]
    agent.ask(world.path("blobs/" + blob))
    wait_for("landed", 20, lambda: agent.status()["blobs"] == 1)
    os.unlink(os.path.join(agent.folder, "store/blobs/sha256", blob[7:]))
    assert agent.ask(world.path("blobs/" + blob)).status == 404
    assert digest_of(agent.ask(world.path("blobs/" + blob)).body) == blob


def test_another_agent_keeps_off(world, agent):
    unfinished = os.path.join(agent.folder, "store/unfinished", "sha256-" + "0" * 64)
    with open(unfinished, "w", encoding="ascii") as f:
        f.write("of the first")
    again = run([binary("swarmgate"), "agent", "run", "--config", agent.config], check=False)
    assert again.returncode == 1 and agent.address in again.stderr, again.stderr
    assert os.path.exists(unfinished)


@contextlib.contextmanager
def begun(world, agent, number=1, **headers):
    """The answer to a question for a blob, of which 1000 bytes have been read."""
    with contextlib.closing(http.client.HTTPConnection(agent.address, timeout=60)) as connection:
        connection.request("GET", world.path("blobs/" + world.blobs[number]["digest"]), headers=headers)
        answer = connection.getresponse()
        assert answer.status == 200
        answer.first = answer.read(1000)
        yield answer


def test_the_gateway_goes_in_the_middle(tmp_path, monkeypatch):
    """Where swarms are under a CA, and a certificate is due meanwhile."""
    ca = Authority(str(tmp_path / "ca"), "swarm")
    monkeypatch.setenv("ASAN_OPTIONS", "detect_leaks=0")  # as in test_agent_tls.py
    made = World(tmp_path, swarm_tls={"ca_certificate": ca.cert, "ca_key": ca.write_key(), "ttl": "2s"})
    try:
        with made.agent(tmp_path / "agent", download_rate="2MiB") as agent:
            agent.ask(made.path("manifests/1"))
            with begun(made, agent) as answer:
                made.gate.stop()
                # What has not begun, and what has: it goes on with the registry.
                assert digest_of(agent.ask(made.path("blobs/" + made.blobs[2]["digest"])).body) == made.blobs[2]["digest"]
                assert digest_of(answer.first + answer.read()) == made.blobs[1]["digest"]
            seen = agent.status()
            assert seen["from_registry"] > 0 and seen["from_registry"] + seen["from_gateway"] == made.blobs[1]["size"] + made.blobs[2]["size"]
            assert re.search(r"^from registry +[1-9]", run([binary("swarmgate"), "status", "--url", agent.url]).stdout, re.M)
    finally:
        made.stop()


def test_gateway_and_registry_go_in_the_middle(tmp_path):
    made = World(tmp_path)
    try:
        with made.agent(tmp_path / "agent", download_rate="1MiB") as agent:
            agent.ask(made.path("manifests/1"))
            with begun(made, agent) as answer:
                made.gate.stop()
                made.private.stop()
                # What has not begun is a miss, what has is cut off.
                assert agent.ask(made.path("blobs/" + made.blobs[2]["digest"])).status == 404
                with pytest.raises(http.client.IncompleteRead):
                    answer.read()
    finally:
        made.stop()


def test_the_registry_is_asked_in_the_name_of_who_reads(tmp_path):
    """Without credentials of the node's, while the gateway is away."""
    made = World(tmp_path)
    alice_ = basic("alice", USERS["alice"])
    try:
        with made.agent(tmp_path / "agent", user=None, require_credentials=True, download_rate="1MiB") as agent:
            agent.ask(made.path("manifests/1"), **alice_)
            with begun(made, agent, **alice_) as answer:
                made.gate.stop()
                assert digest_of(answer.first + answer.read()) == made.blobs[1]["digest"]
            assert agent.status()["from_registry"] > 0
            before = agent.status()
            with begun(made, agent, 2, **alice_):
                pass
            # Nobody reads it any more, and so it waits for the gateway.
            made.gate.start()
            after = wait_for("the rest", 60, lambda: (s := agent.status())["blobs"] == 2 and s)
            assert after["from_registry"] > before["from_registry"] and after["from_gateway"] > before["from_gateway"]
            assert USERS["alice"] not in agent.log() and alice_["Authorization"].split()[1] not in agent.log()
    finally:
        made.stop()


def test_a_restart_keeps_the_store(world, tmp_path):
    agent = world.agent(tmp_path / "agent").start()
    pull_all(world, agent)
    wait_for("all blobs", 20, lambda: agent.status()["blobs"] == len(world.blobs))
    agent.stop()
    with agent:
        assert agent.status()["blobs"] == len(world.blobs) and not os.listdir(tmp_path / "agent/store/unfinished")
        assert agent.ask(world.path("blobs/" + world.blobs[1]["digest"])).status == 404
        pull_all(world, agent)
        assert agent.status()["from_gateway"] == 0


def test_the_second_agent_takes_it_from_the_first(world, tmp_path):
    with world.agent(tmp_path / "first") as first, world.agent(tmp_path / "second") as second:
        pull_all(world, first)
        wait_for("seeding", 20, lambda: first.status()["seeding"] == len(world.blobs))
        pull_all(world, second)
        seen = second.status()
        assert seen["from_peers"] + seen["from_gateway"] >= world.size
        assert first.status()["from_gateway"] == world.size
        assert seen["from_peers"] > 0.5 * world.size, seen


def test_agents_that_begin_at_once_share_a_copy(world, tmp_path):
    with contextlib.ExitStack() as stack:
        agents = [stack.enter_context(world.agent(tmp_path / str(number), download_rate="2MiB")) for number in range(4)]
        got = []
        pulls = [threading.Thread(target=lambda one=agent: got.append(pull_all(world, one))) for agent in agents]
        for pull in pulls:
            pull.start()
        for pull in pulls:
            pull.join()
        assert got == [world.size] * 4
        # Four, were each alone. How near to one it comes is measured where nodes have links of their own.
        assert sum(agent.status()["from_gateway"] for agent in agents) < 2 * world.size


def test_seeding_ends(world, tmp_path):
    with world.agent(tmp_path / "agent", seed_for="1s") as agent:
        pull_all(world, agent)
        wait_for("the end of the seed", 20, lambda: agent.status()["swarms"] == [] and agent.status()["blobs"] == len(world.blobs))
        assert agent.status()["from_gateway"] == world.size and not os.listdir(tmp_path / "agent/store/unfinished")


def test_status_for_people(world, agent):
    pull_all(world, agent)
    text = run([binary("swarmgate"), "status", "--url", agent.url]).stdout
    assert re.search(r"^blobs +4, 6\.7 MiB of 50\.0 GiB$", text, re.M) and re.search(r"^share +0 %$", text, re.M), text
    assert run([binary("swarmgate"), "status", "--url", agent.url + "/"]).stdout.startswith("blobs")


@pytest.mark.parametrize("answer, says", [
    (None, "is the agent running?"),
    ((404, b"no such page"), "the answer is 404; is that an agent?"),
    ((200, b"<html></html>"), "the answer is not an agent's"),
    ((200, b"{}"), "the answer is not an agent's"),
])
def test_status_where_there_is_no_agent(answer, says):
    with contextlib.ExitStack() as open_here:
        url = f"http://127.0.0.1:{free_port()}" if answer is None else open_here.enter_context(web_server(*answer))
        nobody = run([binary("swarmgate"), "status", "--url", url], check=False)
    assert nobody.returncode == 1 and len(nobody.stderr.splitlines()) == 1 and says in nobody.stderr, nobody.stderr
    wrong = run([binary("swarmgate"), "status", "--url", url.removeprefix("http://")], check=False)
    assert wrong.returncode == 2 and "a URL such as" in wrong.stderr, wrong.stderr


# --- the runtimes themselves ---

def install(agent, folder):
    """The files that `agent install` writes: containerd's folder, podman's file."""
    run([binary("swarmgate"), "agent", "install", "--config", agent.config, "--root", folder])
    return f"{folder}/etc/containerd/certs.d", f"{folder}/etc/containers/registries.conf.d/50-swarmgate.conf"


@contextlib.contextmanager
def containerd(hosts):
    with Containerd() as client:
        client.credentials = lambda user, password: ["--hosts-dir", hosts, *Containerd.credentials(user, password)]
        yield client


def taken(world, agent):
    status = agent.status()
    return status["from_gateway"] + status["from_peers"]


def alice(registry, world):
    return ("alice", USERS["alice"]) if registry is world.private else (None, None)


@pytest.mark.parametrize("of", ["private", "public"])
def test_containerd_cold_and_warm(world, agent, tmp_path, of):
    registry = getattr(world, of)
    hosts, _ = install(agent, tmp_path / "root")
    with containerd(hosts) as client:
        before = registry.bytes_sent()
        for _ in "cold", "warm":
            assert client.pull(world.image(registry=registry), *alice(registry, world)).digest == world.digest
        assert taken(world, agent) == world.size
        # Of the registry it has asked tag and manifest, and blobs the gateway alone, once at most.
        assert registry.bytes_sent() - before < world.size + 10_000


@pytest.mark.parametrize("image", ["team/app:1", "team/many:1"])
def test_kubernetes(world, agent, tmp_path, image):
    """containerd's CRI plugin, with the credentials of a pod."""
    hosts, _ = install(agent, tmp_path / "root")
    with CriContainerd(hosts) as client:
        for _ in "cold", "warm":
            got = client.pull(world.image(image), "alice", USERS["alice"])
            assert got.digest == (world.digest if image == "team/app:1" else world.index)
        if image == "team/app:1":
            assert taken(world, agent) == world.size
        assert taken(world, agent) > sum(LAYERS[1:])


def test_kubernetes_with_the_credentials_of_pods(world, tmp_path):
    with world.agent(tmp_path / "agent", user=None, require_credentials=True) as agent:
        hosts, _ = install(agent, tmp_path / "root")
        with CriContainerd(hosts) as client:
            assert client.pull(world.image(), "alice", USERS["alice"]).digest == world.digest
        assert taken(world, agent) == world.size


def test_containerd_of_many_platforms(world, agent, tmp_path):
    hosts, _ = install(agent, tmp_path / "root")
    with containerd(hosts) as client:
        got = client.pull(world.image("team/many:1"), "alice", USERS["alice"])
        assert got.digest == world.index
    assert taken(world, agent) > sum(LAYERS[1:])


def test_containerd_goes_on_when_the_agent_is_killed(world, tmp_path):
    agent = world.agent(tmp_path / "agent", download_rate="2MiB").start()
    hosts, _ = install(agent, tmp_path / "root")
    with containerd(hosts) as client:
        got = []
        pulling = threading.Thread(target=lambda: got.append(client.pull(world.image(), "alice", USERS["alice"])))
        pulling.start()
        wait_for("a part", 60, lambda: taken(world, agent) > 1_500_000)
        agent.process.popen.send_signal(signal.SIGKILL)
        pulling.join()
        assert got[0].digest == world.digest
    agent.process.popen.wait()


def test_containerd_without_a_gateway(world, tmp_path):
    with world.agent(tmp_path / "agent", gateway=f"http://127.0.0.1:{free_port()}") as agent:
        hosts, _ = install(agent, tmp_path / "root")
        with containerd(hosts) as client:
            assert client.pull(world.image(), "alice", USERS["alice"]).digest == world.digest
        agent.process.wait_line("left to the registry")
        assert taken(world, agent) == 0


@pytest.mark.parametrize("of, image, driver", [("private", "team/app:1", "vfs"), ("private", "team/app:1", "overlay"),
                                               ("public", "team/app:1", "vfs"), ("private", "team/many:1", "vfs")])
def test_podman_cold_and_warm(world, agent, tmp_path, monkeypatch, of, image, driver):
    registry = getattr(world, of)
    _, conf = install(agent, tmp_path / "root")
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", conf)
    with Podman() as client:
        client.driver = driver
        for _ in "cold", "warm":
            got = client.pull(world.image(image, registry), *alice(registry, world))
            assert got.digest == world.digest or image != "team/app:1"
    assert taken(world, agent) > (sum(LAYERS[1:]) if "many" in image else sum(LAYERS))


def test_podman_fails_and_goes_on_the_next_time(world, tmp_path, monkeypatch):
    """It asks nobody else for a blob that is cut off."""
    agent = world.agent(tmp_path / "agent", download_rate="2MiB").start()
    _, conf = install(agent, tmp_path / "root")
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", conf)
    with Podman() as client:
        argv = ("pull", "-q", "--tls-verify=false", "--authfile", world.private.auth_file("alice"), world.image())
        got = []
        pulling = threading.Thread(target=lambda: got.append(client.command(*argv)))
        pulling.start()
        wait_for("a part", 60, lambda: taken(world, agent) > 1_500_000)
        agent.process.popen.send_signal(signal.SIGKILL)
        agent.process.popen.wait()
        pulling.join()
        assert client.pull(world.image(), "alice", USERS["alice"]).digest == world.digest


def test_podman_without_an_agent(world, agent, tmp_path, monkeypatch):
    _, conf = install(agent, tmp_path / "root")
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", conf)
    agent.stop()
    with Podman() as client:
        assert client.pull(world.image(), "alice", USERS["alice"]).digest == world.digest


def test_podman_without_a_gateway(world, tmp_path, monkeypatch):
    with world.agent(tmp_path / "agent", gateway=f"http://127.0.0.1:{free_port()}") as agent, Podman() as client:
        _, conf = install(agent, tmp_path / "root")
        monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", conf)
        assert client.pull(world.image(), "alice", USERS["alice"]).digest == world.digest
        assert taken(world, agent) == 0


def test_skopeo(world, agent, tmp_path):
    _, conf = install(agent, tmp_path / "root")
    with Skopeo() as client:
        client.command = lambda *argv, **more: Skopeo.command(client, "--registries-conf", conf, *argv, **more)
        assert client.pull(world.image(), "alice", USERS["alice"]).digest == world.digest
        assert taken(world, agent) == world.size
        # What it takes of an index is its own choice.
        client.command = lambda *argv, **more: Skopeo.command(client, "--registries-conf", conf, "--override-arch", "arm64", *argv, **more)
        assert client.pull(world.image("team/many:1"), "alice", USERS["alice"]).digest == world.platforms["arm64"]
        assert taken(world, agent) > world.size + sum(LAYERS[1:])


# --- configuration ---

def test_pull_finds_its_gateway(world, agent, tmp_path):
    argv = [binary("swarmgate"), "pull", world.image(), "--authfile", world.private.auth_file("alice"), "--json"]
    environment = {name: value for name, value in os.environ.items() if name != "SWARMGATE_GATEWAY"}
    # In a mount namespace, where /etc is the test's own.
    inside = ["unshare", "-m", "sh", "-c",
              'mount -t tmpfs none /etc && mkdir /etc/swarmgate && cat > /etc/swarmgate/node.yaml && exec "$@"', "sh"]
    with open(agent.config, encoding="utf-8") as config:
        done = run([*inside, *argv, "--to", f"oci:{tmp_path}/layout"], input=config.read(), env=environment)
    assert json.loads(done.stdout)["digest"] == world.digest and "going on" not in done.stderr
    done = run([*inside, *argv, "--to", f"oci:{tmp_path}/other"], input="gateways: {a.example: http://b}", env=environment, check=False)
    assert done.returncode == 2 and "/etc/swarmgate/node.yaml" in done.stderr


def test_install_touches_no_file_of_others(world, agent, tmp_path):
    root = tmp_path / "root"
    hosts, conf = install(agent, root)
    other = os.path.join(hosts, "other.example", "hosts.toml")
    os.makedirs(os.path.dirname(other))
    with open(other, "w", encoding="ascii") as f:
        f.write("server = 'https://other.example'\n")
    mine = os.path.join(hosts, world.private.address, "hosts.toml")
    with open(mine, "w", encoding="ascii") as f:
        f.write("# of somebody\n")
    again = run([binary("swarmgate"), "agent", "install", "--config", agent.config, "--root", root], check=False)
    assert again.returncode == 1 and mine in again.stderr and f"unchanged {conf}" in again.stdout
    run([binary("swarmgate"), "agent", "uninstall", "--config", agent.config, "--root", root])
    left = {os.path.join(path, name) for path, _, names in os.walk(root) for name in names}
    assert left == {other, mine}


def test_install_says_what_it_does(world, agent, tmp_path):
    def do(what):
        return run([binary("swarmgate"), "agent", what, "--config", os.path.basename(agent.config), "--root", tmp_path / "root"],
                   cwd=os.path.dirname(agent.config)).stdout

    conf = f"{tmp_path}/root/etc/containers/registries.conf.d/50-swarmgate.conf"
    assert f"wrote {conf}" in do("install")
    with open(conf, encoding="ascii") as f:
        assert f"from {agent.config}." in f.read()  # whoever reads it may be elsewhere
    assert f"unchanged {conf}" in do("install")
    with open(conf, "a", encoding="ascii") as f:
        f.write("# more\n")
    assert f"replaced {conf}" in do("install")
    assert f"removed {conf}" in do("uninstall")
    assert do("uninstall") == f"nothing to remove: `swarmgate agent install` has written nothing in {tmp_path}/root/etc\n"


@pytest.mark.parametrize("text, says", [
    ("gateways: {}", "gateways: names no registry"),
    ("listen: [127.0.0.1:1]", "gateways: is missing"),
    ("gateways: {a: http://b}\nstoer: {}", ":2: stoer: there is no such key; is it store?"),
    ("gateways: {a: ftp://b}", ":1: gateways.a: "),
])
def test_a_wrong_configuration(tmp_path, text, says):
    path = tmp_path / "node.yaml"
    path.write_text(text)
    done = run([binary("swarmgate"), "agent", "run", "--config", path], check=False)
    assert done.returncode == 2 and says in done.stderr, done.stderr


def test_a_token_that_ends_is_renewed(tmp_path):
    made = World(tmp_path, auth={"ttl": {"webseed": "1s"}, "leeway": "0s"})
    try:
        with made.agent(tmp_path / "agent", download_rate="1MiB") as agent:
            assert pull_all(made, agent) == made.size
    finally:
        made.stop()
