"""
A tracker on a machine of its own: it has public keys, and the list of revocations of a gateway elsewhere. Revoked there,
refused here within 5 s; cut off, it goes on, but no session outlives its token once the list is five minutes old.

SWARMGATE_REVOCATIONS=200 measures as many; `-s` prints the worst.
"""

import contextlib
import http.server
import json
import os
import signal
import threading
import time

import pytest
from cryptography.hazmat.primitives import serialization
from support.announce import announce, failure, get, scrape
from support.faketime import Clock, library
from support.gate import Gate
from support.jws import make_key, sign, unb64
from support.process import binary, free_port, run, wait_for
from test_session_time import plain_binaries

WITHIN = 5  # seconds
HEX = "ab" * 20
ALICE, BOB = "registry.example/alice", "registry.example/bob"
NOT_READY = "no session goes on past its token's exp"


def make_gateway(folder):
    """It revokes, and asks no registry for that."""
    return Gate(str(folder / "gateway"), [{"name": "registry.example", "url": "http://127.0.0.1:1"}])


def make_tracker(folder, gateway, url=None, keys="announce.jwks.json", **more):
    """Its keys are the gateway's public ones; it has none of its own."""
    (folder / "tracker").mkdir()
    (folder / "tracker" / "announce.jwks.json").write_text(gateway.tool("key", "jwks", gateway.key).stdout)
    admin = f"127.0.0.1:{free_port()}"
    trust = {"issuer": "swarmgate", "audience": "swarmgate-tracker", "keys": keys, "algorithms": ["ES256"],
             "accept": ["swarm", "registry"], "registry": "registry.example"}
    tracker = Gate(str(folder / "tracker"), tracker={"revocations": url or gateway.gateway_url + "/v1/revocations"},
                   auth={"signing_keys": None, "trust": [trust]}, admin={"listen": [admin]}, **more)
    os.remove(tracker.key)
    tracker.admin = admin
    return tracker


def said(tracker, token, **params):
    return failure(announce(tracker.tracker, HEX, token, **params))


def peers(tracker, token, **params):
    answer = announce(tracker.tracker, HEX, token, **params)
    assert failure(answer) is None
    return len(answer[b"peers"]) // 6


def readiness(tracker):
    status, fields, body = get(tracker.admin, "/readyz")
    assert fields["Content-Type"] == "text/plain"
    return status, body.decode()


def await_ready(tracker):
    wait_for("that it is ready", 20, lambda: readiness(tracker) == (200, "ready\n"))


def awaits(what, probe):
    return wait_for(what, WITHIN, probe, every=0.02)


def test_revoked_elsewhere(tmp_path):
    with make_gateway(tmp_path) as gateway, make_tracker(tmp_path, gateway) as tracker:
        await_ready(tracker)
        alice, bob = (gateway.token(HEX, sub=sub) for sub in (ALICE, BOB))
        assert peers(tracker, alice, port=2001, peer_id=b"-XX0001-of-alice----", left=0) == 0
        assert peers(tracker, bob, port=2002) == 1
        gateway.tool("revoke", "--sub", ALICE, "--config", gateway.config)
        awaits("a refusal, and that its peer is gone",
               lambda: said(tracker, alice, port=2001) == "token revoked" and peers(tracker, bob, port=2002) == 0)
        assert failure(scrape(tracker.tracker, [HEX], alice)) == "token revoked"
        # Nobody needs to know of it here; and its state is no database.
        assert not os.path.exists(os.path.join(tracker.folder, "data", "data.mdb"))
        # It survives the end of the gateway.
        gateway.process.popen.send_signal(signal.SIGKILL)
        gateway.process.wait_end()
        gateway.process = None
        tracker.process.wait_line("cannot take the revocations of another machine")
        assert said(tracker, alice) == "token revoked" and peers(tracker, bob, port=2002) == 0
        assert readiness(tracker)[0] == 200
        gateway.start()
        gateway.tool("revoke", "remove", "--sub", ALICE, "--config", gateway.config)
        awaits("what it was before", lambda: said(tracker, alice, port=2001) is None)
        assert get(tracker.admin, "/livez")[0] == 200 and get(tracker.admin, "/metrics")[0] == 404


def test_how_soon(tmp_path):
    """From the tool's exit to the first refusal."""
    count, worst = int(os.environ.get("SWARMGATE_REVOCATIONS", "4")), 0
    with make_gateway(tmp_path) as gateway, make_tracker(tmp_path, gateway) as tracker:
        await_ready(tracker)
        for i in range(count):
            token = gateway.token(HEX, sub=f"registry.example/user-{i}")
            assert said(tracker, token) is None
            gateway.tool("revoke", "--sub", f"registry.example/user-{i}", "--config", gateway.config)
            began = time.monotonic()
            awaits("a refusal", lambda: said(tracker, token) == "token revoked")  # noqa: B023
            worst = max(worst, time.monotonic() - began)
    print(f"\n{count} revocations elsewhere: the first refusal at most {worst:.2f} s after the tool's exit")


def test_the_gateway_rotates(tmp_path):
    """The tracker has its keys from the gateway's URL, and so knows the next one before it signs, tokens and lists."""
    with make_gateway(tmp_path) as gateway:
        with make_tracker(tmp_path, gateway, keys=gateway.gateway_url + "/.well-known/jwks.json") as tracker:
            await_ready(tracker)
            for turn in range(2):
                gateway.tool("key", "rotate", "--config", gateway.config, "--use", "announce")
                gateway.reload()
                old, new = gateway.token(HEX, sub=BOB), gateway.token(HEX, sub=ALICE)
                # The first was published before it signed; the second has to be fetched.
                wait_for("that the new key is known", 20, lambda: said(tracker, new) is None)  # noqa: B023
                gateway.tool("revoke", "--sub", ALICE, "--config", gateway.config)
                wait_for("a list that the new key has signed", 20, lambda: said(tracker, new) == "token revoked")  # noqa: B023
                assert said(tracker, old) is None and readiness(tracker)[0] == 200, turn
                gateway.tool("revoke", "remove", "--sub", ALICE, "--config", gateway.config)


def test_swarm_tokens_only(tmp_path):
    """Which repositories an infohash belongs to is not known here."""
    gateway = make_gateway(tmp_path)
    ours = gateway.token(HEX)
    with open(gateway.key, "rb") as f:
        key = serialization.load_pem_private_key(f.read(), None)
    now = int(time.time())
    registry_token = sign({"alg": "ES256", "typ": "JWT", "kid": json.loads(unb64(ours.split(".")[0]))["kid"]},
                          {"iss": "swarmgate", "aud": "swarmgate-tracker", "sub": "alice", "iat": now, "exp": now + 600,
                           "access": [{"type": "repository", "name": "team/app", "actions": ["pull"]}]}, key)
    with make_tracker(tmp_path, gateway) as tracker:
        assert said(tracker, ours) is None  # whether or not a list has come
        assert said(tracker, registry_token) == "token invalid"
        tracker.process.wait_line("a registry token will not do here")
        assert readiness(tracker)[0] == 503


@pytest.mark.skipif(library() is None, reason="libfaketime is not installed")
def test_cut_off(tmp_path, monkeypatch):
    """The gateway is gone for five minutes of both machines' time."""
    folder = plain_binaries()
    if folder is None:
        pytest.skip("libfaketime wants programs without a sanitizer: ./dev build")
    monkeypatch.setenv("SWARMGATE_BIN", folder)
    clock = Clock(str(tmp_path))
    gateway = make_gateway(tmp_path)
    gateway.prefix = clock.prefix
    tracker = make_tracker(tmp_path, gateway)
    tracker.prefix = clock.prefix
    with tracker:
        status, text = readiness(tracker)
        assert status == 503 and "no list of revocations has come" in text and NOT_READY in text
        with gateway:
            await_ready(tracker)
            old = gateway.token(HEX, sub=ALICE, ttl="60s", session="24h")
            answer = announce(tracker.tracker, HEX, old, port=2001, left=0)
            assert failure(answer) is None
            session = answer[b"tracker id"]
            # Past exp and leeway: the session goes on, nobody else may.
            clock.step(150)
            assert said(tracker, old, port=2001, left=0) is None
            assert said(tracker, old, port=2002) == "token expired"
            await_ready(tracker)
            late = gateway.token(HEX, sub=BOB, ttl="1h")
        tracker.process.wait_line("cannot take the revocations")
        clock.step(290)
        assert readiness(tracker)[0] == 200 and said(tracker, old, port=2001, left=0) is None
        clock.step(15)
        status, text = readiness(tracker)
        assert status == 503 and text.startswith("revocations: the list of revocations from http://") and NOT_READY in text
        assert said(tracker, old, port=2001, left=0) == "token expired"
        assert said(tracker, old, port=2001, left=0, trackerid=session) == "token expired"
        assert failure(scrape(tracker.tracker, [HEX], old)) == "token expired"
        tracker.process.wait_line(NOT_READY)
        # The right to join stays.
        assert said(tracker, late, port=2003) is None
        with gateway:
            await_ready(tracker)
            assert said(tracker, old, port=2001, left=0, trackerid=session) is None
            tracker.process.wait_line("sessions go on again")
            gateway.tool("revoke", "--sub", ALICE, "--config", gateway.config)
            awaits("a refusal", lambda: said(tracker, old, port=2001) == "token revoked")


def claims(listed):
    return unb64(listed.split(b".")[1].decode())


def issued(listed):
    return json.loads(claims(listed))["iat"]


class Between:
    """Answers for the gateway with what the test wants: `list` to any request, `status` with it."""

    def __init__(self):
        between = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *ignored):
                """Says nothing."""

            def do_GET(self):
                between.asked += 1
                self.send_response(between.status)
                self.send_header("Content-Length", str(len(between.list)))
                self.end_headers()
                with contextlib.suppress(ConnectionError):  # of what is too large only the length is read
                    self.wfile.write(between.list)

        self.list, self.status, self.asked = b"", 200, 0
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1/revocations"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)

    def await_asked(self):
        """Until what it answers now has been read: the question after the next shows it."""
        before = self.asked
        wait_for("two questions", 20, lambda: self.asked >= before + 2)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *ignored):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def test_somebody_in_between(tmp_path):
    """Who can change what comes over the line can keep a list back, but nobody is forgiven by that."""
    with make_gateway(tmp_path) as gateway, Between() as between, make_tracker(tmp_path, gateway, between.url) as tracker:
        def listed():
            return get(gateway.gateway, "/v1/revocations")[2]

        alice, bob = (gateway.token(HEX, sub=sub) for sub in (ALICE, BOB))
        tracker.process.wait_line("cannot take the revocations of another machine")  # there is none yet
        between.list = before = listed()
        await_ready(tracker)
        tracker.process.wait_line("took the first list of revocations from " + between.url)
        assert said(tracker, alice) is None
        gateway.tool("revoke", "--sub", ALICE, "--config", gateway.config)
        between.list = wait_for("a new list", 20, lambda: (got := listed()) and issued(got) > issued(before) and b"sha256" in claims(got) and got)
        awaits("a refusal", lambda: said(tracker, alice) == "token revoked")
        lies = {
            "an older one": before,
            "no list": b"<html>\n",
            "another's": sign({"alg": "ES256", "typ": "revocations+jwt"},
                              {"iss": "swarmgate", "aud": "swarmgate-tracker", "iat": int(time.time()), "exp": int(time.time()) + 300,
                               "revocations": {}}, make_key("ES256")).encode(),
            "too large": b"x" * (16 * 1024 * 1024 + 1),
        }
        for name, lie in lies.items():
            between.list = lie
            between.await_asked()
            assert said(tracker, alice) == "token revoked" and said(tracker, bob) is None, name
        assert tracker.process.output().count("cannot take the revocations of another machine") == 2  # one for all of these
        assert readiness(tracker)[0] == 200
        gateway.tool("revoke", "--sub", BOB, "--config", gateway.config)
        awaits("a refusal", lambda: (setattr(between, "list", listed()), said(tracker, bob) == "token revoked")[1])
        wait_for("that it says so", 20, lambda: tracker.process.output().count("are taken again") == 1)


# --- what is refused ---

def one_line(done, status):
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


@pytest.mark.parametrize("command", ["revoke --sub " + ALICE, "revoke remove --sub " + ALICE, "revoke list", "user add bob", "user passwd bob",
                                     "user remove bob", "user list", "user grant bob * pull", "user ungrant bob *", "torrent list",
                                     "torrent remove " + "ab" * 20, "torrent sync", "torrent create oci:nowhere --register --repository a"])
def test_what_is_kept_is_for_the_gateway(tmp_path, command):
    """It would be written where nobody reads it."""
    tracker = make_tracker(tmp_path, make_gateway(tmp_path), "https://gate.example/v1/revocations")
    told = one_line(tracker.tool(*command.split(), "--config", tracker.config, check=False), 2)
    assert "swarmgated.yaml:" in told and "https://gate.example/v1/revocations" in told and "on the gateway's machine" in told
    assert not os.path.exists(os.path.join(tracker.folder, "data"))


def check(gate):
    return run([binary("swarmgated"), "--config", gate.config, "--check-config"], check=False)


def test_it_has_public_keys_only(tmp_path):
    gateway = make_gateway(tmp_path)
    tracker = make_tracker(tmp_path, gateway)
    assert check(tracker).returncode == 0
    with_key = Gate(str(tmp_path / "tracker"), tracker={"revocations": "http://x/v1/revocations"})
    assert "public keys only" in one_line(check(with_key), 2)
    without = Gate(str(tmp_path / "tracker"), tracker={"revocations": "http://x/v1/revocations"}, auth={"signing_keys": None})
    assert "needs a row in auth.trust" in one_line(check(without), 2)
    beside = Gate(str(tmp_path / "tracker"), [{"name": "r", "url": "http://127.0.0.1:1"}], tracker={"revocations": "http://x/v1/revocations"})
    assert "without a gateway beside it" in one_line(check(beside), 2)
