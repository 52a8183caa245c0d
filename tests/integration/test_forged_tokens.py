"""
Tokens that must not open anything: forged, stale and misshapen ones by families, each family with twins that differ
in the one thing that is wrong and do open it. All against the running tracker, by swarm tokens and by registry
tokens, and against the webseed. The families are in support.forged_tokens and support.known_attacks.
"""

import base64
import copy
import json
import os
import urllib.parse

import pytest
from conftest import registry_row
from cryptography.hazmat.primitives.asymmetric import ec
from support.announce import announce, failure, get, scrape
from support.forged_tokens import AUDIENCE, GENERIC, ISSUER, Keys, Target, stranger
from support.gate import Gate
from support.jws import b64, jwk_of, make_key, public_pem, sign, unb64
from support.known_attacks import KNOWN
from support.process import binary, run
from support.registry import basic

INFOHASH, OTHER = "11" * 20, "22" * 20
MINIMUM = 600  # different tokens
KINDS = ("swarm", "registry", "webseed")
# "token expired" is for tokens that were good.
REASONS = {"token invalid", "token required", "not authorised for this torrent"}


class World:
    """
    Tracker and gateway that trust keys of ours for every kind of token, in front of a registry; a blob that is registered
    to team/app, and another to other/app; a peer in each swarm, to be seen.
    """

    def __init__(self, folder, registry):
        self.keys, self.refused = Keys(), set()
        self.only = make_key("ES256")
        trust = [self.row(folder, name, public_pem(key)) for name, key in self.keys.by_name.items()]
        named = {"keys": [jwk_of(self.keys.named, kid="right", use="sig", alg="ES256")]}
        trust.append(self.row(folder, "named", json.dumps(named).encode()))
        trust += [self.row(folder, "only-" + kind, public_pem(self.only), accept=[kind]) for kind in KINDS]
        self.gate = Gate(folder, [registry_row(registry, folder)], auth={"trust": trust}).start()
        self.blob, self.foreign = (self.register(registry, name) for name in ("team/app", "other/app"))
        place = {"registry": "registry.example", "repository": "team/app"}
        self.targets = {
            "swarm": Target(self.keys, "swarm", "swarm+jwt", 4096, {"infohash": INFOHASH}, {"infohash": OTHER}),
            "registry": Target(self.keys, "registry", "JWT", 8192, {"access": pull("team/app")}, {"access": pull("other/app")}),
            "webseed": Target(self.keys, "webseed", "webseed+jwt", 4096, {**place, "digest": self.blob["digest"]},
                              {**place, "repository": "other/app", "digest": self.foreign["digest"]}),
        }
        for infohash in (INFOHASH, OTHER, self.blob["infohash"], self.foreign["infohash"]):
            assert failure(announce(self.gate.tracker, infohash, self.gate.token(infohash), left=0, port=7001)) is None

    @staticmethod
    def row(folder, name, keys, **more):
        """A row of `auth: trust:` for these keys."""
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, name + ".keys"), "wb") as f:
            f.write(keys)
        algorithm = {"RS256": "RS256", "cube": "RS256", "EdDSA": "EdDSA"}.get(name, "ES256")
        return {"issuer": f"{ISSUER}-{name}", "audience": AUDIENCE, "keys": name + ".keys", "algorithms": [algorithm],
                "accept": list(KINDS), "registry": "registry.example", **more}

    def register(self, registry, name):
        made = self.gate.tool("torrent", "create", f"docker://{registry.address}/{name}:1", "--register", "--json", "--config",
                              self.gate.config, "--authfile", registry.auth_file("alice"))
        return max(json.loads(made.stdout)["blobs"], key=lambda blob: blob["size"])

    def opens(self, kind, token):
        """(whether the token opens what it is for, the tracker's reason when it does not)."""
        if kind == "webseed":
            path = f"/webseed/{urllib.parse.quote(token, safe='')}/{self.blob['digest'].replace(':', '-')}"
            status, _, body = get(self.gate.gateway, path, {"Range": "bytes=0-0"})
            assert status in (206, 400, 403, 404, 431, 502) and (status == 206) == (len(body) == 1), (status, body)
            return status == 206, "token invalid"
        infohash = INFOHASH if kind == "swarm" else self.blob["infohash"]
        got = announce(self.gate.tracker, infohash, token, port=7002, event="started")
        seen = scrape(self.gate.tracker, [infohash], token)
        peers, files = b"peers" in got or b"peers6" in got, bool(seen.get(b"files"))
        assert peers == files, f"announce and scrape differ: {got} {seen}"
        if peers:
            announce(self.gate.tracker, infohash, token, port=7002, event="stopped")
        return peers, failure(got)


def pull(*repositories):
    return [{"type": "repository", "name": name, "actions": ["pull"]} for name in repositories]


@pytest.fixture(scope="module")
def world(registry, tmp_path_factory):
    made = World(str(tmp_path_factory.mktemp("world")), registry)
    yield made
    made.gate.stop()


def hold(world, kind, family):
    """Fails unless each token of a family opens what it should, and says how many were refused, and let in."""
    twins, refused, wrong = 0, set(), []
    for label, token, good in family(world.targets[kind]):
        got, reason = world.opens(kind, token)
        reasons = REASONS | ({"token expired"} if label.startswith("exp") else set())
        if got != good or (not good and reason not in reasons):
            wrong.append(f"{label}: {'opens' if got else reason}")
        twins += good
        if not good:
            refused.add(token if isinstance(token, bytes) else token.encode(errors="surrogatepass"))
    world.refused |= refused
    print(f"\n{kind}, {family.__name__}: {len(refused)} refused, {twins} let in")
    assert not wrong, wrong
    assert twins >= 1 and refused


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", GENERIC, ids=lambda family: family.__name__)
def test_family(world, family, kind):
    hold(world, kind, family)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", KNOWN)
def test_known_attack(world, name, kind):
    hold(world, kind, KNOWN[name])


# --- what is of one kind alone ---

def infohashes(t):
    yield "right", t.token(), True
    yield "in a list", t.token(infohash=[OTHER, INFOHASH]), True
    yield "in capitals", t.token("EdDSA", infohash=["ab" * 20, INFOHASH.upper()]), True
    for value in (OTHER, [OTHER], "", INFOHASH[:-1], INFOHASH + "1", INFOHASH[:-1] + "g", "0x" + INFOHASH[:-2],
                  " " + INFOHASH, INFOHASH + "\n", INFOHASH + "\0", INFOHASH[:38], INFOHASH * 2 + "11", [], [INFOHASH, 1],
                  [INFOHASH, "x"], [INFOHASH, None], [[INFOHASH]], [INFOHASH] * 49, {"v1": INFOHASH}, {INFOHASH: 1},
                  int(INFOHASH), True, 1.5, "*", "%11" * 20, base64.b32encode(bytes.fromhex(INFOHASH)).decode(),
                  f"{OTHER},{INFOHASH}", f"urn:btih:{INFOHASH}", bytes.fromhex(INFOHASH).decode()):
        yield f"infohash {str(value)[:50]!r}", t.token(infohash=value), False
    yield "none", t.token(infohash=None), False
    yield "null", t.texts(claims=json.dumps({**t.claims("EdDSA"), "infohash": None})), False
    for value in ("", "never", True, [], {}, -1, 2**64, 1e300, "9" * 10):
        yield f"session {value!r}", t.token(session=value), False
    for name in ("registry", "repository"):
        yield f"{name} a number", t.token(**{name: 1}), False


def accesses(t):
    yield "right", t.token(), True
    yield "among others", t.token(access=pull("other/app", "team/app")), True
    yield "with push", t.token(access=[{"type": "repository", "name": "team/app", "actions": ["push", "pull"]}]), True
    yield "everything", t.token(access=[{"type": "repository", "name": "team/app", "actions": ["*"]}]), True
    one = pull("team/app")[0]
    for actions in ([], ["push"], ["PULL"], ["pull "], ["pull,push"], ["pull\0"], "pull", "*", None, {"pull": True}, [["pull"]],
                    [1], True, ["delete"]):
        yield f"actions {actions!r}", t.token(access=[{**one, "actions": actions}]), False
    for name in ("team/app ", " team/app", "Team/App", "team", "team/", "team/ap", "team/app2", "team/app/x", "other/app",
                 "team/app\0", "*", "team/*", "", "registry.example/team/app", "team//app", "./team/app", "team/../team/app",
                 "team%2fapp", None, 1, ["team/app"]):
        yield f"name {name!r}", t.token(access=[{**one, "name": name}]), False
    for type_ in ("registry", "Repository", "repository ", "", "repository(plugin)", "*", None, 1, ["repository"]):
        yield f"type {type_!r}", t.token(access=[{**one, "type": type_}]), False
    for access in (None, [], {}, one, "repository:team/app:pull", [one, 1], [[one]], [None], True, 1, [one] * 129):
        yield f"access {str(access)[:40]!r}", t.token(access=access), False
    yield "an infohash instead", t.token(access=None, infohash=INFOHASH), False


def places(t):
    yield "right", t.token(), True
    digest = t.what["digest"]
    for value in (t.other["digest"], digest.upper(), digest[:-1], digest + "0", digest[7:], "sha256-" + digest[7:],
                  " " + digest, digest + "\0", "sha512:" + digest[7:], "sha256:", "", "*", "sha256:../" + digest[7:],
                  [digest], {"sha256": digest[7:]}, 1, True):
        yield f"digest {str(value)[:40]!r}", t.token(digest=value), False
    for name in ("registry", "repository", "digest"):
        yield name + " missing", t.token(**{name: None}), False
        for value in ("", "*", 1, True, [], {}, [t.what[name]], t.what[name] + " ", t.what[name] + "\0", "../" + t.what[name],
                      t.what[name].upper()):
            yield f"{name} {str(value)[:30]!r}", t.token(**{name: value}), False
    yield "a repository that does not have it", t.token(repository="other/app"), False
    yield "a registry that is not there", t.token(registry="127.0.0.1:9"), False


@pytest.mark.parametrize("kind,family", [("swarm", infohashes), ("registry", accesses), ("webseed", places)], ids=KINDS)
def test_what_it_is_for(world, kind, family):
    hold(world, kind, family)


@pytest.mark.parametrize("kind", KINDS)
def test_kinds(world, kind):
    """A token of one kind where another is wanted, and by an issuer who is trusted for another."""
    target = world.targets[kind]
    everything = {name: value for one in world.targets.values() for name, value in one.what.items()}
    foreign = {name: value for name, value in everything.items() if name not in target.what}

    def kinds(t):
        yield "right", t.token(), True
        yield "right, with what others open", t.token(**foreign), True
        for other in world.targets.values():
            if other is not t:
                only = {**{name: None for name in t.what}, **other.what}
                yield f"a {other.name} token", other.token(), False
                yield f"a {other.name} token that says it all", other.token(**everything), False
                yield f"claims of a {other.name} token", t.token(**only), False
        for typ in ("webseed+jwt", "swarm+jwt", "JWT", "jwt", "swarm", "webseed", "registry", "SWARM+JWT", t.typ + " ",
                    " " + t.typ, t.typ + "\0", t.typ + ";x=1", "application/" + t.typ, t.typ.title(), "revocations+jwt",
                    "at+jwt", "JOSE", "secevent+jwt", "", None, 1, True, [t.typ], {t.typ: 1}):
            if typ != t.typ:
                yield f"typ {typ!r}", t.token(header={"typ": typ}), typ is None and t.name == "registry"
        for issuer in KINDS:
            right = {"key": world.only, "iss": f"{ISSUER}-only-{issuer}"}
            yield f"of who is trusted for {issuer} tokens", t.token(**right), issuer == t.name
            yield f"of who is trusted for {issuer} tokens, everything", t.token(**right, **foreign), issuer == t.name
        yield "no token but the word", "Bearer", False

    hold(world, kind, kinds)


def test_our_own_key(world):
    """What the gateway's own key signs is trusted without a row, within its kind."""
    def our_own(t):
        good = world.gate.token(INFOHASH)
        head, claims, signature = good.split(".")
        yield "the tool's token", good, True
        yield "for another", world.gate.token(OTHER), False
        yield "claims exchanged", ".".join([head, b64(unb64(claims).replace(INFOHASH.encode(), OTHER.encode())), signature]), False
        yield "a stranger's", sign(json.loads(unb64(head)), json.loads(unb64(claims)), stranger()), False
        trusted = world.keys.by_name["ES256"]
        yield "of an issuer that is trusted", sign(json.loads(unb64(head)), json.loads(unb64(claims)), trusted), False

    hold(world, "swarm", our_own)


def test_enough_of_them(world):
    """Of what this run has tried; the families alone, when it is the only test."""
    if not world.refused:
        for kind in KINDS:
            for family in GENERIC:
                hold(world, kind, family)
    print(f"\n{len(world.refused)} different tokens, none let in")
    assert len(world.refused) >= MINIMUM


def test_keys_that_nobody_should_trust(tmp_path):
    """Under these anybody could sign, or nobody should: they are refused before they are trusted."""
    def jwks(jwk):
        return json.dumps({"keys": [jwk]}).encode()

    rsa, even = stranger("RS256"), stranger("RS256").public_key().public_numbers().n - 1
    keys = {
        "right": (public_pem(rsa), "RS256", True),
        "RSA with an even number": (jwks({**jwk_of(rsa), "n": b64(even.to_bytes(256, "big"))}), "RS256", False),
        "EC off the curve": (jwks({**jwk_of(stranger()), "y": b64(bytes(31) + b"\1")}), "ES256", False),
        "a secret": (jwks({"kty": "oct", "k": b64(b"secret")}), "ES256", False),
    }
    for bits in (1024, 2047):
        keys[f"RSA of {bits} bits"] = (public_pem(stranger("RS256", bits=bits)), "RS256", False)
    for exponent in (1, 2, 65536):
        keys[f"RSA with e = {exponent}"] = (jwks({**jwk_of(rsa), "e": b64(exponent.to_bytes(3, "big").lstrip(b"\0"))}), "RS256", False)
    for curve in (ec.SECP384R1, ec.SECP256K1):
        keys[curve.name] = (public_pem(stranger(curve=curve)), "ES256", False)
    for name, (data, algorithm, good) in keys.items():
        folder = tmp_path / name.replace(" ", "-")
        folder.mkdir()
        (folder / "keys").write_bytes(data)
        row = {"issuer": "x", "audience": "y", "keys": "keys", "algorithms": [algorithm], "accept": ["swarm"]}
        gate = Gate(str(folder), auth={"trust": [row]})
        done = run([binary("swarmgated"), "--config", gate.config, "--check-config"], check=False)
        assert (done.returncode == 0) == good and (good or done.returncode == 2), (name, done.stderr)


def test_token_in_both_places(world):
    target = world.targets["swarm"]
    good, other = target.token(), target.token(jti="2")
    address = world.gate.tracker
    assert b"peers" in announce(address, INFOHASH, headers={"Authorization": "Bearer " + good})
    assert failure(announce(address, INFOHASH, good, headers={"Authorization": "Bearer " + other})) == "token invalid"
    assert failure(announce(address, INFOHASH)) == "token required"
    assert failure(announce(address, INFOHASH, "")) == "token required"
    assert failure(announce(address, INFOHASH, headers=basic("a", "b"))) == "token required"


def test_covers_what_it_names_alone(world):
    token = world.targets["swarm"].token()
    assert failure(announce(world.gate.tracker, OTHER, token)) == "not authorised for this torrent"
    assert scrape(world.gate.tracker, [OTHER], token)[b"files"] == {}
    both = copy.deepcopy(scrape(world.gate.tracker, [OTHER, INFOHASH], token))
    assert list(both[b"files"]) == [bytes.fromhex(INFOHASH)]

