"""Certificates for tests: a CA, and what it signs for servers and clients, in date or not."""

import datetime
import ipaddress
import os

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)


def _name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _general_name(text):
    """An IP address as one, anything else as a DNS name."""
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _make_key(kind):
    return rsa.generate_private_key(65537, 2048) if kind == "rsa" else ec.generate_private_key(ec.SECP256R1())


def _write(path, data, mode):
    """Whole or not at all, so that a server that reloads never sees half a file."""
    with open(path + ".new", "wb", opener=lambda p, flags: os.open(p, flags, mode)) as f:
        f.write(data)
    os.replace(path + ".new", path)


def self_signed(path, key, name="registry token"):
    """Writes a certificate that `key`, a private one, has signed for itself, as `rootcertbundle` wants it; returns the path."""
    now = datetime.datetime.utcnow()
    signed = (
        x509.CertificateBuilder().subject_name(_name(name)).issuer_name(_name(name)).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - DAY).not_valid_after(now + 30 * DAY)
        .sign(key, hashes.SHA256()))
    _write(path, signed.public_bytes(serialization.Encoding.PEM), 0o644)
    return path


class Certificate:
    """A certificate and its key: `cert` and `key` are the paths of their PEM files."""

    def __init__(self, cert, key, x509_certificate):
        self.cert, self.key, self.x509 = cert, key, x509_certificate

    @property
    def serial(self):
        return self.x509.serial_number


class Authority:
    """
    A CA whose certificate is FOLDER/NAME.crt. `parent`, another Authority, makes it an intermediate one:
    then what it signs is written with the chain below the root behind it. It runs out `ends` from now.
    """

    def __init__(self, folder, name="ca", key="ec", parent=None, ends=30 * DAY):
        os.makedirs(folder, exist_ok=True)
        self.folder, self.parent = folder, parent
        self._key = _make_key(key)
        self._subject = _name(name)
        signer = parent or self
        now = datetime.datetime.utcnow()
        self.x509 = (
            x509.CertificateBuilder().subject_name(self._subject).issuer_name(signer._subject)
            .public_key(self._key.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(now - 30 * DAY).not_valid_after(now + ends)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(x509.KeyUsage(False, False, False, False, False, True, True, False, False), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .sign(signer._key, hashes.SHA256()))
        self.cert = os.path.join(folder, name + ".crt")
        _write(self.cert, self._pem(), 0o644)

    def _pem(self):
        return self.x509.public_bytes(serialization.Encoding.PEM)

    def _chain(self):
        return b"" if self.parent is None else self._pem() + self.parent._chain()

    def write_key(self):
        """Writes its private key as NAME.key beside its certificate, for a program that signs; returns the path."""
        path = self.cert[: -len(".crt")] + ".key"
        _write(path, self._key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                             serialization.NoEncryption()), 0o600)
        return path

    def issue(self, name, names=(), client=False, key="ec", not_before=None, not_after=None, folder=None, endings=(".crt", ".key"),
              both=False):
        """
        Writes NAME.crt and NAME.key, or other `endings`, into the authority's folder or `folder`, over what
        is there. `names`: DNS names and IP addresses; with `client` it is for clients, else for
        servers; with `both` for either. not_before and not_after are counted from now, as timedelta; a day ago and in ten by default.
        """
        leaf = _make_key(key)
        now = datetime.datetime.utcnow()
        uses = [ExtendedKeyUsageOID.CLIENT_AUTH] if client or both else []
        uses += [ExtendedKeyUsageOID.SERVER_AUTH] if both or not client else []
        builder = (
            x509.CertificateBuilder().subject_name(_name(name)).issuer_name(self._subject)
            .public_key(leaf.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(now + (-DAY if not_before is None else not_before))
            .not_valid_after(now + (10 * DAY if not_after is None else not_after))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False))
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([_general_name(n) for n in names]), critical=False)
        signed = builder.sign(self._key, hashes.SHA256())
        base = os.path.join(folder or self.folder, name)
        made = Certificate(base + endings[0], base + endings[1], signed)
        _write(made.key, leaf.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                            serialization.NoEncryption()), 0o600)
        _write(made.cert, signed.public_bytes(serialization.Encoding.PEM) + self._chain(), 0o644)
        return made

    def server(self, name="server", names=("localhost", "127.0.0.1", "::1"), **more):
        """A server's certificate, for loopback unless `names` say otherwise."""
        return self.issue(name, names, **more)

    def client(self, name="client", **more):
        """A client's certificate; its common name is `name`."""
        return self.issue(name, client=True, **more)

    def expired(self, name="expired", names=("localhost", "127.0.0.1", "::1"), **more):
        """A server's certificate, or with client=True a client's, that has run out yesterday."""
        return self.issue(name, names, not_before=-20 * DAY, not_after=-DAY, **more)
