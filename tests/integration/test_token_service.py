"""The token service as its operator and its users see it, beside what test_token_registry.py has of it with real clients."""

import base64
import json
import os
import re

import pytest
from support.announce import announce, failure, get
from support.certificates import Authority
from support.gate import Gate
from support.jws import unb64
from support.our_service import OurService
from support.process import binary, run
from support.registry import basic

USERS = {"alice": "Alice's pässword:1", "bob": "bobs-password"}
GRANTS = {"alice": {"team/*": "pull,push"}, "bob": {"*": "pull"}}
APP = "repository:team/app:"


@pytest.fixture
def service(tmp_path):
    with OurService(str(tmp_path), USERS, GRANTS, ["public/*"]) as running:
        yield running


def claims(token):
    return json.loads(unb64(token.split(".")[1]))


def status_of(service, user, password):
    status, headers, body = get(service.gate.gateway, "/token", basic(user, password))
    return status, headers, json.loads(body)


def test_unknown_user_and_wrong_password_say_the_same(service):
    told = [status_of(service, user, password) for user, password in (("alice", "wrong"), ("nobody", "wrong"), ("alice", ""))]
    assert [status for status, _, _ in told] == [401] * 3
    assert told[0][2] == told[1][2] == told[2][2]
    assert {headers["WWW-Authenticate"] for _, headers, _ in told} == {'Basic realm="registry.example"'}


def test_guesser_holds_up_nobody_else(service):
    """127.0.0.2 is another address of this machine."""
    statuses = [status_of(service, "alice", f"guess {i}")[0] for i in range(12)]
    assert statuses[:11] == [401] * 11
    # Unless a second has passed meanwhile, it is held up now; a wait grows with each that was looked at.
    guesses = 0
    while statuses[-1] != 429:
        guesses += 1
        statuses.append(status_of(service, "alice", f"more {guesses}")[0])
    status, headers, body = status_of(service, "alice", "one more")
    assert status == 429 and body["errors"][0]["code"] == "TOOMANYREQUESTS" and int(headers["Retry-After"]) >= 1
    assert service.realm.ask(user="bob", password=USERS["bob"])[0] == 200
    other = get(service.gate.gateway, "/token", basic("alice", USERS["alice"]), source="127.0.0.2")
    assert other[0] == 200


def test_changes_count_at_once(service):
    assert claims(service.realm.token_for(APP + "pull", user="bob", password=USERS["bob"]))["access"]
    service.user("ungrant", "bob", "*")
    assert claims(service.realm.token_for(APP + "pull", user="bob", password=USERS["bob"]))["access"] == []
    service.user("passwd", "bob", input="another")
    assert service.realm.ask(user="bob", password=USERS["bob"])[0] == 401
    assert service.realm.ask(user="bob", password="another")[0] == 200
    service.user("remove", "bob")
    assert service.realm.ask(user="bob", password="another")[0] == 401


def test_a_revoked_user_logs_in_anew(service):
    """What was given out before a revocation is worthless, also once the revocation is gone."""
    def refresh(token):
        form = f"grant_type=refresh_token&refresh_token={token}&service=registry.example"
        return get(service.gate.gateway, "/token", {"Content-Type": "application/x-www-form-urlencoded"}, method="POST", body=form.encode())[0]

    def offline():
        return json.loads(get(service.gate.gateway, "/token?offline_token=true", basic("alice", USERS["alice"]))[2])["refresh_token"]

    first = offline()
    assert refresh(first) == 200
    service.gate.tool("revoke", "--config", service.gate.config, "--sub", "alice", "--for", "1h")
    # No wait: it is known before anything is issued.
    assert status_of(service, "alice", USERS["alice"])[0] == 403
    assert refresh(first) == 401
    service.gate.tool("revoke", "remove", "--config", service.gate.config, "--sub", "alice")
    assert refresh(first) == 401
    assert status_of(service, "alice", USERS["alice"])[0] == 200
    assert refresh(offline()) == 200


def test_what_is_written_down(service):
    """Every token is in the audit log, and no secret is there or in the log."""
    status, body = service.realm.ask([APP + "push,pull"], "alice", USERS["alice"], offline_token="true")
    assert status == 200
    service.realm.ask([APP + "pull"], "alice", "a wrong password")
    done = service.gate.tool("audit", "--json", "--config", service.gate.config, "--sub", "registry.example/alice")
    registry, refresh = [json.loads(line) for line in done.stdout.splitlines()]
    assert registry["jti"] == claims(body["token"])["jti"] and registry["kind"] == "registry"
    assert registry["access"] == [APP + "pull,push"] and registry["exp"] == claims(body["token"])["exp"]
    assert registry["from"].startswith("127.0.0.1:") and refresh["kind"] == "refresh"
    assert refresh["exp"] > registry["exp"] + 80 * 24 * 3600
    service.gate.process.wait_line(f"issued registry token {registry['jti']} to registry.example/alice for {APP}pull,push")
    written = service.gate.process.output() + done.stdout
    for secret in (body["refresh_token"], body["token"].split(".")[2], USERS["alice"], "a wrong password",
                   base64.b64encode(f"alice:{USERS['alice']}".encode()).decode()):
        assert secret not in written


def test_what_is_left_out_of_a_token_is_in_the_log(service):
    """Whoever may pull and pushes fails at the registry; the operator sees why."""
    def issued(*scopes, **who):
        token = service.realm.token_for(" ".join(scopes), user="bob", password=USERS["bob"])
        return service.gate.process.wait_line("issued registry token " + claims(token)["jti"])

    begin = f"to registry.example/bob for {APP}pull"
    assert begin + '; no right to push"' in issued(APP + "pull,push")
    assert begin + f' repository:a:pull; no right to {APP}push"' in issued(APP + "pull,push", "repository:a:pull")
    assert begin + f'; no right to {APP}push and 2 more"' in issued(APP + "pull,push", "repository:a:push", "registry:catalog:*")
    assert begin + '"' in issued(APP + "pull")


def refusals(service, says):
    """The lines at level info that say who was refused, once one holds `says`."""
    service.gate.process.wait_line(says)
    lines = [json.loads(line) for line in service.gate.process.lines if line.startswith("{")]
    return [line["message"] for line in lines if line["level"] == "info" and line["message"].startswith("no registry token for ")]


def test_who_is_refused_is_in_the_log(service):
    """Who, from where, what he asked for, why, and what to do; none of his secrets."""
    def ask(*scopes, **who):
        return service.realm.ask([APP + scope for scope in scopes], **who)[0]

    assert ask("pull", user="alice", password="a wrong password") == 401
    assert ask("push,pull", user="mallory", password="a wrong password") == 401
    assert ask("pull") == 401
    form = b"grant_type=refresh_token&refresh_token=a-wrong-refresh-token&service=registry.example"
    assert get(service.gate.gateway, "/token", {"Content-Type": "application/x-www-form-urlencoded"}, method="POST", body=form)[0] == 401
    service.gate.tool("revoke", "--config", service.gate.config, "--sub", "bob", "--ban")
    assert ask("pull", user="bob", password=USERS["bob"]) == 403
    status, _, body = get(service.gate.gateway, "/token?service=other", basic("alice", USERS["alice"]))
    assert status == 400 and json.loads(body)["errors"][0]["message"] == "service: tokens are issued for registry.example here"
    said = [re.sub(r"127\.0\.0\.1:\d+", "HOST", line) for line in refusals(service, "service: is other")]
    begin = "no registry token for HOST, user "
    assert said == [
        begin + f"alice, who asked for {APP}pull: wrong password; `swarmgate user passwd` sets another",
        begin + f"mallory, who asked for {APP}pull,push: there is no such user; `swarmgate user add` makes one",
        begin + f"-, who asked for {APP}pull: a user name and password are wanted; token_service.anonymous_pull does not have it",
        begin + "-, who asked for a login alone: no such refresh token, or it has ended; log in again",
        begin + f"bob, who asked for {APP}pull: this user is revoked; see `swarmgate revoke list`, and `swarmgate revoke remove` takes it back",
        begin + "alice, who asked for a login alone: service: is other, and tokens are issued for registry.example here"]
    for secret in ("a wrong password", "a-wrong-refresh-token", *USERS.values()):
        assert secret not in service.gate.process.output()


def test_a_guesser_does_not_flood_the_log(service):
    """Ten lines a minute of one address; whoever comes from another is logged, with how many were not."""
    for number in range(30):
        status_of(service, f"user{number}", "guess")
    get(service.gate.gateway, "/token", basic("alice", "wrong"), source="127.0.0.2")
    said = refusals(service, "for 127.0.0.2:")
    own = [line for line in said if "for 127.0.0.1:" in line]
    # A minute may end in between.
    assert 10 <= len(own) <= 20 and (len(own) > 10 or "before it 20 such lines were not logged" in said[-1])
    assert "for 127.0.0.2:" in said[-1]


def test_the_log_says_when_nothing_is_granted(service):
    status, body = service.realm.ask(["repository:other/app:pull,push", "registry:catalog:*"], "alice", USERS["alice"])
    assert status == 200 and claims(body["token"])["access"] == []
    service.gate.process.wait_line("for nothing: no right to repository:other/app:pull,push and 1 more; see `swarmgate user list`")
    service.realm.ask([], "alice", USERS["alice"])
    service.gate.process.wait_line("to registry.example/alice for a login alone")


def test_own_tokens_need_no_trust_row(tmp_path):
    """Tracker and gateway beside it take them for what is registered, and of no other key or audience."""
    path = str(tmp_path / "registry.pem")
    run([binary("swarmgate"), "key", "generate", "--use", "registry", "--out", path])
    service = {"issuer": "auth.example", "service": "registry.example", "signing_key": "registry.pem"}
    blob = tmp_path / "blob"
    blob.write_bytes(b"a layer")
    row = {"name": "registry.example", "url": "http://127.0.0.1:9", "authorise": "token"}
    with Gate(str(tmp_path), [row], token_service=service) as gate:
        gate.tool("user", "add", "alice", "--config", gate.config, input="password")
        gate.tool("user", "grant", "alice", "team/app", "pull", "--config", gate.config)
        made = gate.tool("torrent", "create", f"blob:{blob}", "--register", "--json", "--repository", "team/app", "--output", str(tmp_path / "out"),
                         "--config", gate.config)
        made = json.loads(made.stdout)["blobs"][0]
        infohash = made["infohash"]
        for scope, reason in (("repository:team/app:pull", None), ("repository:team/other:pull", "not authorised for this torrent")):
            status, _, body = get(gate.gateway, f"/token?service=registry.example&scope={scope}", basic("alice", "password"))
            assert status == 200
            token = json.loads(body)["token"]
            assert failure(announce(gate.tracker, infohash, token)) == reason
            # Where it is too narrow the registry is asked for its challenge, and is not there.
            status, _, _ = get(gate.gateway, f"/v1/team/app/blobs/{made['digest']}", {"Authorization": f"Bearer {token}"})
            assert status == (502 if reason else 200)
        issued = gate.tool("token", "issue", "--config", gate.config, "--registry-scope", "repository:team/app:pull", "--sub", "bob")
        assert failure(announce(gate.tracker, infohash, issued.stdout.strip())) is None


def test_needs_a_gateway(tmp_path):
    run([binary("swarmgate"), "key", "generate", "--use", "registry", "--out", str(tmp_path / "registry.pem")])
    gate = Gate(str(tmp_path), token_service={"issuer": "i", "service": "s", "signing_key": "registry.pem"})
    done = run([binary("swarmgated"), "--config", gate.config, "--check-config"], check=False)
    assert done.returncode == 2
    assert re.search(r"swarmgated\.yaml:\d+: token_service: .*no gateway", done.stderr), done.stderr
    # The tool reads it all the same.
    assert gate.tool("token", "issue", "--config", gate.config, "--registry-scope", "repository:a:pull", "--sub", "bob").stdout


def test_key_is_checked(tmp_path):
    gate = Gate(str(tmp_path), [{"name": "r", "url": "http://127.0.0.1:9"}],
                token_service={"issuer": "i", "service": "s", "signing_key": "missing.pem"})
    done = run([binary("swarmgated"), "--config", gate.config, "--check-config"], check=False)
    assert done.returncode == 2 and re.search(r"yaml:\d+: .*missing\.pem", done.stderr), done.stderr
    assert not os.path.exists(tmp_path / "data")


@pytest.mark.parametrize("listen,tls,warned", [
    ("0.0.0.0:8080", False, True), ("[::]:8080", False, True), ("192.0.2.1:8080", False, True), ("127.0.0.1:8080", False, False),
    ("[::1]:8080", False, False), ("unix:/run/gate.sock", False, False), ("0.0.0.0:8080", True, False)])
def test_passwords_in_the_clear_are_warned_of(tmp_path, listen, tls, warned):
    run([binary("swarmgate"), "key", "generate", "--use", "registry", "--out", str(tmp_path / "registry.pem")])
    gateway = {"listen": ["127.0.0.1:8081", listen], "url": "http://gate.example"}
    if tls:
        shown = Authority(str(tmp_path / "ca")).server()
        gateway["tls"] = {"certificate": shown.cert, "key": shown.key}
    gate = Gate(str(tmp_path), [{"name": "r", "url": "http://127.0.0.1:9"}], gateway=gateway,
                token_service={"issuer": "i", "service": "s", "signing_key": "registry.pem"})
    done = run([binary("swarmgated"), "--config", gate.config, "--check-config"])
    assert done.stderr.count('"warn"') == warned, done.stderr
    assert bool(re.search(r"yaml:\d+: gateway\.listen\[1\]: passwords .*in the clear.*gateway\.tls", done.stderr)) == warned, done.stderr
