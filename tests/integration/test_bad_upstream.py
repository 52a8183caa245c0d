"""
swarmgated in front of a registry that lies, stalls and leads astray: what callers and webseed clients
see, and that others are served meanwhile. That it ends with exit 0 is for Gate.stop to say.
"""

import itertools
import json
import socket
import struct
import threading

import pytest
from support.announce import announce, bdecode, failure, get
from support.evil_registry import (EvilRegistry, answer, hang_up, noise, raw, redirect, reset, slowly, stall, stalled_body)
from support.gate import Gate
from support.process import wait_for

LOGIN = ("alice", "alice-password")
BASIC = ["Basic", "YWxpY2U6YWxpY2UtcGFzc3dvcmQ="]
LAYERS = (noise(1, 400_000), noise(2, 30_000))


def login(blanks=itertools.count(1)):
    """The login in a spelling that the gateway has not seen yet, so that it remembers no answer to it."""
    return {"Authorization": (" " * next(blanks)).join(BASIC)}


class Front:
    """A gate in front of an evil registry, in whose `team/app` two layers are registered."""

    def __init__(self, folder):
        self.evil = EvilRegistry(login=LOGIN)
        self.storage = EvilRegistry()
        (folder / "gateway.pass").write_text(LOGIN[1])
        (folder / "gateway.pass").chmod(0o600)
        self.gate = Gate(str(folder), [{"name": "evil.example", "url": self.evil.url,
                                        "credentials": {"username": LOGIN[0], "password_file": "gateway.pass"}}]).start()
        self.layers = self.evil.image(LAYERS)["layers"]
        self.index = json.loads(self.gate.tool("torrent", "create", f"docker://{self.evil.address}/team/app:1", "--register", "--json",
                                               "--config", self.gate.config, "--creds", ":".join(LOGIN)).stdout)
        self.bad, self.good = self.layers
        self.bad_path = "/v2/team/app/blobs/" + self.bad["digest"]
        self.right = self.evil.routes[self.bad_path]
        self.webseeds = {layer["digest"]: self.webseed(layer) for layer in self.layers}

    def stop(self):
        try:
            self.gate.stop()
        finally:
            self.evil.stop()
            self.storage.stop()

    def torrent(self, layer, headers=None):
        return get(self.gate.gateway, f"/v1/team/app/blobs/{layer['digest']}", login() if headers is None else headers)

    def webseed(self, layer):
        status, _, body = self.torrent(layer)
        assert status == 200, body
        urls = bdecode(body)[b"url-list"]
        url = (urls[0] if isinstance(urls, list) else urls).decode()
        return url[len(self.gate.gateway_url):] + layer["digest"].replace(":", "-")

    def fault(self, send):
        """The first layer is answered so, for those with a login; the second stays right."""
        self.evil.on(self.bad_path, send)
        del self.evil.requests[:], self.storage.requests[:]

    def others_are_served(self):
        assert get(self.gate.gateway, self.webseeds[self.good["digest"]])[::2] == (200, LAYERS[1])
        assert self.torrent(self.good)[0] == 200
        assert failure(announce(self.gate.tracker, "00" * 20, self.gate.token("00" * 20))) is None


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    front = Front(tmp_path_factory.mktemp("front"))
    yield front
    front.stop()


@pytest.fixture
def front(running):
    """Whatever a test makes of it, afterwards the first layer is right again, and is served."""
    yield running
    running.fault(running.right)
    assert running.torrent(running.bad)[0] == 200
    assert get(running.gate.gateway, running.webseeds[running.bad["digest"]])[::2] == (200, LAYERS[0])


def codes(body):
    return [error["code"] for error in json.loads(body)["errors"]]


def lied(**fields):
    return answer(200, LAYERS[0], **fields)


# --- may the caller read it? ---

QUESTIONS = {
    "right": (lambda f: f.right, 200),
    "right digest alone": (lambda f: answer(200, b"", length="", Docker_Content_Digest=f.bad["digest"]), 200),
    "right length alone": (lambda f: lied(), 200),
    "another digest": (lambda f: lied(Docker_Content_Digest=f.good["digest"]), 502),
    "a digest that is none": (lambda f: lied(Docker_Content_Digest="sha256:x"), 502),
    "another length alone": (lambda f: answer(200, LAYERS[0], length=5), 502),
    "a length beyond 64 bits": (lambda f: answer(200, LAYERS[0], length=2 ** 64 + len(LAYERS[0])), 502),
    "two lengths": (lambda f: raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: %d\r\n\r\n" % len(LAYERS[0])), 502),
    "neither": (lambda f: answer(200, b"", length=""), 502),
    "204": (lambda f: answer(204, Docker_Content_Digest=f.bad["digest"]), 502),
    "206": (lambda f: answer(206, LAYERS[0], Docker_Content_Digest=f.bad["digest"]), 502),
    "403": (lambda f: answer(403), 404),
    "404": (lambda f: answer(404), 404),
    "401 with a challenge": (lambda f: answer(401, WWW_Authenticate='Basic realm="x"'), 401),
    "401 without": (lambda f: answer(401), 401),
    "401 with a steering challenge": (lambda f: answer(401, WWW_Authenticate='Basic realm="\x1b[2J"'), 502),
    "418": (lambda f: answer(418), 502),
    "429": (lambda f: answer(429), 502),
    "500": (lambda f: answer(500, b"x" * 100_000), 502),
    "503": (lambda f: answer(503), 502),
    "hang up": (lambda f: hang_up, 502),
    "reset": (lambda f: reset, 502),
    "garbage": (lambda f: raw(noise(3, 5000)), 502),
    "HTTP/0.9": (lambda f: raw(b"yes, you may\n"), 502),
    "head cut": (lambda f: raw(b"HTTP/1.1 200 OK\r\nDocker-Content-Digest: " + f.bad["digest"].encode()), 502),
    "header flood": (lambda f: raw(b"HTTP/1.1 200 OK\r\n", b"X: %s\r\n" % (b"y" * 1000) * 1000, b"\r\n"), 502),
    "interim answers": (lambda f: raw(*[b"HTTP/1.1 100 Continue\r\n\r\n"] * 100_000), 502),
    "redirect": (lambda f: redirect(f.storage.url + "/right"), 200),
    "redirect to another digest": (lambda f: redirect(f.storage.url + "/other"), 502),
    "redirect to a challenge": (lambda f: redirect(f.storage.url + "/challenge"), 502),
    "redirect to 403": (lambda f: redirect(f.storage.url + "/403"), 404),
    "redirect to nowhere": (lambda f: redirect("http://127.0.0.1:1/"), 502),
    "redirect to a file": (lambda f: redirect("file:///etc/passwd"), 502),
    "redirect to ftp": (lambda f: redirect("ftp://127.0.0.1/"), 502),
    "redirect with a password": (lambda f: redirect("http://u:p@127.0.0.1:1/"), 502),
    "redirect in a circle": (lambda f: redirect(f.bad_path), 502),
    "redirect without a place": (lambda f: answer(302), 502),
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_question(front, name):
    fault, wanted = QUESTIONS[name]
    front.storage.on("/right", front.right)
    front.storage.on("/other", lied(Docker_Content_Digest=front.good["digest"]))
    front.storage.on("/challenge", answer(401, WWW_Authenticate='Basic realm="tell me"'))
    front.storage.on("/403", answer(403))
    front.fault(fault(front))
    status, headers, body = front.torrent(front.bad)
    assert status == wanted, (status, body)
    if wanted == 200:
        assert bdecode(body)[b"info"][b"length"] == len(LAYERS[0])
    else:
        assert len(codes(body)) == 1 and "passwd" not in body.decode()
    assert ("WWW-Authenticate" in headers) == (name == "401 with a challenge")
    assert front.evil.requests[0].authorization.split() == BASIC
    assert len(front.evil.requests) + len(front.storage.requests) <= 11
    assert all(request.authorization is None for request in front.storage.requests)


def test_body_behind_a_head(front):
    """What follows the answer to a HEAD is not taken for the answer to the next caller."""
    smuggled = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nDocker-Content-Digest: " + front.bad["digest"].encode() + b"\r\n\r\n"

    def send(wire, _):
        wire.send(b"HTTP/1.1 404 No\r\nContent-Length: %d\r\n\r\n" % len(smuggled))
        wire.send(smuggled)
        wire.gone(20)

    front.fault(send)
    assert [front.torrent(front.bad)[0] for _ in range(5)] == [404] * 5


def test_kept_connection_is_reset(front):
    """A registry that ends a connection just as it is used anew is asked once more."""
    def send(wire, _):
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(LAYERS[0]) + LAYERS[0])
        wire.gone(20)
        wire.reset()

    front.fault(send)
    path = front.webseeds[front.bad["digest"]]
    assert [get(front.gate.gateway, path)[::2] == (200, LAYERS[0]) for _ in range(5)] == [True] * 5


def test_caller_without_credentials(front):
    """The gateway's own login is never lent to a caller."""
    front.fault(front.right)
    status, headers, _ = front.torrent(front.bad, {})
    assert status == 401 and headers["WWW-Authenticate"] == 'Basic realm="evil"'
    assert [request.authorization for request in front.evil.requests] == [None]


# --- the blob's bytes ---

def stream(address, path, headers=None, seconds=20):
    """(head, body) as they came over the wire until the end of the connection, however it ended."""
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=seconds) as s:
        fields = {"Host": address, "Connection": "close", **(headers or {})}
        s.sendall(f"GET {path} HTTP/1.1\r\n".encode() + b"".join(f"{k}: {v}\r\n".encode() for k, v in fields.items()) + b"\r\n")
        got = b""
        try:
            while data := s.recv(65536):
                got += data
        except ConnectionResetError:
            pass
    head, _, body = got.partition(b"\r\n\r\n")
    return head.decode("latin-1").split("\r\n"), body


WHOLE, RANGE = {}, {"Range": "bytes=1000-200999"}
CUT = "cut"  # a 200 or 206 whose body is right as far as it goes, and too short
ONE_BIT = LAYERS[0][:300_000] + bytes([LAYERS[0][300_000] ^ 1]) + LAYERS[0][300_001:]
PART = LAYERS[0][1000:201_000]


def part(body=PART, content_range="bytes 1000-200999/400000", **fields):
    return answer(206, body, Content_Range=content_range, **fields)


BYTES = {
    "right": (lambda f: f.right, WHOLE, 200),
    "right range": (lambda f: f.right, RANGE, 206),
    "range ignored": (lambda f: answer(200, LAYERS[0]), RANGE, 206),
    "range of unknown size": (lambda f: part(content_range="bytes 1000-200999/*"), RANGE, 206),
    "cut": (lambda f: answer(200, LAYERS[0][:100_000], length=len(LAYERS[0])), WHOLE, CUT),
    "range cut": (lambda f: part(PART[:5000], length=len(PART)), RANGE, CUT),
    "cut where the range was ignored": (lambda f: answer(200, LAYERS[0][:100_000], length=len(LAYERS[0])), RANGE, CUT),
    "cut before the range": (lambda f: answer(200, LAYERS[0][:500], length=len(LAYERS[0])), RANGE, 502),
    "cut without a length": (lambda f: answer(200, LAYERS[0][:100_000], length=""), WHOLE, CUT),
    "cut by a reset": (lambda f: lambda wire, _: (wire.head(Content_Length=400_000), wire.send(LAYERS[0][:9000]), wire.reset()), WHOLE, None),
    "chunks cut": (lambda f: raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfff\r\n", LAYERS[0][:4095], b"\r\nzz\r\n"), WHOLE, CUT),
    "longer": (lambda f: answer(200, LAYERS[0] + b"more", length=""), WHOLE, 200),
    "said to be longer": (lambda f: answer(200, LAYERS[0] + b"more"), WHOLE, 502),
    "said to be shorter": (lambda f: answer(200, LAYERS[0], length=10), WHOLE, 502),
    "one bit": (lambda f: answer(200, ONE_BIT), WHOLE, "short"),
    "other bytes": (lambda f: answer(200, noise(9, len(LAYERS[0]))), WHOLE, "short"),
    "another digest": (lambda f: lied(Docker_Content_Digest=f.good["digest"]), WHOLE, 502),
    "part of nothing asked": (lambda f: part(), WHOLE, 502),
    "another range": (lambda f: part(content_range="bytes 0-199999/400000"), RANGE, 502),
    "another size": (lambda f: part(content_range="bytes 1000-200999/400001"), RANGE, 502),
    "range without a place": (lambda f: answer(206, PART), RANGE, 502),
    "range of nonsense": (lambda f: part(content_range="bytes x-y/z"), RANGE, 502),
    "range of another unit": (lambda f: part(content_range="items 1000-200999/400000"), RANGE, 502),
    "several ranges": (lambda f: answer(206, PART, Content_Type="multipart/byteranges; boundary=x"), RANGE, 502),
    "range too long": (lambda f: part(PART + b"more"), RANGE, 502),
    "range too short": (lambda f: part(PART[:-1]), RANGE, 502),
    "416": (lambda f: answer(416), RANGE, 502),
    "304": (lambda f: answer(304), WHOLE, 502),
    "401": (lambda f: answer(401, WWW_Authenticate='Basic realm="x"'), WHOLE, 502),
    "403": (lambda f: answer(403), WHOLE, 502),
    "404": (lambda f: answer(404), WHOLE, 404),
    "500": (lambda f: answer(500), WHOLE, 502),
    "hang up": (lambda f: hang_up, WHOLE, 502),
    "garbage": (lambda f: raw(noise(3, 5000)), WHOLE, 502),
    "header flood": (lambda f: raw(b"HTTP/1.1 200 OK\r\n", b"X: %s\r\n" % (b"y" * 1000) * 1000, b"\r\n"), WHOLE, 502),
    "redirect": (lambda f: redirect(f.storage.url + "/data"), WHOLE, 200),
    "redirect in a circle": (lambda f: redirect(f.bad_path), WHOLE, 502),
    "redirect to a file": (lambda f: redirect("file:///etc/passwd"), WHOLE, 502),
    "slow": (lambda f: slowly(LAYERS[0], 10, 0.05), WHOLE, 200),
}


@pytest.mark.parametrize("name", BYTES)
def test_bytes(front, name):
    fault, headers, wanted = BYTES[name]
    front.storage.on("/data", front.right)
    front.fault(fault(front))
    head, body = stream(front.gate.gateway, front.webseeds[front.bad["digest"]], headers)
    status = int(head[0].split()[1])
    right = LAYERS[0] if headers is WHOLE else PART
    if wanted in (200, 206):
        assert status == wanted and body == right
    elif isinstance(wanted, int):
        assert status == wanted and len(codes(body)) == 1, head
    elif wanted == "short":  # wrong bytes cannot be told from right ones before the last: that is held back
        assert status == 200 and len(body) < len(right)
    elif wanted is CUT:
        assert status in (200, 206) and body == right[:len(body)] and 0 < len(body) < len(right), len(body)
    else:
        assert status == 502 or (body == right[:len(body)] and len(body) < len(right))
    if status in (200, 206):
        assert f"Content-Length: {len(right)}" in head
    assert all(request.authorization is None for request in front.storage.requests)


# --- while others wait ---

def leave(s):
    """Resets: by a mere end of what it sends a client would still wait for its answer."""
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


def waits(s):
    """Whether a reader of the first layer has neither all of it nor a failure so far."""
    got = b""
    s.setblocking(False)
    try:
        while chunk := s.recv(65536):
            got += chunk
    except BlockingIOError:
        return len(got) < len(LAYERS[0]) and not got.startswith(b"HTTP/1.1 5")
    return False


@pytest.mark.parametrize("what", ["no answer", "stalled body"])
def test_others_are_served_while_some_wait(front, what):
    front.fault(stall if what == "no answer" else stalled_body(LAYERS[0], 5000))
    path = front.webseeds[front.bad["digest"]]
    host, port = front.gate.gateway.rsplit(":", 1)
    waiting = []
    for number in range(40):
        s = socket.create_connection((host, int(port)), timeout=20)
        target, fields = (path, "") if number % 2 else (f"/v1/team/app/blobs/{front.bad['digest']}", f"Authorization: {login()['Authorization']}\r\n")
        s.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n{fields}\r\n".encode())
        waiting.append(s)
    wait_for("their questions to the registry", 20, lambda: len(front.evil.asked(front.bad_path)) >= 20)
    front.others_are_served()
    # Not because the others were given up first.
    assert all(waits(s) for s in waiting[1::2])
    for s in waiting:
        leave(s)


def test_the_registry_is_not_kept_busy_for_nobody(front):
    gone = threading.Event()
    front.fault(lambda wire, _: wire.gone(20) and gone.set())
    host, port = front.gate.gateway.rsplit(":", 1)
    with socket.create_connection((host, int(port))) as s:
        s.sendall(f"GET {front.webseeds[front.bad['digest']]} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        wait_for("the question", 20, lambda: front.evil.asked(front.bad_path))
        leave(s)
    assert gone.wait(20)


def test_stops_while_the_registry_stalls(tmp_path):
    front = Front(tmp_path)
    front.fault(stalled_body(LAYERS[0], 5000))
    host, port = front.gate.gateway.rsplit(":", 1)
    with socket.create_connection((host, int(port))) as s:
        s.sendall(f"GET {front.webseeds[front.bad['digest']]} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert s.recv(100).startswith(b"HTTP/1.1 200")
        front.stop()


def test_log_keeps_secrets(tmp_path):
    front = Front(tmp_path)
    for fault in (answer(500), redirect("http://127.0.0.1:1/?signature=SIGNED"), answer(401, WWW_Authenticate="x" * 1000), hang_up):
        front.fault(fault)
        front.torrent(front.bad)
        get(front.gate.gateway, front.webseeds[front.bad["digest"]])
    process = front.gate.process
    front.stop()
    for secret in (LOGIN[1], BASIC[1], "SIGNED", front.webseeds[front.bad["digest"]].split("/")[2]):
        assert secret not in process.output()
    assert all(json.loads(line)["message"] for line in process.lines)
