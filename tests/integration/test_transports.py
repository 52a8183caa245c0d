"""
Where images come from: every transport with what skopeo really wrote, all platforms at once, whatever
stands in a manifest; registries over TLS, with client certificates, behind redirects; and the gateway
in front of one.
"""

import base64
import bz2
import gzip
import hashlib
import http.client
import json
import lzma
import os
import re
import shutil

import pytest
from conftest import USERS, registry_row
from support.announce import bdecode, get
from support.certificates import DAY, Authority
from support.gate import Gate
from support.image import CONFIG, LAYER, MANIFEST, Layer, small_image
from support.process import binary, free_port, run
from support.proxies import Nginx
from support.registry import Registry

INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER = "application/vnd.docker."
EMPTY = "application/vnd.oci.empty.v1+json"


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def skopeo(*argv):
    run(["skopeo", "copy", "-q", "--insecure-policy", "--src-tls-verify=false", "--dest-tls-verify=false", *argv])


def create(source, out, *more, status=0, says=""):
    """swarmgate torrent create SOURCE; its index, or None where it must fail with one line."""
    done = run([binary("swarmgate"), "torrent", "create", source, "--output", out, *more], check=False,
               env={**os.environ, "HOME": str(out)})
    assert done.returncode == status, (done.returncode, done.stderr)
    assert says in done.stderr, done.stderr
    if status != 0:
        assert done.stderr.startswith("swarmgate: ") and done.stderr.count("\n") == 1, done.stderr
        return None
    with open(os.path.join(out, "index.json"), encoding="utf-8") as f:
        return json.load(f)


class Layout:
    """An OCI layout put together by hand."""

    def __init__(self, path):
        self.path = str(path)
        os.makedirs(os.path.join(self.path, "blobs/sha256"))
        with open(os.path.join(self.path, "oci-layout"), "w", encoding="utf-8") as f:
            f.write('{"imageLayoutVersion":"1.0.0"}')

    def put(self, content, media_type, **more):
        """A blob's descriptor."""
        content = json.dumps(content).encode() if isinstance(content, dict) else content
        with open(os.path.join(self.path, "blobs/sha256", digest_of(content)[7:]), "wb") as f:
            f.write(content)
        return {"mediaType": media_type, "digest": digest_of(content), "size": len(content), **more}

    def layer(self, seed, size=20_000):
        """A layer that can be unpacked: its descriptor and its diff id."""
        layer = Layer(self.path)
        layer.add("file", b"".join(hashlib.sha256(f"{seed}{n}".encode()).digest() for n in range(size // 32)))
        layer.close()
        with open(layer.path, "rb") as f:
            descriptor = self.put(f.read(), LAYER)
        os.unlink(layer.path)
        return descriptor, "sha256:" + layer.diff.hexdigest()

    def image(self, layers, architecture):
        """A manifest's descriptor, as an entry of an index."""
        config = self.put({"architecture": architecture, "os": "linux", "config": {}, "history": [{"created_by": "test"} for _ in layers],
                           "rootfs": {"type": "layers", "diff_ids": [diff for _, diff in layers]}}, CONFIG)
        return self.manifest(config, [descriptor for descriptor, _ in layers], platform={"os": "linux", "architecture": architecture})

    def manifest(self, config, layers, platform=None, **more):
        described = {"platform": platform} if platform else {}
        return self.put({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers, **more}, MANIFEST, **described)

    def index(self, entries):
        return self.put({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}, INDEX)

    def tag(self, descriptor, name="1"):
        named = {**descriptor, "annotations": {"org.opencontainers.image.ref.name": name}}
        with open(os.path.join(self.path, "index.json"), "w", encoding="utf-8") as f:
            json.dump({"schemaVersion": 2, "manifests": [named]}, f)
        return descriptor


@pytest.fixture(scope="module")
def open_registry(tmp_path_factory):
    """A docker-registry that everybody may read and write."""
    with Registry(str(tmp_path_factory.mktemp("open")), {}) as running:
        yield running


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A layout of two platforms that share a layer, with the attestation that BuildKit adds."""
    layout = Layout(tmp_path_factory.mktemp("many") / "layout")
    shared, first, second = layout.layer("shared"), layout.layer("first"), layout.layer("second")
    proof = layout.put(b'{"predicateType":"https://slsa.dev/provenance/v0.2"}', "application/vnd.in-toto+json")
    layout.amd64, layout.arm64 = layout.image([shared, first], "amd64"), layout.image([shared, second], "arm64")
    layout.attestation = layout.manifest(
        layout.put({"architecture": "unknown", "os": "unknown", "rootfs": {"type": "layers", "diff_ids": [proof["digest"]]}}, CONFIG),
        [proof], platform={"os": "unknown", "architecture": "unknown"})
    layout.top = layout.tag(layout.index([layout.amd64, layout.arm64, layout.attestation]))
    layout.shared, layout.first, layout.second, layout.proof = shared[0], first[0], second[0], proof
    return layout


@pytest.fixture(scope="module")
def copies(many, open_registry, tmp_path_factory):
    """Where skopeo put all of `many`, by transport."""
    folder = tmp_path_factory.mktemp("copies")
    made = {"docker": f"docker://{open_registry.address}/many:1", "oci": f"oci:{folder}/oci:1", "oci-archive": f"oci-archive:{folder}/a.tar:1",
            "dir": f"dir:{folder}/dir"}
    for destination in made.values():
        skopeo("--multi-arch", "all", "--preserve-digests", f"oci:{many.path}:1", destination)
    return made


def digests(index):
    return [blob["digest"] for blob in index["blobs"]]


def config_of(layout, manifest):
    with open(os.path.join(layout.path, "blobs/sha256", manifest["digest"][7:]), "rb") as f:
        return json.load(f)["config"]["digest"]


@pytest.mark.parametrize("transport", ["docker", "oci", "oci-archive", "dir"])
def test_transports_agree(many, copies, tmp_path, transport):
    """One platform of an index, that of this machine or another: the same torrents from everywhere."""
    for platform, manifest, own in (("linux/amd64", many.amd64, many.first), ("linux/arm64", many.arm64, many.second)):
        out = tmp_path / platform.replace("/", "-")
        made = create(copies[transport], out, "--platform", platform)
        reference = create(f"oci:{many.path}", tmp_path / "reference", "--platform", platform)
        assert made["digest"] == manifest["digest"] and made["blobs"] == reference["blobs"]
        assert digests(made) == [config_of(many, manifest), many.shared["digest"], own["digest"]]
        for blob in made["blobs"]:
            data = os.path.join(many.path, "blobs/sha256", blob["digest"][7:])
            run([binary("swarmgate"), "torrent", "verify", out / blob["file"], data])
    create(copies[transport], tmp_path / "none", "--platform", "linux/s390x", status=4, says="there is: linux/amd64, linux/arm64")
    create(copies[transport], tmp_path / "none", "--platform", "unknown/unknown", status=4, says="there is: linux/amd64, linux/arm64")


@pytest.mark.parametrize("transport", ["docker", "oci", "oci-archive", "dir"])
def test_all_platforms(many, copies, tmp_path, transport):
    made = create(copies[transport], tmp_path / "out", "--all")
    assert made["digest"] == many.top["digest"] and made["image"] == copies[transport]
    assert digests(made) == [config_of(many, many.amd64), many.shared["digest"], many.first["digest"], config_of(many, many.arm64),
                             many.second["digest"], config_of(many, many.attestation), many.proof["digest"]]
    torrents = sorted(name for name in os.listdir(tmp_path / "out") if name.endswith(".torrent"))
    assert torrents == sorted(blob["file"] for blob in made["blobs"])
    one = create(copies[transport], tmp_path / "one", "--platform", "linux/arm64")
    assert all(blob in made["blobs"] for blob in one["blobs"])


def test_all_of_one_manifest(open_registry, tmp_path):
    small_image(str(tmp_path / "one"), "one")
    for more in ([], ["--all"]):
        made = create(f"oci:{tmp_path}/one", tmp_path / f"out{len(more)}", *more)
        assert len(made["blobs"]) == 3
    create(f"oci:{tmp_path}/one", tmp_path, "--all", "--platform", "linux/amd64", status=2, says="give one of them")


def test_all_of_nested_indexes(tmp_path):
    layout = Layout(tmp_path / "layout")
    shared, other = layout.layer("shared"), layout.layer("other")
    inner = layout.index([layout.image([shared], "amd64"), layout.image([shared], "arm64")])
    outer = layout.tag(layout.index([inner, layout.image([other], "s390x"), inner,
                                     {"mediaType": "application/spdx+json", "digest": digest_of(b"elsewhere"), "size": 9}]))
    made = create(f"oci:{layout.path}", tmp_path / "out", "--all")
    assert made["digest"] == outer["digest"] and len(made["blobs"]) == 5
    layout.tag(layout.index([outer]))
    create(f"oci:{layout.path}", tmp_path / "deep", "--all", status=1, says="nested more than 2 deep")


def test_all_needs_all(many, tmp_path):
    """A registry may hold an index of which some manifests were never pushed."""
    folder = tmp_path / "sparse"
    shutil.copytree(many.path, folder)
    os.unlink(folder / "blobs/sha256" / many.arm64["digest"][7:])
    create(f"oci:{folder}", tmp_path / "one", "--platform", "linux/amd64")
    create(f"oci:{folder}", tmp_path / "all", "--all", status=4, says=many.arm64["digest"][7:])


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress], ids=["plain", "gzip", "bzip2", "xz"])
def test_archives_may_be_compressed(many, copies, tmp_path, compress):
    """As `podman save | gzip` leaves them; nothing is put beside them."""
    path = tmp_path / "a.tar"
    with open(copies["oci-archive"].split(":")[1], "rb") as f:
        path.write_bytes(compress(f.read()))
    made = create(f"oci-archive:{path}:1", tmp_path / "out", "--all")
    assert made["digest"] == many.top["digest"] and len(made["blobs"]) == 7
    assert sorted(os.listdir(tmp_path)) == ["a.tar", "out"]
    create(f"oci-archive:{path}:2", tmp_path / "out", status=4, says="there is: 1")


def test_zstd_layers(open_registry, tmp_path):
    """The torrent is of the blob as it is."""
    small_image(str(tmp_path / "one"), "zstd")
    address = f"{open_registry.address}/zstd:1"
    skopeo("--dest-compress-format", "zstd", "--dest-compress", f"oci:{tmp_path}/one:1", f"dir:{tmp_path}/dir")
    skopeo("--dest-compress-format", "zstd", f"oci:{tmp_path}/one:1", f"oci:{tmp_path}/oci:1")
    skopeo("--preserve-digests", f"oci:{tmp_path}/oci:1", f"docker://{address}")
    made = create(f"docker://{address}", tmp_path / "out")
    types = [blob["mediaType"] for blob in made["blobs"][1:]]
    assert types == ["application/vnd.oci.image.layer.v1.tar+zstd"] * 2, types
    assert made["blobs"] == create(f"oci:{tmp_path}/oci", tmp_path / "oci-out")["blobs"]
    for blob in made["blobs"]:
        data = tmp_path / "oci/blobs/sha256" / blob["digest"][7:]
        run([binary("swarmgate"), "torrent", "verify", tmp_path / "out" / blob["file"], data])
        assert blob["mediaType"] == CONFIG or data.read_bytes()[:4] == b"\x28\xb5\x2f\xfd"
    assert create(f"dir:{tmp_path}/dir", tmp_path / "dir-out")["blobs"][1:]


def test_docker_manifests(many, open_registry, tmp_path):
    """Schema 2 and its lists, as a registry serves them and dir: keeps them."""
    address = f"{open_registry.address}/docker:1"
    layout = Layout(tmp_path / "plain")
    layers = [layout.layer("a"), layout.layer("b")]
    layout.tag(layout.index([layout.image(layers[:1], "amd64"), layout.image(layers, "arm64")]))
    skopeo("--multi-arch", "all", "--format", "v2s2", f"oci:{layout.path}:1", f"docker://{address}")
    skopeo("--multi-arch", "all", "--preserve-digests", f"docker://{address}", f"dir:{tmp_path}/dir")
    with open(tmp_path / "dir/manifest.json", "rb") as f:
        top = f.read()
    assert json.loads(top)["mediaType"] == DOCKER + "distribution.manifest.list.v2+json"
    for source in (f"docker://{address}", f"dir:{tmp_path}/dir"):
        made = create(source, tmp_path / source[:3], "--all")
        assert made["digest"] == digest_of(top)
        assert {blob["mediaType"] for blob in made["blobs"]} == {DOCKER + "container.image.v1+json", DOCKER + "image.rootfs.diff.tar.gzip"}
        assert len(made["blobs"]) == 4
        one = create(source, tmp_path / (source[:3] + "1"), "--platform", "linux/arm64")
        assert len(one["blobs"]) == 3 and one["digest"] in [m["digest"] for m in json.loads(top)["manifests"]]


def test_docker_archive(many, copies, tmp_path):
    """It keeps the layers unpacked: other torrents, and the same whoever wrote it."""
    source = f"oci:{many.path}:1"
    skopeo("--override-arch", "arm64", source, f"docker-archive:{tmp_path}/a.tar:many:1")
    skopeo("--override-arch", "arm64", copies["dir"], f"docker-archive:{tmp_path}/b.tar:many:1")
    made = [create(f"docker-archive:{tmp_path}/{name}.tar", tmp_path / name, *more) for name, more in (("a", []), ("b", ["--all"]))]
    assert made[0]["blobs"] == made[1]["blobs"] and len(made[0]["blobs"]) == 3 and "digest" not in made[0]


def test_schema_1_is_refused(tmp_path):
    layout = Layout(tmp_path / "layout")
    layout.tag(layout.image([layout.layer("old")], "amd64"))
    with Registry(str(tmp_path / "registry"), {}, compatibility={"schema1": {"enabled": True}}) as registry:
        skopeo("--format", "v2s1", f"oci:{layout.path}:1", f"docker://{registry.address}/old:1")
        skopeo(f"docker://{registry.address}/old:1", f"dir:{tmp_path}/dir")
        for source in (f"docker://{registry.address}/old:1", f"dir:{tmp_path}/dir"):
            create(source, tmp_path / "out", status=1, says="schema 1 manifest, which is not supported: push the image again with a tool")


def test_artifacts(open_registry, tmp_path):
    """OCI 1.1: artifactType, an empty config, a subject; a blob that repeats, one of no bytes."""
    layout = Layout(tmp_path / "layout")
    subject = layout.image([layout.layer("a")], "amd64")
    empty = layout.put(b"{}", EMPTY, data="e30=")
    nothing, text = layout.put(b"", "text/plain"), layout.put(b"signed", "application/vnd.example.signature")
    manifest = layout.tag(layout.manifest(empty, [nothing, text, text, empty], artifactType="application/vnd.example.signature", subject=subject))
    made = create(f"oci:{layout.path}", tmp_path / "out")
    assert made["digest"] == manifest["digest"] and digests(made) == [empty["digest"], nothing["digest"], text["digest"]]
    assert made["blobs"][0]["mediaType"] == EMPTY and made["blobs"][0]["size"] == 2
    assert made["blobs"][1] == {"digest": nothing["digest"], "size": 0, "mediaType": "text/plain"}
    assert len([name for name in os.listdir(tmp_path / "out") if name.endswith(".torrent")]) == 2
    # skopeo does not copy artifacts yet: they are pushed as oras does, blob by blob.
    for blob in (empty, nothing, text):
        push(open_registry, "artifact", layout, blob)
    put_manifest(open_registry, "artifact", layout, manifest)
    for more in ([], ["--all"]):
        assert create(f"docker://{open_registry.address}/artifact:1", tmp_path / "docker", *more)["blobs"] == made["blobs"]


def ask(registry, method, path, body=None, headers=None):
    connection = http.client.HTTPConnection(registry.address, timeout=20)
    connection.request(method, path, body=body, headers=headers or {})
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    assert answer.status < 300, (method, path, answer.status, data)
    return answer


def read_blob(layout, descriptor):
    with open(os.path.join(layout.path, "blobs/sha256", descriptor["digest"][7:]), "rb") as f:
        return f.read()


def push(registry, name, layout, descriptor):
    location = ask(registry, "POST", f"/v2/{name}/blobs/uploads/").headers["Location"]
    path = location.split(registry.address, 1)[-1]
    ask(registry, "PUT", f"{path}&digest={descriptor['digest']}", read_blob(layout, descriptor), {"Content-Type": "application/octet-stream"})


def put_manifest(registry, name, layout, descriptor):
    ask(registry, "PUT", f"/v2/{name}/manifests/1", read_blob(layout, descriptor), {"Content-Type": descriptor["mediaType"]})


def test_foreign_layers_are_left_out_and_said(tmp_path):
    """What their urls lead to is never asked."""
    layout = Layout(tmp_path / "layout")
    layer, diff = layout.layer("own")
    port = free_port()
    with Nginx(tmp_path / "nginx", f"access_log {tmp_path}/asked; return 500;") as elsewhere:
        urls = [f"http://{elsewhere.address}/layer", f"http://127.0.0.1:{port}/layer"]
        foreign = {"mediaType": DOCKER + "image.rootfs.foreign.diff.tar.gzip", "digest": digest_of(b"windows"), "size": 7, "urls": urls}
        other = {"mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar", "digest": digest_of(b"closed"), "size": 6}
        config = layout.put({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [diff] * 3}}, CONFIG)
        layout.tag(layout.manifest(config, [foreign, layer, other]))
        made = create(f"oci:{layout.path}", tmp_path / "out", says="swarmgate: 2 foreign layers are left out")
    assert digests(made) == [config["digest"], layer["digest"]]
    assert (tmp_path / "asked").read_text() == ""


def test_references(many, copies, open_registry, tmp_path):
    """By tag, by digest, by both: the digest wins. The host may be an IPv6 address."""
    with Registry(open_registry.folder, {}, host="::1") as v6:
        assert v6.address.startswith("[::1]:")
        for name in (f"{open_registry.address}/many", f"{v6.address}/many"):
            see_references(many, name, tmp_path)


def see_references(many, name, tmp_path):
    by_tag = create(f"docker://{name}:1", tmp_path / "tag", "--platform", "linux/amd64")
    for reference in (f"{name}@{many.top['digest']}", f"{name}:1@{many.top['digest']}", f"{name}:gone@{many.top['digest']}"):
        assert create(f"docker://{reference}", tmp_path / "digest", "--platform", "linux/amd64")["blobs"] == by_tag["blobs"]
    arm64 = create(f"docker://{name}@{many.arm64['digest']}", tmp_path / "arm64", "--platform", "linux/amd64")
    assert arm64["digest"] == many.arm64["digest"]
    create(f"docker://{name}@{digest_of(b'none')}", tmp_path / "none", status=4, says="404")
    create(f"docker://{name}:1@sha256:abc", tmp_path / "none", status=2, says="64 lowercase hex digits")
    create(f"docker://{name}:1@sha512:{'0' * 128}", tmp_path / "none", status=2, says="sha256:")


# --- TLS ---

@pytest.fixture(scope="module")
def authorities(tmp_path_factory):
    """The CA of the tests, and one that nobody trusts."""
    folder = tmp_path_factory.mktemp("authorities")
    return Authority(str(folder / "ca")), Authority(str(folder / "other"))


def cert_dir(path, ca=None, client=None, key=None):
    """A folder as containers-certs.d(5) has it."""
    os.makedirs(path)
    if ca:
        shutil.copy(ca.cert, os.path.join(path, "ca.crt"))
    if client:
        shutil.copy(client.cert, os.path.join(path, "client.cert"))
        shutil.copy(key or client.key, os.path.join(path, "client.key"))
    return str(path)


@pytest.fixture(scope="module")
def storage(tmp_path_factory):
    """Folder of a docker-registry with team/app:1; registries of any TLS are started on it."""
    folder = tmp_path_factory.mktemp("storage")
    small_image(str(folder / "image"), "tls")
    with Registry(str(folder / "registry"), USERS) as running:
        running.push(f"oci:{folder}/image:1", "team/app:1", "alice")
    return str(folder / "registry")


def server_of(authorities, kind):
    ca, other = authorities
    return {"right": lambda: ca.server("right"),
            "rsa": lambda: ca.server("rsa", key="rsa"),
            "of an intermediate": lambda: Authority(ca.folder, "middle", parent=ca).server("below"),
            "stranger's": lambda: other.server("stranger"),
            "expired": lambda: ca.expired("expired"),
            "early": lambda: ca.server("early", not_before=DAY, not_after=2 * DAY),
            "another host's": lambda: ca.server("elsewhere", names=["registry.example", "127.0.0.2"])}[kind]()


@pytest.mark.parametrize("kind,status,says", [
    ("right", 0, ""), ("rsa", 0, ""), ("of an intermediate", 0, ""),
    ("stranger's", 1, "not signed by a CA that is trusted here: give the certificate of its CA by --cert-dir"),
    ("expired", 1, "its certificate has expired: have it renewed"),
    ("early", 1, "its certificate is not valid yet"),
    ("another host's", 1, "its certificate is not for this host: use a name that it is for"),
])
def test_server_certificates(storage, authorities, tmp_path, kind, status, says):
    with Registry(storage, USERS, tls=server_of(authorities, kind)) as registry:
        source = f"docker://{registry.address}/team/app:1"
        login = ["--authfile", registry.auth_file("alice", str(tmp_path / "auth.json"))]
        create(source, tmp_path / "out", *login, "--cert-dir", cert_dir(tmp_path / "certs", authorities[0]), status=status, says=says)
        # Without the CA none of them will do, and unchecked all of them.
        create(source, tmp_path / "none", *login, status=1, says="its certificate")
        create(source, tmp_path / "any", *login, "--tls-verify=false")


def test_certificates_by_host(storage, authorities, tmp_path):
    """Where podman looks for them: ~/.config/containers/certs.d/HOST:PORT."""
    with Registry(storage, USERS, tls=authorities[0].server()) as registry:
        cert_dir(tmp_path / "out/.config/containers/certs.d" / registry.address, authorities[0])
        create(f"docker://{registry.address}/team/app:1", tmp_path / "out", "--authfile", registry.auth_file("alice", str(tmp_path / "auth.json")))


@pytest.mark.parametrize("kind,status,says", [
    ("right", 0, ""),
    ("none", 1, "it wants a client certificate, or refuses ours"),
    ("stranger's", 1, "it wants a client certificate, or refuses ours"),
    ("expired", 1, "it wants a client certificate, or refuses ours"),
    ("another's key", 2, "client.key is not the key of"),
    ("encrypted key", 2, "client.key: holds no private key in PEM that can be read without a pass phrase"),
    ("no key", 2, "client.key is missing"),
    ("no CA", 2, "ca.crt: holds no certificate in PEM"),
])
def test_client_certificates(storage, authorities, tmp_path, kind, status, says):
    ca, other = authorities
    client = {"none": lambda: None, "stranger's": lambda: other.client(), "expired": lambda: ca.expired("old", names=(), client=True)}.get(
        kind, lambda: ca.client())()
    key = other.client("another").key if kind == "another's key" else None
    folder = cert_dir(tmp_path / "certs", ca, client, key)
    if kind == "encrypted key":
        run(["openssl", "pkey", "-in", client.key, "-aes256", "-passout", "pass:secret", "-out", f"{folder}/client.key"])
    elif kind == "no key":
        os.unlink(f"{folder}/client.key")
    elif kind == "no CA":
        with open(f"{folder}/ca.crt", "w", encoding="utf-8") as f:
            f.write("nonsense\n")
    with Registry(storage, USERS, tls=ca.server(), client_ca=ca) as registry:
        create(f"docker://{registry.address}/team/app:1", tmp_path / "out", "--cert-dir", folder, "--authfile",
               registry.auth_file("alice", str(tmp_path / "auth.json")), status=status, says=says)


def test_a_token_service_is_shown_what_the_registry_is(authorities, tmp_path):
    """Certificate and password, on whatever host it is: as skopeo and docker do, and the manual says."""
    ca = authorities[0]
    certificate, client = ca.server("nginx"), ca.client()
    secure = f"ssl_certificate {certificate.cert}; ssl_certificate_key {certificate.key}; ssl_verify_client optional_no_ca;"
    shown = "log_format shown '$request_method auth=$http_authorization cert=$ssl_client_s_dn';"
    with Nginx(tmp_path / "realm", f"""{secure} access_log {tmp_path}/shown shown; return 200 '{{"token":"T0KEN"}}';""", http=shown,
               listen="ssl") as realm:
        challenge = f"""add_header WWW-Authenticate 'Bearer realm="https://{realm.address}/token",service="s"' always;"""
        with Nginx(tmp_path / "registry", f"""{secure} {challenge} access_log {tmp_path}/asked shown;
                   if ($http_authorization != "Bearer T0KEN") {{ return 401; }} return 404;""", http=shown, listen="ssl") as registry:
            create(f"docker://{registry.address}/team/app:1", tmp_path / "out", "--creds", "alice:secret", "--cert-dir",
                   cert_dir(tmp_path / "certs", ca, client), status=4, says="answered 404")
    basic = base64.b64encode(b"alice:secret").decode()
    assert (tmp_path / "shown").read_text() == f"GET auth=Basic {basic} cert=CN=client\n"
    assert (tmp_path / "asked").read_text() == "GET auth=- cert=CN=client\nGET auth=Bearer T0KEN cert=CN=client\n"


# --- redirects ---

class Redirecting:
    """
    A docker-registry with TLS, a login and maybe client certificates, which sends those who may have a blob to an
    nginx. That one serves them, or does what `serve` says, and notes what it was shown in the file `log`.
    """

    def __init__(self, folder, storage, ca, serve="", client_ca=None, tls=True):
        os.makedirs(folder)
        self.log = os.path.join(folder, "shown")
        certificate = ca.server("nginx")
        secure = f"ssl_certificate {certificate.cert}; ssl_certificate_key {certificate.key}; ssl_verify_client optional_no_ca;"
        self.blobs = Nginx(os.path.join(folder, "nginx"), f"""
            {secure if tls else ""} access_log {self.log} shown;
            root {storage}/storage;
            location / {{ {serve} }}""",
            http="log_format shown '$request_method auth=$http_authorization cert=$ssl_client_s_dn';", listen="ssl" if tls else "")
        place = {"name": "redirect", "options": {"baseurl": f"http{'s' if tls else ''}://{self.blobs.address}/"}}
        self.registry = Registry(storage, USERS, tls=ca.server("registry"), client_ca=client_ca, middleware={"storage": [place]})
        self.source = f"docker://{self.registry.address}/team/app:1"

    def __enter__(self):
        self.blobs.start()
        self.registry.start()
        return self

    def __exit__(self, *ignored):
        self.registry.stop()
        self.blobs.stop()

    def shown(self):
        """What the place of the blobs was shown, each once; ends it, so that its log is whole."""
        self.blobs.stop()
        with open(self.log, encoding="utf-8") as f:
            return set(f.read().splitlines())


def test_redirects_take_nothing_along(storage, authorities, tmp_path):
    """Neither password nor client certificate, though the other place asks for one."""
    ca = authorities[0]
    with Redirecting(str(tmp_path / "r"), storage, ca, client_ca=ca) as behind:
        certs = cert_dir(tmp_path / "certs", ca, ca.client())
        made = create(behind.source, tmp_path / "out", "--creds", f"alice:{USERS['alice']}", "--cert-dir", certs)
        assert len(made["blobs"]) == 3
        assert behind.shown() == {"GET auth=- cert=-"}


@pytest.mark.parametrize("serve,tls,says", [
    ("", False, "from https to plain http"),
    ("return 307 http://127.0.0.1:1$request_uri;", True, "from https to plain http"),
    ("return 307 $request_uri;", True, "more than 10 in a row"),
    ("return 307 ftp://127.0.0.1$request_uri;", True, "redirect"),
    ("return 307 https://alice:secret@127.0.0.1$request_uri;", True, "redirect"),
], ids=["plain http", "plain http at last", "for ever", "ftp", "with a password"])
def test_redirects_that_are_not_followed(storage, authorities, tmp_path, serve, tls, says):
    ca = authorities[0]
    with Redirecting(str(tmp_path / "r"), storage, ca, serve, tls=tls) as behind:
        create(behind.source, tmp_path / "out", "--creds", f"alice:{USERS['alice']}", "--cert-dir", cert_dir(tmp_path / "certs", ca),
               status=1, says=says)
        assert all("auth=- " in line for line in behind.shown())


# --- the gateway in front of such a registry ---

def test_gateway_behind_redirects_and_a_private_ca(storage, authorities, tmp_path):
    ca = authorities[0]
    with Redirecting(str(tmp_path / "r"), storage, ca) as behind:
        shutil.copy(ca.cert, tmp_path / "registry-ca.crt")
        row = registry_row(behind.registry, str(tmp_path), ca_file="registry-ca.crt")
        with Gate(str(tmp_path), [row]) as gate:
            made = json.loads(gate.tool("torrent", "create", behind.source, "--register", "--registry", "registry.example", "--json", "--config",
                                        gate.config, "--creds", f"alice:{USERS['alice']}", "--cert-dir", cert_dir(tmp_path / "certs", ca)).stdout)
            login = behind.registry.basic("alice")
            for blob in made["blobs"]:
                path = f"/v1/team/app/blobs/{blob['digest']}"
                assert get(gate.gateway, path)[0] == 401
                assert get(gate.gateway, path, behind.registry.basic("alice", "wrong"))[0] == 401
                status, _, body = get(gate.gateway, path, login)
                assert status == 200, body
                url = bdecode(body)[b"url-list"]
                url = (url[0] if isinstance(url, list) else url).decode()
                status, _, data = get(gate.gateway, url[len(gate.gateway_url):] + blob["digest"])
                assert status == 200 and digest_of(data) == blob["digest"]
                status, _, part = get(gate.gateway, url[len(gate.gateway_url):] + blob["digest"], {"Range": "bytes=10-19"})
                assert status == 206 and part == data[10:20]
            assert get(gate.gateway, f"/v1/team/app/blobs/{digest_of(b'none')}", login)[0] == 404
        assert behind.shown() <= {"GET auth=- cert=-", "HEAD auth=- cert=-"}


@pytest.mark.parametrize("kind,status,says", [
    ("right", 200, ""),
    ("none", 502, "it wants a client certificate, or refuses ours"),
    ("stranger's", 502, "it wants a client certificate, or refuses ours"),
])
def test_gateway_shows_a_client_certificate(storage, authorities, tmp_path, kind, status, says):
    ca, other = authorities
    for name, certificate in (("ca", ca.cert), ("client", (other if kind == "stranger's" else ca).client("gateway").cert)):
        shutil.copy(certificate, tmp_path / f"{name}.crt")
    shutil.copy((other if kind == "stranger's" else ca).folder + "/gateway.key", tmp_path / "client.key")
    shown = {} if kind == "none" else {"certificate": "client.crt", "key": "client.key"}
    with Registry(storage, USERS, tls=ca.server(), client_ca=ca) as registry:
        with Gate(str(tmp_path), [registry_row(registry, str(tmp_path), ca_file="ca.crt", **shown)]) as gate:
            made = json.loads(gate.tool("torrent", "create", f"docker://{registry.address}/team/app:1", "--register", "--registry",
                                        "registry.example", "--json", "--config", gate.config, "--creds", f"alice:{USERS['alice']}",
                                        "--cert-dir", cert_dir(tmp_path / "certs", ca, ca.client())).stdout)
            path = f"/v1/team/app/blobs/{made['blobs'][0]['digest']}"
            assert get(gate.gateway, path, registry.basic("alice"))[0] == status
            gate.process.wait_line(says)


@pytest.mark.parametrize("shown,says", [
    ({"certificate": "client.crt"}, ": certificate and key go together"), ({"key": "client.key"}, ": certificate and key go together"),
    ({"certificate": "client.crt", "key": "none.key"}, "none.key"),
    ({"certificate": "client.key", "key": "client.key"}, ".certificate: {folder}/client.key: holds no certificate"),
    ({"certificate": "client.crt", "key": "other.key"}, "is not the key of"), ({"ca_file": "none.crt"}, ".ca_file: cannot read "),
    ({"credentials": {"username": "a", "password_file": "none"}}, ".credentials.password_file: cannot read "),
])
def test_client_certificate_of_the_gateway_is_checked(authorities, tmp_path, shown, says):
    for name, authority in (("client", authorities[0]), ("other", authorities[1])):
        authority.client(name, folder=str(tmp_path))
    gate = Gate(str(tmp_path), [{"name": "r", "url": "https://127.0.0.1:1", **shown}])
    done = run([binary("swarmgated"), "--config", gate.config, "--check-config"], check=False)
    assert done.returncode == 2 and says.format(folder=tmp_path) in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert re.search(r"swarmgated\.yaml:[0-9]+: registries\[0\]", done.stderr), done.stderr


@pytest.mark.parametrize("kind,says", [
    ("stranger's", "give the certificate of its CA by the registry's row in the configuration (ca_file"),
    ("expired", "its certificate"), ("another host's", "its certificate")])
def test_gateway_believes_no_other_registry(storage, authorities, tmp_path, kind, says):
    with Registry(storage, USERS, tls=server_of(authorities, kind)) as registry:
        shutil.copy(authorities[0].cert, tmp_path / "registry-ca.crt")
        with Gate(str(tmp_path), [registry_row(registry, str(tmp_path), ca_file="registry-ca.crt")]) as gate:
            made = json.loads(gate.tool("torrent", "create", f"blob:{__file__}", "--register", "--config", gate.config, "--repository",
                                        "team/app", "--json").stdout)
            path = f"/v1/team/app/blobs/{made['blobs'][0]['digest']}"
            assert get(gate.gateway, path, registry.basic("alice"))[0] == 502
            gate.process.wait_line(says)
