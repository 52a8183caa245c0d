"""`authorise: token`: the gateway verifies the bearer tokens of a real docker-registry with `auth: token`."""

import datetime
import json
import os
import re
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID
from support import jws
from support.announce import announce, bdecode, failure, get
from support.gate import Gate
from support.image import small_image
from support.process import binary, run
from support.registry import Registry

REALM = "http://127.0.0.1:1/token"  # nobody is sent there: the tests bring their tokens


def write(path, data):
    with open(path, "wb", opener=lambda p, flags: os.open(p, flags, 0o600)) as f:
        f.write(data)


class Issuer:
    """Signs registry tokens with a key of its own: the tool's right ones, and any other by hand."""

    def __init__(self, folder):
        os.makedirs(folder)
        self.key = jws.make_key("ES256")
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "auth.example")])
        now = datetime.datetime.utcnow()
        day = datetime.timedelta(days=1)
        certificate = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(self.key.public_key())
                       .serial_number(x509.random_serial_number()).not_valid_before(now - day).not_valid_after(now + day)
                       .sign(self.key, hashes.SHA256()))
        self.certificate = os.path.join(folder, "registry.crt")
        write(self.certificate, certificate.public_bytes(serialization.Encoding.PEM))
        write(os.path.join(folder, "registry.pem"), self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        service = {"issuer": "auth.example", "service": "registry.example", "signing_key": "registry.pem"}
        self.tool = Gate(folder, token_service=service)

    def token(self, repository):
        return self.tool.tool("token", "issue", "--config", self.tool.config, "--registry-scope", f"repository:{repository}:pull",
                              "--sub", "alice").stdout.strip()

    def other(self, key=None, **claims):
        """One by hand; right unless `key` or `claims` make it wrong."""
        now = int(time.time())
        right = {"iss": "auth.example", "aud": "registry.example", "sub": "alice", "iat": now, "exp": now + 300,
                 "access": [{"type": "repository", "name": "team/app", "actions": ["pull"]}]}
        return jws.sign({"alg": "ES256", "typ": "JWT"}, {**right, **claims}, key or self.key)


def bearer(token):
    return {"Authorization": "Bearer " + token}


class World:
    def __init__(self, folder):
        self.issuer = Issuer(str(folder / "issuer"))
        trust = {"issuer": "auth.example", "audience": "registry.example", "keys": self.issuer.certificate, "algorithms": ["ES256"],
                 "accept": ["registry"], "registry": "registry.example"}
        storage = str(folder / "registry")
        with Registry(storage, {}) as anybody:
            for name in ("team/app", "other/app"):
                layout = f"{folder}/{name.replace('/', '-')}"
                small_image(layout, name)
                run(["skopeo", "copy", "-q", "--insecure-policy", "--dest-tls-verify=false", "--preserve-digests", f"oci:{layout}:1",
                     f"docker://{anybody.address}/{name}:1"])
        self.registry = Registry(storage, {}, auth={"token": {
            "realm": REALM, "service": "registry.example", "issuer": "auth.example", "rootcertbundle": self.issuer.certificate}})
        self.gate = Gate(str(folder / "gate"), [{"name": "registry.example", "url": self.registry.url, "authorise": "token"}],
                         auth={"trust": [trust]})
        # The blobs of other/app have torrents, but nobody has said that they are of other/app.
        self.app = self.create(f"{folder}/team-app", "team/app")
        self.other = self.create(f"{folder}/other-app", "team/elsewhere")

    def create(self, layout, repository):
        made = self.gate.tool("torrent", "create", f"oci:{layout}:1", "--register", "--json", "--config", self.gate.config,
                              "--registry", "registry.example", "--repository", repository)
        return json.loads(made.stdout)["blobs"]

    def ask(self, blob, headers, name="team/app"):
        return get(self.gate.gateway, f"/v1/{name}/blobs/{blob['digest']}", headers)

    def challenge_of_registry(self, blob, headers, name="team/app"):
        status, got, _ = get(self.registry.address, f"/v2/{name}/blobs/{blob['digest']}", headers, method="HEAD")
        assert status == 401
        return got["WWW-Authenticate"]


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    with made.registry, made.gate:
        yield made


def test_a_token_is_enough_for_what_is_registered(world):
    world.registry.stop()
    status, _, body = world.ask(world.app[0], bearer(world.issuer.token("team/app")))
    assert status == 200
    token = bdecode(body)[b"announce"].decode().split("?jwt=")[1]
    assert json.loads(jws.unb64(token.split(".")[1]))["sub"] == "registry.example/alice"
    assert failure(announce(world.gate.tracker, world.app[0]["infohash"], token)) is None


def test_the_registry_knows_the_rest(world):
    blob = world.other[-1]
    token = bearer(world.issuer.token("other/app"))
    assert world.ask(world.app[0], token, "other/app")[0] == 404
    assert world.ask({"digest": "sha256:" + "0" * 64}, token, "other/app")[0] == 404
    # Right here, but not for the registry, which wants a `kid`.
    nameless = bearer(world.issuer.other(access=[{"type": "repository", "name": "other/app", "actions": ["pull"]}]))
    assert world.ask(blob, nameless, "other/app")[0] == 401
    assert world.ask(blob, token, "other/app")[0] == 200
    world.registry.stop()
    for again in (token, nameless):  # it is registered by now
        assert world.ask(blob, again, "other/app")[0] == 200
    assert world.ask(world.other[0], token, "other/app")[0] == 502


def test_challenges_are_the_registrys_own(world):
    blob = world.app[0]
    plain = world.challenge_of_registry(blob, {})
    assert REALM in plain
    now = int(time.time())
    wrong = [{}, {"Authorization": "Basic YWxpY2U6c2VjcmV0"}, bearer("nonsense"), bearer("e30.e30.e30")]
    wrong += [bearer(world.issuer.other(**claims)) for claims in (
        {"iss": "evil.example"}, {"aud": "other.example"}, {"exp": now - 61, "iat": now - 400}, {"nbf": now + 120}, {"iat": now + 120})]
    wrong += [bearer(world.issuer.other(key=jws.make_key("ES256"))), bearer(world.gate.token(blob["infohash"]))]
    for headers in wrong:
        status, got, body = world.ask(blob, headers)
        assert status == 401 and got["WWW-Authenticate"] == plain, headers
        assert json.loads(body)["errors"][0]["code"] == "UNAUTHORIZED"
    assert world.ask(blob, bearer(world.issuer.other()))[0] == 200


def test_a_narrow_token(world):
    """The registry's words are ours, to the byte, though it is not asked with the token."""
    blob = world.app[0]
    for token in (world.issuer.token("other/app"), world.issuer.token("team/apps")):
        want = world.challenge_of_registry(blob, bearer(token))
        assert 'error="insufficient_scope"' in want and 'scope="repository:team/app:pull"' in want
        status, got, _ = world.ask(blob, bearer(token))
        assert status == 401 and got["WWW-Authenticate"] == want
    push = world.issuer.other(access=[{"type": "repository", "name": "team/app", "actions": ["push"]}])
    assert "insufficient_scope" in world.ask(blob, bearer(push))[1]["WWW-Authenticate"]


def test_tokens(world):
    digests = [blob["digest"] for blob in world.app]

    def ask(headers, name="team/app"):
        status, got, body = get(world.gate.gateway, f"/v1/{name}/tokens", headers, method="POST",
                                body=json.dumps({"digests": digests + [world.other[-1]["digest"]]}))
        return status, got, json.loads(body)

    status, _, answer = ask(bearer(world.issuer.token("team/app")))
    assert status == 200 and list(answer["webseeds"]) == digests
    for blob in world.app:
        assert failure(announce(world.gate.tracker, blob["infohash"], answer["token"])) is None
    assert list(ask(bearer(world.issuer.token("other/app")), "other/app")[2]["webseeds"]) == [world.other[-1]["digest"]]
    status, got, _ = ask(bearer(world.issuer.token("other/app")))
    assert status == 401 and "insufficient_scope" in got["WWW-Authenticate"]
    assert ask({})[0] == 401


def test_no_issuer(tmp_path):
    gate = Gate(str(tmp_path), [{"name": "registry.example", "url": "http://127.0.0.1:1", "authorise": "token"}])
    with open(gate.config, encoding="utf-8") as f:
        line = next(number for number, text in enumerate(f, 1) if "authorise" in text)
    done = run([binary("swarmgated"), "--config", gate.config, "--check-config"], check=False)
    assert done.returncode == 2
    assert f"{gate.config}:{line}: registries[0].authorise: token needs a row in auth.trust" in done.stderr


@pytest.mark.parametrize("keys,names,good", [
    (("a.pem", "a.pem"), ("a.example", "b.example"), False), (("a.pem", "b.pem"), ("a.example", "b.example"), True),
    (("a.pem", "a.pem"), ("a.example", "a.example"), True),
])
def test_a_token_is_of_one_registry(tmp_path, keys, names, good):
    """Two services may have the same names, as those of Harbor do, but not the same key as well."""
    for name in set(keys):
        run([binary("swarmgate"), "key", "generate", "--use", "registry", "--out", str(tmp_path / name)])
    registries = [{"name": name, "url": "http://127.0.0.1:9"} for name in ("a.example", "b.example")]
    trust = [{"issuer": "harbor-token-issuer", "audience": "harbor-registry", "keys": key, "algorithms": ["ES256"], "accept": ["registry"],
              "registry": name} for key, name in zip(keys, names)]
    gate = Gate(str(tmp_path), registries, auth={"trust": trust})
    done = run([binary("swarmgated"), "--config", gate.config, "--check-config"], check=False)
    assert done.returncode == (0 if good else 2), done.stderr
    if not good:
        assert re.search(r"swarmgated\.yaml:\d+: auth\.trust\[1\]: .* a\.example already", done.stderr), done.stderr
