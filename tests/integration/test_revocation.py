"""
Revocations in a running server: within 5 s of the tool's exit, without a reload, the revoked announce nothing, are in
nobody's answer, read no blob and are handed out nothing anew.

SWARMGATE_REVOCATIONS=200 measures as many; `-s` prints the worst.
"""

import hashlib
import json
import os
import socket
import time

import pytest
from conftest import registry_row
from support.announce import announce, bdecode, failure, get, scrape
from support.clients import Libtorrent
from support.gate import Gate
from support.image import small_image
from support.jws import unb64
from support.process import wait_for
from support.registry import Registry
from test_gateway import blob_path, bytes_of, create, webseed_of

USERS = {"alice": "alice-password", "bob": "bob-password", "gateway": "gateway-password"}
WITHIN = 5  # seconds
LARGE = 40_000_000  # bytes: more than all buffers on the way hold
HEX, OTHER_HEX = "ab" * 20, "cd" * 20
ALICE, BOB = "registry.example/alice", "registry.example/bob"


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    """team/app:1, with a layer that takes a while, and the users of USERS."""
    folder = str(tmp_path_factory.mktemp("registry"))
    with Registry(folder, USERS) as running:
        small_image(folder + "/layout", "revocation", sizes=(LARGE, 70_000))
        running.push(f"oci:{folder}/layout:1", "team/app:1", "alice")
        yield running


@pytest.fixture
def gate(registry, tmp_path):
    with Gate(str(tmp_path), [registry_row(registry, str(tmp_path))]) as running:
        running.blobs = sorted(create(running, registry)["blobs"], key=lambda blob: blob["size"])
        yield running


def revoke(gate, *argv):
    gate.tool("revoke", *argv, "--config", gate.config)


def metainfo(gate, registry, blob, user="alice"):
    status, _, body = get(gate.gateway, blob_path("team/app", blob), registry.basic(user))
    return bdecode(body) if status == 200 else status


def token_of(torrent):
    return torrent[b"announce"].decode().split("?jwt=")[1]


def webseed_path(gate, torrent, blob):
    return webseed_of(torrent)[len(gate.gateway_url):] + blob["digest"]


def said(gate, blob, token, **params):
    return failure(announce(gate.tracker, blob["infohash"], token, **params))


def awaits(what, probe):
    return wait_for(what, WITHIN, probe, every=0.02)


def values_of(blob, torrent, gate):
    """What a torrent's tokens can be revoked by: for each kind the options of the tool."""
    claims = {name: gate.tool("token", "inspect", "-", input=token).stdout
              for name, token in (("swarm", token_of(torrent)), ("webseed", webseed_of(torrent).split("/webseed/")[1].split("/")[0]))}
    found = {}
    for name, text in claims.items():
        for key in ("jti", "kid"):
            found[name, key] = text.split(f'"{key}": "')[1].split('"')[0]
    return {"sub": ["--sub", ALICE], "repository": ["--repository", "team/app"], "infohash": ["--infohash", blob["infohash"]],
            "kid": ["--kid", found["swarm", "kid"]],
            "jti": ["--jti", found["swarm", "jti"]], "webseed-jti": ["--jti", found["webseed", "jti"]]}


@pytest.mark.parametrize("kind", ["sub", "repository", "infohash", "kid"])
def test_by_each_kind(gate, registry, kind):
    small = gate.blobs[0]
    torrent = metainfo(gate, registry, small)
    token, webseed = token_of(torrent), webseed_path(gate, torrent, small)
    argv = values_of(small, torrent, gate)[kind]
    assert said(gate, small, token) is None and get(gate.gateway, webseed)[0] == 200
    revoke(gate, *argv)
    if kind in ("sub", "repository"):
        assert metainfo(gate, registry, small) == 404  # at once
        line = gate.process.wait_line("nothing is handed out for 127.0.0.1:")
        assert '"info"' in line and f"user {ALICE}, who asked for {small['digest']} of registry.example/team/app: " in line
    awaits("a refusal of the tracker", lambda: said(gate, small, token) == "token revoked")
    awaits("a refusal of the webseed", lambda: get(gate.gateway, webseed)[0] == 403)
    if kind in ("sub", "repository"):
        # Also where it has long been known; another address, for each has so many lines.
        assert get(gate.gateway, blob_path("team/app", small), registry.basic("alice"), source="127.0.0.2")[0] == 404
        gate.process.wait_line("nothing is handed out for 127.0.0.2:")
    listed = scrape(gate.tracker, [small["infohash"]], token)
    assert listed.get(b"files") == {} if kind == "infohash" else failure(listed) == "token revoked"
    bob = metainfo(gate, registry, small, "bob")
    if kind == "repository":
        assert bob == 404
    elif kind == "sub":
        assert said(gate, small, token_of(bob)) is None and get(gate.gateway, webseed_path(gate, bob, small))[0] == 200
    gate.stop()
    gate.start()  # it is there before the first answer
    assert said(gate, small, token) == "token revoked" and get(gate.gateway, webseed)[0] == 403
    revoke(gate, "remove", *argv)
    awaits("what it was before", lambda: said(gate, small, token) is None and get(gate.gateway, webseed)[0] == 200)
    assert awaits("a torrent", lambda: metainfo(gate, registry, small)) != 404


def test_by_jti(gate, registry):
    """That one token and no other."""
    small = gate.blobs[0]
    torrent = metainfo(gate, registry, small)
    other = token_of(metainfo(gate, registry, small))
    values = values_of(small, torrent, gate)
    revoke(gate, *values["jti"])
    awaits("a refusal", lambda: said(gate, small, token_of(torrent)) == "token revoked")
    webseed = webseed_path(gate, torrent, small)
    assert said(gate, small, other) is None and get(gate.gateway, webseed)[0] == 200
    revoke(gate, *values["webseed-jti"])
    awaits("a refusal", lambda: get(gate.gateway, webseed)[0] == 403)


def test_nothing_for_a_while(gate, registry):
    """By --for; what was issued before stays refused afterwards, and who asks again may have new ones."""
    small = gate.blobs[0]
    token = token_of(metainfo(gate, registry, small))
    revoke(gate, "--sub", ALICE, "--for", "2s")
    assert metainfo(gate, registry, small) == 404
    fresh = wait_for("a torrent", 2 + WITHIN, lambda: isinstance(got := metainfo(gate, registry, small), dict) and got)
    assert said(gate, small, token_of(fresh)) is None
    assert said(gate, small, token) == "token revoked"


def test_peers_of_the_revoked_are_gone(gate, registry, tmp_path):
    """A real seed of bob's and its leecher: alice is told of the seed, and no more once bob is let go."""
    small = gate.blobs[0]
    name = small["digest"].replace(":", "-")
    nodes = {}
    for user in ("bob", "alice"):
        folder = tmp_path / user
        folder.mkdir()
        status, _, body = get(gate.gateway, blob_path("team/app", small), registry.basic(user))
        assert status == 200
        (folder / "one.torrent").write_bytes(body)
        nodes[user] = [str(folder), str(folder / "one.torrent"), bdecode(body)]
    with open(os.path.join(nodes["bob"][0], name), "wb") as f:
        f.write(bytes_of(registry, small))
    alice = token_of(nodes["alice"][2])

    def peers():
        answer = announce(gate.tracker, small["infohash"], alice, port=40000)
        assert failure(answer) is None
        return len(answer[b"peers"]) // 6

    with Libtorrent(nodes["bob"][0], [nodes["bob"][1]]) as bob:
        wait_for("bob's seed", 30, lambda: peers() == 1)
        with Libtorrent(nodes["alice"][0], [nodes["alice"][1]]) as leecher:
            wait_for("a whole blob", 60, lambda: name in leecher.complete())
            wait_for("two peers", 30, lambda: peers() == 2)
            revoke(gate, "--sub", BOB)
            awaits("that bob's seed is gone", lambda: peers() == 1)
            bob.reannounce()
            bob.process.wait_line("tracker error: token revoked")
            leecher.reannounce()
            assert peers() == 1


def test_a_transfer_under_way_is_cut(gate, registry):
    large = gate.blobs[-1]
    torrents = {user: metainfo(gate, registry, large, user) for user in ("alice", "bob")}
    readers = {}
    for user, torrent in torrents.items():
        readers[user] = reader = socket.create_connection(gate.gateway.split(":"), timeout=30)
        reader.sendall(f"GET {webseed_path(gate, torrent, large)} HTTP/1.1\r\nHost: g\r\n\r\n".encode())
        assert reader.recv(4096).startswith(b"HTTP/1.1 200")
    revoke(gate, "--sub", ALICE)
    alice = webseed_path(gate, torrents["alice"], large)
    awaits("a refusal", lambda: get(gate.gateway, alice, method="HEAD")[0] == 403)
    awaits("that it is cut", lambda: "its token was revoked" in gate.process.output())

    def rest_of(reader):
        size = 0
        with reader:
            try:
                while got := reader.recv(1 << 20):
                    size += len(got)
                    if size >= large["size"] - 4096:
                        break
            except ConnectionResetError:
                pass
        return size

    assert rest_of(readers["alice"]) < large["size"] - 4096
    assert rest_of(readers["bob"]) >= large["size"] - 4096


def test_feed(gate):
    """The list for trackers elsewhere names nobody: it has SHA-256 of what is revoked."""
    def listed():
        status, headers, body = get(gate.gateway, "/v1/revocations")
        assert status == 200 and headers["Content-Type"] == "application/jwt"
        header, claims = (json.loads(unb64(part)) for part in body.decode().split(".")[:2])
        assert header["typ"] == "revocations+jwt" and claims["exp"] == claims["iat"] + 300
        assert ALICE.encode() not in body
        return [row["sha256"] for row in claims["revocations"].get("sub", [])]

    assert listed() == []
    revoke(gate, "--sub", ALICE)
    awaits("its row", lambda: listed() == [hashlib.sha256(ALICE.encode()).hexdigest()])


def test_how_soon(gate):
    """From the tool's exit to the first refusal, of each kind that a token by itself has."""
    count = int(os.environ.get("SWARMGATE_REVOCATIONS", "20"))
    worst = 0
    for i in range(count):
        infohash = f"{i + 1:040x}"
        token = gate.token(infohash, sub=f"registry.example/user-{i}")
        assert failure(announce(gate.tracker, infohash, token)) is None
        by = ["--infohash", infohash] if i % 2 else ["--sub", f"registry.example/user-{i}"]
        revoke(gate, *by)
        began = time.monotonic()
        awaits("a refusal", lambda: failure(announce(gate.tracker, infohash, token)) == "token revoked")  # noqa: B023
        worst = max(worst, time.monotonic() - began)
    print(f"\n{count} revocations: the first refusal at most {worst:.2f} s after the tool's exit")
