"""
Classes of attacks on verifiers of tokens that are known, most of them from CVEs, one by one, as families of
forged_tokens.py: what each library took, made anew for our tokens. Those on signatures are in signature_attacks.py.
"""

import base64
import functools
import hashlib
import json
import os
import time
import zlib

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from .forged_tokens import ALGORITHMS, ISSUER, resigned, signature_of, stranger
from .jws import b64, encrypt, jwk_of, public_pem, raw_signature, sign, unb64
from .signature_attacks import SIGNATURES

NOWHERE = "http://127.0.0.1:9"


def unsigned(t, alg, name, signature=b""):
    """The right token but for its `alg`, and with this signature."""
    text = b64(json.dumps(t.header(alg)).encode()) + "." + b64(json.dumps(t.claims(name)).encode())
    return text + "." + b64(signature)


def alg_none(t):
    for name in ALGORITHMS:
        good = t.token(name)
        yield "right " + name, good, True
        for alg in ("none", "None", "NONE", "nOnE", "nonE", "none ", " none", "none\x00", "non\u0435", "null", "undefined", ""):
            yield f"{alg!r} without signature, {name}", unsigned(t, alg, name), False
            yield f"{alg!r} with the right signature, {name}", unsigned(t, alg, name, signature_of(good)), False
        yield f"'none' without the last dot, {name}", unsigned(t, "none", name)[:-1], False


def hmac_by_public_key(t):
    for name in ALGORITHMS:
        key = t.keys.by_name[name]
        yield "right " + name, t.token(name), True
        for form, secret in public_forms(key):
            for alg in ("HS256", "HS384", "HS512"):
                yield f"{alg} by {form}, {name}", t.token(name, {"alg": alg}, secret, alg), False


def public_forms(key):
    """The ways a verifier may hold a public key as bytes, that an attacker can write, too."""
    public = key.public_key()
    pem = public_pem(key)
    yield "PEM", pem
    yield "PEM without its last newline", pem.rstrip(b"\n")
    yield "PEM behind a blank", b" " + pem
    yield "PEM with CRLF", pem.replace(b"\n", b"\r\n")
    yield "DER", public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    yield "OpenSSH", public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    yield "a JWK", json.dumps(jwk_of(key), separators=(",", ":")).encode()
    jwk = jwk_of(key)
    yield "its number", unb64(jwk.get("n") or jwk["x"])
    if jwk["kty"] == "RSA":
        yield "PEM of PKCS 1", public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.PKCS1)


def weak_secrets(t):
    yield "right", t.token(), True
    for secret in (b"", b"\0", b"secret", b"your-256-bit-secret", b"null", b"undefined", b"changeme", b"swarmgate",
                   b"password", bytes(32)):
        yield f"HS256 by {secret!r}", t.token(header={"alg": "HS256"}, key=secret, alg="HS256"), False


def embedded_keys(t):
    for name in ALGORITHMS:
        key = stranger(name)
        yield "right " + name, t.token(name), True
        made = {"jwk": jwk_of(key), "jwk with kid": jwk_of(key, kid="right", use="sig", alg=name),
                "jwk in a list": [jwk_of(key)], "jwk in a set": {"keys": [jwk_of(key)]},
                "jwk as text": json.dumps(jwk_of(key))}
        for label, jwk in made.items():
            yield f"a stranger's {label}, {name}", t.token(name, {"jwk": jwk}, key), False
        yield f"a stranger's jwk is ignored, {name}", t.token(name, {"jwk": jwk_of(key)}), True
        yield f"its own jwk, a stranger's signature, {name}", t.token(name, {"jwk": jwk_of(t.keys.by_name[name])}, key), False


def urls_of_keys(t):
    yield "right", t.token(), True
    for member in ("jku", "x5u"):
        for url in (NOWHERE + "/keys", "file:///etc/passwd", "file:///dev/null", "https://forge.example@127.0.0.1/keys",
                    "data:application/json,{}", "//127.0.0.1:9", "ftp://127.0.0.1:9/", "gopher://127.0.0.1:9/", "", [NOWHERE], {"url": NOWHERE}):
            yield f"{member} {url!r}", t.token(header={member: url}, key=stranger()), False
        yield f"{member} is ignored", t.token(header={member: NOWHERE}), True


def certificates(t):
    key = stranger()
    der = base64.b64encode(dict(public_forms(key))["DER"]).decode()
    yield "right", t.token(), True
    for chain in ([der], [der, der], der, [""], [], ["\x00"], [der] * 10):
        yield f"x5c {str(chain)[:30]!r}", t.token(header={"x5c": chain}, key=key), False
    yield "x5t", t.token(header={"x5t": b64(hashlib.sha1(b"x").digest()), "x5t#S256": b64(hashlib.sha256(b"x").digest())},
                         key=key), False
    yield "x5c is ignored", t.token(header={"x5c": [der]}), True


def kid_injection(t):
    named = {"iss": ISSUER + "-named"}
    yield "right", t.token(header={"kid": "right"}, key=t.keys.named, **named), True
    kids = ("../../../../../../dev/null", "/dev/null", "/proc/sys/kernel/randomize_va_space", "file:///dev/null",
            "right\x00/../../dev/null", "..\\..\\nul", "' UNION SELECT '' -- ", "x' OR '1'='1", "\"; DROP TABLE keys; --",
            "| id", "$(id)", "`id`", "; sleep 5", "{{7*7}}", "%s%s%s%n", "https://127.0.0.1:9/k", "right\r\nX: y",
            "__proto__", "constructor", "A" * 1000)
    for kid in kids:
        secret = {"kid": kid, "alg": "HS256"}
        yield f"kid {kid[:40]!r}, an empty secret", t.token(header=secret, key=b"", alg="HS256", **named), False
        yield f"kid {kid[:40]!r}, a stranger's key", t.token(header={"kid": kid}, key=stranger(), **named), False


def critical(t):
    yield "right", t.token("EdDSA"), True
    yield "right, with what crit could name", t.token("EdDSA", {"exp": 1, "cnf": {}}), True
    for member in ('"crit":["exp"]', '"crit":["unknown"],"unknown":1', '"crit":[]', '"crit":null', '"crit":"exp"',
                   '"crit":{}', '"crit":true', '"crit":["crit"]', '"crit":["alg"]', '"crit":["exp","exp"],"exp":1',
                   '"crit":["cnf"],"cnf":{}', '"crit":[""]', '"crit":[1]',
                   '"crit":["http://example.com/x"],"http://example.com/x":true', '"crit":["b64"]', '"\\u0063rit":["exp"]'):
        yield member, t.texts(t.head_with(member)), False


def unencoded_payload(t):
    """RFC 7797: the payload as it is."""
    claims = json.dumps(t.claims("EdDSA"))
    yield "right", t.token("EdDSA"), True
    for member in ('"b64":false', '"b64":true', '"b64":null', '"crit":["b64"],"b64":false', '"crit":["b64"],"b64":true'):
        head = b64(t.head_with(member).encode())
        yield member, t.texts(t.head_with(member)), False
        for text in (claims, b64(claims.encode())):
            signature = b64(raw_signature(t.keys.by_name["EdDSA"], "EdDSA", (head + "." + text).encode()))
            yield f"{member}, {text[:5]}", f"{head}.{text}.{signature}", False
            yield f"{member}, detached, {text[:5]}", f"{head}..{signature}", False


@functools.lru_cache(maxsize=None)
def blanks(count):
    """So many, deflated (RFC 1951); the end is missing."""
    return zlib.compress(b" " * count, 9)[2:-4]


def bombs(t):
    yield "right", t.token("EdDSA"), True
    packed = blanks(10**8)
    small = zlib.compress(json.dumps(t.claims("EdDSA")).encode(), 9)[2:-4]
    for label, payload in (("100 MB", packed[: t.size_max // 2]), ("small", small)):
        for zip_ in ("DEF", "def", "GZIP", ["DEF"], None):
            head = json.dumps(t.header("EdDSA", zip=zip_))
            yield f"zip {zip_!r}, {label}", t.texts(head, payload), False
    yield "zip said, nothing packed", t.token("EdDSA", {"zip": "DEF"}), False
    yield "JWE, packed", encrypt({"zip": "DEF"}, small, t.keys.by_name["RS256"]), False
    yield "JWE, 100 MB packed", encrypt({"zip": "DEF"}, packed[:2000], t.keys.by_name["RS256"]), False


def encrypted(t):
    """A JWE where a JWS is wanted: that it was made for our key says nothing of who made it."""
    claims, rsa = json.dumps(t.claims("RS256")).encode(), t.keys.by_name["RS256"]
    yield "right", t.token("RS256"), True
    for label, header, text in (("claims", {"typ": t.typ}, claims), ("claims, cty", {"cty": "JWT"}, claims),
                                ("a right JWS", {"cty": "JWT"}, t.token("RS256").encode()),
                                ("an unsigned JWS", {"cty": "JWT"}, unsigned(t, "none", "RS256").encode())):
        yield f"RSA-OAEP around {label}", encrypt(header, text, rsa), False
    jwe = encrypt({"typ": t.typ}, claims, rsa).split(".")
    yield "its first three parts", ".".join(jwe[:3]), False
    yield "header, ciphertext, tag", ".".join([jwe[0], jwe[3], jwe[4]]), False
    off_the_curve = {"kty": "EC", "crv": "P-256", "x": b64(bytes(32)), "y": b64(bytes(32))}
    for label, header in (("dir", {"alg": "dir", "enc": "A256GCM"}), ("A128KW", {"alg": "A128KW", "enc": "A128CBC-HS256"}),
                          ("PBES2 of 2^31 rounds", {"alg": "PBES2-HS512+A256KW", "enc": "A256GCM", "p2s": "AAAA", "p2c": 2**31 - 1}),
                          ("ECDH-ES off the curve", {"alg": "ECDH-ES", "enc": "A256GCM", "epk": off_the_curve})):
        head = b64(json.dumps({**header, "typ": t.typ}).encode())
        yield label, f"{head}..{b64(os.urandom(12))}.{b64(claims)}.{b64(bytes(16))}", False
    for enc in ("A256GCM", "", 1, []):
        yield f"a JWS with enc {enc!r}", t.token("RS256", {"enc": enc}), False
    yield "a JWS with epk", t.token("RS256", {"epk": {}}), True


def nested(t):
    """Tokens in tokens (RFC 7519, 5.2 and section 8)."""
    inner = t.token("EdDSA")
    yield "right", inner, True
    yield "right, cty", t.token("EdDSA", {"cty": "JWT"}), True
    for label, payload in (("bare", inner), ("quoted", json.dumps(inner)), ("twice", json.dumps({"jwt": inner})),
                           ("request", json.dumps({"request": inner, "token": inner}))):
        for key, who in ((t.keys.by_name["EdDSA"], "ours"), (stranger("EdDSA"), "a stranger's")):
            text = b64(json.dumps(t.header("EdDSA", cty="JWT")).encode()) + "." + b64(payload.encode())
            yield f"{label}, {who}", text + "." + b64(raw_signature(key, "EdDSA", text.encode())), False
    yield "claims in a claim", sign(t.header("EdDSA"), {"iss": f"{ISSUER}-EdDSA", "claims": t.claims("EdDSA")},
                                    t.keys.by_name["EdDSA"]), False
    yield "claims in the header", sign({**t.header("EdDSA"), **t.claims("EdDSA")}, {"iss": f"{ISSUER}-EdDSA"},
                                       t.keys.by_name["EdDSA"]), False


def json_serialisations(t):
    """RFC 7515, section 7.2, and what is read as both."""
    good = t.token("EdDSA", **t.other)
    head, claims, signature = good.split(".")
    wanted = b64(json.dumps(t.claims("EdDSA")).encode())
    mine = t.token("EdDSA")
    yield "right", mine, True
    parts = dict(zip(("protected", "payload", "signature"), mine.split(".")))
    yield "flattened", json.dumps(parts), False
    yield "general", json.dumps({"payload": parts["payload"],
                                 "signatures": [{"protected": parts["protected"], "signature": parts["signature"]}]}), False
    forged = b64(raw_signature(stranger("EdDSA"), "EdDSA", (head + "." + wanted).encode()))
    both = [{"protected": head, "signature": signature}, {"protected": head, "signature": forged}]
    yield "two signatures, one of a stranger", json.dumps({"payload": wanted, "signatures": both}), False
    yield "flattened, in base64url", b64(json.dumps(parts).encode()), False
    polyglot = '{"  %s.%s.":"","protected":"%s","payload":"%s","signature":"%s"}' % (head, wanted, head, claims, signature)
    yield "both at once", polyglot, False
    yield "both at once, with a signature", polyglot.replace('.":""', f'.{signature}":""'), False
    yield "unprotected header", json.dumps({**parts, "header": {"alg": "none"}}), False


def expired_and_forged(t):
    """Both at once: what is no token must never be called one that has run out, for a session may follow that."""
    now = int(time.time())
    past = {"exp": now - 3600, "iat": now - 7200, "nbf": now - 7200}
    yield "right", t.token(), True
    yield "expired", t.token(**past), False
    for name in ALGORITHMS:
        yield f"forged, a stranger's {name}", t.token(name, key=stranger(name), **past), False
        yield f"forged, zeros, {name}", resigned(t.token(name, **past), bytes(64)), False
        yield f"forged, unsigned, {name}", unsigned(t, "none", name), False


def many_dots(t):
    yield "right", t.token(), True
    for count in (3, 100, t.size_max, 3 * t.size_max):
        yield f"{count} dots", "." * count, False
        yield f"{count} dots behind", t.token() + "." * count, False


def audience_types(t):
    yield "right", t.token(), True
    yield "right, a list", t.token(aud=[t.claims()["aud"]]), True
    for aud in ([], [""], [[]], [[t.claims()["aud"]]], {}, {"0": t.claims()["aud"]}, True, 0, "", [None], [0], [True],
                [t.claims()["aud"], {}]):
        yield f"aud {aud!r}", t.token(aud=aud), False


def key_types(t):
    """A key of one type under an algorithm of another."""
    for name in ALGORITHMS:
        yield "right " + name, t.token(name), True
        for other in ALGORITHMS:
            if other != name:
                yield f"{other} key, {name} said", t.token(name, key=t.keys.by_name[other]), False
                yield f"{name} key, {other} said", t.token(name, {"alg": other}, alg=name), False
                yield f"{other} key, its alg, issuer of {name}", t.token(other, iss=f"{ISSUER}-{name}"), False
    for curve in (ec.SECP384R1, ec.SECP521R1, ec.SECP256K1, ec.SECP224R1):
        for alg in ("ES256", "ES384", "ES512", "ES256K"):
            yield f"{alg} by {curve.name}", t.token(header={"alg": alg}, key=stranger(curve=curve), alg=alg), False


KNOWN = {
    "alg none, CVE-2018-1000531 CVE-2022-23540": alg_none,
    "HMAC by the public key, CVE-2015-9235 CVE-2016-10555 CVE-2017-11424 CVE-2022-29217 CVE-2024-33663 CVE-2026-34950 "
    "CVE-2026-48526": hmac_by_public_key,
    "HMAC by an empty or known secret, CVE-2019-20933": weak_secrets,
    "key in the token, CVE-2018-0114 CVE-2026-27962": embedded_keys,
    "jku and x5u, CVE-2024-21643 CVE-2026-48522": urls_of_keys,
    "x5c": certificates,
    "kid injection": kid_injection,
    "type of key, CVE-2022-23539": key_types,
    "unknown crit, CVE-2025-59420 CVE-2026-32597": critical,
    "b64 false": unencoded_payload,
    "bombs, CVE-2024-33664 CVE-2024-28180": bombs,
    "JWE for JWS, CVE-2023-52428 CVE-2017-12974": encrypted,
    "nested tokens": nested,
    "JSON serialisation, CVE-2022-39227 CVE-2016-9122": json_serialisations,
    "expired and forged, CVE-2024-51744": expired_and_forged,
    "dots and lengths, CVE-2025-30204 CVE-2025-61920": many_dots,
    "type of aud, CVE-2020-26160": audience_types,
    **SIGNATURES,
}
