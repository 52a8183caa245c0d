"""JWS by hand, so that a test can make any of them, right or wrong."""

import base64
import hashlib
import hmac
import json
import os

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493
BASE64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def make_key(kind, **more):
    if kind == "ES256":
        return ec.generate_private_key(more.get("curve", ec.SECP256R1()))
    if kind == "RS256":
        return rsa.generate_private_key(more.get("exponent", 65537), more.get("bits", 2048))
    return ed25519.Ed25519PrivateKey.generate()


def public_pem(key):
    return key.public_key().public_bytes(serialization.Encoding.PEM,
                                         serialization.PublicFormat.SubjectPublicKeyInfo)


def raw_signature(key, alg, data):
    """The signature bytes that `alg` wants, whatever kind the key is meant to be used with."""
    if alg.startswith("HS"):
        return hmac.new(key, data, {"HS256": hashlib.sha256, "HS384": hashlib.sha384,
                                    "HS512": hashlib.sha512}[alg]).digest()
    digest = {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}.get(alg[-3:], hashes.SHA256)()
    if isinstance(key, ec.EllipticCurvePrivateKey):
        size = (key.curve.key_size + 7) // 8
        r, s = utils.decode_dss_signature(key.sign(data, ec.ECDSA(digest)))
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")
    if isinstance(key, rsa.RSAPrivateKey):
        if alg.startswith("PS"):
            return key.sign(data, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
        return key.sign(data, padding.PKCS1v15(), digest)
    return key.sign(data)


def sign_text(header_text, claims_text, key, alg):
    """A compact JWS of these very texts."""
    data = b64(header_text.encode()) + "." + b64(claims_text.encode())
    return data + "." + b64(raw_signature(key, alg, data.encode()))


def sign(header, claims, key, alg=None):
    return sign_text(json.dumps(header), json.dumps(claims), key, alg or header["alg"])


def encrypt(header, text, key):
    """A compact JWE of `text` for the holder of an RSA key: RSA-OAEP and A256GCM (RFC 7516, appendix A.1)."""
    cek, iv = os.urandom(32), os.urandom(12)
    head = b64(json.dumps({"alg": "RSA-OAEP", "enc": "A256GCM", **header}).encode())
    wrapped = key.public_key().encrypt(cek, padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None))
    sealed = AESGCM(cek).encrypt(iv, text, head.encode())
    return ".".join([head, b64(wrapped), b64(iv), b64(sealed[:-16]), b64(sealed[-16:])])


def jwk_of(key, **more):
    """The public JWK of a key."""
    public = key.public_key()
    if isinstance(key, ec.EllipticCurvePrivateKey):
        n = public.public_numbers()
        jwk = {"kty": "EC", "crv": "P-256", "x": b64(n.x.to_bytes(32, "big")), "y": b64(n.y.to_bytes(32, "big"))}
    elif isinstance(key, rsa.RSAPrivateKey):
        n = public.public_numbers()
        jwk = {"kty": "RSA", "n": b64(n.n.to_bytes((n.n.bit_length() + 7) // 8, "big")), "e": b64(b"\x01\x00\x01")}
    else:
        raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        jwk = {"kty": "OKP", "crv": "Ed25519", "x": b64(raw)}
    return {**jwk, **more}
