"""
Marked secrets go wherever secrets go, rightly and wrongly; then they are searched for in all that was written down:
logs, the audit log, the database, answers that refuse, what the tool says, the process list. None may be found.
"""

import contextlib
import json
import os
import socket
import ssl
import urllib.parse

import pytest
from cryptography.hazmat.primitives import serialization
from support.announce import announce_target, bdecode, get, query
from support.canary import Canaries, ProcessList, forms
from support.certificates import Authority, self_signed
from support.evil_registry import EvilRegistry, answer
from support.gate import Gate
from support.image import small_image
from support.jws import make_key, sign, unb64
from support.process import binary, free_port, run
from support.registry import Registry, auth_entry, basic
from support.token_service import Realm
from test_users import Terminal

APP = "repository:team/app:"
KEYS = ("announce.pem", "registry.pem", "gateway.key", "tracker.key")
# What is secret by itself, in the data directory.
KEPT = ("session.key",)


class Witness:
    """Asks and runs the tool, and keeps what is not for the eyes of a secret's owner: refusals, and whatever the tool says."""

    def __init__(self, canaries):
        self.canaries, self.heard = canaries, []

    def hear(self, place, data):
        self.heard.append((place, data))

    def get(self, address, target, headers=None, echo=False, **more):
        """(status, body), or None where the connection ends without an answer. With `echo` the challenge is of the caller's own words."""
        try:
            status, got, body = get(address, target, headers, **more)
        except (OSError, ssl.SSLError) as e:
            return self.hear(f"failure of {address}", str(e))
        if echo:
            del got["WWW-Authenticate"]
        if status >= 400 or b"failure reason" in body:
            self.hear(f"answer {status} of {address}", str(got).encode() + body)
        else:
            self.hear(f"head of answer {status} of {address}", str(got))
        return status, body

    def raw(self, address, data):
        """Sends these bytes; what comes is heard, unless it is what was asked for."""
        host, port = address.rsplit(":", 1)
        got = b""
        with socket.create_connection((host, int(port)), timeout=10) as s, contextlib.suppress(OSError):
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            while more := s.recv(65536):
                got += more
        if not got.startswith(b"HTTP/1.1 200"):
            self.hear(f"answer to raw bytes of {address}", got)

    def tool(self, gate, *argv, secret=False, **more):
        """`secret`: what it prints is one."""
        done = gate.tool(*argv, check=False, **more)
        self.hear(f"stderr of {argv[0]}", done.stderr)
        self.hear(f"stdout of {argv[0]}", "" if secret else done.stdout)
        return done


class Place:
    """All of swarmgated in one process, at debug level, in front of four registries."""

    def __init__(self, folder):
        self.folder = folder
        self.c = Canaries()
        self.w = Witness(self.c)
        self.stack = contextlib.ExitStack()
        self.users = {name: self.c.password(f"password of {name}") for name in ("alice", "bob")}
        self.hub_users = {name: self.c.password(f"password of {name} at the registry") for name in ("alice", "gateway")}
        self.wrong = self.c.password("a wrong password")

    def key(self, name):
        """Makes the private bytes of a key a canary."""
        with open(os.path.join(self.folder, name), "rb") as f:
            pem = f.read()
        key = serialization.load_pem_private_key(pem, None)
        numbers = key.private_numbers()
        for what, value in (("d", getattr(numbers, "private_value", None)), ("p", getattr(numbers, "p", None))):
            if value is not None:
                self.c.add(f"{what} of {name}", value.to_bytes((value.bit_length() + 7) // 8, "big"))
        for line in pem.splitlines()[1:3]:
            self.c.add(f"a line of {name}", line)
        return key

    def start(self):
        for name in KEYS[:2]:
            run([binary("swarmgate"), "key", "generate", "--use", name.split(".")[0], "--out", os.path.join(self.folder, name)])
        keys = {name: self.key(name) for name in KEYS[:2]}
        ca = Authority(os.path.join(self.folder, "ca"))
        for role in ("tracker", "gateway"):
            ca.issue(role, ("localhost", "127.0.0.1"), folder=self.folder)
        keys.update({name: self.key(name) for name in KEYS[2:]})
        address = f"127.0.0.1:{free_port()}"
        realm = Realm(f"http://{address}/token", "auth.example", "registry.example",
                      self_signed(os.path.join(self.folder, "bundle.pem"), keys["registry.pem"]), keys["registry.pem"])
        self.evil = self.stack.enter_context(EvilRegistry())
        self.strange = self.stack.enter_context(EvilRegistry(tls=os.path.join(self.folder, "strange")))
        self.hub = self.stack.enter_context(Registry(os.path.join(self.folder, "hub"), self.hub_users))
        self.bearer = Registry(os.path.join(self.folder, "bearer"), self.users, realm=realm)
        with open(os.path.join(self.folder, "gateway.pass"), "w", encoding="utf-8") as f:
            f.write(self.hub_users["gateway"] + "\n")
        os.chmod(f.name, 0o600)
        self.evil_auth_file = os.path.join(self.folder, "evil-auth.json")
        with open(self.evil_auth_file, "w", encoding="utf-8") as f:
            entry = auth_entry("alice", self.c.password("password at a registry that lies"))
            json.dump({"auths": {self.evil.address: entry, self.strange.address: entry}}, f)
        rows = [{"name": name, "url": registry.url, "credentials": {"username": "gateway", "password_file": "gateway.pass"}}
                for name, registry in (("hub.example", self.hub), ("evil.example", self.evil), ("strange.example", self.strange))]
        rows.append({"name": "registry.example", "url": self.bearer.url})
        service = {"issuer": "auth.example", "service": "registry.example", "signing_key": "registry.pem", "anonymous_pull": ["public/*"]}
        self.gate = Gate(self.folder, rows, gateway={"listen": [address]}, token_service=service)
        self.gate.gateway = address
        self.secure = Gate(os.path.join(self.folder, "secure"), rows[:1],
                           tracker={"tls": {name: os.path.join(self.folder, f"tracker.{end}") for name, end in (("certificate", "crt"), ("key", "key"))}},
                           gateway={"tls": {name: os.path.join(self.folder, f"gateway.{end}") for name, end in (("certificate", "crt"), ("key", "key"))}})
        with open(os.path.join(self.secure.folder, "gateway.pass"), "w", encoding="utf-8") as f:
            f.write(self.hub_users["gateway"])
        os.chmod(f.name, 0o600)
        self.stack.enter_context(self.gate)
        self.stack.enter_context(self.secure)
        self.stack.enter_context(self.bearer)
        with open(os.path.join(self.folder, "data", "session.key"), encoding="ascii") as f:
            text = f.read().strip()
        self.c.add("session key", text)
        self.c.add("session key's bytes", bytes.fromhex(text))

    def __enter__(self):
        with self.stack:
            self.start()
            self.stack = self.stack.pop_all()
        return self

    def __exit__(self, *ignored):
        self.stack.close()

    def tool(self, *argv, **more):
        return self.w.tool(self.gate, *argv, "--config", self.gate.config, **more)

    def ask(self, target, headers=None, **more):
        return self.w.get(self.gate.gateway, target, headers, **more)

    def track(self, target, headers=None, **more):
        return self.w.get(self.gate.tracker, target, headers, **more)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Everything is done with it, then it has ended."""
    with ProcessList() as processes, Place(str(tmp_path_factory.mktemp("canary"))) as running:
        for step in (users, tokens_of_the_service, gateway, tracker, tls, registries, tool, end_of_rights):
            step(running)
        running.servers = [running.gate.process, running.secure.process]
    running.processes = processes.seen
    return running


# --- what is done ---

def users(p):
    assert p.tool("user", "add", "alice", input=p.users["alice"] + "\n").returncode == 0
    with Terminal(p.gate, "add", "bob") as terminal:
        for question in (b"Password: ", b"The same again: "):
            terminal.wait(question)
            terminal.type(p.users["bob"].encode() + b"\n")
        assert terminal.end() == 0
        p.w.hear("the terminal", terminal.shown)
    for name in p.users:
        assert p.tool("user", "grant", name, "team/*", "pull,push").returncode == 0
    p.tool("user", "add", "alice", input=p.wrong)
    p.tool("user", "add", "carol", input=p.wrong + "\x01")
    p.tool("user", "passwd", "nobody", input=p.wrong)
    changed = p.c.password("a password that was changed")
    assert p.tool("user", "add", "erin", input=changed).returncode == 0
    assert p.tool("user", "passwd", "erin", input=p.c.password("the password after it")).returncode == 0


def tokens_of_the_service(p):
    """Rightly, as skopeo does and by hand; then by each way of getting it wrong."""
    def form(**fields):
        body = urllib.parse.urlencode({"service": "registry.example", **fields})
        return p.ask("/token", {"Content-Type": "application/x-www-form-urlencoded"}, method="POST", body=body)

    small_image(os.path.join(p.folder, "image"), "canary", (4000,))
    p.bearer.push(f"oci:{p.folder}/image:1", "team/app:1", "alice")
    run(["skopeo", "copy", "-q", "--insecure-policy", "--src-tls-verify=false", "--authfile", p.bearer.auth_file("bob"),
         f"docker://{p.bearer.address}/team/app:1", f"oci:{p.folder}/pulled:1"])
    target = f"/token?service=registry.example&offline_token=true&scope={APP}pull,push"
    for name, password in p.users.items():
        status, body = p.ask(target, basic(name, password))
        assert status == 200
        p.registry_token = p.c.token(f"registry token of {name}", json.loads(body)["token"])
        p.refresh = p.c.token(f"refresh token of {name}", json.loads(body)["refresh_token"])
    status, body = form(grant_type="password", username="alice", password=p.users["alice"], scope=APP + "pull", access_type="offline")
    assert status == 200
    p.c.token("registry token of a form", json.loads(body)["token"])
    p.c.token("refresh token of a form", json.loads(body)["refresh_token"])
    status, body = form(grant_type="refresh_token", refresh_token=p.refresh, scope=APP + "pull")
    assert status == 200
    p.c.token("registry token for a refresh token", json.loads(body)["token"])
    unknown = p.c.token("an unknown refresh token", "canary" + os.urandom(16).hex())
    for headers in (basic("alice", p.wrong), basic("nobody", p.wrong), basic("", p.refresh), {"Authorization": "Bearer " + p.registry_token},
                    {"Authorization": "Basic " + p.wrong.encode().hex()}, {"Authorization": p.refresh}):
        p.ask(target, headers)
    for fields in ({"grant_type": "refresh_token", "refresh_token": unknown}, {"grant_type": "refresh_token", "refresh_token": p.refresh, "service": "x"},
                   {"grant_type": "password", "username": "alice", "password": p.wrong}, {"grant_type": p.wrong, "password": p.users["alice"]},
                   {"grant_type": "password", "username": p.wrong, "password": p.users["bob"]},
                   {"grant_type": "password", "username": "alice", "password": p.users["alice"], "scope": "repository:" + p.refresh},
                   {"password": p.wrong, "refresh_token": p.refresh}, {"grant_type": "password", "password": p.wrong * 2000}):
        form(**fields)
    for secret in (p.wrong, p.refresh, p.registry_token):
        p.ask(f"/token?service=registry.example&password={urllib.parse.quote(secret)}&refresh_token={urllib.parse.quote(secret)}")
        p.ask("/token", {"Content-Type": "application/json"}, method="POST", body=json.dumps({"password": secret}))
        p.ask("/token/" + urllib.parse.quote(secret, safe=""), method="PUT")


def swarm_and_webseed(p, name, body):
    metainfo = bdecode(body)
    url = metainfo[b"url-list"]
    webseed = (url[0] if isinstance(url, list) else url).decode().split("/webseed/")[1].rstrip("/")
    return p.c.token(f"swarm token of {name}", metainfo[b"announce"].decode().split("jwt=")[1]), p.c.token(f"webseed token of {name}", webseed)


def gateway(p):
    """By the callers' own headers, right and wrong, and with tokens in all the wrong places."""
    p.hub.push(f"oci:{p.folder}/image:1", "team/app:1", "alice")
    for registry, name in ((p.hub, "hub.example"), (p.bearer, "registry.example")):
        made = p.tool("torrent", "create", f"docker://{registry.address}/team/app:1", "--register", "--json", "--registry", name,
                      "--authfile", registry.auth_file("alice"))
        assert made.returncode == 0, made.stderr
    p.blob = max(json.loads(made.stdout)["blobs"], key=lambda blob: blob["size"])
    path = f"/v1/team/app/blobs/{p.blob['digest']}"
    for name, headers in (("registry.example", {"Authorization": "Bearer " + p.registry_token}), ("hub.example", basic("alice", p.hub_users["alice"]))):
        status, body = p.ask(f"{path}?ns={name}", headers)
        assert status == 200, body
        p.swarm, p.webseed = swarm_and_webseed(p, name, body)
        status, body = p.ask(f"/v1/team/app/tokens?ns={name}", headers, method="POST", body=json.dumps({"digests": [p.blob["digest"]]}))
        assert status == 200
        p.c.token(f"swarm token of {name} alone", json.loads(body)["token"])
    strange = p.c.token("a bearer of somebody's", "canary." + os.urandom(16).hex())
    forged = p.c.token("a forged registry token", sign(json.loads(unb64(p.registry_token.split(".")[0])), {"iss": "auth.example"}, make_key("ES256")))
    for headers in (basic("alice", p.wrong), {"Authorization": "Bearer " + strange}, {"Authorization": "Bearer " + forged}, {"Authorization": p.wrong.encode().hex()},
                    {"Authorization": "Bearer " + p.swarm}, {"Authorization": f"Bearer {p.swarm}, Basic {strange}"}):
        for name in ("hub.example", "registry.example", "evil.example", "strange.example", "no.example"):
            p.ask(f"{path}?ns={name}", headers)
            p.ask(f"/v1/team/app/tokens?ns={name}", headers, method="POST", body=json.dumps({"digests": [p.blob["digest"], strange]}))
    seed = f"/webseed/{p.webseed}/{p.blob['digest']}"
    assert p.ask(seed)[0] == 200 and p.ask(seed, {"Range": "bytes=5-20"})[0] == 206
    for token in (p.webseed, p.webseed + "x", p.webseed[:-9], p.swarm, p.registry_token, p.refresh, forged):
        for target in (f"/webseed/{token}", f"/webseed/{token}/", f"/webseed/{token}/other", f"/webseed/{token}/%zz", f"/webseed//{token}", f"/{token}",
                       f"/webseed/{token}/{p.blob['digest']}?{token}", f"/v1/team/{token}/blobs/{p.blob['digest']}", f"/v1/team/app/blobs/{token}",
                       f"/v1/team/app/blobs/{p.blob['digest']}?ns={token}", f"/announce?jwt={token}"):
            if target != f"/webseed/{p.webseed}/":
                p.ask(target)
                p.ask(target, method="DELETE")
    raw_requests(p, p.gate.gateway, seed)


def raw_requests(p, address, target):
    """Heads that are none, too large, or cut off, with secrets inside."""
    head = f"GET {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {p.wrong.encode().hex()}\r\n"
    for data in (head, head + f"X: {'y' * 40000}\r\n\r\n", head + f"{p.swarm} : x\r\n\r\n", head + f"Content-Length: {p.swarm}\r\n\r\n", f"{p.swarm}\r\n\r\n",
                 f"GET {target}{p.swarm * 40} HTTP/1.1\r\n\r\n", f"GET {target} HTTP/{p.refresh}\r\n\r\n", f"{p.refresh} {target} HTTP/1.1\r\n\r\n",
                 head.replace("Host: x", "Host: " + p.refresh) + "\r\n", head + f"Transfer-Encoding: {p.refresh}\r\n\r\n", head + "\x00\r\n\r\n"):
        p.w.raw(address, data.encode())
    p.w.raw(address, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + p.swarm.encode())


def tracker(p):
    """Announces and scrapes with tokens of all kinds in all places."""
    infohash = p.blob["infohash"]
    key = p.c.password("key of a peer")
    status, body = p.track(announce_target(infohash, p.swarm, key=key))
    identity = bdecode(body)[b"tracker id"]
    assert status == 200 and p.c.add("tracker id", identity)
    issued = p.tool("token", "issue", "--sub", "registry.example/alice", "--infohash", infohash, "--ttl", "1s", secret=True)
    by_tool = p.c.token("swarm token by the tool", issued.stdout.strip())
    registry = p.tool("token", "issue", "--sub", "alice", "--registry-scope", APP + "pull", secret=True)
    p.c.token("registry token by the tool", registry.stdout.strip())
    header, claims = (json.loads(unb64(part)) for part in by_tool.split(".")[:2])
    with open(p.gate.key, "rb") as f:
        own = serialization.load_pem_private_key(f.read(), None)
    past = {**claims, "iat": claims["iat"] - 9000, "nbf": claims["nbf"] - 9000, "exp": claims["exp"] - 9000, "session": claims["exp"] - 8000}
    wrong = [p.c.token(f"bad token {i}", token) for i, token in enumerate((
        sign(header, past, own), sign(header, claims, make_key("ES256")), sign({**header, "crit": ["x"]}, claims, own),
        sign({**header, "kid": "x"}, claims, own), sign(header, {**claims, "aud": "x"}, own), by_tool[:-3] + "AAA"))]
    for token in (p.swarm, by_tool, p.registry_token, p.webseed, p.refresh, *wrong):
        for more in ({"trackerid": identity}, {"trackerid": identity + b"x"}, {"port": 80}, {"left": token}, {"event": token}, {"info_hash": token}):
            p.track(announce_target(infohash, token, key=key, **more), source="127.0.0.2")
        p.track(announce_target(infohash, None), {"Authorization": "Bearer " + token})
        p.track(announce_target(infohash, token) + "&jwt=" + token)
        p.track("/announce?jwt=%zz" + token)
        for target in ("/scrape?jwt=" + token, f"/scrape?jwt={token}&" + query([("info_hash", bytes.fromhex(infohash))]), f"/announce/{token}", f"/{token}/announce",
                       f"/scrape/{token}?{token}"):
            p.track(target)
            p.track(target, method="POST", body=token)
    raw_requests(p, p.gate.tracker, announce_target(infohash, p.swarm))


def tls(p):
    """Secrets said in plain text where TLS is spoken, and within TLS."""
    for address in (p.secure.tracker, p.secure.gateway):
        raw_requests(p, address, f"/webseed/{p.webseed}/x")
        context = ssl.create_default_context(cafile=os.path.join(p.folder, "ca", "ca.crt"))
        for target, headers in ((announce_target(p.blob["infohash"], p.swarm), {}), ("/v1/team/app/blobs/" + p.blob["digest"], basic("alice", p.wrong)),
                                (f"/webseed/{p.webseed}/x", {"Authorization": "Bearer " + p.registry_token})):
            p.w.get(address, target, headers, context=context)
            p.w.get(address, target, headers, context=ssl.create_default_context())  # which does not trust it


def registries(p):
    """Registries that send back what they were sent, in all places, or are not who they say."""
    def echo(status, **fields):
        def send(wire, request):
            said = request.authorization or "nothing"
            answer(status, json.dumps({"errors": [{"code": said, "message": said, "detail": said}]}).encode(),
                   **{name: value.replace("@", said) for name, value in fields.items()})(wire, request)
        return send

    digest = p.blob["digest"]
    bearer = {"Authorization": "Bearer " + p.c.token("a bearer for the registry", "canary" + os.urandom(16).hex())}
    for send in (echo(401, WWW_Authenticate='Bearer realm="http://127.0.0.1/@",service="@"'), echo(401, WWW_Authenticate="@"), echo(403), echo(500),
                 echo(302, Location="http://127.0.0.1:9/@"), echo(200, Content_Type="@", Docker_Content_Digest="@"), echo(429, Retry_After="@")):
        p.evil.on("/v2/*", send)
        for headers in (basic("alice", p.wrong), bearer, basic("gateway", p.hub_users["gateway"])):
            for registry in ("evil.example", "strange.example"):
                p.ask(f"/v1/team/app/blobs/{digest}?ns={registry}", headers, echo=True)
        p.tool("torrent", "create", f"docker://{p.evil.address}/team/app:1", "--register", "--registry", "evil.example", "--json",
               "--authfile", p.evil_auth_file)
    p.tool("torrent", "create", f"docker://{p.strange.address}/team/app:1", "--authfile", p.evil_auth_file, "--json")


def tool(p):
    """Files that are damaged, and tokens that are shown to it."""
    path = os.path.join(p.folder, "damaged")
    with open(p.gate.key, encoding="ascii") as f:
        pem = f.read()
    for text in (pem.replace("\n", "", 1), pem[:-60], pem[20:], pem.replace("PRIVATE", "PUBLIC")):
        with open(path, "w", encoding="ascii") as f:
            f.write(text)
        os.chmod(path, 0o600)
        p.w.tool(p.gate, "key", "jwks", path)
    for token in (p.swarm, p.webseed, p.registry_token, p.refresh, p.swarm + "x", p.registry_token[:-5]):
        p.tool("token", "verify", "-", input=token)
        p.w.tool(p.gate, "token", "inspect", "-", input=token)
    with open(p.gate.config, encoding="utf-8") as f:
        config = f.read()
    for old, new in ((p.hub.url, p.hub.url.replace("//", f"//alice:{urllib.parse.quote(p.wrong, safe='')}@")), ("gateway.pass", path),
                     (p.hub.url, p.hub.url + "/?token=" + p.swarm)):
        with open(os.path.join(p.folder, "wrong.yaml"), "w", encoding="utf-8") as f:
            f.write(config.replace(old, new))
        done = run([binary("swarmgated"), "--config", f.name, "--check-config"], check=False)
        p.w.hear("swarmgated --check-config", done.stdout + done.stderr)
    for text in ('{"auths": {"x": {"auth": "%s"}}}', '{"auths": {"x": {"auth": "%s"}', '%s'):
        with open(path, "w", encoding="utf-8") as f:
            f.write(text % p.wrong.encode().hex())
        p.tool("torrent", "create", f"docker://{p.hub.address}/team/app:1", "--authfile", path, "--json")


def end_of_rights(p):
    """Rotation, reload, revocation; and all that can be listed."""
    assert p.tool("key", "rotate", "--use", "announce").returncode == 0
    for name in ("announce.pem", "announce.pem.next"):
        p.key(name)
    p.gate.reload()
    p.tool("revoke", "--sub", "registry.example/bob")
    p.ask("/token?service=registry.example", {"Content-Type": "application/x-www-form-urlencoded"}, method="POST",
          body=urllib.parse.urlencode({"grant_type": "refresh_token", "refresh_token": p.refresh, "service": "registry.example"}))
    for target in ("/v1/revocations", "/.well-known/jwks.json", "/metrics", "/readyz"):
        for address in (p.gate.gateway, p.gate.tracker):
            p.w.hear(target, (p.w.get(address, target) or (0, b""))[1])
    for argv in (["user", "list"], ["revoke", "list"], ["audit"], ["audit", "--json"], ["db", "stats"], ["db", "check"], ["torrent", "list"]):
        assert p.tool(*argv).returncode == 0
    p.w.tool(p.gate, "key", "jwks", p.gate.key)


# --- what is found ---

def files_below(folder):
    for path, _, names in os.walk(folder):
        for name in names:
            if name not in KEPT:
                yield os.path.join(path, name)


@pytest.mark.parametrize("form", ["plain", "hex", "HEX", "%", "all %", "base64 0", "base64 1", "base64 2", "base64url 1"])
def test_the_search_finds(form):
    canaries = Canaries()
    secret = canaries.password("test").encode()
    assert canaries.find("here", b"before " + forms(secret)[form] + b" behind")
    assert canaries.find("here", str(basic("a" * (len(form) % 3), secret.decode())))
    assert not canaries.find("here", b"before behind")


def found_in(place, heard):
    found = [one for name, data in heard for one in place.c.find(name, data)]
    print(*found, sep="\n")  # the whole, where pytest shows the beginning alone
    return found


def test_logs(place):
    for server in place.servers:
        assert len(server.lines) > 10
        assert found_in(place, [("the log", server.output())]) == []


def test_files(place):
    paths = [path for gate in (place.gate, place.secure) for path in files_below(os.path.join(gate.folder, "data"))]
    assert {os.path.basename(path) for path in paths} >= {"data.mdb", "audit.jsonl"}
    assert found_in(place, [(path, open(path, "rb").read()) for path in paths]) == []


def test_what_others_are_told(place):
    assert len(place.w.heard) > 500
    assert found_in(place, place.w.heard) == []


def test_process_list(place):
    seen = [(name, data) for name, several in place.processes.items() for data in several]
    assert any(b"swarmgate\0user\0add" in data for _, data in seen) and any(b"swarmgated\0" in data for _, data in seen)
    assert found_in(place, seen) == []
