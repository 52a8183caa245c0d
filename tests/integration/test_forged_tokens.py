"""
Tokens that must not open anything: forged, stale and misshapen ones by families, each family with a twin
that differs in the one thing that is wrong and does open it. All against the running tracker.
"""

import base64
import copy
import hashlib
import json
import os
import time

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from support.announce import announce, failure, scrape
from support.gate import Gate
from support.jws import b64, jwk_of, make_key, public_pem, raw_signature, sign, sign_text, unb64

INFOHASH = "11" * 20
OTHER = "22" * 20
ISSUER, AUDIENCE = "swarmgate", "swarmgate-tracker"
MINIMUM = 120


class World:
    """A tracker that trusts keys of ours in every way there is, and one peer in the swarm to be seen."""

    def __init__(self, folder):
        self.keys = {name: make_key(name) for name in ("ES256", "RS256", "EdDSA")}
        self.named = make_key("ES256")
        self.registry_key = make_key("RS256")
        os.makedirs(folder, exist_ok=True)
        trust = []
        for name, key in self.keys.items():
            self.write(folder, f"{name}.pub.pem", public_pem(key))
            trust.append({"issuer": f"{ISSUER}-{name}", "audience": AUDIENCE, "keys": f"{name}.pub.pem",
                          "algorithms": [name], "accept": ["swarm"]})
        self.write(folder, "named.jwks.json", json.dumps({"keys": [
            jwk_of(self.named, kid="right", use="sig", alg="ES256")]}).encode())
        trust.append({"issuer": ISSUER + "-named", "audience": AUDIENCE, "keys": "named.jwks.json",
                      "algorithms": ["ES256"], "accept": ["swarm"]})
        self.write(folder, "registry.pub.pem", public_pem(self.registry_key))
        trust.append({"issuer": "auth.example", "audience": "registry.example", "keys": "registry.pub.pem",
                      "algorithms": ["RS256"], "accept": ["registry"], "registry": "registry.example"})
        self.gate = Gate(folder, auth={"trust": trust}, registries=[
            {"name": "registry.example", "url": "http://127.0.0.1:9"}]).start()

    @staticmethod
    def write(folder, name, data):
        with open(os.path.join(folder, name), "wb") as f:
            f.write(data)

    def claims(self, name="ES256", **more):
        now = int(time.time())
        claims = {"iss": f"{ISSUER}-{name}", "aud": AUDIENCE, "sub": "registry.example/alice", "iat": now,
                  "nbf": now, "exp": now + 600, "session": now + 3600, "jti": "1", "infohash": INFOHASH}
        claims.update(more)
        return {key: value for key, value in claims.items() if value is not None}

    def token(self, name="ES256", header=None, key=None, alg=None, **claims):
        head = {"alg": name, "typ": "swarm+jwt", **(header or {})}
        head = {k: v for k, v in head.items() if v is not None}
        return sign(head, self.claims(name, **claims), key or self.keys[name], alg or name)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = World(str(tmp_path_factory.mktemp("world")))
    seeder = announce(made.gate.tracker, INFOHASH, made.token(), left=0, port=7001)
    assert failure(seeder) is None
    yield made
    made.gate.stop()


def opens(world, token, infohash=INFOHASH):
    """Whether the token gets peers or a scrape; and the tracker's reason when it does not."""
    got = announce(world.gate.tracker, infohash, token, port=7002, event="started")
    seen = scrape(world.gate.tracker, [infohash], token)
    peers = b"peers" in got or b"peers6" in got
    files = bool(seen.get(b"files"))
    assert peers == files, f"announce and scrape differ: {got} {seen}"
    if peers:
        announce(world.gate.tracker, infohash, token, port=7002, event="stopped")
    return peers, failure(got)


def parts(token):
    return token.split(".")


def algorithms(w):
    """Each algorithm but the right one, over each key."""
    yield from (("right " + name, w.token(name), True) for name in w.keys)
    for name, key in w.keys.items():
        pem, der = public_pem(key), base64.b64decode(b"".join(public_pem(key).splitlines()[1:-1]))
        for alg in ("HS256", "HS384", "HS512"):
            yield f"{alg} with the public PEM of {name}", w.token(name, {"alg": alg}, pem, alg), False
        yield f"HS256 with the public DER of {name}", w.token(name, {"alg": "HS256"}, der, "HS256"), False
        for alg in ("none", "None", "NONE", "nOnE", ""):
            bare = b64(json.dumps({"alg": alg, "typ": "swarm+jwt"}).encode()) + "." + b64(json.dumps(w.claims(name)).encode())
            yield f"{alg!r} without signature", bare + ".", False
            yield f"{alg!r} with a signature of {name}", bare + "." + b64(raw_signature(key, name, bare.encode())), False
        for alg in (name.lower(), name + " ", " " + name):
            if alg != name:
                yield f"alg {alg!r} for {name}", w.token(name, {"alg": alg}, alg=name), False
        for alg in w.keys:
            if alg != name:
                yield f"{alg} said, signed as {name}", w.token(name, {"alg": alg}, alg=name), False
    yield "ES384 said", w.token("ES256", {"alg": "ES384"}, alg="ES384"), False
    yield "RS384", w.token("RS256", {"alg": "RS384"}, alg="RS384"), False
    yield "RS512", w.token("RS256", {"alg": "RS512"}, alg="RS512"), False
    yield "PS256", w.token("RS256", {"alg": "PS256"}, alg="PS256"), False
    yield "alg missing", w.token("ES256", {"alg": None}, alg="ES256"), False
    yield "alg null", sign_text('{"alg":null,"typ":"swarm+jwt"}', json.dumps(w.claims()), w.keys["ES256"], "ES256"), False
    yield "alg a list", w.token("ES256", {"alg": ["ES256"]}, alg="ES256"), False
    yield "alg a number", w.token("ES256", {"alg": 256}, alg="ES256"), False


def keys(w):
    """Signed by somebody else, or naming a key of its own."""
    for name in w.keys:
        yield "right " + name, w.token(name), True
        yield "a stranger's " + name, w.token(name, key=make_key(name)), False
        stranger = make_key(name)
        for member, value in (("jwk", jwk_of(stranger)), ("jku", "http://127.0.0.1:1/keys"),
                              ("x5u", "http://127.0.0.1:1/cert"), ("x5c", [base64.b64encode(b"cert").decode()])):
            yield f"{member} of a stranger, {name}", w.token(name, {member: value}, stranger), False
            yield f"{member} ignored, {name}", w.token(name, {member: value}), True
    yield "the key of another row", w.token("ES256", key=w.named), False
    yield "a P-384 key", w.token("ES256", key=make_key("ES256", curve=ec.SECP384R1())), False
    yield "a secp256k1 key", w.token("ES256", key=make_key("ES256", curve=ec.SECP256K1())), False
    named = {"iss": ISSUER + "-named"}
    yield "the right kid", w.token("ES256", {"kid": "right"}, w.named, **named), True
    for kid in ("wrong", "", "Right", "right ", None, 1, ["right"], "../right", "right\x00"):
        yield f"kid {kid!r} in a JWKS", w.token("ES256", {"kid": kid}, w.named, **named), False
    yield "kid ignored for a bare key", w.token("ES256", {"kid": "anything"}), True


def encodings(w):
    """The same token, not written canonically."""
    good = w.token("EdDSA")
    head, claims, signature = parts(good)
    yield "right", good, True
    yield "two parts", f"{head}.{claims}", False
    yield "one part", head, False
    yield "four parts", good + ".x", False
    yield "five parts", good + "..", False
    yield "an empty header", f".{claims}.{signature}", False
    yield "empty claims", f"{head}..{signature}", False
    yield "an empty signature", f"{head}.{claims}.", False
    yield "dots alone", "..", False
    for name, byte in (("blank", " "), ("newline", "\n"), ("NUL", "\0"), ("tab", "\t")):
        yield name + " in front", byte + good, False
        yield name + " behind", good + byte, False
        yield name + " within", f"{head}.{claims[:8]}{byte}{claims[8:]}.{signature}", False
    yield "padding", f"{head}.{claims}.{signature}==", False
    yield "one padding", f"{head}.{claims}.{signature}=", False
    yield "padding of the header", f"{head}=.{claims}.{signature}", False
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".index(signature[-1])
    twin = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[last ^ 1]
    assert unb64(signature[:-1] + twin) == unb64(signature)
    yield "trailing bits that are not zero", f"{head}.{claims}.{signature[:-1]}{twin}", False
    yield "a bare letter behind", good + "A", False
    plus = next(t for t in iter(lambda: w.token("EdDSA", jti=os.urandom(4).hex()), None) if "-" in parts(t)[2] or "_" in parts(t)[2])
    yield "right, with - or _", plus, True
    yield "the other alphabet", ".".join(parts(plus)[:2]) + "." + parts(plus)[2].replace("-", "+").replace("_", "/"), False
    flipped = bytearray(unb64(signature))
    for at in (0, 31, 32, 63):
        flipped[at] ^= 1
        yield f"a bit of signature byte {at}", f"{head}.{claims}.{b64(bytes(flipped))}", False
        flipped[at] ^= 1
    yield "a long signature", f"{head}.{claims}.{b64(unb64(signature) + bytes(1))}", False
    yield "a short signature", f"{head}.{claims}.{b64(unb64(signature)[:-1])}", False
    es = w.token("ES256")
    yield "right ES256", es, True
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
    raw = unb64(parts(es)[2])
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    front = ".".join(parts(es)[:2])
    yield "ES256 as DER", front + "." + b64(encode_dss_signature(r, s)), False
    yield "ES256 all zero", front + "." + b64(bytes(64)), False
    yield "ES256 r zero", front + "." + b64(bytes(32) + raw[32:]), False
    yield "ES256 s zero", front + "." + b64(raw[:32] + bytes(32)), False
    yield "ES256 r and s the order", front + "." + b64(order.to_bytes(32, "big") * 2), False
    yield "ES256 r + order", front + "." + b64(((r + order) % 2**256).to_bytes(32, "big") + raw[32:]), False
    yield "ES256 swapped", front + "." + b64(raw[32:] + raw[:32]), False
    rs = w.token("RS256")
    yield "right RS256", rs, True
    yield "RS256 of zeros", ".".join(parts(rs)[:2]) + "." + b64(bytes(256)), False
    yield "RS256 with a zero in front", ".".join(parts(rs)[:2]) + "." + b64(bytes(1) + unb64(parts(rs)[2])), False
    other = w.token("EdDSA", jti="2")
    yield "another token's signature", f"{head}.{claims}.{parts(other)[2]}", False
    yield "another token's claims", f"{head}.{parts(other)[1]}.{signature}", False
    # The JSON serialisations of RFC 7515, section 7.2.
    yield "flattened JSON", json.dumps({"protected": head, "payload": claims, "signature": signature}), False


def documents(w):
    """Header and claims that are not the JSON they should be, signed all the same."""
    key, alg = w.keys["EdDSA"], "EdDSA"
    head, claims = json.dumps({"alg": alg, "typ": "swarm+jwt"}), json.dumps(w.claims(alg))

    def made(h=head, c=claims):
        return sign_text(h, c, key, alg)

    yield "right", made(), True
    yield "right, unknown members", made('{"alg":"EdDSA","typ":"swarm+jwt","cty":"x","zzz":{"a":[1]}}'), True
    for member in ('"crit":["exp"]', '"crit":[]', '"crit":["b64"],"b64":false', '"b64":true', '"b64":false',
                   '"zip":"DEF"', '"enc":"A128GCM"', '"crit":null'):
        yield "header " + member, made('{"alg":"EdDSA","typ":"swarm+jwt",' + member + "}"), False
    yield "alg doubled", made('{"alg":"EdDSA","alg":"EdDSA","typ":"swarm+jwt"}'), False
    yield "alg doubled, escaped", made('{"alg":"EdDSA","\\u0061lg":"EdDSA","typ":"swarm+jwt"}'), False
    yield "typ doubled", made('{"alg":"EdDSA","typ":"JWT","typ":"swarm+jwt"}'), False
    yield "a header that is a list", made('[{"alg":"EdDSA","typ":"swarm+jwt"}]'), False
    yield "a header that is a string", made('"swarm+jwt"'), False
    yield "a header cut short", made(head[:-1]), False
    yield "bytes behind the header", made(head + "x"), False
    yield "a comment in the header", made(head[:-1] + "/* */}"), False
    yield "a comma too many", made(head[:-1] + ",}"), False
    yield "claims that are a list", made(c="[" + claims + "]"), False
    yield "claims null", made(c="null"), False
    yield "claims cut short", made(c=claims[:-1]), False
    yield "bytes behind the claims", made(c=claims + "{}"), False
    for name in ("exp", "iss", "aud", "infohash", "session", "sub"):
        value = json.dumps(w.claims(alg)[name])
        yield f"{name} doubled", made(c=claims[:-1] + f',"{name}":{value}' + "}"), False
    yield "doubled deep inside", made(c=claims[:-1] + ',"x":{"a":1,"a":2}}'), False
    yield "nested deep", made(c=claims[:-1] + ',"x":' + "[" * 1400 + "]" * 1400 + "}"), False
    yield "not a number", made(c=claims[:-1] + ',"x":NaN}'), False
    invalid = b64(head.encode()) + "." + b64(claims[:-1].encode() + b',"x":"\xff"}')
    yield "no UTF-8", invalid + "." + b64(raw_signature(key, alg, invalid.encode())), False
    mark = b64(head.encode()) + "." + b64(b"\xef\xbb\xbf" + claims.encode())
    yield "a byte order mark", mark + "." + b64(raw_signature(key, alg, mark.encode())), False
    yield "longer than 4 KiB", made(c=claims[:-1] + ',"x":"' + "x" * 4096 + '"}'), False


def claims(w):
    """Claims that are missing, stale, early, foreign or of another type."""
    now = int(time.time())
    yield "right", w.token(), True
    for name in ("exp", "iss", "aud", "infohash"):
        yield name + " missing", w.token(**{name: None}), False
        for value in (True, [], {}, 1.5 if name != "exp" else "1999999999", ""):
            yield f"{name} {value!r}", w.token(**{name: value}), False
    yield "exp within the leeway", w.token(exp=now - 20, session=None), True
    for age in (120, 3600, 10**8):
        yield f"exp {age} s ago", w.token(exp=now - age, session=None), False
        yield f"exp {age} s ago, session alive, never joined", w.token(exp=now - age, iat=now - age - 600, nbf=now - age - 600), False
    for value in (0, -1, -(2**63), 2**63, 2**64, 1e300, "now", None):
        yield f"exp {value!r}", w.token(exp=value, session=None), False
    yield "nbf within the leeway", w.token(nbf=now + 20), True
    yield "nbf in an hour", w.token(nbf=now + 3600), False
    yield "nbf a string", w.token(nbf=str(now)), False
    yield "iat within the leeway", w.token(iat=now + 20), True
    yield "iat in an hour", w.token(iat=now + 3600), False
    yield "iat a string", w.token(iat=str(now)), False
    for audience in ("swarmgate-tracker ", "Swarmgate-Tracker", "registry.example", "*", ["a", "b"], [AUDIENCE, 1], [[AUDIENCE]]):
        yield f"aud {audience!r}", w.token(aud=audience), False
    yield "aud a list", w.token(aud=["x", AUDIENCE]), True
    for issuer in ("swarmgate-RS256", "swarmgate-es256", "swarmgate-ES256 ", "auth.example", "*"):
        yield f"iss {issuer!r}", w.token(iss=issuer), False
    yield "infohash in a list", w.token(infohash=[OTHER, INFOHASH]), True
    for value in (OTHER, [OTHER], INFOHASH[:-1], INFOHASH + "1", INFOHASH[:-1] + "g", "0x" + INFOHASH[:-2], " " + INFOHASH,
                  [], [INFOHASH, 1], [INFOHASH, "x"], [[INFOHASH]], [INFOHASH] * 49, {"v1": INFOHASH}, int(INFOHASH), "*",
                  base64.b32encode(bytes.fromhex(INFOHASH)).decode()):
        yield f"infohash {str(value)[:50]!r}", w.token(infohash=value), False


def kinds(w):
    """A token of one kind where another is wanted."""
    yield "right", w.token(), True
    for typ in ("webseed+jwt", "JWT", "jwt", "swarm", "SWARM+JWT", "swarm+jwt ", "application/swarm+jwt", "revocations+jwt", "at+jwt", "",
                None, 1, ["swarm+jwt"]):
        yield f"typ {typ!r}", w.token(header={"typ": typ}), False
    webseed = w.claims(infohash=None, registry="registry.example", repository="team/app", digest="sha256:" + "0" * 64)
    yield "a webseed token", sign({"alg": "ES256", "typ": "webseed+jwt"}, webseed, w.keys["ES256"]), False
    yield "a webseed token that names an infohash", sign({"alg": "ES256", "typ": "webseed+jwt"}, {**webseed, "infohash": INFOHASH},
                                                         w.keys["ES256"]), False
    access = [{"type": "repository", "name": "team/app", "actions": ["pull"]}]
    reg = {"iss": "auth.example", "aud": "registry.example", "infohash": None, "access": access}
    yield "a registry token for an infohash that nobody registered", w.token("RS256", {"typ": "JWT"}, w.registry_key, **reg), False
    yield "a registry issuer's swarm token", w.token("RS256", {"typ": "swarm+jwt"}, w.registry_key, **{**reg, "infohash": INFOHASH}), False
    yield "a registry token of a swarm issuer", w.token(header={"typ": "JWT"}, infohash=None, access=access), False
    yield "no token but the word", "Bearer", False


def our_own_key(w):
    """What the gateway's own key signs is trusted without a row, within its kind."""
    yield "the tool's token", w.gate.token(INFOHASH), True
    yield "the tool's token for another", w.gate.token(OTHER), False
    bad = w.gate.token(INFOHASH)
    yield "the tool's token, claims exchanged", ".".join([parts(bad)[0], b64(
        unb64(parts(bad)[1]).replace(INFOHASH.encode(), OTHER.encode())), parts(bad)[2]]), False


FAMILIES = [algorithms, keys, encodings, documents, claims, kinds, our_own_key]
REASONS = {"token invalid", "token expired", "token required", "not authorised for this torrent"}


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.__name__)
def test_family(world, family):
    twins = refused = 0
    wrong = []
    for name, token, good in family(world):
        got, reason = opens(world, token)
        if got != good or (not good and reason not in REASONS):
            wrong.append(f"{name}: {'opens' if got else reason}")
        twins += good
        refused += not good
    print(f"\n{family.__name__}: {refused} refused, {twins} twins")
    assert not wrong, wrong
    assert twins >= 1


def test_enough_of_them(world):
    bad = {hashlib.sha256(token.encode()).digest() for family in FAMILIES for _, token, good in family(world) if not good}
    print(f"\n{len(bad)} different tokens")
    assert len(bad) >= MINIMUM


def test_token_in_both_places(world):
    good, other = world.token(), world.token(jti="2")
    address = world.gate.tracker
    assert b"peers" in announce(address, INFOHASH, headers={"Authorization": "Bearer " + good})
    assert failure(announce(address, INFOHASH, good, headers={"Authorization": "Bearer " + other})) == "token invalid"
    assert failure(announce(address, INFOHASH)) == "token required"
    assert failure(announce(address, INFOHASH, "")) == "token required"
    assert failure(announce(address, INFOHASH, headers={"Authorization": "Basic " + base64.b64encode(b"a:b").decode()})) == "token required"


def test_covers_what_it_names_alone(world):
    token = world.token()
    assert failure(announce(world.gate.tracker, OTHER, token)) == "not authorised for this torrent"
    assert scrape(world.gate.tracker, [OTHER], token)[b"files"] == {}
    both = copy.deepcopy(scrape(world.gate.tracker, [OTHER, INFOHASH], token))
    assert list(both[b"files"]) == [bytes.fromhex(INFOHASH)]
