"""GET /v1/<name>/manifests/<reference> in front of a real docker-registry: one request a pull."""

import base64
import hashlib
import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import libtorrent
import pytest
from conftest import USERS, registry_row
from support.announce import announce, bdecode, failure, get
from support.gate import Gate
from support.image import MANIFEST, small_image
from support.jws import unb64
from support.registry import Registry

INDEX = "application/vnd.oci.image.index.v1+json"


@pytest.fixture
def place(tmp_path):
    """A registry of its own, for what it is asked is counted, and a gateway in front of it."""
    with Registry(str(tmp_path / "registry"), USERS) as registry:
        with Gate(str(tmp_path), [registry_row(registry, str(tmp_path))]) as gate:
            yield registry, gate, tmp_path


def push(place, name, sizes=(300_000, 70_000, 5_000)):
    """Pushes an image of so many layers; returns its manifest."""
    registry, _, folder = place
    layout = str(folder / name.replace("/", "-"))
    digest = small_image(layout, name, sizes)
    registry.push(f"oci:{layout}:1", name + ":1", "alice")
    with open(os.path.join(layout, "blobs", "sha256", digest.split(":")[1]), "rb") as f:
        return digest, f.read()


def ask(place, name, reference="1", headers=None, wait=True):
    """(status, headers, body), once it is no 202 any more."""
    registry, gate, _ = place
    deadline = time.monotonic() + 60
    while True:
        answer = get(gate.gateway, f"/v1/{name}/manifests/{reference}", registry.basic("alice") if headers is None else headers)
        if answer[0] != 202 or not wait:
            return answer
        progress = json.loads(answer[2])
        assert int(answer[1]["Retry-After"]) >= 1 and 0 <= progress["done"] <= progress["size"]
        assert time.monotonic() < deadline


def test_one_request_a_pull(place):
    registry, gate, _ = place
    digest, manifest = push(place, "team/pull")
    blobs = [json.loads(manifest)["config"], *json.loads(manifest)["layers"]]
    before = registry.asked("team/pull")
    status, headers, body = ask(place, "team/pull")
    assert status == 200 and headers["Content-Type"] == "application/json" and headers["ETag"] == f'"{digest}"'
    answer = json.loads(body)
    assert set(answer) == {"digest", "mediaType", "manifest", "config", "layers", "token", "expires_in", "session"}
    assert answer["digest"] == digest and base64.b64decode(answer["manifest"]) == manifest and answer["mediaType"] == MANIFEST
    claims = json.loads(unb64(answer["token"].split(".")[1]))
    assert claims["sub"] == "registry.example/alice" and claims["session"] == answer["session"]
    assert answer["expires_in"] == 600
    for described, entry in zip(blobs, [answer["config"], *answer["layers"]], strict=True):
        assert (entry["digest"], entry["size"], entry["mediaType"]) == (described["digest"], described["size"], described["mediaType"])
        torrent = base64.b64decode(entry["torrent"])
        assert str(libtorrent.torrent_info(libtorrent.bdecode(torrent)).info_hashes().v1) == entry["infohash"]
        metainfo = bdecode(torrent)
        assert metainfo[b"announce"].decode() == f"{gate.announce_url}?jwt={answer['token']}"
        assert failure(announce(gate.tracker, entry["infohash"], answer["token"])) is None
        urls = metainfo[b"url-list"]
        url = (urls[0] if isinstance(urls, list) else urls).decode()
        got = get(gate.gateway, url[len(gate.gateway_url):])[2]
        assert "sha256:" + hashlib.sha256(got).hexdigest() == entry["digest"]
    assert sorted(claims["infohash"]) == sorted(entry["infohash"] for entry in [answer["config"], *answer["layers"]])
    counted = registry.asked("team/pull", before)
    assert counted[("GET", f"manifests/{digest}")] == 1 and counted[("HEAD", "manifests/1")] == 1


@pytest.mark.parametrize("nodes", [1, 20])
def test_the_registry_sends_each_once(place, nodes):
    registry, _, _ = place
    digest, manifest = push(place, "team/many")
    blobs = [json.loads(manifest)["config"], *json.loads(manifest)["layers"]]
    before = registry.asked("team/many")
    with ThreadPoolExecutor(nodes) as pool:
        answers = list(pool.map(lambda _: ask(place, "team/many"), range(nodes)))
    assert [status for status, _, _ in answers] == [200] * nodes
    counted = registry.asked("team/many", before)
    questions = counted.pop(("HEAD", "manifests/1"))
    assert questions >= nodes  # more where somebody was told to come again
    assert counted == {("GET", f"manifests/{digest}"): 1, **{("GET", f"blobs/{blob['digest']}"): 1 for blob in blobs}}


def test_nothing_has_changed(place):
    registry, _, _ = place
    digest, _ = push(place, "team/app")
    status, headers, body = ask(place, "team/app", headers={**registry.basic("alice"), "If-None-Match": f'"{digest}"'})
    assert status == 304 and body == b"" and headers["ETag"] == f'"{digest}"'
    push(place, "team/app", (1000,))  # the tag moves
    assert ask(place, "team/app", headers={**registry.basic("alice"), "If-None-Match": f'"{digest}"'})[0] == 200
    assert ask(place, "team/app", digest)[0] == 200


def test_who_is_let_in(place):
    registry, _, _ = place
    push(place, "team/app")
    status, headers, body = ask(place, "team/app", headers={})
    assert status == 401 and headers["WWW-Authenticate"].startswith("Basic realm=")
    assert ask(place, "team/app", headers=registry.basic("alice", "wrong"))[0] == 401
    missing = [ask(place, "team/app", "2"), ask(place, "no/such"), ask(place, "team/app", "sha256:" + "0" * 64)]
    assert {(status, body) for status, _, body in missing} == {(404, missing[0][2])}
    assert json.loads(missing[0][2])["errors"][0]["code"] == "MANIFEST_UNKNOWN"


def test_an_index(place):
    registry, _, folder = place
    layout = str(folder / "both")
    entries = []
    for architecture in ("amd64", "arm64"):
        digest = small_image(layout, architecture)
        size = os.path.getsize(os.path.join(layout, "blobs", "sha256", digest.split(":")[1]))
        entries.append({"mediaType": MANIFEST, "digest": digest, "size": size,
                        "platform": {"os": "linux", "architecture": architecture}})
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode()
    name = hashlib.sha256(index).hexdigest()
    with open(os.path.join(layout, "blobs", "sha256", name), "wb") as f:
        f.write(index)
    with open(os.path.join(layout, "index.json"), "w", encoding="utf-8") as f:
        json.dump({"schemaVersion": 2, "manifests": [{
            "mediaType": INDEX, "digest": "sha256:" + name, "size": len(index),
            "annotations": {"org.opencontainers.image.ref.name": "1"}}]}, f)
    registry.push(f"oci:{layout}:1", "team/both:1", "alice", "--all")
    for entry in entries:
        status, headers, body = ask(place, "team/both", f"1?platform=linux/{entry['platform']['architecture']}")
        assert status == 200 and json.loads(body)["digest"] == entry["digest"] == headers["ETag"].strip('"')
        told = json.loads(body)["index"]
        assert (told["digest"], told["mediaType"], base64.b64decode(told["manifest"])) == ("sha256:" + name, INDEX, index)
        assert "index" not in json.loads(ask(place, "team/both", entry["digest"])[2])
    status, _, body = ask(place, "team/both", "1?platform=linux/riscv64")
    assert status == 404 and "linux/amd64, linux/arm64" in json.loads(body)["errors"][0]["message"]


def test_killed_in_the_middle(place):
    """Never half a torrent: what was not stored is made anew."""
    _, gate, _ = place
    names = [f"team/large{number}" for number in range(3)]
    for name in names:
        push(place, name, (40_000_000, 20_000_000, 300_000))
    with ThreadPoolExecutor(1) as pool:
        for name in names:
            pool.submit(ask, place, name, wait=False)
            gate.process.wait_line("made the torrent of")
            gate.process.popen.send_signal(signal.SIGKILL)
            gate.process.popen.wait()
            gate.start()
    for name in names:
        status, _, body = ask(place, name)
        assert status == 200 and all("torrent" in layer for layer in json.loads(body)["layers"])
    gate.tool("db", "check", "--config", gate.config)
