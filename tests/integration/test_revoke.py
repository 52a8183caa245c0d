"""swarmgate revoke, revoke list and revoke remove: what is written into the database, for whom, and until when."""

import json
import os
import shutil
import time

import pytest
from support.announce import get
from support.gate import Gate
from support.jws import make_key, public_pem, sign
from support.process import binary, run
from support.registry import basic

DAY, LEEWAY = 24 * 3600, 60
HEX = "0102030405060708090a0b0c0d0e0f1011121314"


def rows(*names):
    return [{"name": name, "url": "http://127.0.0.1:1"} for name in names]


@pytest.fixture
def one(tmp_path):
    """A configuration with one registry, whose server is not running."""
    return Gate(str(tmp_path), rows("registry.example"))


def revoke(gate, *argv, **more):
    return gate.tool("revoke", *argv, "--config", gate.config, **more)


def listed(gate):
    return json.loads(revoke(gate, "list", "--json").stdout)


def values(gate):
    return [(row["kind"], row["value"]) for row in listed(gate)]


def refused(done, status, says=""):
    assert done.returncode == status and not done.stdout, done
    assert done.stderr.count("\n") == 1 and says in done.stderr, done.stderr


@pytest.mark.parametrize("argv,row", [
    (["--jti", "4f2a"], ("jti", "4f2a")),
    (["--jti", "x\u00e9 ,y"], ("jti", "x\u00e9 ,y")),
    (["--kid", "ABCD:EFGH"], ("kid", "ABCD:EFGH")),
    (["--infohash", HEX.upper()], ("infohash", HEX)),
    (["--infohash", "cd" * 32], ("infohash", "cd" * 32)),
    (["--repository", "team/app"], ("repository", "registry.example/team/app")),
    (["--repository", "registry.example/team/app"], ("repository", "registry.example/team/app")),
    (["--repository", "team/app", "--registry", "registry.example"], ("repository", "registry.example/team/app")),
    (["--sub", "registry.example/alice"], ("sub", "registry.example/alice")),
    (["--sub", "registry.example/"], ("sub", "registry.example/")),
    (["--sub", "alice", "--registry", "registry.example"], ("sub", "registry.example/alice")),
    (["--sub", "registry.example/alice", "--registry", "registry.example"], ("sub", "registry.example/alice")),
])
def test_what_is_revoked(one, argv, row):
    before = int(time.time())
    said = revoke(one, *argv).stdout
    assert said.startswith(f"revoked {row[0]} {row[1]}: ") and said.count("\n") == 1
    (found,) = listed(one)
    assert (found["kind"], found["value"]) == row
    assert before <= found["at"] <= time.time()
    assert time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(found["at"])) in said
    assert said.removeprefix("revoked ") == revoke(one, "list").stdout
    assert not revoke(one, "remove", *argv).stdout and listed(one) == []
    refused(revoke(one, "remove", *argv, check=False), 4, row[1])


def test_a_user_of_any_registry(tmp_path):
    """Where the name has no registry in front it is one of each, and as it is."""
    gate = Gate(str(tmp_path), rows("a.example", "b.example:5000"))
    said = revoke(gate, "--sub", "alice").stdout
    assert said.startswith("revoked sub a.example/alice, b.example:5000/alice, alice: ")
    assert values(gate) == [("sub", "a.example/alice"), ("sub", "alice"), ("sub", "b.example:5000/alice")]
    revoke(gate, "remove", "--sub", "a.example/alice")
    revoke(gate, "remove", "--sub", "alice")
    assert values(gate) == []
    refused(revoke(gate, "remove", "--sub", "alice", check=False), 4, "alice")
    revoke(gate, "--sub", "a.example/carol")
    revoke(gate, "remove", "--sub", "carol")
    assert values(gate) == []
    revoke(gate, "--sub", "b.example:5000/bob")
    revoke(gate, "--sub", "c.example/bob", "--registry", "a.example")
    assert values(gate) == [("sub", "a.example/c.example/bob"), ("sub", "b.example:5000/bob")]
    refused(revoke(gate, "--repository", "team/app", check=False), 2, "--registry")
    refused(revoke(gate, "--sub", "alice", "--registry", "c.example", check=False), 2, "c.example")
    revoke(gate, "--repository", "team/app", "--registry", "b.example:5000")
    revoke(gate, "--repository", "a.example/team/app")
    assert values(gate)[2:] == [("repository", "a.example/team/app"), ("repository", "b.example:5000/team/app")]


def test_what_nobody_knows_is_noted(tmp_path):
    """It is revoked all the same, for other issuers' tokens are not known here; but it may be misspelt."""
    gate = Gate(str(tmp_path), rows("registry.example"), token_service={"issuer": "i", "service": "s", "signing_key": "registry.pem"})
    gate.tool("key", "generate", "--use", "registry", "--out", str(tmp_path / "registry.pem"))
    kid = json.loads(gate.tool("key", "jwks", gate.key).stdout)["keys"][0]["kid"]
    gate.tool("user", "add", "alice", "--config", gate.config, input="password")
    gate.token(HEX, sub="registry.example/bob")
    gate.token(HEX, sub="carol")
    (tmp_path / "blob").write_bytes(b"x" * 1000)
    made = json.loads(gate.tool("torrent", "create", f"blob:{tmp_path}/blob", "--register", "--repository", "a", "--json",
                                "--config", gate.config).stdout)
    known = [["--sub", name] for name in ("alice", "registry.example/alice", "bob", "registry.example/bob", "carol")]
    known += [["--infohash", made["blobs"][0]["infohash"]], ["--kid", kid], ["--jti", "x"], ["--repository", "b"]]
    unknown = [["--sub", "alise"], ["--sub", "registry.example/carol"], ["--infohash", HEX], ["--infohash", "cd" * 32], ["--kid", kid[:-1]]]
    for argv in known + unknown + unknown:
        done = revoke(gate, *argv)
        assert done.stdout.startswith("revoked ") and done.stderr.count("\n") == (argv in unknown), (argv, done)
        assert done.stderr == "" or (done.stderr.startswith("swarmgate: note: ") and "misspelt" in done.stderr)


def test_a_name_that_is_revoked_still_is_noted(one):
    revoke(one, "--sub", "carol")
    assert "sub carol, without a registry in front, is revoked still" in revoke(one, "remove", "--sub", "registry.example/carol").stderr
    assert values(one) == [("sub", "carol")]
    assert revoke(one, "remove", "--sub", "carol").stderr == "" and values(one) == []
    revoke(one, "--sub", "registry.example/carol")
    assert revoke(one, "remove", "--sub", "registry.example/carol").stderr == ""


def test_users_of_a_token_service_of_several_registries(tmp_path):
    """Its name may be none of theirs."""
    service = {"issuer": "auth.example", "service": "realm.example", "signing_key": "registry.pem"}
    gate = Gate(str(tmp_path), rows("a.example", "b.example"), token_service=service)
    gate.tool("key", "generate", "--use", "registry", "--out", str(tmp_path / "registry.pem"))
    gate.tool("user", "add", "alice", "--config", gate.config, input="password")

    def status():
        return get(gate.gateway, "/token?offline_token=true", basic("alice", "password"))[0]

    with gate:
        assert status() == 200
        for more, revoked in (([], ["a.example/alice", "b.example/alice", "realm.example/alice", "alice"]),
                              (["--registry", "realm.example"], ["realm.example/alice"])):
            revoke(gate, "--sub", "alice", *more)
            assert sorted(value for _, value in values(gate)) == sorted(revoked)
            assert status() == 403
            assert "refresh tokens  0\n" in gate.tool("db", "stats", "--config", gate.config).stdout
            revoke(gate, "remove", "--sub", "alice", *more)
            assert status() == 200
        revoke(gate, "--sub", "realm.example/alice")
        assert values(gate) == [("sub", "realm.example/alice")] and status() == 403
        refused(revoke(gate, "--repository", "team/app", check=False), 2, "--registry")


def test_registries_of_a_tracker_alone(tmp_path):
    """It may list none: those of its trust count, and without any the word of the operator."""
    trust = [{"issuer": issuer, "audience": "a", "keys": "announce.pem", "algorithms": ["ES256"], "accept": accept, **more}
             for issuer, accept, more in (("i", ["registry"], {"registry": "r.example"}), ("j", ["registry"], {"registry": "r.example"}),
                                          ("k", ["swarm"], {}))]
    gate = Gate(str(tmp_path / "trust"), auth={"trust": trust})
    revoke(gate, "--sub", "alice")
    revoke(gate, "--repository", "team/app")
    assert values(gate) == [("sub", "alice"), ("sub", "r.example/alice"), ("repository", "r.example/team/app")]
    refused(revoke(gate, "--sub", "alice", "--registry", "s.example", check=False), 2, "s.example")
    none = Gate(str(tmp_path / "none"))
    revoke(none, "--sub", "alice")
    refused(revoke(none, "--repository", "team/app", check=False), 2, "--registry")
    revoke(none, "--repository", "team/app", "--registry", "any.example")
    assert values(none) == [("sub", "alice"), ("repository", "any.example/team/app")]


@pytest.mark.parametrize("argv,bar", [(["--sub", "u"], 600), (["--sub", "u", "--for", "90s"], 90), (["--repository", "u"], 600),
                                      (["--repository", "u", "--for", "72h"], 72 * 3600), (["--jti", "u"], None), (["--kid", "u"], None)])
def test_until_when(one, argv, bar):
    said = revoke(one, *argv).stdout
    for row in listed(one):
        assert row["ban"] is False
        assert row.get("until", 0) - row["at"] == (bar if bar is not None else -row["at"])
        assert row["expires"] == row["at"] + max(DAY + 2 * LEEWAY, bar or 0)
        assert ("nothing is issued" in said) == (bar is not None)


@pytest.mark.parametrize("more,kept", [
    ({}, DAY + 2 * LEEWAY), ({"auth": {"leeway": "5s"}}, DAY + 10), ({"auth": {"ttl": {"session": "48h"}}}, 2 * DAY + 2 * LEEWAY),
    ({"tracker": {"session_max": "72h"}}, 3 * DAY + 2 * LEEWAY), ({"auth": {"ttl": {"webseed": "6d"}}}, 6 * DAY + 2 * LEEWAY),
    ({"tracker": {"session_max": "1h"}, "auth": {"ttl": {"session": "1h", "swarm": "1h"}}}, DAY + 2 * LEEWAY),
])
def test_kept_as_long_as_what_it_could_match(tmp_path, more, kept):
    gate = Gate(str(tmp_path), rows("r"), tracker=more.get("tracker", {}), auth=more.get("auth", {}))
    revoke(gate, "--jti", "x")
    (row,) = listed(gate)
    assert row["expires"] - row["at"] == kept
    longest = kept - 2 * gate_leeway(more)
    assert gate.token(HEX, ttl=f"{longest}s", session=f"{longest}s")
    for option in ("--ttl", "--session"):
        issued = gate.tool("token", "issue", "--config", gate.config, "--infohash", HEX, "--sub", "x", option, f"{longest + 1}s", check=False)
        refused(issued, 2, f"{option}: {longest} s")


def gate_leeway(more):
    return int(more.get("auth", {}).get("leeway", f"{LEEWAY}s")[:-1])


def test_none_is_honoured_after_what_ended_it_is_dropped(tmp_path):
    """A token of another issuer, who makes them for a month."""
    key, now = make_key("ES256"), int(time.time())
    (tmp_path / "other.pem").write_bytes(public_pem(key))
    trust = [{"issuer": "other", "audience": "a", "keys": "other.pem", "algorithms": ["ES256"], "accept": ["swarm"]}]
    gate = Gate(str(tmp_path), auth={"trust": trust})

    def verify(issued):
        token = sign({"alg": "ES256", "typ": "swarm+jwt"},
                     {"iss": "other", "aud": "a", "exp": now + 30 * DAY, "iat": issued, "infohash": HEX}, key)
        return gate.tool("token", "verify", "--config", gate.config, token, check=False)

    assert verify(now).returncode == verify(now - DAY).returncode == 0
    refused(verify(now - DAY - LEEWAY - 1), 3, f"longer than {DAY} s, as long as revocations are kept")


def test_what_is_revoked_again_is_revoked_for_longer(one):
    revoke(one, "--sub", "registry.example/alice", "--for", "2h")
    (first,) = listed(one)
    revoke(one, "--sub", "registry.example/alice", "--for", "1m")
    (second,) = listed(one)
    assert second["until"] == first["until"] and second["at"] >= first["at"]
    said = revoke(one, "--sub", "registry.example/alice", "--ban").stdout
    assert "until it is removed" in said
    said = revoke(one, "--sub", "registry.example/alice", "--for", "1m").stdout
    assert "until it is removed" in said
    (banned,) = listed(one)
    assert banned["ban"] is True and "until" not in banned and "expires" not in banned
    revoke(one, "remove", "--sub", "registry.example/alice")
    revoke(one, "--sub", "registry.example/alice")
    assert listed(one)[0]["ban"] is False


@pytest.mark.parametrize("argv,says", [
    ([], "exactly one"), (["--jti", "a", "--kid", "b"], "exactly one"), (["--jti", "a", "--jti", "b"], "twice"), (["x"], "too many"),
    (["--jti", ""], "--jti"), (["--jti", "a\nb"], "control"), (["--jti", "\u0085"], "control"), (["--jti", "\udcff"], "UTF-8"),
    (["--sub", "u" * 510], "509"), (["--infohash", "abcd"], "--infohash"), (["--infohash", "g" * 40], "--infohash"),
    (["--repository", "Team"], "--repository"), (["--repository", "registry.example/"], "--repository"), (["--jti", "a", "--for", "1m"], "--for"),
    (["--kid", "a", "--ban"], "--ban"), (["--infohash", HEX, "--registry", "registry.example"], "--registry"),
    (["--sub", "a", "--for", "1m", "--ban"], "--ban"), (["--sub", "a", "--for", "5"], "--for 5"), (["--sub", "a", "--for", "0s"], "--for 0s"),
    (["--sub", "a", "--registry", "other"], "other"),
])
def test_wrong_usage(one, argv, says):
    refused(revoke(one, *argv, check=False), 2, says)
    if not {"--for", "--ban"} & set(argv):
        refused(revoke(one, "remove", *argv, check=False), 2, says)
    assert not os.path.exists(os.path.join(one.folder, "data"))


def test_a_configuration_is_needed(one):
    for argv in (["revoke", "--jti", "a"], ["revoke", "remove", "--jti", "a"], ["revoke", "list"]):
        refused(run([binary("swarmgate"), *argv], check=False), 2, "--config")


def test_beside_a_running_server(tmp_path):
    with Gate(str(tmp_path)) as gate:
        revoke(gate, "--jti", "a")
        revoke(gate, "--infohash", "ab" * 32)
        assert values(gate) == [("jti", "a"), ("infohash", "ab" * 32)]
        assert "revocations     2\n" in gate.tool("db", "stats", "--config", gate.config).stdout
        assert "all sound" in gate.tool("db", "check", "--config", gate.config).stdout
    assert len(values(gate)) == 2


# --- what `token verify` makes of it ---

def verify(gate, token):
    return gate.tool("token", "verify", "--config", gate.config, "-", input=token, check=False)


def test_a_revoked_token_does_not_verify(one):
    token = one.token(HEX, "cd" * 20, sub="registry.example/alice")
    assert verify(one, token).returncode == 0
    claims = json.loads(verify(one, token).stdout)
    for argv in (["--jti", claims["claims"]["jti"]], ["--kid", claims["header"]["kid"]], ["--sub", "alice"]):
        revoke(one, *argv)
        refused(verify(one, token), 3, f"it is revoked, by its {argv[0][2:]}")
        revoke(one, "remove", *argv)
        assert verify(one, token).returncode == 0
    revoke(one, "--sub", "bob")
    revoke(one, "--infohash", HEX)
    done = verify(one, token)
    assert done.returncode == 0 and json.loads(done.stdout) == claims
    assert done.stderr == "swarmgate: of what the token is for, 1 of 2 are revoked\n"
    revoke(one, "--infohash", "cd" * 20)
    refused(verify(one, token), 3, "all that it is for is revoked")


def test_a_registry_token_is_revoked_by_its_registry(tmp_path):
    """A user by the registry's name in front of the token's sub, and its repositories."""
    run([binary("swarmgate"), "key", "generate", "--use", "registry", "--out", str(tmp_path / "registry.pem")])
    gate = Gate(str(tmp_path), rows("registry.example"), token_service={"issuer": "i", "service": "s", "signing_key": "registry.pem"})
    token = gate.tool("token", "issue", "--config", gate.config, "--registry-scope", "repository:team/app:pull", "--sub", "alice").stdout
    for argv, says in ((["--repository", "team/app"], "all that it is for"), (["--sub", "registry.example/alice"], "by its sub")):
        assert verify(gate, token).returncode == 0
        revoke(gate, *argv)
        refused(verify(gate, token), 3, says)
        revoke(gate, "remove", *argv)


def test_verifying_makes_no_database(one, tmp_path):
    token = one.token(HEX)
    shutil.rmtree(tmp_path / "data")
    assert verify(one, token).returncode == 0 and not (tmp_path / "data").exists()
    (tmp_path / "data" / "db").mkdir(parents=True)
    (tmp_path / "data" / "db" / "data.mdb").write_bytes(b"damage")
    refused(verify(one, token), 1, "cannot tell whether the token is revoked")
