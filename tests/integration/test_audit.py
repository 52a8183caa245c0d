"""The audit log: whatever was handed out is in it, and what it cannot take is not handed out."""

import json
import os
import re
import resource
import tempfile

import pytest
from conftest import registry_row
from support.announce import bdecode, get
from support.gate import Gate
from support.jws import unb64
from support.process import binary, run

INFOHASH = "ab" * 20


def events(gate, *more):
    return [json.loads(line) for line in gate.tool("audit", "--config", gate.config, "--json", *more).stdout.splitlines()]


def claims(token):
    return json.loads(unb64(token.split(".")[1]))


def current(gate):
    return os.path.join(gate.folder, "data", "audit", "audit.jsonl")


def fails(done, status, says):
    assert done.returncode == status and done.stdout == "", done
    assert done.stderr.startswith("swarmgate: ") and done.stderr.count("\n") == 1 and says in done.stderr, done.stderr


def test_tokens_of_the_tool(tmp_path):
    service = {"issuer": "auth.example", "service": "registry.example", "signing_key": "registry.pem"}
    gate = Gate(str(tmp_path), token_service=service)
    gate.tool("key", "generate", "--use", "registry", "--out", tmp_path / "registry.pem")
    fails(gate.tool("audit", "--config", gate.config, check=False), 4, "no audit log")
    swarm = gate.token(INFOHASH, "cd" * 32, sub="registry/alice", ttl="90s", session="2h")
    registry = gate.tool("token", "issue", "--config", gate.config, "--registry-scope", "repository:team/app:pull", "--sub", "bob").stdout
    first, second = events(gate)
    said = claims(swarm)
    assert {**first, "time": "", "who": ""} == {
        "time": "", "event": "token", "kind": "swarm", "jti": said["jti"], "sub": "registry/alice", "infohashes": [INFOHASH, "cd" * 32],
        "exp": said["exp"], "session": said["session"], "from": "tool", "who": ""}
    said = claims(registry)
    assert {**second, "time": "", "who": ""} == {
        "time": "", "event": "token", "kind": "registry", "jti": said["jti"], "sub": "bob", "access": ["repository:team/app:pull"],
        "exp": said["exp"], "from": "tool", "who": ""}
    assert first["who"] == second["who"] != "" and first["time"] < second["time"]
    with open(current(gate), encoding="ascii") as f:
        text = f.read()
    for token in (swarm, registry):
        assert not any(part in text for part in token.strip().split(".")[:3])


def test_changes_of_the_tool(tmp_path):
    gate = Gate(str(tmp_path))

    def tool(*words, stdin=None, check=True):
        return gate.tool(*words, "--config", gate.config, input=stdin, check=check)

    tool("user", "add", "alice", stdin="a canary of a password\n")
    tool("user", "grant", "alice", "team/*", "pull,push")
    tool("user", "ungrant", "alice", "team/*", "push")
    tool("user", "passwd", "alice", stdin="another canary\n")
    tool("user", "remove", "alice")
    tool("revoke", "--sub", "registry.example/alice", "--for", "1h")
    tool("revoke", "--infohash", INFOHASH)
    tool("revoke", "--jti", "one", )
    tool("revoke", "--sub", "registry.example/bob", "--ban")
    tool("revoke", "remove", "--jti", "one")
    kid = json.loads(gate.tool("key", "jwks", os.path.join(gate.folder, "announce.pem")).stdout)["keys"][0]["kid"]
    tool("key", "rotate", "--use", "announce")
    happened = events(gate)
    assert all(event["from"] == "tool" and event["who"] != "" for event in happened)
    short = [{name: value for name, value in event.items() if name not in ("time", "from", "who", "until")} for event in happened]
    assert short == [
        {"event": "user", "action": "add", "user": "alice"},
        {"event": "grant", "action": "add", "access": ["pull,push"], "user": "alice", "pattern": "team/*"},
        {"event": "grant", "action": "remove", "access": ["push"], "user": "alice", "pattern": "team/*"},
        {"event": "user", "action": "passwd", "user": "alice"},
        {"event": "user", "action": "remove", "user": "alice"},
        {"event": "revoke", "sub": "registry.example/alice"},
        {"event": "revoke", "infohashes": [INFOHASH]},
        {"event": "revoke", "jti": "one"},
        {"event": "ban", "sub": "registry.example/bob"},
        {"event": "unrevoke", "jti": "one"},
        {"event": "key", "action": "rotate", "kid": kid}]
    assert [("until" in event) for event in happened] == [event is happened[5] for event in happened]
    with open(current(gate), encoding="ascii") as f:
        assert "canary" not in f.read()


def test_a_change_that_cannot_be_recorded_is_not_made(tmp_path):
    gate = Gate(str(tmp_path))
    os.makedirs(current(gate))
    for words, stdin in ((["user", "add", "alice"], "secret\n"), (["revoke", "--jti", "one"], None), (["key", "rotate", "--use", "announce"], None)):
        done = gate.tool(*words, "--config", gate.config, input=stdin, check=False)
        fails(done, 1, "audit")
    assert gate.tool("user", "list", "--config", gate.config).stdout == ""
    assert gate.tool("revoke", "list", "--config", gate.config).stdout == ""
    assert not os.path.exists(os.path.join(gate.folder, "announce.pem.next"))


def test_what_is_asked_for(tmp_path):
    gate = Gate(str(tmp_path))
    for sub in ("registry/alice", "registry/bob", "registry/a b\u00e9"):
        gate.token(INFOHASH, sub=sub)
    everything = events(gate)
    assert [event["sub"] for event in events(gate, "--sub", "registry/bob")] == ["registry/bob"]
    assert events(gate, "--sub", "registry") == []
    assert events(gate, "--since", "1h") == events(gate, "--since", everything[0]["time"]) == everything
    assert events(gate, "--since", everything[1]["time"]) == everything[1:]
    assert events(gate, "--since", everything[2]["time"].replace("Z", "-01:00")) == []
    assert events(gate, "--since", "0s") == []
    lines = gate.tool("audit", "--config", gate.config).stdout.splitlines()
    assert len(lines) == 3
    for line, event in zip(lines, everything):
        assert line.startswith(event["time"] + " token kind=swarm jti=" + event["jti"] + " sub=")
        assert re.search(r" exp=20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ ", line) and f" infohashes={INFOHASH} " in line and " from=tool " in line
    assert ' sub="registry/a b\\u00E9" ' in lines[2]
    assert events(gate, "--since", everything[0]["time"][:10]) == everything and events(gate, "--since", "9999-12-31") == []
    for since in ("tomorrow", "24", "2026-02-30T00:00:00Z", "2026-02-30", "2026-2-3", "2026-02-03T"):
        fails(gate.tool("audit", "--config", gate.config, "--since", since, check=False), 2, since)


def test_what_is_about_a_user(tmp_path):
    """As he is called: his tokens at every registry, and what was done to him."""
    gate = Gate(str(tmp_path))
    for sub in ("one/bob", "two/bob", "one/bobby", "one/alice"):
        gate.token(INFOHASH, sub=sub)
    gate.tool("user", "add", "bob", "--config", gate.config, input="a password\n")
    gate.tool("user", "add", "alice", "--config", gate.config, input="a password\n")
    gate.tool("revoke", "--sub", "one/bob", "--config", gate.config)
    assert [(event["event"], event.get("sub", event.get("user"))) for event in events(gate, "--sub", "bob")] == [
        ("token", "one/bob"), ("token", "two/bob"), ("user", "bob"), ("revoke", "one/bob")]
    assert [event["event"] for event in events(gate, "--sub", "one/bob")] == ["token", "revoke"]


def test_torn_lines_are_passed_over(tmp_path):
    gate = Gate(str(tmp_path))
    gate.token(INFOHASH, sub="one")
    with open(current(gate), "ab") as f:
        f.write(b'{"time":"2026-02-03T04:05:06.007Z","event":"tok')
    gate.token(INFOHASH, sub="two")
    done = gate.tool("audit", "--config", gate.config, "--json")
    assert [json.loads(line)["sub"] for line in done.stdout.splitlines()] == ["one", "two"]
    assert done.stderr == "swarmgate: torn or damaged lines that were passed over: 1\n"


def test_no_token_without_a_log(tmp_path):
    """Not even to root: a link where the log should be."""
    gate = Gate(str(tmp_path))
    os.makedirs(os.path.dirname(current(gate)))
    os.symlink("/dev/null", current(gate))
    fails(gate.tool("token", "issue", "--config", gate.config, "--sub", "x", "--infohash", INFOHASH, check=False), 1, "audit log")
    os.unlink(current(gate))
    gate.token(INFOHASH)
    assert len(events(gate)) == 1


def test_no_token_on_a_full_disk(tmp_path):
    gate = Gate(str(tmp_path))
    gate.token(INFOHASH)
    room = os.stat(current(gate)).st_size + 100
    done = gate.tool("token", "issue", "--config", gate.config, "--sub", "x", "--infohash", INFOHASH, check=False,
                     preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room, room)))
    fails(done, 1, "make room on the disk")
    gate.token(INFOHASH)
    done = gate.tool("audit", "--config", gate.config, "--json")
    assert done.stderr == "" and done.stdout.count("\n") == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be someone else")
def test_no_token_for_whom_the_log_is_closed():
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o755)  # pytest's own is for root alone
        gate = Gate(folder)
        gate.token(INFOHASH)
        os.chown(gate.key, 65534, 65534)
        done = run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", binary("swarmgate"), "token", "issue", "--config",
                    gate.config, "--sub", "x", "--infohash", INFOHASH], check=False)
        fails(done, 1, "run as the user that owns it")
        assert len(events(gate)) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files for others")
def test_what_root_makes_belongs_to_the_owner_of_data_dir(tmp_path):
    os.mkdir(tmp_path / "data")
    os.chown(tmp_path / "data", 65534, 65534)
    gate = Gate(str(tmp_path))
    gate.token(INFOHASH)
    assert [os.stat(tmp_path / name).st_uid for name in ("data/audit", "data/audit/audit.jsonl")] == [65534] * 2


# --- the gateway ---

def register(gate, registry):
    """Path and digest of a blob whose torrent is registered."""
    index = json.loads(gate.tool("torrent", "create", f"docker://{registry.address}/team/app:1", "--register", "--json", "--config",
                                 gate.config, "--authfile", registry.auth_file("alice")).stdout)
    blob = index["blobs"][0]
    return "/v1/team/app/blobs/" + blob["digest"], blob


def tokens_in(body):
    """The swarm token and the webseed token of a torrent."""
    metainfo = bdecode(body)
    urls = metainfo[b"url-list"]
    seed = (urls[0] if isinstance(urls, list) else urls).decode()
    return metainfo[b"announce"].decode().split("jwt=")[1], seed.split("/webseed/")[1].rstrip("/")


def test_tokens_of_the_gateway(gate, registry):
    path, blob = register(gate, registry)
    status, _, body = get(gate.gateway, path, registry.basic("alice"))
    assert status == 200
    swarm, webseed = (claims(token) for token in tokens_in(body))
    recorded = events(gate)
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+", event.pop("from")) and event.pop("time") for event in recorded)
    shared = {"event": "token", "sub": "registry.example/alice", "registry": "registry.example", "repository": "team/app"}
    assert recorded == [
        {**shared, "kind": "swarm", "jti": swarm["jti"], "infohashes": [blob["infohash"]], "exp": swarm["exp"], "session": swarm["session"]},
        {**shared, "kind": "webseed", "jti": webseed["jti"], "digest": blob["digest"], "exp": webseed["exp"]}]
    # Who gets nothing leaves nothing.
    assert get(gate.gateway, path)[0] == 401
    assert len(events(gate)) == 2


def test_nothing_is_handed_out_on_a_full_disk(gate, registry):
    path, _ = register(gate, registry)
    assert get(gate.gateway, path, registry.basic("alice"))[0] == 200
    before, pid = events(gate), gate.process.popen.pid
    unbounded = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (os.stat(current(gate)).st_size + 100, unbounded[1]))
    for _ in range(3):
        status, headers, body = get(gate.gateway, path, registry.basic("alice"))
        assert status == 503 and headers["Content-Type"] == "application/json"
        assert [error["code"] for error in json.loads(body)["errors"]] == ["UNAVAILABLE"] and b"eyJ" not in body
    assert "make room on the disk" in gate.process.wait_line("cannot record the tokens")
    assert events(gate) == before
    resource.prlimit(pid, resource.RLIMIT_FSIZE, unbounded)
    status, _, body = get(gate.gateway, path, registry.basic("alice"))
    assert status == 200
    done = gate.tool("audit", "--config", gate.config, "--json")
    assert done.stderr == "" and [json.loads(line)["jti"] for line in done.stdout.splitlines()[2:]] == \
        [claims(token)["jti"] for token in tokens_in(body)]


def test_the_gateway_needs_a_log(registry, tmp_path):
    gate = Gate(str(tmp_path), [registry_row(registry, str(tmp_path))])
    os.makedirs(os.path.dirname(current(gate)))
    os.symlink("/dev/null", current(gate))
    done = run([binary("swarmgated"), "--config", gate.config], check=False)
    assert done.returncode == 1 and "audit log" in done.stderr.splitlines()[-1], done.stderr
    os.unlink(current(gate))
    with gate:
        pass


def test_a_tracker_alone_has_no_log(tracker):
    assert not os.path.exists(os.path.dirname(current(tracker)))
