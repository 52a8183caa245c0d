"""swarmgate agent: what it answers and what it keeps. The runtimes themselves are in test_agent_runtimes.py."""

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import threading

import libtorrent as lt
import pytest
from support.agent_world import INDEX, USERS, World, digest_of, pull_all
from support.announce import get
from support.certificates import Authority
from support.process import binary, free_port, run, wait_for
from support.registry import auth_entry, basic
from support.web import web_server


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = World(tmp_path_factory.mktemp("agent"))
    yield made
    made.stop()


@pytest.fixture
def agent(world, tmp_path):
    with world.agent(tmp_path / "agent") as running:
        yield running


# --- what any runtime sees ---

@pytest.mark.parametrize("of", ["private", "public"])
def test_cold_and_warm(world, agent, of):
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
        status = json.loads(agent.ask("/v1/status").body)
        assert status["seeding"] == len(world.blobs) and status["swarms"] == []
        for secret in (USERS["alice"], wrong["Authorization"], basic("alice", USERS["alice"])["Authorization"].split()[1]):
            assert secret not in agent.log()


def warnings(agent):
    return [line for line in agent.log().splitlines() if line.split()[1] == "warn"]


def test_a_login_of_the_node_that_is_not_taken(world, tmp_path):
    wrong, host = tmp_path / "auth.json", world.private.address
    wrong.write_text(json.dumps({"auths": {host: auth_entry("alice", "SECRET")}}))
    with world.agent(tmp_path / "agent", user=None, authfile=str(wrong)) as agent:
        assert warnings(agent) == []
        assert agent.ask(world.path("manifests/1")).status == 404
        agent.process.wait_line(f"left to the registry: the gateway answered 401: the login in {wrong} is not taken: "
                                f"log in anew by `podman login --authfile {wrong} {host}`, or give another by `authfile`")
        assert len(warnings(agent)) == 1 and "SECRET" not in agent.log()


@pytest.mark.parametrize("text, says", [(None, "cannot read "), ("no JSON", "not JSON")])
def test_a_file_of_logins_that_comes_later(world, tmp_path, text, says):
    path = tmp_path / "auth.json"
    if text is not None:
        path.write_text(text)
    with world.agent(tmp_path / "agent", user=None, authfile=str(path)) as agent:
        agent.process.wait_line("until that is mended images are left to the registry")
        assert agent.ask(world.path("manifests/1")).status == 404
        assert len(warnings(agent)) == 1 and says in warnings(agent)[0] and str(path) in warnings(agent)[0]
        shutil.copy(world.private.auth_file("alice"), path)
        assert agent.ask(world.path("manifests/1")).status == 200
    with world.agent(tmp_path / "agent", user=None, authfile=str(tmp_path / "none"), require_credentials=True) as agent:
        assert warnings(agent) == []  # it is nobody's


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


def test_a_store_that_all_may_read(world, tmp_path):
    agent = world.agent(tmp_path / "agent", require_credentials=True)
    store = tmp_path / "agent/store"
    with agent:
        assert store.stat().st_mode & 0o777 == 0o700
    store.chmod(0o755)
    again = run([binary("swarmgate"), "agent", "run", "--config", agent.config], check=False)
    assert again.returncode == 1 and f"everybody may look into {store}" in again.stderr, again.stderr
    with world.agent(tmp_path / "agent"):
        pass  # who asks is whoever may read it


def test_who_asks_by_a_name_of_his_own(world, tmp_path):
    """A page of the web has its own name lead to the agent."""
    with world.agent(tmp_path / "agent") as agent:
        for path in world.path("manifests/1"), "/v2/", "/v1/status":
            for host, status in (("evil.example", 403), ("evil.example:80", 403), ("127.0.0.1.evil.example", 403), ("localhost", 200),
                                 ("LOCALHOST:1", 200), ("127.0.0.1", 200), ("10.0.0.7:5123", 200), ("[::1]:5123", 200)):
                assert agent.ask(path, Host=host).status == status, (path, host)
        agent.process.wait_line("evil.example")
    with world.agent(tmp_path / "agent", user=None, require_credentials=True) as agent:
        assert agent.ask(world.path("manifests/1"), Host="node.example:5123", **basic("alice", USERS["alice"])).status == 200


def slow_reader(agent, path):
    """A connection that has asked for `path`, and takes as little as it can until it is read."""
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    reader.connect(("127.0.0.1", int(agent.address.split(":")[1])))
    reader.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    return reader


def test_another_agent_keeps_off(world, agent):
    unfinished = os.path.join(agent.folder, "store/unfinished", "sha256-" + "0" * 64)
    with open(unfinished, "w", encoding="ascii") as f:
        f.write("of the first")
    again = run([binary("swarmgate"), "agent", "run", "--config", agent.config], check=False)
    assert again.returncode == 1 and agent.address in again.stderr, again.stderr
    elsewhere = world.agent(os.path.join(agent.folder, "other"), store={"path": "../store"})
    again = run([binary("swarmgate"), "agent", "run", "--config", elsewhere.config], check=False)
    assert again.returncode == 1 and "another agent" in again.stderr, again.stderr
    assert os.path.exists(unfinished)


def test_a_blob_that_goes_while_somebody_reads_it(world, agent):
    agent.ask(world.path("manifests/1"))
    blob = world.blobs[1]["digest"]
    path = world.path("blobs/" + blob)
    with contextlib.closing(slow_reader(agent, path)) as slow:
        wait_for("landed", 20, lambda: agent.status()["blobs"] == 1)
        os.unlink(os.path.join(agent.folder, "store/blobs/sha256", blob[7:]))
        assert agent.ask(path).status == 404
        # He has what he reads, and nobody has to wait for him.
        answer = wait_for("the blob anew", 20, lambda: (got := agent.ask(path)).status == 200 and got)
        with slow.makefile("rb") as f:
            head, _, body = f.read().partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ") and digest_of(answer.body) == digest_of(body) == blob


def peak(agent):
    """Bytes of memory that it has had at most."""
    with open(f"/proc/{agent.process.popen.pid}/status", encoding="ascii") as f:
        return int(re.search(r"VmHWM:\s+(\d+)", f.read())[1]) * 1024


def test_torrents_of_other_piece_lengths(tmp_path):
    """Of one blob at the same time, and what readers of a large piece hold who take nothing."""
    with contextlib.ExitStack() as stack:
        made = World(tmp_path)
        stack.callback(made.stop)
        blob = made.blobs[1]
        agent = stack.enter_context(made.agent(tmp_path / "agent", download_rate="2MiB"))
        agent.ask(made.path("manifests/1"))
        with begun(made, agent) as answer:
            made.gate.tool("torrent", "create", f"oci:{made.layout}:1", "--register", "--config", made.gate.config, "--registry",
                           made.private.address, "--repository", "team/app", "--piece-length", 8 << 20)
            agent.ask(made.path("manifests/1", registry=made.public))
            other = agent.ask(made.path("blobs/" + blob["digest"], registry=made.public), Range="bytes=1000-")
            whole = answer.first + answer.read()
            assert (digest_of(whole), digest_of(whole[:1000] + other.body)) == (blob["digest"], blob["digest"])

        agent = stack.enter_context(made.agent(tmp_path / "idle"))
        agent.ask(made.path("manifests/1"))
        before = peak(agent)
        for _ in range(40):
            stack.enter_context(contextlib.closing(slow_reader(agent, made.path("blobs/" + blob["digest"]))))
        wait_for("the blob", 20, lambda: agent.status()["blobs"] == 1)
        assert digest_of(agent.ask(made.path("blobs/" + blob["digest"])).body) == blob["digest"]
        assert peak(agent) - before < 20 * blob["size"]
        agent.kill()  # who takes nothing would be waited for


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
    made = World(tmp_path, {"swarm_tls": {"ca_certificate": ca.cert, "ca_key": ca.write_key(), "ttl": "2s"}})
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


def test_the_second_agent_takes_it_from_the_first(tmp_path):
    """Where the gateway is slower than they are."""
    with contextlib.ExitStack() as stack:
        world = World(tmp_path, {"webseed": {"max_rate": "1MiB"}})
        stack.callback(world.stop)
        first, second = (stack.enter_context(world.agent(tmp_path / name)) for name in ("first", "second"))
        pull_all(world, first)
        wait_for("seeding", 20, lambda: first.status()["seeding"] == len(world.blobs))
        pull_all(world, second)
        seen = second.status()
        assert seen["from_peers"] + seen["from_gateway"] >= world.size
        assert first.status()["from_gateway"] == world.size
        assert seen["from_peers"] > 0.5 * world.size, seen


def test_agents_that_begin_at_once_share_a_copy(tmp_path):
    """Where the gateway is slower than they are."""
    with contextlib.ExitStack() as stack:
        world = World(tmp_path, {"webseed": {"max_rate": "4MiB"}})
        stack.callback(world.stop)
        agents = [stack.enter_context(world.agent(tmp_path / str(number))) for number in range(4)]
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


def test_seeds_leave_each_other_alone(world, tmp_path):
    """Another client takes a blob from the agent, and seeds it too: they meet once more, and that is that."""
    blob = world.blobs[2]["digest"]
    with world.agent(tmp_path / "agent", download_rate="1MiB") as agent:
        agent.ask(world.path("manifests/1"))
        agent.ask(world.path("blobs/" + blob))
        wait_for("seeding", 20, lambda: agent.status()["seeding"] == 1)
        torrent = get(world.gate.gateway, world.path("blobs/" + blob).replace("/v2/", "/v1/"), world.private.basic("alice"))[2]
        session = lt.session({"listen_interfaces": "127.0.0.1:0", "enable_dht": False, "enable_lsd": False, "enable_upnp": False,
                              "enable_natpmp": False, "allow_multiple_connections_per_ip": True,
                              "out_enc_policy": 0, "alert_mask": lt.alert.category_t.peer_notification})
        handle = session.add_torrent({"ti": lt.torrent_info(lt.bdecode(torrent)), "save_path": str(tmp_path)})
        for url in handle.url_seeds():
            handle.remove_url_seed(url)
        wait_for("the other seed", 60, lambda: handle.status().is_seeding)
        # Six seconds, in each of which it could dial.
        assert digest_of(agent.ask(world.path("blobs/" + world.blobs[1]["digest"])).body) == world.blobs[1]["digest"]
        assert sum(isinstance(alert, lt.incoming_connection_alert) for alert in session.pop_alerts()) <= 2


def test_status_for_people(world, agent):
    pull_all(world, agent)
    wait_for("all blobs", 20, lambda: agent.status()["blobs"] == len(world.blobs))
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
    hosts, conf = agent.install(root)
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
