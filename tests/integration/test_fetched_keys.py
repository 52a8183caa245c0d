"""
Keys from the URL of a JWKS: an issuer that rotates, is away, or sends what is none. Its tokens are verified by what came
last, and a token that names a key that is not there has them fetched, at most once in 10 s.
"""

import contextlib
import http.server
import json
import os
import ssl
import threading
import time

import pytest
from support.announce import announce, failure, get
from support.certificates import Authority
from support.gate import Gate
from support.jws import jwk_of, make_key, sign
from support.process import binary, free_port, run, wait_for
from test_gateway import blob_path

HEX = "ab" * 20
PAUSE = 10  # seconds between fetches of one URL
SOON = 20  # seconds in which a fetch that is due is seen
MOST = 1 << 20  # bytes of a JWKS


class Issuer:
    """Publishes the public halves of `keys`, {kid: private key}, and signs with the one that it is told; `says` is sent instead."""

    def __init__(self, name="issuer.example", port=0):
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *ignored):
                """Says nothing."""

            def do_GET(self):
                issuer.asked.append(time.monotonic())
                body = issuer.jwks() if issuer.says is None else issuer.says
                self.send_response(issuer.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with contextlib.suppress(ConnectionError):
                    self.wfile.write(body)

        self.name, self.status, self.says, self.asked = name, 200, None, []
        self.keys = {"first": make_key("ES256")}
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self.server.server_port
        self.url = f"http://127.0.0.1:{self.port}/jwks.json"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)

    def jwks(self):
        return json.dumps({"keys": [jwk_of(key, kid=kid) for kid, key in self.keys.items()]}).encode()

    def row(self, *accept, **more):
        return {"issuer": self.name, "audience": "swarmgate-tracker", "keys": self.url, "algorithms": ["ES256"],
                "accept": list(accept or ["swarm"]), **more}

    def swarm_token(self, kid, key=None):
        now = int(time.time())
        return sign({"alg": "ES256", "typ": "swarm+jwt", "kid": kid},
                    {"iss": self.name, "aud": "swarmgate-tracker", "sub": "x", "iat": now, "exp": now + 600, "infohash": HEX}, key or self.keys[kid])

    def registry_token(self, kid, repository):
        now = int(time.time())
        return sign({"alg": "ES256", "typ": "JWT", "kid": kid},
                    {"iss": self.name, "aud": "swarmgate-tracker", "sub": "x", "iat": now, "exp": now + 600,
                     "access": [{"type": "repository", "name": repository, "actions": ["pull"]}]}, self.keys[kid])

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *ignored):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def tracker_of(folder, *rows, **more):
    admin = f"127.0.0.1:{free_port()}"
    tracker = Gate(str(folder), auth={"trust": list(rows)}, admin={"listen": [admin]}, **more)
    tracker.admin = admin
    return tracker


def said(tracker, token):
    return failure(announce(tracker.tracker, HEX, token))


def ready(tracker):
    status, _, body = get(tracker.admin, "/readyz")
    return status, body.decode()


def await_ready(tracker):
    wait_for("that it is ready", SOON, lambda: ready(tracker) == (200, "ready\n"))


def test_the_issuer_rotates(tmp_path):
    with Issuer() as issuer, tracker_of(tmp_path, issuer.row()) as tracker:
        await_ready(tracker)
        first = issuer.swarm_token("first")
        assert said(tracker, first) is None and said(tracker, tracker.token(HEX)) is None
        issuer.keys = {"second": make_key("ES256"), "third": make_key("ES256")}
        assert said(tracker, issuer.swarm_token("second")) == "token invalid"  # now; and it has the keys fetched
        wait_for("the new key", SOON, lambda: said(tracker, issuer.swarm_token("second")) is None)
        assert said(tracker, issuer.swarm_token("third")) is None
        # Those that are published no more have gone; ours have not.
        assert said(tracker, first) == "token invalid" and said(tracker, tracker.token(HEX)) is None
        assert "fetched 2 keys from " + issuer.url in tracker.process.output()


def test_a_flood_of_unknown_keys(tmp_path):
    """By 8 clients, each token another kid: the issuer is asked once in ten seconds."""
    with Issuer() as issuer, tracker_of(tmp_path, issuer.row(), {**issuer.row(), "audience": "another"}) as tracker:
        await_ready(tracker)
        assert len(issuer.asked) == 1  # for two rows
        stranger, over, count = make_key("ES256"), threading.Event(), [0] * 8

        def flood(number):
            while not over.is_set():
                token = issuer.swarm_token(f"key {number} {count[number]}", stranger)
                assert said(tracker, token) == "token invalid"
                count[number] += 1

        clients = [threading.Thread(target=flood, args=(number,)) for number in range(8)]
        for client in clients:
            client.start()
        try:
            wait_for("two more fetches", 3 * PAUSE, lambda: len(issuer.asked) >= 3)
        finally:
            over.set()
            for client in clients:
                client.join()
        assert sum(count) > 100
        gaps = [later - before for before, later in zip(issuer.asked, issuer.asked[1:])]
        assert min(gaps) > PAUSE - 0.5, gaps
        assert said(tracker, issuer.swarm_token("first")) is None


@pytest.mark.parametrize("status,says", [(500, b"down"), (200, b"<html>\n"), (200, b'{"keys":[]}'), (200, b" " * (MOST + 1)), (302, b"")],
                         ids=["error", "garbage", "empty", "huge", "redirect"])
def test_what_is_none_changes_nothing(tmp_path, status, says):
    with Issuer() as issuer, tracker_of(tmp_path, issuer.row()) as tracker:
        await_ready(tracker)
        issuer.status, issuer.says = status, says
        tracker.reload()  # has them fetched at once
        line = tracker.process.wait_line("cannot fetch the keys of an issuer")
        assert issuer.url in line and "stay trusted" in line
        assert said(tracker, issuer.swarm_token("first")) is None and ready(tracker)[0] == 200


def test_the_issuer_is_away_at_first(tmp_path):
    """The server starts without it, and for others; it says that it is not ready."""
    port = free_port()
    absent = Issuer(port=port)
    absent.server.server_close()
    with tracker_of(tmp_path, absent.row()) as tracker:
        assert run([binary("swarmgated"), "--config", tracker.config, "--check-config"]).stderr == ""  # asks nobody
        tracker.process.wait_line("cannot fetch the keys of an issuer")
        assert ready(tracker) == (503, f"keys: not fetched yet: {absent.url}\n")
        assert said(tracker, absent.swarm_token("first")) == "token invalid" and said(tracker, tracker.token(HEX)) is None
        with Issuer(port=port) as issuer:
            await_ready(tracker)
            assert said(tracker, issuer.swarm_token("first")) is None


def test_a_reload_keeps_and_adds(tmp_path):
    with Issuer() as one, Issuer("other.example") as other, tracker_of(tmp_path, one.row()) as tracker:
        await_ready(tracker)
        one.status = 500
        with open(tracker.config, encoding="utf-8") as f:
            text = f.read()
        with open(tracker.config, "w", encoding="utf-8") as f:
            f.write(text.replace("  trust:\n", f"  trust:\n  - {json.dumps(other.row())}\n"))
        tracker.reload()
        assert said(tracker, one.swarm_token("first")) is None
        wait_for("the other's keys", SOON, lambda: said(tracker, other.swarm_token("first")) is None)
        assert said(tracker, one.swarm_token("first")) is None


def test_a_gateway_takes_them_too(tmp_path):
    """For a registry whose tokens are verified here."""
    with Issuer() as issuer:
        registry = {"name": "registry.example", "url": "http://127.0.0.1:1", "authorise": "token"}
        with Gate(str(tmp_path), [registry], auth={"trust": [issuer.row("registry")]}) as gate:
            blob = tmp_path / "blob"
            blob.write_bytes(os.urandom(1000))
            made = json.loads(gate.tool("torrent", "create", f"blob:{blob}", "--register", "--repository", "team/app", "--json",
                                        "--config", gate.config).stdout)["blobs"][0]

            def status(kid):
                return get(gate.gateway, blob_path("team/app", made), {"Authorization": "Bearer " + issuer.registry_token(kid, "team/app")})[0]

            wait_for("its keys", SOON, lambda: status("first") == 200)
            issuer.keys["second"] = make_key("ES256")
            assert status("second") != 200
            wait_for("the new key", SOON, lambda: status("second") == 200)


def test_the_tool_fetches_them(tmp_path):
    """When a token wants it."""
    with Issuer() as issuer:
        gate = tracker_of(tmp_path, issuer.row())

        def verify(token, status):
            done = gate.tool("token", "verify", "--config", gate.config, "-", input=token, check=False)
            assert done.returncode == status and done.stderr.count("\n") == (status != 0), done
            return done.stderr

        verify(gate.token(HEX), 0)
        assert issuer.asked == []
        verify(issuer.swarm_token("first"), 0)
        assert len(issuer.asked) == 1
        assert "no ES256 key that fits" in verify(issuer.swarm_token("unknown", make_key("ES256")), 3)
        issuer.says = b"<html>"
        assert "cannot fetch the keys of an issuer" in verify(issuer.swarm_token("first"), 1)
        issuer.status = 500
        assert "it answers 500" in verify(issuer.swarm_token("first"), 1)


def test_over_tls(tmp_path):
    """Nobody answers in the issuer's place whom no authority of the system knows."""
    certificate = Authority(str(tmp_path)).server()
    with Issuer() as issuer:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.cert, certificate.key)
        issuer.server.socket = context.wrap_socket(issuer.server.socket, server_side=True)
        issuer.url = issuer.url.replace("http:", "https:")
        with tracker_of(tmp_path / "tracker", issuer.row()) as tracker:
            line = tracker.process.wait_line("cannot fetch the keys of an issuer")
            assert "not signed by a CA that is trusted here: add the certificate of its CA to the system's authorities" in line
            assert ready(tracker)[0] == 503 and issuer.asked == []


def test_plain_http_is_warned_of(tmp_path):
    tracker = tracker_of(tmp_path, {**Issuer().row(), "keys": "http://issuer.example/jwks.json"})
    done = run([binary("swarmgated"), "--config", tracker.config, "--check-config"])
    assert "use https" in done.stderr and "auth.trust[0].keys" in done.stderr
    for wrong in ("http://", "https://u:p@issuer.example/", "https://issuer.example/?a=b"):
        bad = tracker_of(tmp_path, {**Issuer().row(), "keys": wrong})
        done = run([binary("swarmgated"), "--config", bad.config, "--check-config"], check=False)
        assert done.returncode == 2 and "auth.trust[0].keys" in done.stderr, done
