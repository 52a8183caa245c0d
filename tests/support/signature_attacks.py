"""Classes of attacks on verifiers of signatures that are known from CVEs, as families of forged_tokens.py."""

import hashlib

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from .forged_tokens import ALGORITHMS, resigned, signature_of
from .jws import ED25519_ORDER, P256_ORDER, b64


def psychic(t):
    good = t.token()
    raw, n = signature_of(good), P256_ORDER.to_bytes(32, "big")
    zero, one, last = bytes(32), (1).to_bytes(32, "big"), (P256_ORDER - 1).to_bytes(32, "big")
    yield "right", good, True
    made = {"r=s=0": zero + zero, "r=0": zero + raw[32:], "s=0": raw[:32] + zero, "r=s=n": n + n, "r=n": n + raw[32:],
            "s=n": raw[:32] + n, "r=0, s=1": zero + one, "r=1, s=0": one + zero, "r=s=1": one + one,
            "r=s=2^256-1": b"\xff" * 64, "r=s=n-1": last + last, "r=s=0 as DER": bytes.fromhex("3006020100020100"),
            "r=s=1 as DER": bytes.fromhex("3006020101020101")}
    for label, bad in made.items():
        yield label, resigned(good, bad), False
    for name in ("RS256", "EdDSA"):
        token = t.token(name)
        yield "right " + name, token, True
        yield f"zeros, {name}", resigned(token, bytes(len(signature_of(token)))), False
        yield f"one, {name}", resigned(token, bytes(len(signature_of(token)) - 1) + b"\1"), False


def der_signatures(t):
    good = t.token()
    raw = signature_of(good)
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    der = encode_dss_signature(r, s)
    yield "right", good, True
    yield "DER", resigned(good, der), False
    yield "DER cut to 64", resigned(good, der[:64]), False
    yield "DER with a long length", resigned(good, b"\x30\x81" + bytes([len(der) - 2]) + der[2:]), False
    yield "DER with zeros in front of r", resigned(good, encode_dss_signature(r, s).replace(b"\x02", b"\x02\x00", 1)), False
    yield "DER with bytes behind", resigned(good, der + b"\0"), False
    for width in (31, 33, 48, 66):
        if max(r, s).bit_length() <= 8 * width:
            yield f"r and s of {width} bytes", resigned(good, r.to_bytes(width, "big") + s.to_bytes(width, "big")), False
    yield "r + n", resigned(good, ((r + P256_ORDER) % 2**256).to_bytes(32, "big") + raw[32:]), False
    yield "s + n", resigned(good, raw[:32] + ((s + P256_ORDER) % 2**256).to_bytes(32, "big")), False
    yield "swapped", resigned(good, raw[32:] + raw[:32]), False
    yield "-r", resigned(good, (P256_ORDER - r).to_bytes(32, "big") + raw[32:]), False
    yield "-r, -s", resigned(good, (P256_ORDER - r).to_bytes(32, "big") + (P256_ORDER - s).to_bytes(32, "big")), False
    # ECDSA is malleable, and RFC 7518 lets it be so: what it says is the same, and nothing hangs on its bytes.
    yield "-s is as good as s", resigned(good, raw[:32] + (P256_ORDER - s).to_bytes(32, "big")), True


def ed25519_malleability(t):
    good = t.token("EdDSA")
    raw = signature_of(good)
    s = int.from_bytes(raw[32:], "little")
    yield "right", good, True
    for times in (1, 2, 8, 15):
        if s + times * ED25519_ORDER < 2**256:
            yield f"S + {times} L", resigned(good, raw[:32] + (s + times * ED25519_ORDER).to_bytes(32, "little")), False
    yield "-S", resigned(good, raw[:32] + (ED25519_ORDER - s).to_bytes(32, "little")), False
    yield "the other sign of R", resigned(good, raw[:31] + bytes([raw[31] ^ 0x80]) + raw[32:]), False
    # Points of small order, as R.
    for label, point in (("identity", b"\1" + bytes(31)), ("zero", bytes(32)), ("not canonical", b"\xee" + b"\xff" * 30 + b"\x7f")):
        yield f"R is {label}, S is zero", resigned(good, point + bytes(32)), False
        yield f"R is {label}", resigned(good, point + raw[32:]), False


def rsa_zeros_and_numbers(t):
    good = t.token("RS256")
    raw, n = signature_of(good), t.keys.by_name["RS256"].public_key().public_numbers().n
    s = int.from_bytes(raw, "big")
    yield "right", good, True
    for zeros in (1, 2, 8, 256):
        yield f"{zeros} zeros in front", resigned(good, bytes(zeros) + raw), False
    yield "zeros behind", resigned(good, raw + bytes(8)), False
    yield "s + n", resigned(good, (s + n).to_bytes(257, "big")), False
    yield "n - s", resigned(good, (n - s).to_bytes(256, "big")), False
    for label, number in (("1", 1), ("n - 1", n - 1), ("n", n), ("n + 1", n + 1)):
        yield label, resigned(good, number.to_bytes(256, "big")), False


def digest_info(t, name, **claims):
    """(first two parts, DigestInfo of their SHA-256)."""
    text = t.token(name, **claims).rpartition(".")[0]
    return text, bytes.fromhex("3031300d060960864801650304020105000420") + hashlib.sha256(text.encode()).digest()


def cube_root(number):
    """The least integer whose cube is no less."""
    low, high = 0, 1 << (number.bit_length() // 3 + 2)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if middle**3 < number else (low, middle)
    return low


def bleichenbacher(t):
    """Under a key with e = 3, a signature whose cube begins as it should, made without the key."""
    yield "right", t.token("cube"), True
    for label, padding in (("a short padding", 8), ("one byte of padding", 1), ("no padding", 0), ("a longer padding", 20)):
        text, info = digest_info(t, "cube")
        block = b"\0\1" + b"\xff" * padding + b"\0" + info
        root = cube_root(int.from_bytes(block + bytes(256 - len(block)), "big"))
        assert (root**3).to_bytes(256, "big").startswith(block)
        yield f"garbage behind, {label}", text + "." + b64(root.to_bytes(256, "big")), False
    text, info = digest_info(t, "cube")
    for label, block in (("bare hash", info[-32:]), ("bare DigestInfo", info),
                         ("whole block", b"\0\1" + b"\xff" * (253 - len(info)) + b"\0" + info)):
        yield f"{label} for a signature", text + "." + b64(block.rjust(256, b"\0")), False


def padding_schemes(t):
    yield "right", t.token("RS256"), True
    for alg in ("PS256", "PS384", "PS512", "RS384", "RS512"):
        yield f"{alg} said as RS256", t.token("RS256", alg=alg), False
        yield f"{alg} said so", t.token("RS256", {"alg": alg}, alg=alg), False
    text, info = digest_info(t, "RS256")
    numbers = t.keys.by_name["RS256"].private_numbers()

    def power(block):
        return text + "." + b64(pow(int.from_bytes(block, "big"), numbers.d, numbers.public_numbers.n).to_bytes(256, "big"))

    def block(fill, end, kind=b"\0\1", byte=b"\xff"):
        """The end behind zero and padding, which is `byte` over and over and at its end `fill`."""
        return kind + byte * (256 - 3 - len(fill) - len(end)) + fill + b"\0" + end

    yield "the block by hand", power(block(b"", info)), True
    bare = bytes.fromhex("302f300b06096086480165030402010420") + info[-32:]
    sha1 = bytes.fromhex("3021300906052b0e03021a05000414") + info[-20:]
    made = {"block type 2": block(b"", info, b"\0\2"), "block type 0": block(b"", info, b"\0\0", b"\0"),
            "the hash without DigestInfo": block(b"", info[-32:]), "DigestInfo without NULL": block(b"", bare),
            "SHA-1 said in DigestInfo": block(b"", sha1), "garbage in the padding": block(b"\xfe\xff\xff\xff", info),
            "no zero behind the padding": block(b"", info).replace(b"\0" + info, b"\xff" + info),
            "short padding": block(b"\0" * 194, info)}
    for label, block_ in made.items():
        yield label, power(block_), False


def signature_stripped(t):
    for name in ALGORITHMS:
        good = t.token(name)
        text = good.rpartition(".")[0]
        yield "right " + name, good, True
        for end in ("", ".", "..", ".null", ".undefined", ".none", ". ", ".=", ".A", ".AA", ".\0"):
            yield f"{end!r} for a signature, {name}", text + end, False


def signature_of_odd_letters(t):
    good = t.token()
    text, _, signature = good.rpartition(".")
    yield "right", good, True
    for odd in ("!", "@", "$", "%", "\\11", "\\", "\\u0041", "&#65;", "%41", "~", "+", "/", ":", ";", "\x7f", "\u00e9"):
        for at in (0, 10, len(signature)):
            yield f"{odd!r} at {at}", f"{text}.{signature[:at]}{odd}{signature[at:]}", False


SIGNATURES = {
    "psychic signatures, CVE-2022-21449": psychic,
    "ECDSA as DER, and malleable, CVE-2020-14966": der_signatures,
    "Ed25519 malleable, CVE-2020-36843": ed25519_malleability,
    "RSA signature with zeros, CVE-2020-14968": rsa_zeros_and_numbers,
    "Bleichenbacher, e = 3, CVE-2006-4339": bleichenbacher,
    "RSA padding, CVE-2021-30246": padding_schemes,
    "signature stripped, CVE-2020-28042": signature_stripped,
    "odd letters in the signature, CVE-2022-25898": signature_of_odd_letters,
}
