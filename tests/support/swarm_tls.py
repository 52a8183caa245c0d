"""
Peers of SSL torrents, honest and not: libtorrent nodes with a certificate, and thieves who dial a peer, or let
themselves be dialled, with whatever certificate they have.
"""

import json
import os
import select
import socket
import ssl
import time
import types

import libtorrent as lt

from .announce import get
from .certificates import DAY, Authority
from .process import run

HELLO = b"\x13BitTorrent protocol"


def make_dh(folder):
    """Parameters that libtorrent wants beside a certificate: those of RFC 7919."""
    path = os.path.join(folder, "dh.pem")
    run(["openssl", "genpkey", "-genparam", "-algorithm", "DH", "-pkeyopt", "group:ffdhe2048", "-out", path])
    return path


WRONG = ("none", "another CA's", "a CA's of the same name", "expired", "not yet", "another torrent's")


def wrong_certificate(kind, ca, name, folder):
    """A certificate that must not do for the torrent `name` under `ca`, an Authority; None of the kind "none"."""
    return {
        "none": lambda: None,
        "another CA's": lambda: Authority(os.path.join(folder, "foreign"), "foreign").issue("thief", [name], both=True),
        "a CA's of the same name": lambda: Authority(os.path.join(folder, "twin"), "swarm").issue("thief", [name], both=True),
        "expired": lambda: ca.issue("thief", [name], both=True, not_before=-DAY, not_after=-DAY / 24 / 60, folder=folder),
        "not yet": lambda: ca.issue("thief", [name], both=True, not_before=DAY, folder=folder),
        "another torrent's": lambda: ca.issue("thief", ["sha256-" + "0" * 64], both=True, folder=folder),
    }[kind]()


def certify(gateway, headers, repository, digests, folder, **more):
    """
    The certificate that the gateway signs for a key of our own: `cert` and `key` are paths in `folder`. `headers` say
    who asks; `more` goes into the request.
    """
    key, csr, cert = (os.path.join(folder, f"own.{ending}") for ending in ("key", "csr", "crt"))
    run(["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/", "-keyout", key, "-out", csr])
    with open(csr, encoding="utf-8") as f:
        body = json.dumps({"csr": f.read(), "digests": digests, **more})
    status, _, body = get(gateway, f"/v1/{repository}/certificates", headers, method="POST", body=body)
    assert status == 200, body
    with open(cert, "w", encoding="utf-8") as f:
        f.write(json.loads(body)["certificate"])
    return types.SimpleNamespace(cert=cert, key=key)


class Peer:
    """
    A libtorrent node on loopback, with a port for TLS alone; `plain` opens one without, too. `certificate` has
    paths `cert` and `key`.
    """

    def __init__(self, folder, torrent, certificate, dh, plain=False):
        os.makedirs(folder, exist_ok=True)
        self.folder, self.dh = folder, dh
        self.ports = {}
        self.replies = []
        self.session = lt.session({
            "listen_interfaces": "127.0.0.1:0s" + (",127.0.0.1:0" if plain else ""),
            "enable_dht": False, "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False,
            "enable_incoming_utp": False, "enable_outgoing_utp": False,
            "alert_mask": lt.alert.category_t.all_categories,
            "allow_multiple_connections_per_ip": True,
        })
        self.handle = self.session.add_torrent({"ti": torrent, "save_path": folder})
        self.certify(certificate)
        self.await_(lambda: "ssl" in self.ports and (not plain or "tcp" in self.ports), "listening")

    def certify(self, certificate):
        self.handle.set_ssl_certificate(certificate.cert, certificate.key, self.dh, "")

    def look(self):
        """Takes in what has happened."""
        for alert in self.session.pop_alerts():
            if isinstance(alert, lt.listen_succeeded_alert):
                text = alert.message()
                kind = "ssl" if "[SSL/TCP]" in text else "tcp" if "[TCP]" in text else None
                if kind:
                    self.ports[kind] = int(text.rsplit(":", 1)[1])
            elif isinstance(alert, lt.tracker_reply_alert):
                self.replies.append(alert.num_peers)

    def await_(self, probe, what, seconds=30):
        end = time.monotonic() + seconds
        while True:
            self.look()
            if probe():
                return
            assert time.monotonic() < end, f"{what}: not seen within {seconds} s"
            self.session.wait_for_alert(100)

    def await_seeding(self):
        self.await_(lambda: self.handle.status().is_seeding, "a whole torrent")

    def dial(self, port):
        self.handle.connect_peer(("127.0.0.1", port))


def _hello(infohash):
    return HELLO + bytes(8) + bytes.fromhex(infohash) + b"-TH0001-thief-thief!"


def _read_all(connection, end):
    """What comes until the other side closes, or fails; a silent one is an error."""
    got = b""
    while time.monotonic() < end:
        try:
            piece = connection.recv(65536)
        except (ssl.SSLError, ConnectionResetError, BrokenPipeError):
            return got
        if not piece:
            return got
        got += piece
        if got.startswith(HELLO):
            return got
    raise AssertionError(f"the peer neither answers nor closes: {got!r}")


def tls_context(purpose, certificate):
    """That of a peer of no scruples; `certificate` has paths `cert` and `key`, or is None."""
    context = ssl.SSLContext(purpose)
    if purpose == ssl.PROTOCOL_TLS_CLIENT:
        context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if certificate is not None:
        context.load_cert_chain(certificate.cert, certificate.key)
    return context


def steal(port, infohash, certificate=None, ca=None, seconds=20):
    """
    Dials a peer by TLS, as for that torrent, and gives what it says behind the TLS handshake. `ca`: the path
    of what must have signed the peer's certificate.
    """
    end = time.monotonic() + seconds
    context = tls_context(ssl.PROTOCOL_TLS_CLIENT, certificate)
    if ca is not None:
        context.load_verify_locations(ca)
        context.verify_mode = ssl.CERT_REQUIRED
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as plain:
        try:
            with context.wrap_socket(plain, server_hostname=infohash) as connection:
                connection.sendall(_hello(infohash))
                return _read_all(connection, end)
        except (ssl.SSLError, ConnectionResetError, BrokenPipeError):
            return b""


def stay(port, infohash, certificate, seconds=60):
    """Dials a peer by TLS, is answered, and stays until the peer closes."""
    end = time.monotonic() + seconds
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as plain:
        with tls_context(ssl.PROTOCOL_TLS_CLIENT, certificate).wrap_socket(plain, server_hostname=infohash) as connection:
            connection.sendall(_hello(infohash))
            assert _read_all(connection, end).startswith(HELLO)
            try:
                while connection.recv(65536):
                    assert time.monotonic() < end, "the peer does not close"
            except (ssl.SSLError, ConnectionResetError):
                pass


def steal_plainly(port, infohash, seconds=20):
    """The same without TLS."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as plain:
        plain.sendall(_hello(infohash))
        return _read_all(plain, time.monotonic() + seconds)


class Trap:
    """Listens as a peer with that certificate would; caught() is what a peer that dials it says behind the TLS handshake."""

    def __init__(self, certificate):
        self._context = tls_context(ssl.PROTOCOL_TLS_SERVER, certificate)
        self._context.verify_mode = ssl.CERT_NONE
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]

    def caught(self, seconds=20):
        assert select.select([self._socket], [], [], seconds)[0], "nobody dials"
        plain, _ = self._socket.accept()
        plain.settimeout(seconds)
        try:
            with self._context.wrap_socket(plain, server_side=True) as connection:
                return _read_all(connection, time.monotonic() + seconds)
        except (ssl.SSLError, ConnectionResetError, BrokenPipeError):
            return b""
        finally:
            plain.close()

    def close(self):
        self._socket.close()
