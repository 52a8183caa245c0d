"""
`swarmgate torrent create docker://…` in front of a registry that lies, stalls and leads astray: the
contract's exit code, one line that says what and why, and nothing left that is half done.
"""

import json
import os
import signal

import pytest
from support.evil_registry import (INDEX, LAYER, MANIFEST, EvilRegistry, answer, digest_of, endless, hang_up, noise, raw,
                                   redirect, reset, slowly, stall, stalled_body)
from support.gate import Gate
from support.process import Process, binary, run, wait_for

MANIFEST_MAX = 4 * 1024 * 1024
OTHER = digest_of(b"other")
LAYERS = (noise(1, 100_000), noise(2, 30_000))


@pytest.fixture
def evil():
    with EvilRegistry() as running:
        yield running


def source(evil, reference="1"):
    return f"docker://{evil.address}/team/app{'@' if ':' in reference else ':'}{reference}"


def create(evil, out, *more, reference="1"):
    done = run([binary("swarmgate"), "torrent", "create", source(evil, reference), "--output", out, *more], check=False,
               env={"HOME": str(out), "PATH": os.environ["PATH"]})
    assert "Sanitizer" not in done.stderr and "runtime error" not in done.stderr, done.stderr
    return done


def refused(done, status, says, out):
    """The exit code, one line, all of `says` in it, and nothing in `out`."""
    assert done.returncode == status, (done.returncode, done.stderr)
    assert done.stderr.startswith("swarmgate: ") and done.stderr.count("\n") == 1, done.stderr
    for text in [says] if isinstance(says, str) else says:
        assert text in done.stderr, (text, done.stderr)
    assert done.stdout == ""
    assert os.listdir(out) == []


def created(done, out):
    """It worked; the digests of its blobs, of which each that is not empty has its torrent."""
    assert done.returncode == 0, done.stderr
    blobs = json.loads((out / "index.json").read_text())["blobs"]
    assert {blob["file"] for blob in blobs if blob["size"] > 0} == {name for name in os.listdir(out) if name.endswith(".torrent")}
    return [blob["digest"] for blob in blobs]


def test_a_right_image(evil, tmp_path):
    document = evil.image(LAYERS)
    made = created(create(evil, tmp_path), tmp_path)
    assert made == [document["config"]["digest"]] + [layer["digest"] for layer in document["layers"]]
    for digest, data in zip(made[1:], LAYERS):
        (tmp_path / "data").write_bytes(data)
        run([binary("swarmgate"), "torrent", "verify", tmp_path / (digest.replace(":", "-") + ".torrent"), tmp_path / "data"])


# --- manifests ---

def change(document, path, value):
    """A deep copy with one member replaced, or taken out by None."""
    copy = json.loads(json.dumps(document))
    at = copy
    for step in path[:-1]:
        at = at[step]
    if value is None:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return copy


SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"
CHANGES = {
    "schema 1": ((["schemaVersion"], 1), "schema 1"),
    "schema 3": ((["schemaVersion"], 3), "schemaVersion"),
    "schema as text": ((["schemaVersion"], "2"), "schemaVersion"),
    "no schema": ((["schemaVersion"], None), "schemaVersion"),
    "schema 1 by type": ((["mediaType"], SCHEMA1), "schema 1"),
    "schema 1 by layers": ((["fsLayers"], []), "schema 1"),
    "unknown type": ((["mediaType"], "application/vnd.example.thing+json"), "no manifest"),
    "type is a number": ((["mediaType"], 5), "mediaType"),
    "index and manifest": ((["manifests"], []), "at once"),
    "no config": ((["config"], None), "config"),
    "config is a list": ((["config"], []), "config"),
    "no layers": ((["layers"], None), "layers is missing"),
    "layers is an object": ((["layers"], {}), "layers is not a list"),
    "layer is a number": ((["layers", 1], 7), "layers[1]"),
    "layer without digest": ((["layers", 0, "digest"], None), "layers[0]: digest"),
    "digest of another kind": ((["layers", 0, "digest"], "sha512:" + "0" * 128), "layers[0]: digest"),
    "digest in capitals": ((["layers", 0, "digest"], OTHER.upper()), "layers[0]: digest"),
    "digest is a path": ((["layers", 0, "digest"], "sha256:../../../../etc/passwd"), "layers[0]: digest"),
    "digest steers the terminal": ((["layers", 0, "digest"], "\x1b]0;x\x07"), "layers[0]: digest"),
    "size missing": ((["layers", 0, "size"], None), "layers[0]: size"),
    "size negative": ((["layers", 0, "size"], -1), "layers[0]: size"),
    "size a fraction": ((["layers", 0, "size"], 1.5), "layers[0]: size"),
    "size as text": ((["layers", 0, "size"], "3"), "layers[0]: size"),
    "size beyond 2^53": ((["layers", 0, "size"], 2 ** 53), "layers[0]: size"),
    "size at 2^63 - 1": ((["layers", 0, "size"], 2 ** 63 - 1), "layers[0]: size"),
    "size beyond 64 bits": ((["layers", 0, "size"], 2 ** 64), "too big integer"),
    "layer without type": ((["layers", 0, "mediaType"], None), "layers[0]: mediaType"),
    "layer's type is none": ((["layers", 0, "mediaType"], "x" * 300), "layers[0]: mediaType"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_manifest_is_wrong(evil, tmp_path, name):
    (path, value), says = CHANGES[name]
    evil.put_manifest(change(evil.manifest(), path, value), media_type="application/json")
    refused(create(evil, tmp_path), 1, ["cannot read the manifest", source(evil), says], tmp_path)


def doubled(document):
    return json.dumps(document).replace('"layers"', '"layers": [], "layers"').encode()


TEXTS = {
    "empty": (lambda d: b"", "line"),
    "not JSON": (lambda d: b"<html>It works!</html>", "line 1"),
    "a number": (lambda d: b"5", "line 1"),
    "a list": (lambda d: b"[]", "not a JSON object"),
    "cut": (lambda d: json.dumps(d).encode()[:-7], "line 1"),
    "followed by more": (lambda d: json.dumps(d).encode() + b"{}", "end of file"),
    "doubled member": (doubled, "duplicate"),
    "nested deep": (lambda d: b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "depth"),
    "many values": (lambda d: b'{"a":[' + b"[]," * 1_000_000 + b"[]]}", "values"),
    "a NUL": (lambda d: b'{"mediaType":"a\\u0000b"}', "NUL"),
    "not UTF-8": (lambda d: b'{"mediaType":"\xff"}', "byte 0xff"),
    "UTF-16": (lambda d: json.dumps(d).encode("utf-16"), "NUL"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_manifest_cannot_be_read(evil, tmp_path, name):
    text, says = TEXTS[name]
    evil.put_manifest(text(evil.manifest()), media_type=MANIFEST)
    refused(create(evil, tmp_path), 1, ["cannot read the manifest", source(evil), says], tmp_path)


@pytest.mark.parametrize("media_type,says", [
    ("text/html; charset=utf-8", "served as text/html"), (SCHEMA1, "schema 1"), (INDEX, "was served as"),
    ("application/" + "x" * 5000, "served as application/xxx"),
])
def test_manifest_served_as_something_else(evil, tmp_path, media_type, says):
    evil.put_manifest(evil.manifest(), media_type=media_type)
    refused(create(evil, tmp_path), 1, says, tmp_path)


def test_manifest_says_nothing_of_its_type(evil, tmp_path):
    document = change(evil.manifest(), ["mediaType"], None)
    evil.put_manifest(document, media_type="text/plain")
    assert len(created(create(evil, tmp_path), tmp_path)) == 3


def test_manifest_of_another_digest(evil, tmp_path):
    right = evil.put_manifest(evil.manifest())
    (tmp_path / "right").mkdir()
    created(create(evil, tmp_path / "right", reference=right["digest"]), tmp_path / "right")
    evil.on(f"/v2/team/app/manifests/{OTHER}", answer(200, json.dumps(evil.manifest()).encode(), Content_Type=MANIFEST))
    (tmp_path / "wrong").mkdir()
    refused(create(evil, tmp_path / "wrong", reference=OTHER), 5, ["digest should be " + OTHER, right["digest"]], tmp_path / "wrong")


def test_manifest_contradicts_its_header(evil, tmp_path):
    evil.put_manifest(evil.manifest(), Docker_Content_Digest=OTHER)
    refused(create(evil, tmp_path), 5, OTHER, tmp_path)


def index_of(*entries):
    return {"schemaVersion": 2, "mediaType": INDEX, "manifests": list(entries)}


def entry(descriptor, architecture="amd64", **more):
    return {**descriptor, "platform": {"os": "linux", "architecture": architecture}, **more}


def test_index(evil, tmp_path):
    manifest = evil.put_manifest(evil.manifest(), tag="x")
    arm = {**manifest, "digest": OTHER}
    for number, (document, status, says) in enumerate([
        (index_of(entry(arm, "arm64"), entry(manifest)), 0, None),
        (index_of(entry(manifest, size=manifest["size"] + 1)), 5, "bytes"),
        (index_of(entry(manifest, size=manifest["size"] - 1)), 5, "bytes"),
        (index_of(entry(manifest, digest=OTHER)), 4, "404"),
        (index_of(entry(arm, "arm64")), 4, "linux/arm64"),
        (index_of(), 4, "none"),
        (index_of(*[entry(arm, f"x{n}") for n in range(1025)]), 1, "1025 entries"),
    ]):
        out = tmp_path / str(number)
        out.mkdir()
        evil.put_manifest(document)
        done = create(evil, out, "--platform", "linux/amd64")
        if status == 0:
            created(done, out)
        else:
            refused(done, status, says, out)


def test_index_entry_lies(evil, tmp_path):
    manifest = evil.put_manifest(evil.manifest(), tag="x")
    evil.on("/v2/team/app/manifests/" + manifest["digest"], answer(200, b" " * manifest["size"], Content_Type=MANIFEST))
    evil.put_manifest(index_of(entry(manifest)))
    refused(create(evil, tmp_path), 5, ["digest should be " + manifest["digest"], "is " + digest_of(b" " * manifest["size"])], tmp_path)


def test_indexes_nested(evil, tmp_path):
    at = evil.put_manifest(evil.manifest(), tag="0")
    for depth in range(1, 4):
        at = evil.put_manifest(index_of(entry(at)), tag=str(depth))
    for depth in (0, 1, 2):
        out = tmp_path / str(depth)
        out.mkdir()
        created(create(evil, out, "--platform", "linux/amd64", reference=str(depth)), out)
    (tmp_path / "3").mkdir()
    refused(create(evil, tmp_path / "3", "--platform", "linux/amd64", reference="3"), 1, "nested", tmp_path / "3")


def test_foreign_layers_are_left_out(evil, tmp_path):
    document = evil.manifest()
    foreign = {"digest": OTHER, "size": 1000, "mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"}
    linked = {"digest": digest_of(b"linked"), "size": 6, "mediaType": LAYER, "urls": ["http://127.0.0.1:1/x"]}
    document["layers"] += [foreign, linked]
    evil.put_manifest(document)
    assert len(created(create(evil, tmp_path), tmp_path)) == 3


def test_no_layers(evil, tmp_path):
    document = evil.image([])
    assert created(create(evil, tmp_path), tmp_path) == [document["config"]["digest"]]


def test_the_same_layer_often(evil, tmp_path):
    document = evil.image([b"same"] * 200)
    assert created(create(evil, tmp_path), tmp_path) == [document["config"]["digest"], digest_of(b"same")]
    assert len(evil.asked("/v2/team/app/blobs/" + digest_of(b"same"))) == 1


def test_one_layer_of_two_sizes(evil, tmp_path):
    document = evil.manifest([b"same", b"same"])
    evil.put_manifest(change(document, ["layers", 1, "size"], 5))
    refused(create(evil, tmp_path), 1, "two sizes", tmp_path)


def test_a_thousand_layers(evil, tmp_path):
    evil.image([noise(n, 2000 + n) for n in range(1000)])
    assert len(created(create(evil, tmp_path), tmp_path)) == 1001


def test_too_many_layers(evil, tmp_path):
    layer = evil.put_blob(b"same")
    evil.put_manifest({**evil.manifest(), "layers": [layer] * 1024}, tag="most")
    evil.put_manifest({**evil.manifest(), "layers": [layer] * 1025})
    (tmp_path / "most").mkdir()
    assert len(created(create(evil, tmp_path / "most", reference="most"), tmp_path / "most")) == 2
    (tmp_path / "1").mkdir()
    refused(create(evil, tmp_path / "1"), 1, ["1025 entries", "1024"], tmp_path / "1")


def padded(document, size):
    text = json.dumps(document).encode()
    return text + b" " * (size - len(text))


def test_large_manifests(evil, tmp_path):
    for number, size in enumerate((MANIFEST_MAX, MANIFEST_MAX + 1)):
        out = tmp_path / str(number)
        out.mkdir()
        evil.put_manifest(padded(evil.manifest(), size), media_type=MANIFEST)
        done = create(evil, out)
        if number == 0:
            created(done, out)
        else:
            refused(done, 1, f"larger than {MANIFEST_MAX} bytes", out)


def test_endless_manifest(evil, tmp_path):
    flood = evil.on("/v2/team/app/manifests/1", endless(b" " * 65536, 1 << 30, Content_Type=MANIFEST))
    refused(create(evil, tmp_path), 1, f"larger than {MANIFEST_MAX} bytes", tmp_path)
    assert flood.sent < 64 << 20


# --- blobs ---

BLOBS = {
    "gone": (lambda b: answer(404, b"{}"), 4, "404"),
    "hidden": (lambda b: answer(403, b"{}"), 4, "403"),
    "broken": (lambda b: answer(500, b"{}"), 1, "500"),
    "busy": (lambda b: answer(429, b"{}", Retry_After=1), 1, "429"),
    "empty answer": (lambda b: answer(204), 1, "204"),
    "part": (lambda b: answer(206, b[:10], Content_Range=f"bytes 0-9/{len(b)}"), 1, "206"),
    "redirect without a place": (lambda b: answer(302), 1, "302"),
    "cut": (lambda b: answer(200, b[:5000], length=len(b)), 1, "GET"),
    "cut without a length": (lambda b: answer(200, b[:5000], length=""), 5, ["has 5000 bytes", f"should have {len(LAYERS[0])}"]),
    "longer than said": (lambda b: answer(200, b + b"more", length=len(b)), 0, ""),
    "longer": (lambda b: answer(200, b + b"more"), 5, f"should have {len(LAYERS[0])}"),
    "longer without a length": (lambda b: answer(200, b + b"more", length=""), 5, f"longer than the {len(LAYERS[0])}"),
    "shorter": (lambda b: answer(200, b[:-1]), 5, f"should have {len(LAYERS[0])}"),
    "a length too short": (lambda b: answer(200, b, length=10), 5, "says it has 10 bytes"),
    "a length too long": (lambda b: answer(200, b, length=2 ** 60), 5, "should have"),
    "a length beyond 64 bits": (lambda b: answer(200, b, length=2 ** 64), 0, ""),
    "a negative length": (lambda b: answer(200, b, length=-1), 1, "GET"),
    "two lengths": (lambda b: raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 9\r\n\r\n", b), 5, "should have"),
    "other bytes": (lambda b: answer(200, noise(9, len(b))), 5, "digest"),
    "one bit": (lambda b: answer(200, b[:-1] + bytes([b[-1] ^ 1])), 5, "digest"),
    "endless": (lambda b: endless(b"x" * 65536, 1 << 30), 5, "longer than"),
    "no answer": (lambda b: hang_up, 1, "GET"),
    "reset": (lambda b: reset, 1, "GET"),
    "garbage": (lambda b: raw(noise(3, 5000)), 1, "GET"),
    "HTTP/0.9": (lambda b: raw(b), 1, "GET"),
    "HTTP/9.9": (lambda b: raw(b"HTTP/9.9 200 OK\r\nContent-Length: 5\r\n\r\n12345"), 1, "GET"),
    "SSH": (lambda b: raw(b"SSH-2.0-OpenSSH_9.2p1\r\n"), 1, "GET"),
    "no status": (lambda b: raw(b"HTTP/1.1 \r\n\r\n"), 1, "GET"),
    "status 999": (lambda b: raw(b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n"), 1, "999"),
    "head cut": (lambda b: raw(b"HTTP/1.1 200 OK\r\nContent-Le"), 1, "GET"),
    "header flood": (lambda b: raw(b"HTTP/1.1 200 OK\r\n", *[b"X-%d: %s\r\n" % (n, b"y" * 1000) for n in range(1000)], b"\r\n"), 1, "large"),
    "one long header": (lambda b: raw(b"HTTP/1.1 200 OK\r\nX: ", b"y" * (1 << 20), b"\r\n\r\n"), 1, "GET"),
    "many headers": (lambda b: raw(b"HTTP/1.1 200 OK\r\n", b"a: b\r\n" * 5000, b"\r\n"), 1, "too many header fields"),
    "interim answers": (lambda b: raw(*[b"HTTP/1.1 100 Continue\r\n\r\n"] * 100_000), 1, "large"),
    "header that is no field": (lambda b: raw(b"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n", b), 1, "colon"),
    "gzip in transit": (lambda b: answer(200, b, Content_Encoding="gzip"), 0, ""),
    "chunks": (lambda b: raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % len(b), b, b"\r\n0\r\n\r\n"), 0, ""),
    "chunks cut": (lambda b: raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % len(b), b[:-1]), 1, "GET"),
    "chunks without an end": (lambda b: raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % len(b), b, b"\r\n"), 1, "GET"),
    "chunk of nonsense": (lambda b: raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b), 1, "GET"),
    "chunk of 2^70": (lambda b: raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n400000000000000000\r\n", b), 1, "GET"),
    "trailer flood": (lambda b: raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % len(b), b, b"\r\n0\r\n",
                                    b"x: %s\r\n" % (b"y" * 1000) * 1000, b"\r\n"), 1, "large"),
}


@pytest.mark.parametrize("name", BLOBS)
def test_blob(evil, tmp_path, name):
    fault, status, says = BLOBS[name]
    layer = evil.image(LAYERS)["layers"][0]
    evil.on("/v2/team/app/blobs/" + layer["digest"], fault(LAYERS[0]))
    done = create(evil, tmp_path)
    if status == 0:
        assert len(created(done, tmp_path)) == 3
        return
    refused(done, status, [layer["digest"], *([says] if isinstance(says, str) else says)], tmp_path)
    assert layer["digest"].replace(":", "-") + ".torrent" not in os.listdir(tmp_path)


def test_empty_blob(evil, tmp_path):
    evil.image([b"", b"two"])
    created(create(evil, tmp_path), tmp_path)
    evil.on("/v2/team/app/blobs/" + digest_of(b""), answer(200, b"not empty", length=""))
    (tmp_path / "out").mkdir()
    refused(create(evil, tmp_path / "out"), 5, digest_of(b""), tmp_path / "out")


def test_slow_but_steady(evil, tmp_path):
    layer = evil.image(LAYERS)["layers"][0]
    evil.on("/v2/team/app/blobs/" + layer["digest"], slowly(LAYERS[0], 20, 0.05))
    created(create(evil, tmp_path), tmp_path)


@pytest.mark.parametrize("where", ["manifest", "head", "body"])
@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
def test_a_stall_can_be_ended(evil, tmp_path, where, sig):
    layer = evil.image(LAYERS)["layers"][0]
    path = "/v2/team/app/manifests/1" if where == "manifest" else "/v2/team/app/blobs/" + layer["digest"]
    evil.on(path, stalled_body(LAYERS[0], 5000) if where == "body" else stall)
    with Process([binary("swarmgate"), "torrent", "create", source(evil), "--output", tmp_path]) as running:
        wait_for("the request that stalls", 20, lambda: evil.asked(path))
        assert running.stop(sig) != 0
        assert "Sanitizer" not in running.output()
    assert "index.json" not in os.listdir(tmp_path)


# --- redirects ---

def test_redirects_are_followed(evil, tmp_path):
    layer = evil.image(LAYERS)["layers"][0]
    path = "/v2/team/app/blobs/" + layer["digest"]
    evil.on("/elsewhere", evil.routes[path])
    for n in range(9):
        evil.on(f"/hop{n}", redirect(f"/hop{n + 1}" if n < 8 else evil.url + "/elsewhere", (301, 302, 303, 307, 308)[n % 5]))
    evil.on(path, redirect("/hop0"))
    created(create(evil, tmp_path), tmp_path)


@pytest.mark.parametrize("what", ["manifest", "blob"])
@pytest.mark.parametrize("location,says", [
    (None, "redirects: that is more than 10"), ("file:///etc/passwd", "neither http nor https"), ("ftp://127.0.0.1/x", "neither http nor https"),
    ("gopher://127.0.0.1:1/x", "neither http nor https"), ("http://user:secret@127.0.0.1:1/", "user name or password"),
    ("http://127.0.0.1:1/x", "127.0.0.1:1"), ("http://[::1", "URL"), ("http://127.0.0.1:99999/", "URL"), ("/" + "x" * 20000, "longer than"),
    ("\x01\x02", "URL"), ("http:///", "URL"),
])
def test_redirect_leads_astray(evil, tmp_path, what, location, says):
    layer = evil.image(LAYERS)["layers"][0]
    path = "/v2/team/app/manifests/1" if what == "manifest" else "/v2/team/app/blobs/" + layer["digest"]
    evil.on(path, redirect(path if location is None else location))
    done = create(evil, tmp_path)
    refused(done, 1, [evil.address, says], tmp_path)
    assert "secret" not in done.stderr and len(evil.asked(path)) <= 12


def test_redirect_takes_no_credentials_along(tmp_path):
    with EvilRegistry(login=("alice", "secret")) as evil, EvilRegistry() as storage:
        layer = evil.image(LAYERS)["layers"][0]
        storage.on("/data", answer(200, LAYERS[0]))
        evil.on("/v2/team/app/blobs/" + layer["digest"], redirect(storage.url + "/data?signature=SIGNED"))
        created(create(evil, tmp_path, "--creds", "alice:secret"), tmp_path)
        assert evil.asked("/v2/team/app/manifests/1")[-1].authorization.startswith("Basic ")
        assert [request.authorization for request in storage.requests] == [None]
        storage.on("/data", answer(403, b"<Error/>"))
        (tmp_path / "out").mkdir()
        done = create(evil, tmp_path / "out", "--creds", "alice:secret")
        refused(done, 1, [layer["digest"], "redirects to answered 403"], tmp_path / "out")
        # A stranger's challenge is not answered.
        storage.on("/data", answer(401, b"", WWW_Authenticate='Basic realm="tell me"'))
        refused(create(evil, tmp_path / "out", "--creds", "alice:secret"), 1, [layer["digest"], "redirects to answered 401"], tmp_path / "out")
        storage.on("/data", answer(404))
        refused(create(evil, tmp_path / "out", "--creds", "alice:secret"), 4, [layer["digest"], "redirects to answered 404"], tmp_path / "out")
        assert {request.authorization for request in storage.requests} == {None}


def test_https_stays_https(tmp_path):
    with EvilRegistry(tls=str(tmp_path / "tls")) as evil, EvilRegistry() as plain:
        layer = evil.image(LAYERS)["layers"][0]
        certificates = tmp_path / "certificates"
        certificates.mkdir()
        (certificates / "ca.crt").write_bytes((tmp_path / "tls" / "ca.crt").read_bytes())
        out = tmp_path / "right"
        out.mkdir()
        created(create(evil, out, "--cert-dir", certificates), out)
        plain.on("/data", answer(200, LAYERS[0]))
        evil.on("/v2/team/app/blobs/" + layer["digest"], redirect(plain.url + "/data"))
        for number, more in enumerate((["--cert-dir", certificates], ["--tls-verify=false"])):
            out = tmp_path / f"down{number}"
            out.mkdir()
            refused(create(evil, out, *more), 1, "from https to plain http", out)
        evil.on("/v2/team/app/manifests/1", answer(401, b"", WWW_Authenticate=f'Bearer realm="{plain.url}/token"'))
        refused(create(evil, out, "--cert-dir", certificates, "--creds", "alice:secret"), 1, "from https to plain http", out)
        assert plain.requests == []
        refused(create(evil, out), 1, "certificate", out)


def test_who_answers_over_https_is_not_asked_over_http(tmp_path):
    """Neither what redirects for ever nor what has a token service that is not there: credentials would go along."""
    with EvilRegistry(tls=str(tmp_path / "tls")) as evil:
        (tmp_path / "out").mkdir()
        path = "/v2/team/app/manifests/1"
        for send, says in ((redirect(path), "more than 10 in a row"),
                           (answer(401, b"", WWW_Authenticate='Bearer realm="https://127.0.0.1:1/token"'), "the token service")):
            evil.on(path, send)
            done = create(evil, tmp_path / "out", "--tls-verify=false", "--creds", "alice:secret")
            refused(done, 1, says, tmp_path / "out")
            assert "plain http" not in done.stderr, done.stderr


# --- challenges and tokens ---

def challenges(evil, *values):
    """Everything below /v2/ is answered 401 with these challenges."""
    evil.routes = {path: send for path, send in evil.routes.items() if not path.startswith("/v2/")}
    fields = b"".join(b"WWW-Authenticate: " + value.encode("latin-1") + b"\r\n" for value in values)
    evil.on("/v2/*", raw(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\nConnection: close\r\n" + fields + b"\r\n"))


@pytest.mark.parametrize("values", [
    [], ["Basic realm=\"x\""], ["Negotiate"], ["Bearer"], ["Bearer realm="], ["Bearer realm=\"\""], ["Bearer realm=\"unterminated"], ["=,=,\"\\"],
    ["Digest realm=\"x\", nonce=\"" + "y" * 5000 + "\""], [", ,, Basic"], ["\xff\xfe"],
])
def test_401_without_end(evil, tmp_path, values):
    challenges(evil, *values)
    done = create(evil, tmp_path, "--creds", "alice:secret")
    refused(done, 3, ["401", evil.address], tmp_path)
    assert "secret" not in done.stderr and len(evil.requests) <= 3


def with_token(evil, send):
    evil.on("/token", send)
    challenges(evil, f'Bearer realm="{evil.url}/token",service="evil",scope="repository:team/app:pull"')


def test_token_round(evil, tmp_path):
    evil.image(LAYERS)
    evil.on("/token", answer(200, b'{"token":"T0KEN"}'))
    right = dict(evil.routes)
    for path, send in right.items():
        if path.startswith("/v2/"):
            def guarded(wire, request, send=send):
                known = request.authorization == "Bearer T0KEN"
                (send if known else answer(401, b"", WWW_Authenticate=f'Bearer realm="{evil.url}/token",service="s"'))(wire, request)
            evil.on(path, guarded)
    created(create(evil, tmp_path, "--creds", "alice:secret"), tmp_path)
    assert len(evil.asked("/token")) == 1 and evil.asked("/token")[0].authorization.startswith("Basic ")


def bearer_of(size):
    return answer(200, json.dumps({"token": "x" * size}).encode())


TOKENS = {
    "refused": (answer(401), 3, "refuses the login"),
    "hidden": (answer(403), 3, "refuses the login"),
    "missing": (answer(404), 1, "answered 404"),
    "broken": (answer(500), 1, "answered 500"),
    "redirected": (redirect("/elsewhere"), 1, "answered 302"),
    "not JSON": (answer(200, b"<html>"), 1, "without a token"),
    "empty": (answer(200, b""), 1, "without a token"),
    "a list": (answer(200, b"[]"), 1, "without a token"),
    "no token": (answer(200, b"{}"), 1, "without a token"),
    "a number": (answer(200, b'{"token":5}'), 1, "without a token"),
    "an empty token": (answer(200, b'{"token":""}'), 1, "without a token"),
    "a token with a line end": (answer(200, b'{"token":"a\\r\\nX-Evil: b"}'), 1, "without a token"),
    "nested deep": (answer(200, b"[" * 60000), 1, "without a token"),
    "huge token": (bearer_of(20_000), 1, "without a token"),
    "huge answer": (bearer_of(100_000), 1, "more than"),
    "endless": (endless(b" " * 65536, 1 << 30), 1, "more than"),
    "cut": (answer(200, b'{"token"', length=100), 1, "token service"),
    "hang up": (hang_up, 1, "token service"),
    "reset": (reset, 1, "token service"),
    "a token that does not help": (bearer_of(100), 3, "401"),
    "the largest token": (bearer_of(16 * 1024), 3, "401"),
    "good for ever": (answer(200, b'{"token":"x","expires_in":9223372036854775807}'), 3, "401"),
    "good since long ago": (answer(200, b'{"token":"x","expires_in":-1}'), 3, "401"),
}


@pytest.mark.parametrize("name", TOKENS)
def test_token_service(evil, tmp_path, name):
    send, status, says = TOKENS[name]
    with_token(evil, send)
    done = create(evil, tmp_path, "--creds", "alice:secret")
    refused(done, status, [evil.address, says], tmp_path)
    assert "secret" not in done.stderr and len(evil.asked("/token")) <= 2


@pytest.mark.parametrize("realm,says", [
    ("file:///etc/passwd", "neither http nor https"), ("ftp://127.0.0.1/", "neither http nor https"), ("http://[", "URL"), ("x" * 20000, "longer than"),
    ("http://user:hidden@127.0.0.1:1/", "user name or password"), ("http://127.0.0.1:1/token", "127.0.0.1:1"), ("\x01\x7f", "URL"),
])
def test_token_realm_leads_astray(evil, tmp_path, realm, says):
    challenges(evil, f'Bearer realm="{realm}",service="{"s" * 300}",scope="a b c"')
    done = create(evil, tmp_path, "--creds", "alice:secret")
    refused(done, 1, says, tmp_path)
    assert "secret" not in done.stderr and "hidden" not in done.stderr


def test_token_realm_stalls(evil, tmp_path):
    with_token(evil, stall)
    with Process([binary("swarmgate"), "torrent", "create", source(evil), "--output", tmp_path]) as running:
        wait_for("the question for a token", 20, lambda: evil.asked("/token"))
        assert running.stop() != 0
    assert os.listdir(tmp_path) == []


def test_nothing_is_registered_of_a_bad_image(evil, tmp_path):
    gate = Gate(str(tmp_path / "gate"), [{"name": "evil.example", "url": evil.url}])
    layer = evil.image(LAYERS)["layers"][1]

    def registered():
        return json.loads(gate.tool("torrent", "list", "--config", gate.config, "--json").stdout)

    def register():
        return gate.tool("torrent", "create", source(evil), "--register", "--config", gate.config, check=False)

    right = evil.routes["/v2/team/app/blobs/" + layer["digest"]]
    evil.on("/v2/team/app/blobs/" + layer["digest"], answer(200, noise(9, len(LAYERS[1]))))
    assert register().returncode == 5
    assert registered() == []
    evil.on("/v2/team/app/blobs/" + layer["digest"], right)
    assert register().returncode == 0
    assert len(registered()) == 3
    assert {entry["digest"] for entry in registered()} >= {layer["digest"]}
