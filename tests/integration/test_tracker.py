"""The running tracker as clients and strangers meet it: answers, bad input, and others left served."""

import contextlib
import socket
import struct

import pytest
from support.announce import announce, bdecode, failure, get, query, scrape
from support.gate import Gate
from support.process import wait_for

INFOHASH = "ab" * 20
V2 = "cd" * 32


def peers_of(answer):
    raw = answer[b"peers"]
    return {(socket.inet_ntoa(raw[i:i + 4]), struct.unpack(">H", raw[i + 4:i + 6])[0]) for i in range(0, len(raw), 6)}


def raw(address, data, every_byte=False):
    """Sends bytes as they are and returns all that comes until the other end closes."""
    host, port = address.rsplit(":", 1)
    got = b""
    with socket.create_connection((host.strip("[]"), int(port)), timeout=15) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(ConnectionError):
            for piece in ([bytes([b]) for b in data] if every_byte else [data]):
                s.sendall(piece)
        with contextlib.suppress(ConnectionError):
            while chunk := s.recv(65536):
                got += chunk
    return got


@pytest.fixture
def token(tracker):
    return tracker.token(INFOHASH, V2)


def test_two_peers_find_each_other(tracker, token):
    a, b = "127.0.0.2", "127.0.0.3"
    first = announce(tracker.tracker, INFOHASH, token, left=0, port=7001, event="started", source=a)
    assert first[b"peers"] == b"" and first[b"complete"] == 1 and first[b"incomplete"] == 0
    assert first[b"external ip"] == socket.inet_aton(a)
    assert first[b"tracker id"]
    assert 0.5 * 900 <= first[b"interval"] <= 1.5 * 900 and first[b"min interval"] == 30
    second = announce(tracker.tracker, INFOHASH, token, port=7002, peer_id=b"-XX0001-bbbbbbbbbbbb", source=b)
    assert peers_of(second) == {(a, 7001)}
    seen = scrape(tracker.tracker, [INFOHASH, V2, "00" * 20], token)[b"files"]
    assert seen == {
        bytes.fromhex(INFOHASH): {b"complete": 1, b"incomplete": 1, b"downloaded": 0, b"downloaders": 1},
        bytes.fromhex(V2)[:20]: {b"complete": 0, b"incomplete": 0, b"downloaded": 0, b"downloaders": 0}}
    # No seeds to a seed, and never the asker.
    again = announce(tracker.tracker, INFOHASH, token, left=0, port=7001, source=a)
    assert peers_of(again) == {(b, 7002)}
    announce(tracker.tracker, INFOHASH, token, left=0, port=7002, event="completed",
             peer_id=b"-XX0001-bbbbbbbbbbbb", source=b)
    done = announce(tracker.tracker, INFOHASH, token, left=0, port=7001, source=a)
    assert peers_of(done) == set() and done[b"complete"] == 2 and done[b"downloaded"] == 1
    announce(tracker.tracker, INFOHASH, token, left=0, port=0, event="stopped", source=b)
    announce(tracker.tracker, INFOHASH, token, left=0, port=7002, event="stopped", source=b)
    assert announce(tracker.tracker, INFOHASH, token, port=7001, source=a)[b"complete"] == 0


def test_dictionaries_and_peer_ids(tracker, token):
    announce(tracker.tracker, INFOHASH, token, port=7001, peer_id=b"-XX0001-aaaaaaaaaaaa", source="127.0.0.2")
    answer = announce(tracker.tracker, INFOHASH, token, port=7002, compact=0, source="127.0.0.3")
    assert answer[b"peers"] == [{b"ip": b"127.0.0.2", b"peer id": b"-XX0001-aaaaaaaaaaaa", b"port": 7001}]
    answer = announce(tracker.tracker, INFOHASH, token, port=7002, compact=0, no_peer_id=1, source="127.0.0.3")
    assert answer[b"peers"] == [{b"ip": b"127.0.0.2", b"port": 7001}]


def test_both_address_families(tmp_path):
    from support.process import free_port
    with Gate(str(tmp_path), tracker={"listen": [f"127.0.0.1:{free_port()}", f"[::1]:{free_port('::1')}"]}) as gate:
        import yaml
        with open(gate.config, encoding="utf-8") as f:
            v4, v6 = yaml.safe_load(f)["tracker"]["listen"]
        token = gate.token(INFOHASH)
        one = announce(v6, INFOHASH, token, port=7001, left=0)
        assert one[b"external ip"] == socket.inet_pton(socket.AF_INET6, "::1")
        two = announce(v4, INFOHASH, token, port=7002, peer_id=b"-XX0001-bbbbbbbbbbbb")
        assert two[b"peers"] == b"" and two[b"peers6"] == socket.inet_pton(socket.AF_INET6, "::1") + struct.pack(">H", 7001)
        three = announce(v6, INFOHASH, token, port=7003, peer_id=b"-XX0001-cccccccccccc")
        assert peers_of(three) == {("127.0.0.1", 7002)}


BAD = [
    ("info_hash", [None, b"", b"x" * 19, b"x" * 21, b"x" * 400]),
    ("peer_id", [None, b"", b"x" * 19, b"x" * 21]),
    ("port", [None, "", "0", "1", "1023", "65536", "-1", "+6881", " 6881", "6881 ", "0x1ae1", "99999999999999999999", "6881.0"]),
    ("uploaded", [None, "", "-1", "x", str(2**64), "9" * 400]),
    ("downloaded", [None, "", "-1", "x", str(2**64)]),
    ("left", [None, "", "-1", "x", str(2**64), "1e3"]),
    ("event", ["begun", "Started", "started,stopped"]),
    ("numwant", ["-2", "x", "", str(2**64)]),
    ("compact", ["2", "yes", "-1"]),
]


@pytest.mark.parametrize("name,values", BAD, ids=[name for name, _ in BAD])
def test_bad_parameters(tracker, token, name, values):
    for value in values:
        reason = failure(announce(tracker.tracker, INFOHASH, token, **{name: value}))
        wanted = f"missing parameter: {name}" if value is None else f"invalid parameter: {name}"
        assert reason == wanted, (value, reason)
    good = announce(tracker.tracker, INFOHASH, token, left=2**64 - 1, uploaded=2**63, numwant=-1, event="")
    assert failure(good) is None


def test_doubled_and_wrongly_escaped(tracker, token):
    usual = query([("jwt", token), ("info_hash", bytes.fromhex(INFOHASH)), ("peer_id", "-XX0001-abcdefghijkl"), ("port", 6881),
                   ("uploaded", 0), ("downloaded", 0), ("left", 1)])
    for more, reason in (("&port=6881", "invalid parameter: port"), ("&left=1", "invalid parameter: left"),
                         ("&event=%", "invalid parameter: event"), ("&event=%4", "invalid parameter: event"),
                         ("&event=%zz", "invalid parameter: event"), ("&jwt=" + token, "invalid parameter: jwt"),
                         ("&ip=10.0.0.1&ipv4=1.2.3.4&ipv6=::1&ip=again", None), ("&unknown=1&unknown=2", None), ("&&&", None),
                         ("&x", None)):
        status, _, body = get(tracker.tracker, "/announce?" + usual + more)
        assert status == 200
        assert failure(bdecode(body)) == reason, more


def test_scrape_lists(tracker, token):
    assert failure(scrape(tracker.tracker, [], token)) == "missing parameter: info_hash"
    assert len(scrape(tracker.tracker, [INFOHASH] * 100, token)[b"files"]) == 1
    assert failure(scrape(tracker.tracker, [INFOHASH] * 101, token)) == "invalid parameter: info_hash"
    assert failure(scrape(tracker.tracker, [INFOHASH])) == "token required"
    assert scrape(tracker.tracker, [INFOHASH], headers={"Authorization": "Bearer " + token})[b"files"]


def test_other_paths_and_methods(tracker):
    for path in ("/", "/announce/", "/announcex", "/x/announce", "/Announce", "/%61nnounce"):
        assert get(tracker.tracker, path)[0] == 404, path
    status, headers, _ = get(tracker.tracker, "/announce", method="POST")
    assert status == 405 and "GET" in headers["Allow"]


MALFORMED = [
    b"\x00\r\n\r\n", b"GET\r\n\r\n", b"GET /announce\r\n\r\n", b"GET /announce HTTP/9.9\r\nHost: x\r\n\r\n",
    b"GET /announce HTTP/1.1\r\n\r\n", b"GET /announce HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET /announce HTTP/1.1\r\nHost: x\rX: y\r\n\r\n", b"GET /announce HTTP/1.1\r\nHost: x\r\n folded: y\r\n\r\n",
    b"GET /announce HTTP/1.1\r\nHost : x\r\n\r\n", b"GET /announce HTTP/1.1\r\nHost: x\r\nA\x00: y\r\n\r\n",
    b"GET /announce HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    b"GET /announce HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"POST /announce HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /announce HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
    b"POST /announce HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
    b"GET announce HTTP/1.1\r\nHost: x\r\n\r\n", b"get /announce HTTP/1.1\r\nHost: x\r\n\r\n",
]


@pytest.mark.parametrize("number", range(len(MALFORMED)))
def test_malformed_http(tracker, number):
    got = raw(tracker.tracker, MALFORMED[number])
    assert got.startswith((b"HTTP/1.1 4", b"HTTP/1.1 505")), got[:100]


def test_heads_of_any_size(tracker, token):
    pairs = query([("jwt", token), ("info_hash", bytes.fromhex(INFOHASH)), ("peer_id", "-XX0001-abcdefghijkl"), ("port", 6881),
                   ("uploaded", 0), ("downloaded", 0), ("left", 1)])
    for size in (1000, 8000, 30000):
        assert get(tracker.tracker, "/announce?" + pairs, {"X": "x" * size})[0] == 200, size
    for size in (33000, 100000, 1 << 20):
        assert raw(tracker.tracker, b"GET /announce?" + pairs.encode() + b" HTTP/1.1\r\nHost: x\r\nX: " + b"x" * size
                   + b"\r\n\r\n").startswith(b"HTTP/1.1 4"), size
        assert raw(tracker.tracker, b"GET /" + b"x" * size + b" HTTP/1.1\r\nHost: x\r\n\r\n").startswith(b"HTTP/1.1 4"), size
    assert failure(bdecode(get(tracker.tracker, "/announce?" + pairs)[2])) is None


def test_every_byte_in_its_own_packet(tracker, token):
    pairs = query([("jwt", token), ("info_hash", bytes.fromhex(INFOHASH)), ("peer_id", "-XX0001-abcdefghijkl"), ("port", 6881),
                   ("uploaded", 0), ("downloaded", 0), ("left", 1)])
    request = b"GET /announce?" + pairs.encode() + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = raw(tracker.tracker, request, every_byte=True)
    assert answer.startswith(b"HTTP/1.1 200") and b"8:intervali" in answer


def test_pipelining_and_http_1_0(tracker):
    one = b"GET /announce HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /scrape HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert raw(tracker.tracker, one * 20 + last).count(b"token required") == 21
    old = raw(tracker.tracker, b"GET /announce HTTP/1.0\r\n\r\n")
    assert old.startswith(b"HTTP/1.") and b"token required" in old
    kept = raw(tracker.tracker, b"GET /announce HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /announce HTTP/1.0\r\n\r\n")
    assert kept.count(b"token required") == 2


def test_slow_connections_do_not_hurt_others(tracker, token):
    host, port = tracker.tracker.split(":")
    idle = [socket.create_connection((host, int(port))) for _ in range(200)]
    for s in idle:
        s.sendall(b"GET /announce?x=")
    try:
        for _ in range(20):
            assert failure(announce(tracker.tracker, INFOHASH, token)) is None
    finally:
        for s in idle:
            s.close()


def wait_for_end_of(gate, token):
    """Asks the tool, for asking the tracker would join the swarm."""
    wait_for("the token's end", 10, lambda: gate.tool("token", "verify", "--config", gate.config, token, check=False).returncode == 3)


def test_session_outlives_token_and_restart(tmp_path):
    with Gate(str(tmp_path), auth={"leeway": "0"}) as gate:
        token = gate.token(INFOHASH, ttl="2s", session="1h")
        joined = announce(gate.tracker, INFOHASH, token, port=7001, event="started")
        proof = joined[b"tracker id"].decode()
        wait_for_end_of(gate, token)
        assert failure(announce(gate.tracker, INFOHASH, token, port=7009, source="127.0.0.9")) == "token expired"
        # Its own entry is proof enough, and another address's is none.
        assert failure(announce(gate.tracker, INFOHASH, token, port=7001)) is None
        assert failure(announce(gate.tracker, INFOHASH, token, port=7001, source="127.0.0.9")) == "token expired"
        gate.stop()
        gate.start()
        assert failure(announce(gate.tracker, INFOHASH, token, port=7001)) == "token expired"
        assert failure(announce(gate.tracker, INFOHASH, token, port=7001, trackerid="x" + proof[1:])) == "token expired"
        assert failure(announce(gate.tracker, INFOHASH, token, port=7001, trackerid=proof, source="127.0.0.9")) == "token expired"
        assert failure(announce(gate.tracker, INFOHASH, token, port=7001, trackerid=proof)) is None
        other = gate.token(INFOHASH, ttl="1s", session="1h")
        wait_for_end_of(gate, other)
        assert failure(announce(gate.tracker, INFOHASH, other, port=7001, trackerid=proof, source="127.0.0.7")) == "token expired"


def test_silent_peers_go(tmp_path):
    with Gate(str(tmp_path), tracker={"interval": "1s", "min_interval": "1s"}) as gate:
        token = gate.token(INFOHASH)
        announce(gate.tracker, INFOHASH, token, port=7001, left=0, source="127.0.0.2")

        def gone():
            return announce(gate.tracker, INFOHASH, token, port=7002)[b"complete"] == 0

        assert not gone()
        wait_for("the silent peer's end", 30, gone, every=0.2)


def test_full_tracker(tmp_path):
    with Gate(str(tmp_path), tracker={"max_peers": 3}) as gate:
        token = gate.token(INFOHASH)
        for number in range(3):
            assert failure(announce(gate.tracker, INFOHASH, token, port=7001 + number)) is None
        full = announce(gate.tracker, INFOHASH, token, port=7009)
        assert failure(full) == "tracker is full" and b"retry in" in full
        assert failure(announce(gate.tracker, INFOHASH, token, port=7001)) is None
        announce(gate.tracker, INFOHASH, token, port=7001, event="stopped")
        assert failure(announce(gate.tracker, INFOHASH, token, port=7009)) is None


def test_logs_hold_no_token(tracker, token):
    announce(tracker.tracker, INFOHASH, token)
    get(tracker.tracker, "/nowhere?jwt=" + token)
    wrong = token[:-8] + "AAAAAAAA"
    announce(tracker.tracker, INFOHASH, wrong)
    process = tracker.process
    tracker.stop()
    output = process.output()
    assert token not in output and token.split(".")[2] not in output and wrong.split(".")[2] not in output
    # The operator is told why all the same.
    assert "a token from 127.0.0.1:" in output and "is invalid: " in output
