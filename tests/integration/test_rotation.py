"""
Keys in time: rotations under load, cut short, and read back; what a reload takes up. How many there are under load is
SWARMGATE_ROTATIONS, 20 unless it says otherwise.
"""

import json
import os
import random
import shutil
import stat
import subprocess
import threading
import time
import urllib.parse

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from support.announce import announce, bdecode, failure, get
from support.certificates import Authority
from support.gate import Gate
from support.jws import jwk_of, make_key, public_pem, sign, unb64
from support.process import binary, free_port, run, wait_for
from support.registry import Registry

ROTATIONS = int(os.environ.get("SWARMGATE_ROTATIONS", "20"))
CLIENTS = 20
LEEWAY = 60
INFOHASH = "ab" * 20


def tool(*argv, **more):
    return run([binary("swarmgate"), *argv], check=False, **more)


def one_line(done, status):
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("swarmgate: "), done.stderr
    return done.stderr


def private(path):
    with open(path, "rb") as f:
        return serialization.load_pem_private_key(f.read(), None)


def header(token):
    return json.loads(unb64(token.split(".")[0]))


def claims(token):
    return json.loads(unb64(token.split(".")[1]))


def again(token, key, kid=None, **changes):
    """The same token with other claims, signed by `key`, which may have another name."""
    return sign({**header(token), **({"kid": kid} if kid else {})}, {**claims(token), **changes}, key)


def after(moment):
    """Waits until the clock, in whole seconds, is past that."""
    return wait_for("the next second", 10, lambda: int(time.time()) > moment and int(time.time()), every=0.01)


def rotate(gate, *more, use="announce"):
    """The kids that it says sign, are next, and are retired."""
    said = gate.tool("key", "rotate", "--config", gate.config, "--use", use, *more).stdout.splitlines()
    kids = [line.split()[0] for line in said[:3]]
    assert [line.split(" ", 1)[1][:10] for line in said[:3]] == ["signs now", "is next", "is retired"]
    assert "systemctl reload swarmgated" in said[-1]
    return kids


def without_signing_keys(folder, **auth):
    """A Gate that signs nothing."""
    gate = Gate(str(folder))
    with open(gate.config, encoding="utf-8") as f:
        config = yaml.safe_load(f)
    config["auth"] = auth
    with open(gate.config, "w", encoding="utf-8") as f:
        yaml.safe_dump(config, f)
    return gate


def published(gate):
    status, fields, body = get(gate.gateway, "/.well-known/jwks.json")
    assert status == 200 and fields["Cache-Control"] == "max-age=300" and "json" in fields["Content-Type"]
    return {key["kid"]: key for key in json.loads(body)["keys"]}


# --- under load ---

class Client(threading.Thread):
    """
    Fetches a torrent and announces with its token, and with the first one it ever got, without pause; reads from the
    webseed too. What was refused is in `wrong`.
    """

    def __init__(self, gate, registry, digest, number):
        super().__init__()
        self.gate, self.login, self.digest, self.port = gate, registry.basic("alice"), digest, 7000 + number
        self.first, self.wrong, self.count, self.over = None, [], 0, threading.Event()

    def fetch(self):
        """The swarm token, the webseed's path, and the infohash of a torrent, fresh."""
        status, _, body = get(self.gate.gateway, f"/v1/team/app/blobs/{self.digest}", self.login)
        assert status == 200, (status, body)
        torrent = bdecode(body)
        url = urllib.parse.urlsplit(torrent[b"announce"].decode())
        webseed = torrent[b"url-list"]
        webseed = (webseed[0] if isinstance(webseed, list) else webseed).decode()
        return dict(urllib.parse.parse_qsl(url.query))["jwt"], urllib.parse.urlsplit(webseed).path

    def use(self, token, webseed):
        # The token says it itself.
        answer = announce(self.gate.tracker, claims(token)["infohash"], token, port=self.port)
        if failure(answer) is not None:
            self.wrong.append((failure(answer), header(token)["kid"]))
        status, _, _ = get(self.gate.gateway, webseed, {"Range": "bytes=0-9"})
        if status != 206:
            self.wrong.append((status, webseed))
        self.count += 1

    def run(self):
        try:
            while not self.over.is_set():
                fresh = self.fetch()
                self.first = self.first or fresh
                self.use(*fresh)
                self.use(*self.first)
        except Exception as e:  # pylint: disable=broad-except
            self.wrong.append(repr(e))


def test_rotations_under_load(gate, registry):
    made = json.loads(gate.tool("torrent", "create", f"docker://{registry.address}/team/app:1", "--register", "--json", "--config",
                                gate.config, "--authfile", registry.auth_file("alice")).stdout)
    digest = max(made["blobs"], key=lambda blob: blob["size"])["digest"]
    clients = [Client(gate, registry, digest, i) for i in range(CLIENTS)]
    sample = clients[0].fetch()
    swarm, webseed = sample[0], sample[1].split("/")[2]
    infohash = claims(swarm)["infohash"]

    def refused(key, kid, iat):
        """Both kinds, signed by that key, are refused when they say they are of then."""
        exp = int(time.time()) + 600
        swarm_then, webseed_then = again(swarm, key, kid, iat=iat, exp=exp, nbf=iat), again(webseed, key, kid, iat=iat, exp=exp)
        told = failure(announce(gate.tracker, infohash, swarm_then))
        status, _, _ = get(gate.gateway, f"/webseed/{webseed_then}/")
        assert (told, status) in [(None, 200), ("token invalid", 403)], (told, status)
        return status == 403

    for client in clients:
        client.start()
    retired, known = [], []  # private keys with their kids, and when they retired at the latest; those that were next
    try:
        for i in range(ROTATIONS):
            key = private(gate.key)
            signs, following, old = rotate(gate)
            assert i == 0 or signs == known[-1]
            known.append(following)
            assert signs in gate.reload()
            moment = int(time.time()) + 1
            retired.append((key, old, moment))
            assert header(clients[0].fetch()[0])["kid"] == signs
            keys = published(gate)
            assert len(keys) == i + 3 and {signs, following, old} <= set(keys)
            assert "swarmgate_retired" in keys[old] and keys[old]["exp"] > time.time() and "exp" not in keys[signs]
            assert not refused(key, old, moment - 3)
            now = int(time.time())
            assert all(refused(key, kid, now + LEEWAY) for key, kid, moment in retired[-3:] if moment < now)
        now = after(moment)
        assert all(refused(key, kid, now + LEEWAY) for key, kid, _ in retired)
        assert not any(refused(key, kid, moment - 3) for key, kid, moment in retired)
        before = [client.count for client in clients]
        wait_for("every client once more", 60, lambda: all(c.count > n or c.wrong for c, n in zip(clients, before)))
    finally:
        for client in clients:
            client.over.set()
        for client in clients:
            client.join()
    assert [client.wrong for client in clients if client.wrong] == []
    assert all(client.count > 2 for client in clients)
    # What the first key has signed survives a restart as well.
    gate.stop()
    gate.start()
    clients[0].use(*clients[0].first)
    assert clients[0].wrong == []


def test_a_retired_key_ends(tmp_path):
    """While the server runs, without a reload, also for a token that it remembers."""
    with Gate(str(tmp_path), auth={"leeway": "0s", "ttl": {"swarm": "3s", "webseed": "1s", "session": "3s"}}) as gate:
        old = private(gate.key)
        token = gate.token(INFOHASH, ttl="1h", session="1h")
        rotate(gate)
        end = json.loads((tmp_path / "announce.pem.retired.json").read_text())["keys"][0]["exp"]
        gate.reload()
        assert failure(announce(gate.tracker, INFOHASH, token)) is None
        after(end + 2)  # the reload came later than the rotation
        assert failure(announce(gate.tracker, INFOHASH, token)) == "token invalid"
        assert failure(announce(gate.tracker, INFOHASH, again(token, old, iat=end - 5))) == "token invalid"
        assert "retired" in one_line(tool("token", "verify", "--config", gate.config, token), 3)
        rotate(gate)
        assert len(json.loads((tmp_path / "announce.pem.retired.json").read_text())["keys"]) == 1


# --- cut short ---

def test_killed_at_any_point(tmp_path):
    """The tool is killed in the middle of rotations: whatever it left, the server starts and trusts."""
    rng = random.Random(int.from_bytes(os.urandom(4), "big"))
    gate = Gate(str(tmp_path))
    begin = time.monotonic()
    rotate(gate)
    duration = time.monotonic() - begin
    tokens = [gate.token(INFOHASH)]
    killed = 0
    for _ in range(40):
        try:
            subprocess.run([binary("swarmgate"), "key", "rotate", "--config", gate.config, "--use", "announce"], check=True,
                           capture_output=True, timeout=rng.uniform(0, 1.2 * duration))
        except subprocess.TimeoutExpired:  # and so killed
            killed += 1
        assert run([binary("swarmgated"), "--config", gate.config, "--check-config"]).returncode == 0
        tokens.append(gate.token(INFOHASH))
    kids = list(dict.fromkeys(header(token)["kid"] for token in tokens))
    assert killed > 5 and len(kids) > 1
    with gate:
        assert [failure(announce(gate.tracker, INFOHASH, token)) for token in tokens] == [None] * len(tokens)
        rotate(gate)
        gate.reload()
        assert [failure(announce(gate.tracker, INFOHASH, token)) for token in tokens] == [None] * len(tokens)
    assert {stat.S_IMODE(os.stat(tmp_path / name).st_mode) for name in os.listdir(tmp_path) if name.startswith("announce.pem")} == {0o600}


def test_two_at_once(tmp_path):
    gate = Gate(str(tmp_path))
    argv = [binary("swarmgate"), "key", "rotate", "--config", gate.config, "--use", "announce"]
    both = [subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=60) for process in both]
    done = [process.returncode for process in both].count(0)
    for process, (_, told) in zip(both, said):
        assert process.returncode == 0 or (process.returncode == 1 and "rotated at this very moment" in told), told
    assert 1 <= done == len(json.loads((tmp_path / "announce.pem.retired.json").read_text())["keys"])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files for others")
def test_files_stay_with_their_owner(tmp_path):
    gate = Gate(str(tmp_path))
    os.chown(gate.key, 65534, 65533)
    rotate(gate)
    rotate(gate)
    for name in ("announce.pem", "announce.pem.next", "announce.pem.retired.json"):
        s = os.stat(tmp_path / name)
        assert (s.st_uid, s.st_gid, stat.S_IMODE(s.st_mode)) == (65534, 65533, 0o600)


# --- what a reload takes up ---

def foreign(tmp_path, *keys):
    """Writes the JWKS of somebody else's keys."""
    text = json.dumps({"keys": [jwk_of(key, kid=f"key {i}") for i, key in enumerate(keys)]})
    (tmp_path / "other.json.new").write_text(text)
    os.replace(tmp_path / "other.json.new", tmp_path / "other.json")


def test_reload_takes_up_other_issuers(tmp_path):
    first, second = make_key("ES256"), make_key("ES256")
    foreign(tmp_path, first)
    trust = [{"issuer": "other", "audience": "swarmgate-tracker", "keys": "other.json", "algorithms": ["ES256"], "accept": ["swarm"]}]

    def verdict(key):
        now = int(time.time())
        token = sign({"alg": "ES256", "typ": "swarm+jwt", "kid": "key 0"},
                     {"iss": "other", "aud": "swarmgate-tracker", "exp": now + 600, "iat": now, "infohash": INFOHASH}, key)
        return failure(announce(gate.tracker, INFOHASH, token))

    with Gate(str(tmp_path), auth={"trust": trust}) as gate:
        ours = gate.token(INFOHASH)
        assert (verdict(first), verdict(second)) == (None, "token invalid")
        foreign(tmp_path, second)
        assert (verdict(first), verdict(second)) == (None, "token invalid")
        gate.reload()
        assert (verdict(first), verdict(second)) == ("token invalid", None)
        assert failure(announce(gate.tracker, INFOHASH, ours)) is None


def _readable(path):
    os.chmod(path, 0o640)


def _garbage(path):
    with open(path, "w", encoding="utf-8") as f:
        f.write("nonsense")


@pytest.mark.parametrize("spoil,name,says", [
    (_readable, "announce.pem", "chmod 600"), (_garbage, "announce.pem", "no private key"), (os.remove, "announce.pem", "No such file"),
    (_readable, "announce.pem.next", "chmod 600"), (_garbage, "announce.pem.next", "no private key"),
    (_garbage, "announce.pem.retired.json", "holds no key"), (_readable, "second.pem", "chmod 600"),
    (_readable, "trusted.pem", "chmod 600"), (_garbage, "trusted.pem", "holds no key"),
])
def test_reload_is_all_or_nothing(tmp_path, spoil, name, says):
    for path in ("second.pem", "trusted.pem"):
        tool("key", "generate", "--use", "announce", "--out", tmp_path / path)
    trust = [{"issuer": "a", "audience": "b", "keys": "trusted.pem", "algorithms": ["ES256"], "accept": ["swarm"]}]
    gate = Gate(str(tmp_path), auth={"signing_keys": ["announce.pem", "second.pem"], "trust": trust})
    old = gate.token(INFOHASH)
    rotate(gate)
    with gate:
        now = gate.token(INFOHASH)
        kept = tmp_path / "kept"
        shutil.copy2(tmp_path / name, kept)
        spoil(tmp_path / name)
        line = gate.reload("reloading changed nothing: ")
        assert name in line and says in line and "swarmgated.yaml:" in line
        checked = run([binary("swarmgated"), "--config", gate.config, "--check-config"], check=False)
        assert checked.returncode == 2 and says in checked.stderr and checked.stderr.count("\n") == 1
        assert [failure(announce(gate.tracker, INFOHASH, token)) for token in (old, now)] == [None, None]
        os.replace(kept, tmp_path / name)
        gate.reload()
        assert [failure(announce(gate.tracker, INFOHASH, token)) for token in (old, now)] == [None, None]


def test_keys_that_others_may_read(tmp_path):
    """A private key that others may read is refused, wherever it is named."""
    gate = Gate(str(tmp_path), token_service={"issuer": "i", "service": "s", "signing_key": "registry.pem"})
    gate.tool("key", "generate", "--use", "registry", "--out", tmp_path / "registry.pem")
    os.chmod(tmp_path / "registry.pem", 0o644)
    assert "chmod 600" in one_line(tool("token", "issue", "--config", gate.config, "--registry-scope", "repository:a:pull", "--sub", "x"), 2)
    assert "chmod 600" in one_line(tool("key", "rotate", "--config", gate.config, "--use", "registry"), 2)
    assert "chmod 600" in one_line(tool("key", "jwks", tmp_path / "registry.pem"), 2)
    public = tmp_path / "public.pem"
    public.write_bytes(public_pem(private(tmp_path / "registry.pem")))
    assert tool("key", "jwks", public).returncode == 0
    shown = Authority(str(tmp_path / "ca")).client("client")
    row = {"name": "r", "url": "https://127.0.0.1:1", "certificate": shown.cert, "key": shown.key}
    gateway = Gate(str(tmp_path / "gateway"), [row])
    for mode, status in ((0o600, 0), (0o640, 2)):
        os.chmod(shown.key, mode)
        checked = run([binary("swarmgated"), "--config", gateway.config, "--check-config"], check=False)
        assert checked.returncode == status and (status == 0 or ("registries[0].key" in checked.stderr and "chmod 600" in checked.stderr))


def test_a_row_of_ours_does_not_keep_a_retired_key(tmp_path):
    """A trust row may repeat our own keys, and then lags behind; a tracker alone goes by the times in the JWKS."""
    trust = [{"issuer": "swarmgate", "audience": "swarmgate-tracker", "keys": "announce.jwks.json", "algorithms": ["ES256"], "accept": ["swarm"]}]
    gate = Gate(str(tmp_path), auth={"trust": trust})
    jwks = tmp_path / "announce.jwks.json"
    jwks.write_text(gate.tool("key", "jwks", gate.key).stdout)
    old, token = private(gate.key), gate.token(INFOHASH)
    rotate(gate)
    moment = int(time.time())

    def both(at):
        late = again(token, old, iat=after(moment) + LEEWAY, exp=moment + 600)
        return [failure(announce(at.tracker, INFOHASH, one)) for one in (token, gate.token(INFOHASH), late)]

    with gate:
        assert both(gate) == [None, None, "token invalid"]
    jwks.write_text(gate.tool("key", "jwks", gate.key, gate.key + ".next", gate.key + ".retired.json").stdout)
    trust[0]["keys"] = str(jwks)
    with without_signing_keys(tmp_path / "alone", trust=trust) as alone:
        assert both(alone) == [None, None, "token invalid"]


# --- a registry that knows the keys by certificate ---

def test_a_registry_takes_the_tokens_of_all(tmp_path):
    """Debian's docker-registry with `auth: token`: restarted between rotation and reload it takes them all."""
    bundle = tmp_path / "registry.crt"
    gate = Gate(str(tmp_path), token_service={"issuer": "auth.example", "service": "registry.example", "signing_key": "registry.pem"})
    gate.tool("key", "generate", "--use", "registry", "--out", tmp_path / "registry.pem", "--certificate", bundle)

    def registry():
        return Registry(str(tmp_path / "registry"), {}, auth={"token": {
            "realm": f"http://127.0.0.1:{free_port()}/token", "service": "registry.example", "issuer": "auth.example",
            "rootcertbundle": str(bundle)}})

    def issue():
        return gate.tool("token", "issue", "--config", gate.config, "--registry-scope", "repository:team/app:pull", "--sub", "a").stdout.strip()

    def statuses(at):
        return [get(at.address, "/v2/team/app/manifests/1", {"Authorization": f"Bearer {token}"})[0] for token in tokens]

    tokens = [issue()]
    with registry() as running:
        assert statuses(running) == [404]  # authorised, and not there
        rotate(gate, "--certificate", bundle, use="registry")
        tokens.append(issue())
        assert statuses(running) == [404, 401]
    with registry() as running:
        assert statuses(running) == [404, 404]
        # The key that signs next is known by now.
        rotate(gate, "--certificate", bundle, use="registry")
        tokens.append(issue())
        assert statuses(running) == [404, 404, 404]
    for token in tokens:
        assert gate.tool("token", "verify", "--config", gate.config, token).returncode == 0


def test_a_rotation_wants_the_certificates_that_are_in_use(tmp_path):
    """Without them the registry would refuse what the next key signs; who never made any is not asked for them."""
    service = {"issuer": "auth.example", "service": "registry.example", "signing_key": "registry.pem"}
    gate = Gate(str(tmp_path), token_service=service)
    key, bundle = str(tmp_path / "registry.pem"), tmp_path / "registry.crt"
    run([binary("swarmgate"), "key", "generate", "--use", "registry", "--out", key, "--certificate", bundle.name], cwd=tmp_path)
    before = open(key, "rb").read()
    said = one_line(tool("key", "rotate", "--config", gate.config, "--use", "registry"), 2)
    assert f"say --certificate {bundle}" in said and f"remove {key}.certificate" in said
    assert open(key, "rb").read() == before and not os.path.exists(key + ".next")
    moved = tmp_path / "moved.crt"
    rotate(gate, "--certificate", moved, use="registry")
    assert f"say --certificate {moved}" in one_line(tool("key", "rotate", "--config", gate.config, "--use", "registry"), 2)
    os.remove(key + ".certificate")
    rotate(gate, use="registry")
    with open(key + ".certificate", "wb") as f:
        f.write(bytes(9000))
    one_line(tool("key", "rotate", "--config", gate.config, "--use", "registry"), 1)


# --- at a terminal ---

def test_wrong_usage(tmp_path):
    gate = Gate(str(tmp_path))
    crt = tmp_path / "a.crt"
    assert "--use" in one_line(tool("key", "rotate", "--config", gate.config), 2)
    assert "--config" in one_line(tool("key", "rotate", "--use", "announce"), 2)
    assert "token_service: missing" in one_line(tool("key", "rotate", "--config", gate.config, "--use", "registry"), 2)
    assert "key jwks" in one_line(tool("key", "rotate", "--config", gate.config, "--use", "announce", "--certificate", crt), 2)
    assert "key jwks" in one_line(tool("key", "generate", "--use", "announce", "--out", tmp_path / "k", "--certificate", crt), 2)
    crt.write_text("somebody's")
    assert "exists" in one_line(tool("key", "generate", "--use", "registry", "--out", tmp_path / "k", "--certificate", crt), 1)
    assert not (tmp_path / "k").exists() and crt.read_text() == "somebody's"
    crt.unlink()
    assert "exists" in one_line(tool("key", "generate", "--use", "registry", "--out", gate.key, "--certificate", crt), 1)
    assert not crt.exists()
    os.remove(gate.key)
    assert "announce.pem" in one_line(tool("key", "rotate", "--config", gate.config, "--use", "announce"), 2)
    alone = without_signing_keys(tmp_path / "b")
    assert "auth.signing_keys: missing" in one_line(tool("key", "rotate", "--config", alone.config, "--use", "announce"), 2)
    assert sorted(os.listdir(tmp_path)) == ["b", "swarmgated.yaml"]


