"""
Tokens that must not open anything, by families, for any kind of token: a family is a generator of (what is wrong,
token, False), and of twins (label, token, True) that differ in the one thing that is wrong, and open it.
"""

import base64
import functools
import json
import os
import time

from cryptography.hazmat.primitives.asymmetric import ec

from .jws import BASE64URL, b64, make_key, raw_signature, sign, unb64

ISSUER, AUDIENCE = "forge", "swarmgate-tracker"
ALGORITHMS = ("ES256", "RS256", "EdDSA")


class Keys:
    """Keys that are trusted, each by an issuer of its own, `forge-NAME`; `named` as "right" in a JWKS."""

    def __init__(self):
        self.by_name = {name: make_key(name) for name in ALGORITHMS}
        self.by_name["cube"] = make_key("RS256", exponent=3)
        self.named = make_key("ES256")


class Target:
    """
    A kind of token: what its header and claims are when all is right. `what` are the claims that say what it opens, and
    `other` the same for something else.
    """

    def __init__(self, keys, name, typ, size_max, what, other):
        self.keys, self.name, self.typ, self.size_max, self.what, self.other = keys, name, typ, size_max, what, other

    def claims(self, name="ES256", **more):
        """Right ones, with `more` laid over them; None leaves one out."""
        now = int(time.time())
        claims = {"iss": f"{ISSUER}-{name}", "aud": AUDIENCE, "sub": "registry.example/alice", "iat": now, "nbf": now,
                  "exp": now + 600, "jti": "1", **self.what, **more}
        return {key: value for key, value in claims.items() if value is not None}

    def header(self, alg, /, **more):
        return {key: value for key, value in {"alg": alg, "typ": self.typ, **more}.items() if value is not None}

    def token(self, name="ES256", header=None, key=None, alg=None, **claims):
        """Signed by the key of that name, or by `key`, as `alg` says; `header` is laid over the right one."""
        right = "RS256" if name == "cube" else name
        return sign(self.header(right, **(header or {})), self.claims(name, **claims),
                    self.keys.by_name[name] if key is None else key, alg or right)

    def texts(self, header=None, claims=None, name="EdDSA"):
        """Signed over these very texts; bytes where they are no text."""
        parts = [header or json.dumps(self.header(name)), claims or json.dumps(self.claims(name))]
        data = ".".join(b64(part if isinstance(part, bytes) else part.encode()) for part in parts)
        return data + "." + b64(raw_signature(self.keys.by_name[name], name, data.encode()))

    def head_with(self, more):
        """The header's text with a member, or with bytes of any kind, at its end."""
        return json.dumps(self.header("EdDSA"))[:-1] + "," + more + "}"

    def claims_with(self, more):
        return json.dumps(self.claims("EdDSA"))[:-1] + "," + more + "}"


@functools.lru_cache(maxsize=None)
def stranger(kind="ES256", curve=None, **more):
    """A key that nobody trusts; the same one for the same words, for some take long to make."""
    return make_key(kind, **more, **({"curve": curve()} if curve else {}))


def resigned(token, signature):
    """The token with other signature bytes."""
    return token.rpartition(".")[0] + "." + b64(signature)


def signature_of(token):
    return unb64(token.rpartition(".")[2])


def algorithms(t):
    """Each algorithm but the right one, over each key."""
    for name in ALGORITHMS:
        yield "right " + name, t.token(name), True
        for alg in (name.lower(), name.upper() + " ", " " + name, name + "\x00", name[:-1], name + "6"):
            if alg != name:
                yield f"alg {alg!r} for {name}", t.token(name, {"alg": alg}, alg=name), False
        for alg in ALGORITHMS:
            if alg != name:
                yield f"{alg} said, signed as {name}", t.token(name, {"alg": alg}, alg=name), False
    for alg in ("ES384", "ES512", "ES256K", "RS384", "RS512", "PS256", "PS384", "PS512", "Ed25519", "Ed448"):
        name = {"E": "ES256", "R": "RS256", "P": "RS256"}[alg[0]] if not alg.startswith("Ed") else "EdDSA"
        yield f"{alg} said and done", t.token(name, {"alg": alg}, alg=alg), False
        yield f"{alg} said, {name} done", t.token(name, {"alg": alg}, alg=name), False
        if alg[0] in "RP":
            yield f"{name} said, {alg} done", t.token(name, alg=alg), False
    for alg in (None, ["ES256"], 256, {}, True, ""):
        yield f"alg {alg!r}", t.token(header={"alg": alg}, alg="ES256"), False
    yield "alg null", t.texts('{"alg":null,"typ":"%s"}' % t.typ), False


def keys(t):
    """Signed by somebody else."""
    for name in ALGORITHMS:
        yield "right " + name, t.token(name), True
        yield "a stranger's " + name, t.token(name, key=stranger(name)), False
    yield "the key of another row", t.token(key=t.keys.named), False
    for name in ("RS256", "EdDSA"):
        yield f"{name} of another issuer", t.token(name, iss=f"{ISSUER}-ES256"), False
    for curve in (ec.SECP384R1, ec.SECP521R1, ec.SECP256K1, ec.BrainpoolP256R1):
        yield f"a stranger's {curve.name}", t.token(key=stranger(curve=curve)), False
    for bits in (1024, 1536, 3072):
        yield f"a stranger's RSA of {bits} bits", t.token("RS256", key=stranger("RS256", bits=bits)), False
    named = {"iss": ISSUER + "-named"}
    yield "the right kid", t.token(header={"kid": "right"}, key=t.keys.named, **named), True
    for kid in ("wrong", "", "Right", "right ", "right\x00", "rig", "right2", None, 1, ["right"], {"right": 1}, True, "ES256"):
        yield f"kid {kid!r} in a JWKS", t.token(header={"kid": kid}, key=t.keys.named, **named), False
    yield "kid ignored for a bare key", t.token(header={"kid": "anything"}), True
    yield "kid a number for a bare key", t.token(header={"kid": 1}), False


def encodings(t):
    """The same token, not written canonically."""
    good = t.token("EdDSA")
    head, claims, signature = good.split(".")
    yield "right", good, True
    misshapen = {"two parts": f"{head}.{claims}", "one part": head, "four parts": good + ".x", "five parts": good + "..",
                 "a dot behind": good + ".", "a dot in front": "." + good, "dots alone": "..",
                 "an empty header": f".{claims}.{signature}", "empty claims": f"{head}..{signature}",
                 "an empty signature": f"{head}.{claims}.", "twice": good + good, "twice, apart": good + " " + good,
                 "the other way round": f"{signature}.{claims}.{head}", "commas": good.replace(".", ","),
                 "quoted": f'"{good}"', "with a scheme": "Bearer " + good, "fullwidth letters": good.replace("e", "\uff45"),
                 "no bytes of ASCII": good.encode() + b"\xff"}
    for label, token in misshapen.items():
        yield label, token, False
    for name, byte in {"blank": " ", "newline": "\n", "CRLF": "\r\n", "NUL": "\0", "tab": "\t", "no-break space": "\u00a0",
                       "zero width space": "\u200b", "plus": "+", "percent": "%", "escaped NUL": "%00"}.items():
        yield name + " in front", byte + good, False
        yield name + " behind", good + byte, False
        yield name + " within", f"{head}.{claims[:8]}{byte}{claims[8:]}.{signature}", False
        yield name + " in the signature", f"{head}.{claims}.{signature[:8]}{byte}{signature[8:]}", False
    for at, label in ((0, "header"), (1, "claims"), (2, "signature")):
        parts = good.split(".")
        whole = parts[at]
        for more in ("=", "==", "====", "A", "AA", "AAAA", "*"):
            parts[at] = whole + more
            yield f"{more} behind the {label}", ".".join(parts), False
        for cut in (1, 2, 4):
            parts[at] = whole[:-cut]
            yield f"{label} short of {cut}", ".".join(parts), False
        parts[at] = base64.b32encode(unb64(whole)).decode().rstrip("=")
        yield f"{label} in base32", ".".join(parts), False
        parts[at] = unb64(whole).hex()
        yield f"{label} in hex", ".".join(parts), False
        parts[at] = whole.swapcase()
        yield f"{label} in the other case", ".".join(parts), False
    twin = BASE64URL[BASE64URL.index(signature[-1]) ^ 1]
    assert unb64(signature[:-1] + twin) == unb64(signature)
    yield "trailing bits that are not zero", f"{head}.{claims}.{signature[:-1]}{twin}", False
    tokens = (t.token("EdDSA", jti=str(number)) for number in range(1000))
    plus = next(one for one in tokens if set("-_") & set(one.rpartition(".")[2]))
    yield "right, with - or _", plus, True
    yield "the other alphabet", plus.replace("-", "+").replace("_", "/"), False


def signatures(t):
    """Signature bytes that are not those of the token."""
    for name in ALGORITHMS:
        good = t.token(name)
        raw = signature_of(good)
        yield "right " + name, good, True
        for at in range(0, len(raw), len(raw) // 8):
            yield f"{name}: a bit of byte {at}", resigned(good, raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1:]), False
        misshapen = {"a byte more": raw + b"\0", "a byte in front": b"\0" + raw, "a byte less": raw[:-1],
                     "the first byte less": raw[1:], "half": raw[: len(raw) // 2], "doubled": raw + raw,
                     "backwards": raw[::-1], "zeros": bytes(len(raw)), "ones": b"\xff" * len(raw), "one byte": b"\0",
                     "noise": os.urandom(len(raw))}
        for label, bad in misshapen.items():
            yield f"{name}: {label}", resigned(good, bad), False
        other = t.token(name, jti="2")
        head, claims, last = good.split(".")
        header = b64(json.dumps(t.header(name, kid="x")).encode())
        yield f"{name}: another token's claims", f"{head}.{other.split('.')[1]}.{last}", False
        yield f"{name}: another token's header", f"{header}.{claims}.{last}", False
        for label, data in {"the claims alone": claims.encode(), "what is decoded": unb64(head) + b"." + unb64(claims)}.items():
            yield f"{name}: over {label}", resigned(good, raw_signature(t.keys.by_name[name], name, data)), False


def documents(t):
    """Header and claims that are not the JSON they should be, signed all the same."""
    head, claims = json.dumps(t.header("EdDSA")), json.dumps(t.claims("EdDSA"))
    yield "right", t.texts(), True
    yield "right, unknown members", t.texts(t.head_with('"cty":"x","zzz":{"a":[1]}')), True
    yield "right, blanks", t.texts(" " + head + "\n", "\t" + claims + " \r\n"), True
    yield "right, escapes", t.texts(head.replace("alg", "\\u0061lg"), claims.replace("iss", "\\u0069ss")), True
    for text, made in ((head, lambda bad: t.texts(header=bad)), (claims, lambda bad: t.texts(claims=bad))):
        which = "header" if text is head else "claims"
        start, data = text[:-1], text[:-1].encode()
        misshapen = {"a list": "[" + text + "]", "a string": json.dumps(text), "null": "null", "a number": "1",
                     "true": "true", "nothing but a blank": " ", "empty": "{}", "cut short": start,
                     "bytes behind": text + "x", "two": text + text, "a NUL behind": text + "\0",
                     "a NUL in front": "\0" + text, "a comment": start + "/**/}", "a comma too many": start + ",}",
                     "a member without quotes": start + ",x:1}", "single quotes": text.replace('"', "'"),
                     "a byte order mark": "\ufeff" + text, "UTF-16": text.encode("utf-16"),
                     "UTF-16 without a mark": text.encode("utf-16-be"), "UTF-32": text.encode("utf-32"),
                     "UTF-7": text.encode("utf-7").replace(b'"', b"+ACI-"), "no UTF-8": data + b',"x":"\xff"}',
                     "overlong UTF-8": data + b',"x":"\xc0\x80"}', "a surrogate in UTF-8": data + b',"x":"\xed\xa0\x80"}',
                     "half a surrogate pair": start + ',"x":"\\ud800"}', "a control character": start + ',"x":"\x01"}',
                     "a newline in a string": start + ',"x":"\n"}', "not a number": start + ',"x":NaN}',
                     "infinity": start + ',"x":Infinity}', "too large a number": start + ',"x":1e999}',
                     "hexadecimal": start + ',"x":0x10}', "a leading zero": start + ',"x":01}',
                     "nested deep": start + ',"x":' + "[" * 800 + "]" * 800 + "}",
                     "doubled deep inside": start + ',"x":{"a":1,"a":2}}', "an empty member doubled": start + ',"":1,"":2}'}
        for label, bad in misshapen.items():
            yield f"{which}: {label}", made(bad), False
    for name in t.claims("EdDSA"):
        value = json.dumps(t.claims("EdDSA")[name])
        yield f"{name} doubled", t.texts(claims=t.claims_with(f'"{name}":{value}')), False
        yield f"{name} doubled, escaped", t.texts(claims=t.claims_with(f'"\\u{ord(name[0]):04x}{name[1:]}":{value}')), False
        yield f"{name} doubled, null", t.texts(claims=t.claims_with(f'"{name}":null')), False
    for member in ('"alg":"EdDSA"', f'"typ":"{t.typ}"', '"\\u0061lg":"EdDSA"', '"alg":"none"'):
        yield f"header: {member} doubled", t.texts(t.head_with(member)), False


def dates(t):
    """Dates that are past, to come, or none."""
    now = int(time.time())
    yield "right", t.token(), True
    yield "exp within the leeway", t.token(exp=now - 20), True
    yield "exp with a fraction", t.token(exp=now + 600.5), True
    yield "nbf within the leeway", t.token(nbf=now + 20), True
    yield "iat within the leeway", t.token(iat=now + 20), True
    yield "no nbf, no iat", t.token(nbf=None, iat=None), True
    for age in (120, 3600, 86400, 10**8):
        yield f"exp {age} s ago", t.token(exp=now - age), False
        yield f"exp {age} s ago, issued before", t.token(exp=now - age, iat=now - age - 600, nbf=now - age - 600), False
    wrong = (str(now + 600), "", "never", True, False, [], [now + 600], {}, {"$date": now + 600}, -1, -now, -(2**63),
             2**53 + 1, 2**63, 2**64, 10**30, 1e300, -1e300, -0.5)
    for name in ("exp", "nbf", "iat"):
        for value in wrong:
            yield f"{name} {value!r}", t.token(**{name: value}), False
        yield f"{name} null", t.texts(claims=json.dumps({**t.claims("EdDSA"), name: None})), False
    yield "exp missing", t.token(exp=None), False
    yield "exp 0", t.token(exp=0), False
    yield "exp under another name", t.token(exp=None, Exp=now + 600, expires=now + 600, EXP=now + 600), False
    for name in ("nbf", "iat"):
        yield f"{name} in milliseconds", t.token(**{name: now * 1000}), False
        for ahead in (120, 3600, 10**8):
            yield f"{name} in {ahead} s", t.token(**{name: now + ahead}), False


def names(t):
    """Issuers and audiences that are nearly the right ones."""
    yield "right", t.token(), True
    yield "aud a list", t.token(aud=["x", AUDIENCE]), True
    right = {"iss": f"{ISSUER}-ES256", "aud": AUDIENCE}
    for name, value in right.items():
        yield name + " missing", t.token(**{name: None}), False
        yield name + " null", t.texts(claims=json.dumps({**t.claims("EdDSA"), name: None})), False
        latin, cyrillic = "aeocp", "\u0430\u0435\u043e\u0441\u0440"
        nearly = [value + " ", " " + value, value + "\n", value + "\0", value + "\0evil", value + ".", value + "/",
                  value[:-1], value[1:], value + "2", value.upper(), value.title(), value.swapcase(), "*", "", "." + value,
                  "https://" + value, value + "@evil", value + "#x", value + "?x", value.replace("-", "\u2010"),
                  value.replace("-", "_"), value.replace("-", "%2d"), value.translate(str.maketrans(latin, cyrillic)),
                  value.replace("e", "\uff45"), value + "\u200b", "\ufeff" + value, value + "\u0301",
                  value.replace("s", "\u017f").replace("k", "\u212a"), True, 1, 1.5, {}, {"0": value}, {value: value}]
        for bad in nearly:
            if bad != value:
                yield f"{name} {bad!r}", t.token(**{name: bad}), False
    for bad in ([], ["a", "b"], [AUDIENCE, 1], [[AUDIENCE]], [{"aud": AUDIENCE}], [None], [AUDIENCE, None],
                [AUDIENCE.upper()], [""], ["*"], "x " + AUDIENCE, "x," + AUDIENCE, json.dumps([AUDIENCE])):
        yield f"aud {bad!r}", t.token(aud=bad), False
    for bad in ([right["iss"]], ["x", right["iss"]], "forge-RS256", "forge-EdDSA", "forge-named", "swarmgate"):
        yield f"iss {bad!r}", t.token(iss=bad), False
    for name in ("sub", "jti"):
        for bad in (1, True, [], ["alice"], {}):
            yield f"{name} {bad!r}", t.token(**{name: bad}), False


def sizes(t):
    """As long as may be, and longer."""
    def padded(length):
        # Four letters of base64 for three more bytes: one of three headers meets the length.
        for pad in ("", "x", "xx"):
            fill = (length - len(t.token("EdDSA", {"pad": pad}, x=""))) // 4 * 3
            for more in range(max(0, fill - 6), fill + 6):
                token = t.token("EdDSA", {"pad": pad}, x="x" * more)
                if len(token) == length:
                    return token
        raise AssertionError(f"no token of {length} bytes")

    yield "as long as may be", padded(t.size_max), True
    yield "a byte longer", padded(t.size_max + 1), False
    for size in (t.size_max + 4, 2 * t.size_max, 3 * t.size_max):
        yield f"{size} bytes", padded(size), False
    yield "a long header", t.token("EdDSA", {"pad": "x" * t.size_max}), False
    yield "a long signature", resigned(t.token("RS256"), bytes(t.size_max)), False
    yield "a thousand claims", t.token("EdDSA", **{f"c{n}": n for n in range(1000)}), False
    yield "a long number", t.texts(claims=t.claims_with('"x":' + "9" * t.size_max)), False


GENERIC = (algorithms, keys, encodings, signatures, documents, dates, names, sizes)
