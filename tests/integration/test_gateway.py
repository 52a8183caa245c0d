"""The gateway in front of a real docker-registry: who gets a torrent, what the webseed serves."""

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import USERS, registry_row
from support.announce import announce, bdecode, failure, get
from support.gate import Gate
from support.image import small_image
from support.jws import unb64
from support.process import run
from support.registry import Registry


def create(gate, registry, name="team/app:1", *more):
    done = gate.tool("torrent", "create", f"docker://{registry.address}/{name}", "--register", "--json", "--config", gate.config,
                     "--authfile", registry.auth_file("alice"), *more)
    return json.loads(done.stdout)


@pytest.fixture
def index(gate, registry):
    return create(gate, registry)


@pytest.fixture
def layer(index):
    return max(index["blobs"], key=lambda blob: blob["size"])


def blob_path(name, blob):
    return f"/v1/{name}/blobs/{blob['digest']}"


def torrent(gate, registry, blob, name="team/app", headers=None):
    return get(gate.gateway, blob_path(name, blob), headers if headers is not None else registry.basic("alice"))


def errors_of(body):
    return [error["code"] for error in json.loads(body)["errors"]]


def webseed_of(metainfo):
    urls = metainfo[b"url-list"]
    return (urls[0] if isinstance(urls, list) else urls).decode()


def blob_file(registry, blob):
    digest = blob["digest"].split(":")[1]
    return os.path.join(registry.folder, "storage/docker/registry/v2/blobs/sha256", digest[:2], digest, "data")


def bytes_of(registry, blob):
    with open(blob_file(registry, blob), "rb") as f:
        return f.read()


def test_torrent_with_tokens_inside(gate, registry, layer):
    status, headers, body = torrent(gate, registry, layer)
    assert status == 200 and headers["Content-Type"] == "application/x-bittorrent"
    metainfo = bdecode(body)
    info = metainfo[b"info"]
    assert info[b"private"] == 1 and info[b"length"] == layer["size"]
    assert info[b"name"] == layer["digest"].replace(":", "-").encode()
    url, token = metainfo[b"announce"].decode().split("?jwt=")
    assert url == gate.announce_url
    claims = json.loads(unb64(token.split(".")[1]))
    assert claims["infohash"] in (layer["infohash"], [layer["infohash"]])
    assert claims["sub"] == "registry.example/alice"
    assert set(claims) == {"iss", "aud", "sub", "exp", "nbf", "iat", "jti", "session", "registry", "repository", "infohash"}
    assert (claims["registry"], claims["repository"]) == ("registry.example", "team/app")
    assert claims["exp"] - claims["iat"] == 600 and claims["session"] - claims["iat"] == 24 * 3600
    assert failure(announce(gate.tracker, layer["infohash"], token)) is None
    assert webseed_of(metainfo).startswith(gate.gateway_url + "/webseed/") and webseed_of(metainfo).endswith("/")
    verified = gate.tool("token", "verify", "--config", gate.config, "-", input=token, check=False)
    assert verified.returncode == 0, verified.stderr


def test_who_is_let_in(gate, registry, index, layer):
    status, headers, body = torrent(gate, registry, layer, headers={})
    assert status == 401 and headers["WWW-Authenticate"].startswith("Basic realm=") and errors_of(body) == ["UNAUTHORIZED"]
    assert torrent(gate, registry, layer, headers=registry.basic("alice", "wrong"))[0] == 401
    assert torrent(gate, registry, layer, headers={"Authorization": "Bearer nonsense"})[0] == 401
    unknown = {"digest": "sha256:" + "0" * 64}
    missing = [torrent(gate, registry, unknown), torrent(gate, registry, layer, name="no/such")]
    assert [(status, errors_of(body)) for status, _, body in missing] == [(404, ["BLOB_UNKNOWN"])] * 2
    for path in ("/v1/", "/v1/team/app", "/v1/team/app/blobs/", "/v1/team/app/blobs/sha256:zz", "/v1//blobs/" + layer["digest"],
                 "/v1/TEAM/app/blobs/" + layer["digest"], "/v1/../team/app/blobs/" + layer["digest"],
                 "/v1/" + "a" * 300 + "/blobs/" + layer["digest"]):
        status, _, body = get(gate.gateway, path, registry.basic("alice"))
        assert status in (400, 404) and errors_of(body), path


def test_a_blob_in_a_repository_that_does_not_have_it(gate, registry, layer):
    assert torrent(gate, registry, layer, name="other/app")[0] == 404


def test_webseed(gate, registry, layer):
    url = webseed_of(bdecode(torrent(gate, registry, layer)[2]))
    path, name, whole = url[len(gate.gateway_url):], layer["digest"].replace(":", "-"), bytes_of(registry, layer)
    for file in (name, layer["digest"], layer["digest"].replace(":", "%3A"), f"{name}/{name}"):
        status, headers, body = get(gate.gateway, path + file)
        assert status == 200 and body == whole, file
        assert headers["Accept-Ranges"] == "bytes" and headers["ETag"] and not headers["Content-Encoding"]
    status, headers, body = get(gate.gateway, path + name, method="HEAD")
    assert status == 200 and int(headers["Content-Length"]) == len(whole) and body == b""
    last = len(whole) - 1
    for asked, first, end in (("bytes=0-0", 0, 0), ("bytes=5-99", 5, 99), (f"bytes={last}-", last, last), ("bytes=-7", last - 6, last),
                              (f"bytes=10-{last + 1000}", 10, last), (f"bytes=-{last + 1000}", 0, last)):
        status, headers, body = get(gate.gateway, path + name, {"Range": asked})
        assert status == 206 and body == whole[first:end + 1], asked
        assert headers["Content-Range"] == f"bytes {first}-{end}/{len(whole)}"
    status, headers, _ = get(gate.gateway, path + name, {"Range": f"bytes={len(whole)}-"})
    assert status == 416 and headers["Content-Range"] == f"bytes */{len(whole)}"
    for asked in ("bytes=1-2,4-5", "bytes=x", "items=0-1", "bytes=5-1"):
        status, _, body = get(gate.gateway, path + name, {"Range": asked})
        assert status == 200 and body == whole, asked


def test_webseed_refusals(gate, registry, index, layer):
    url = webseed_of(bdecode(torrent(gate, registry, layer)[2]))
    path, name = url[len(gate.gateway_url):], layer["digest"].replace(":", "-")
    token = path.split("/")[2]
    other = next(blob for blob in index["blobs"] if blob is not layer)
    assert get(gate.gateway, f"{path}{other['digest'].replace(':', '-')}")[0] in (403, 404)
    swarm = gate.token(layer["infohash"])
    for bad in ("x", "", swarm, token[:-4] + "AAAA", token + ".x", token.split(".")[0] + ".." + token.split(".")[2], "x" * 20000):
        assert get(gate.gateway, f"/webseed/{bad}/{name}")[0] in (403, 404, 431), bad[:30]
    assert get(gate.gateway, f"/webseed/{swarm}/{name}")[0] == 403
    assert failure(announce(gate.tracker, layer["infohash"], token)) == "token invalid"
    process = gate.process
    gate.stop()
    assert token not in process.output() and token.split(".")[2] not in process.output()


@pytest.mark.parametrize("kind", ["v2", "hybrid"])
def test_other_formats(registry, tmp_path, kind):
    import libtorrent
    with Gate(str(tmp_path), [registry_row(registry, str(tmp_path))], gateway={"torrents": {"format": kind}}) as gate:
        index = create(gate, registry)  # the format of the configuration that it is registered with
        layer = max(index["blobs"], key=lambda blob: blob["size"])
        status, _, body = torrent(gate, registry, layer)
        assert status == 200
        info = libtorrent.torrent_info(libtorrent.bdecode(body))
        assert str(info.info_hashes().v2) == layer["infohash_v2"]
        token = bdecode(body)[b"announce"].decode().split("?jwt=")[1]
        assert failure(announce(gate.tracker, layer["infohash_v2"], token)) is None
        if kind == "hybrid":
            assert failure(announce(gate.tracker, layer["infohash"], token)) is None


def test_made_on_first_request(gate, registry):
    import libtorrent
    # other/app has blobs that alice may read, but nobody has made torrents of them.
    raw = run(["skopeo", "inspect", "--raw", "--tls-verify=false", "--authfile", registry.auth_file("alice"),
               f"docker://{registry.address}/other/app:1"]).stdout
    blob = max(json.loads(raw)["layers"], key=lambda layer: layer["size"])
    before = registry.asked("other/app")
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: torrent(gate, registry, blob, name="other/app"), range(20)))
    assert [status for status, _, _ in answers] == [200] * 20
    metainfo = bdecode(answers[0][2])
    assert metainfo[b"info"][b"length"] == blob["size"]
    read = ("GET", f"blobs/{blob['digest']}")
    assert registry.asked("other/app", before)[read] == 1
    by_tool = next(b for b in create(gate, registry, "other/app:1")["blobs"] if b["digest"] == blob["digest"])
    made = libtorrent.torrent_info(libtorrent.bdecode(answers[0][2]))
    assert str(made.info_hashes().v1) == by_tool["infohash"]
    # Whoever may not read it makes the gateway read nothing.
    other = next(layer for layer in json.loads(raw)["layers"] if layer != blob)
    before = registry.asked("other/app")
    assert torrent(gate, registry, other, headers={})[0] == 401 and torrent(gate, registry, other)[0] == 404
    assert ("GET", f"blobs/{other['digest']}") not in registry.asked("other/app", before)


def test_credentials_of_the_gateway_that_do_not_work(registry, tmp_path):
    row = registry_row(registry, str(tmp_path))
    (tmp_path / "gateway.pass").write_text("wrong\n")
    with Gate(str(tmp_path), [row]) as gate:
        raw = run(["skopeo", "inspect", "--raw", "--tls-verify=false", "--authfile", registry.auth_file("alice"),
                   f"docker://{registry.address}/team/app:1"]).stdout
        status, _, body = torrent(gate, registry, json.loads(raw)["layers"][0])
        assert status == 502 and errors_of(body) == ["UNAVAILABLE"]
        assert "`credentials` under `registries`" in gate.process.wait_line("cannot hash")


def test_the_log_says_why_there_is_no_torrent(gate, registry, index, layer):
    for blob, headers, why in ((layer, registry.basic("alice", "wrong-password"), "the registry wants credentials"),
                               ({"digest": "sha256:" + "0" * 64}, None, "the registry does not have it")):
        assert torrent(gate, registry, blob, headers=headers)[0] in (401, 404)
        line = gate.process.wait_line(why)
        assert blob["digest"] in line and "/team/app:" in line and "wrong-password" not in line


def test_registry_down(registry, tmp_path):
    row = {**registry_row(registry, str(tmp_path)), "url": "http://127.0.0.1:1"}
    with Gate(str(tmp_path), [row]) as gate:
        status, _, body = get(gate.gateway, "/v1/team/app/blobs/sha256:" + "0" * 64, registry.basic("alice"))
        assert status == 502 and errors_of(body)


def test_a_yes_is_remembered(tmp_path):
    with Registry(str(tmp_path / "registry"), {**USERS, "bob": "bob-password"}) as registry:
        small_image(str(tmp_path / "image"), "team/app")
        registry.push(f"oci:{tmp_path}/image:1", "team/app:1", "alice")
        with Gate(str(tmp_path), [registry_row(registry, str(tmp_path))]) as gate:
            blob = create(gate, registry)["blobs"][0]
            assert torrent(gate, registry, blob)[0] == 200
            registry.stop()
            assert torrent(gate, registry, blob)[0] == 200
            for headers in (registry.basic("bob"), registry.basic("alice", "wrong"), {}):
                assert torrent(gate, registry, blob, headers=headers)[0] == 502


def ask_tokens(gate, digests, headers, name="team/app"):
    """(status, headers, body) of POST …/tokens."""
    return get(gate.gateway, f"/v1/{name}/tokens", headers, method="POST", body=json.dumps({"digests": digests}))


def test_tokens(gate, registry, index):
    digests = [blob["digest"] for blob in index["blobs"]]
    others = ["sha256:" + "0" * 64]
    status, headers, body = ask_tokens(gate, digests + others + digests, registry.basic("alice"))
    assert status == 200 and headers["Content-Type"] == "application/json" and headers["Cache-Control"] == "no-store"
    answer = json.loads(body)
    assert set(answer) == {"token", "expires_in", "session", "webseeds"} and list(answer["webseeds"]) == digests
    claims = json.loads(unb64(answer["token"].split(".")[1]))
    assert claims["infohash"] == [blob["infohash"] for blob in index["blobs"]]
    assert claims["sub"] == "registry.example/alice" and claims["repository"] == "team/app"
    assert answer["expires_in"] == claims["exp"] - claims["iat"] == 600 and answer["session"] == claims["session"]
    for blob in index["blobs"]:
        assert failure(announce(gate.tracker, blob["infohash"], answer["token"])) is None
        url = answer["webseeds"][blob["digest"]]
        assert url.startswith(gate.gateway_url + "/webseed/") and url.endswith("/")
        assert get(gate.gateway, url[len(gate.gateway_url):] + blob["digest"].replace(":", "-"))[2] == bytes_of(registry, blob)
    assert failure(announce(gate.tracker, "00" * 20, answer["token"])) == "not authorised for this torrent"
    process = gate.process
    gate.stop()
    assert answer["token"] not in process.output() and claims["jti"] in process.output()


def test_who_gets_no_tokens(gate, registry, index):
    digests = [blob["digest"] for blob in index["blobs"]]
    for headers in ({}, registry.basic("alice", "wrong"), {"Authorization": "Bearer nonsense"}):
        status, got, body = ask_tokens(gate, digests, headers)
        assert status == 401 and got["WWW-Authenticate"].startswith("Basic realm=") and errors_of(body) == ["UNAUTHORIZED"]
    alice = registry.basic("alice")
    hidden = [ask_tokens(gate, ["sha256:" + "0" * 64], alice), ask_tokens(gate, digests, alice, "no/such"),
              ask_tokens(gate, digests[-1:], alice, "other/app")]
    assert [(status, errors_of(body)) for status, _, body in hidden] == [(404, ["BLOB_UNKNOWN"])] * 3
    for digests, code in (([], "UNSUPPORTED"), (["latest"], "DIGEST_INVALID"), ([f"sha256:{i:064x}" for i in range(49)], "UNSUPPORTED")):
        status, _, body = ask_tokens(gate, digests, alice)
        assert status == 400 and errors_of(body) == [code]
    assert ask_tokens(gate, ["x" * 65536], alice)[0] == 413
    assert get(gate.gateway, "/v1/team/app/tokens", alice)[1]["Allow"] == "POST"


def test_tokens_of_an_open_registry(tmp_path):
    with Registry(str(tmp_path / "registry"), {}) as registry:
        small_image(str(tmp_path / "image"), "team/app")
        run(["skopeo", "copy", "-q", "--insecure-policy", "--dest-tls-verify=false", "--preserve-digests", f"oci:{tmp_path}/image:1",
             f"docker://{registry.address}/team/app:1"])
        with Gate(str(tmp_path), [{"name": "registry.example", "url": registry.url}]) as gate:
            made = json.loads(gate.tool("torrent", "create", f"docker://{registry.address}/team/app:1", "--register", "--json", "--config",
                                        gate.config).stdout)
            digests = [blob["digest"] for blob in made["blobs"]]
            # Whoever they say they are, the registry says yes without asking.
            for headers, sub in (({}, ""), ({"Authorization": "Basic Ym9iOg=="}, "bob")):
                answer = json.loads(ask_tokens(gate, digests, headers)[2])
                assert list(answer["webseeds"]) == digests
                assert json.loads(unb64(answer["token"].split(".")[1]))["sub"] == "registry.example/" + sub


def test_credentials_stay_secret(gate, registry, layer):
    torrent(gate, registry, layer)
    torrent(gate, registry, layer, headers=registry.basic("alice", "wrong-password"))
    process = gate.process
    gate.stop()
    basic = registry.basic("alice")["Authorization"].split()[1]
    for secret in (USERS["alice"], USERS["gateway"], basic, "wrong-password"):
        assert secret not in process.output()


def test_digest_of_what_the_webseed_gives(gate, registry, index):
    for blob in index["blobs"]:
        url = webseed_of(bdecode(torrent(gate, registry, blob)[2]))
        _, _, body = get(gate.gateway, url[len(gate.gateway_url):] + blob["digest"].replace(":", "-"))
        assert "sha256:" + hashlib.sha256(body).hexdigest() == blob["digest"]
