"""
A small Docker token service that shares nothing with ours: the `realm` of a registry with `auth: token`, after
the specification of distribution (docs/spec/auth/token.md, oauth.md). It is the oracle that ours is held
against, and notes what clients ask.
"""

import base64
import binascii
import contextlib
import dataclasses
import datetime
import fnmatch
import hashlib
import http.server
import json
import os
import secrets
import threading
import urllib.parse

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from .announce import get
from .certificates import self_signed
from .registry import basic

LIFETIME = 300  # seconds


@dataclasses.dataclass(frozen=True)
class Realm:
    """What a registry is told of a token service, be it this one or another."""

    url: str
    issuer: str
    service: str
    certificate: str  # path of the PEM for `rootcertbundle`, and for `keys` of a trust row
    key: object       # the private key, for tokens that the service would not make
    algorithm: str = "ES256"

    def trust_row(self, **more):
        """The row of `auth: trust:` by which swarmgated takes its registry tokens."""
        return {"issuer": self.issuer, "audience": self.service, "keys": self.certificate,
                "algorithms": [self.algorithm], "accept": ["registry"], **more}

    def sign(self, user, access, **claims):
        """A registry token; `claims` are laid over those it should have, and one of None is left out."""
        now = int(datetime.datetime.now().timestamp())
        said = {"iss": self.issuer, "aud": self.service, "sub": user or "", "iat": now, "nbf": now, "exp": now + LIFETIME,
                "jti": secrets.token_hex(16), "access": access, **claims}
        said = {name: value for name, value in said.items() if value is not None}
        return jwt.encode(said, self.key, self.algorithm, {"kid": libtrust_id(self.key.public_key())})

    def ask(self, scopes=(), user=None, password=None, **more):
        """(status, body) of GET as a client does it; `more` are further parameters."""
        pairs = [("service", self.service), *[("scope", scope) for scope in scopes], *more.items()]
        target = urllib.parse.urlsplit(self.url)
        headers = {} if user is None else basic(user, password)
        status, _, body = get(target.netloc, f"{target.path}?{urllib.parse.urlencode(pairs)}", headers)
        return status, json.loads(body)

    def token_for(self, *scopes, user=None, password=None):
        """A registry token for a user, or for nobody, who is told no lie about the password."""
        status, body = self.ask(scopes, user, password)
        assert status == 200, body
        return body["token"]


@dataclasses.dataclass
class Asked:
    """A request as it came in, and what became of it."""

    method: str
    headers: dict  # names in lower case
    query: list
    form: list
    status: int = None

    @property
    def pairs(self):
        """Query or form, whichever says what is wanted."""
        return self.form if self.method == "POST" else self.query

    def get(self, name):
        """The values of a parameter."""
        return [value for key, value in self.pairs if key == name]

    @property
    def basic(self):
        """(user, password) of its Authorization, or None; ("", "") when that can't be read."""
        scheme, _, encoded = self.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            user, colon, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return "", ""
        return (user, password) if colon else ("", "")


class Refused(Exception):
    """An answer that is no token."""

    def __init__(self, status, code, message):
        super().__init__(message)
        self.status, self.code = status, code


def libtrust_id(public_key):
    """The `kid` by which docker-registry finds a key of its `rootcertbundle`."""
    der = public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    text = base64.b32encode(hashlib.sha256(der).digest()[:30]).decode()
    return ":".join(text[i:i + 4] for i in range(0, len(text), 4))


def read_scope(text):
    """
    [(type, name, actions)] of one `scope`: `repository:team/app:pull,push`, several by blanks. A name may have
    a colon, of a host's port.
    """
    scopes = []
    for one in text.split():
        kind, _, rest = one.partition(":")
        name, _, actions = rest.rpartition(":")
        if not kind or not name:
            raise Refused(400, "invalid_scope", f"not a scope: {one}")
        scopes.append((kind, name, [action for action in actions.split(",") if action]))
    return scopes


class TokenService:
    """
    Listens on `host`, or within it where that is a Host of netns.py. `users` are {name: password}; `grants`
    are {name: {pattern: actions}}; `anonymous` are patterns of repositories that anybody may pull. `realm`
    is what a registry needs of it; `asked` grows. `fails` may be given {method: status}, with which such requests
    are refused, and `leaves_out` members of its answers that are not to be there.
    """

    name = "independent"

    def __init__(self, folder, users, grants, anonymous=(), host="127.0.0.1", issuer="auth.independent.example",
                 service="registry.example", algorithm="ES256"):
        os.makedirs(folder, exist_ok=True)
        self.users, self.grants, self.anonymous = dict(users), grants, list(anonymous)
        self.asked, self.refresh_tokens, self.fails, self.leaves_out = [], {}, {}, ()
        key = rsa.generate_private_key(65537, 2048) if algorithm == "RS256" else ec.generate_private_key(ec.SECP256R1())
        certificate = self_signed(os.path.join(folder, "registry-token.crt"), key)
        # A socket stays in the network namespace that it was made in.
        with contextlib.nullcontext() if isinstance(host, str) else host.entered():
            address = host if isinstance(host, str) else host.address
            self.server = http.server.ThreadingHTTPServer((address, 0), _Handler)
        self.server.service = self
        self.realm = Realm(f"http://{address}:{self.server.server_port}/token", issuer, service, certificate, key, algorithm)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *ignored):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    # --- who may what ---

    def allowed(self, user, name):
        """The actions that a user, or None for nobody, may do in a repository."""
        actions = {"pull"} if any(fnmatch.fnmatchcase(name, pattern) for pattern in self.anonymous) else set()
        for pattern, granted in self.grants.get(user, {}).items():
            if fnmatch.fnmatchcase(name, pattern):
                actions |= set(granted.split(","))
        return actions

    def access(self, user, scopes):
        """What of the scopes asked for is granted; less than asked is no error."""
        granted = {}
        for kind, name, actions in scopes:
            if kind == "repository":
                may = self.allowed(user, name)
                granted.setdefault(name, set()).update(action for action in actions if action in may)
        return [{"type": "repository", "name": name, "actions": sorted(actions)}
                for name, actions in granted.items() if actions]

    # --- the two ways to ask ---

    def login(self, user, password):
        # An unknown user and a wrong password are the same.
        known = self.users.get(user)
        if known is None or not secrets.compare_digest(known.encode(), password.encode()):
            raise Refused(401, "UNAUTHORIZED", "wrong user name or password")
        return user

    def remember(self, user):
        token = secrets.token_urlsafe(24)
        self.refresh_tokens[token] = user
        return token

    def answer(self, user, asked, offline):
        if asked.get("service") != [self.realm.service]:
            raise Refused(400, "invalid_request", "service: not one of ours")
        scopes = [scope for text in asked.get("scope") for scope in read_scope(text)]
        access = self.access(user, scopes)
        token = self.realm.sign(user, access)
        body = {"token": token, "access_token": token, "expires_in": LIFETIME,
                "issued_at": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")}
        if asked.method == "POST":
            del body["token"]
            body["scope"] = " ".join(f"repository:{one['name']}:{','.join(one['actions'])}" for one in access)
        if offline and user is not None:
            body["refresh_token"] = self.remember(user)
        return body

    def on_get(self, asked):
        basic = asked.basic
        user = None if basic is None else self.login(*basic)
        return self.answer(user, asked, asked.get("offline_token") == ["true"])

    def on_post(self, asked):
        grant = "".join(asked.get("grant_type"))
        if grant == "password":
            user = self.login("".join(asked.get("username")), "".join(asked.get("password")))
        elif grant == "refresh_token":
            user = self.refresh_tokens.get("".join(asked.get("refresh_token")))
            if user is None:
                raise Refused(401, "UNAUTHORIZED", "unknown refresh token")
        else:
            raise Refused(400, "unsupported_grant_type", grant)
        body = self.answer(user, asked, asked.get("access_type") == ["offline"])
        if grant == "refresh_token":
            body.setdefault("refresh_token", asked.get("refresh_token")[0])
        return body


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *ignored):
        """Says nothing; `asked` holds it all."""

    def read_body(self):
        """The whole body, by its length or chunked (RFC 9112, 7.1)."""
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # trailers
        return body

    def reply(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def serve(self, method, on):
        target = urllib.parse.urlsplit(self.path)
        body = self.read_body()
        asked = Asked(method, {name.lower(): value for name, value in self.headers.items()},
                      urllib.parse.parse_qsl(target.query, keep_blank_values=True),
                      urllib.parse.parse_qsl(body.decode(), keep_blank_values=True))
        try:
            if target.path != "/token":
                raise Refused(404, "NOT_FOUND", "no such thing")
            if method in self.server.service.fails:
                raise Refused(self.server.service.fails[method], "UNKNOWN", "as the test wants it")
            status, value = 200, {name: member for name, member in on(asked).items() if name not in self.server.service.leaves_out}
        except Refused as refused:
            status, value = refused.status, {"errors": [{"code": refused.code, "message": str(refused)}]}
        asked.status = status
        self.server.service.asked.append(asked)
        self.reply(status, value)

    def do_GET(self):
        self.serve("GET", self.server.service.on_get)

    def do_POST(self):
        self.serve("POST", self.server.service.on_post)
