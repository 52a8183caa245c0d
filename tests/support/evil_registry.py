"""
A registry for faults: it serves right images, and at any path whatever a test wants instead, down to
the bytes. Every request's head is kept, so that a test sees what was let out.
"""

import base64
import datetime
import hashlib
import ipaddress
import json
import os
import select
import socket
import ssl
import struct
import threading

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"

TLS_HANDSHAKE = b"\x16"


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def noise(seed, size):
    """Bytes that look like none of another seed."""
    return hashlib.shake_256(str(seed).encode()).digest(size)


class Request:
    """The head of a request; names of fields in lower case."""

    def __init__(self, head):
        first, *rest = head.decode("latin-1").split("\r\n")
        self.method, self.target, _ = first.split(" ", 2)
        self.path, _, self.query = self.target.partition("?")
        self.fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}

    @property
    def authorization(self):
        return self.fields.get("authorization")


class Wire:
    """A connection as an answer writes to it."""

    def __init__(self, conn, ended):
        self.conn, self._ended = conn, ended

    def send(self, data):
        self.conn.sendall(data)

    def head(self, status=200, **fields):
        """Status line and fields; of `Content_Type="x"` the underscore becomes a hyphen."""
        lines = [f"HTTP/1.1 {status} Whatever", "Connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items() if value is not None]
        self.send(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))

    def gone(self, seconds):
        """Waits so long for the other end to leave, or for the registry to stop; True when it did."""
        ready, _, _ = select.select([self.conn, self._ended], [], [], seconds)
        return bool(ready)

    def reset(self):
        """Ends the connection by RST."""
        self.conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.conn.close()


# --- answers: functions of (wire, request) ---

def answer(status=200, body=b"", length=None, **fields):
    """A plain answer; `length` lies about the body's, and "" leaves it out."""
    def send(wire, request):
        wire.head(status, Content_Length=None if length == "" else len(body) if length is None else length, **fields)
        if request.method != "HEAD":
            wire.send(body)
    return send


def redirect(location, status=302):
    return answer(status, b"elsewhere", Location=location)


def raw(*pieces):
    """These very bytes, and the end of the connection."""
    def send(wire, _):
        for piece in pieces:
            wire.send(piece)
    return send


def reset(wire, _):
    wire.reset()


def hang_up(*_):
    pass


def stall(wire, _):
    """No answer at all."""
    wire.gone(60)


def stalled_body(body, at):
    """An answer that stops after `at` bytes, its connection open."""
    def send(wire, request):
        wire.head(200, Content_Length=len(body))
        if request.method != "HEAD":
            wire.send(body[:at])
            wire.gone(60)
    return send


def slowly(body, pieces, pause):
    """The right answer in so many pieces, `pause` seconds between."""
    def send(wire, request):
        wire.head(200, Content_Length=len(body))
        step = len(body) // pieces + 1
        for at in range(0, len(body) if request.method != "HEAD" else 0, step):
            wire.send(body[at:at + step])
            if wire.gone(pause):
                return
    return send


def endless(piece, most, **fields):
    """`piece` again and again without a length, `most` bytes at the utmost; `sent` counts what was taken."""
    def send(wire, _):
        wire.head(200, **fields)
        while send.sent < most:
            wire.send(piece)
            send.sent += len(piece)
    send.sent = 0
    return send


class EvilRegistry:
    """
    Listens on a free port of 127.0.0.1. What `put_…` and `image` made is served as a registry does;
    `on` comes first. `login` is (user, password): then all of /v2/ wants Basic. `tls` is a folder for a
    certificate of its own, `ca.crt`.
    """

    def __init__(self, login=None, tls=None):
        self.login, self.routes, self.requests = login, {}, []
        self.context = None if tls is None else _certificate(tls)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.address = "127.0.0.1:%d" % self._listener.getsockname()[1]
        self.url = ("http://" if tls is None else "https://") + self.address
        self._end, self._ended = socket.socketpair()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def stop(self):
        self._end.close()
        self._thread.join()
        self._listener.close()

    def __enter__(self):
        return self

    def __exit__(self, *ignored):
        self.stop()

    # --- what is served ---

    def on(self, path, send):
        """Answers `path`, whatever the method, by `send`; a path that ends in * stands for all below."""
        self.routes[path] = send
        return send

    def put_blob(self, data, media_type=LAYER, repository="team/app"):
        """Serves a blob; returns its descriptor."""
        digest = digest_of(data)
        self.on(f"/v2/{repository}/blobs/{digest}", _blob(data, digest))
        return {"mediaType": media_type, "digest": digest, "size": len(data)}

    def put_manifest(self, document, tag="1", repository="team/app", media_type=None, **fields):
        """Serves a manifest, bytes or JSON to be, by tag and digest; returns its descriptor."""
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        if media_type is None and isinstance(document, dict):
            media_type = document.get("mediaType")
        digest = digest_of(data)
        send = answer(200, data, Content_Type=media_type, **fields)
        for reference in (tag, digest):
            self.on(f"/v2/{repository}/manifests/{reference}", send)
        return {"mediaType": media_type or MANIFEST, "digest": digest, "size": len(data)}

    def manifest(self, layers=(b"one", b"two"), config=b"{}"):
        """The document of an image whose blobs are served."""
        return {"schemaVersion": 2, "mediaType": MANIFEST, "config": self.put_blob(config, CONFIG),
                "layers": [self.put_blob(data) for data in layers]}

    def image(self, layers=(b"one", b"two"), tag="1", config=b"{}"):
        """A right image; returns its manifest's document."""
        document = self.manifest(layers, config)
        self.put_manifest(document, tag)
        return document

    def asked(self, path):
        return [request for request in self.requests if request.path == path]

    # --- connections ---

    def _accept(self):
        while True:
            ready, _, _ = select.select([self._listener, self._ended], [], [])
            if self._ended in ready:
                return
            conn, _ = self._listener.accept()
            threading.Thread(target=self._connection, args=(conn,), daemon=True).start()

    def _connection(self, conn):
        with conn:
            conn.settimeout(60)
            try:
                if self.context is None:
                    self._serve(conn)
                else:
                    with self.context.wrap_socket(conn, server_side=True) as wrapped:
                        self._serve(wrapped)
            except (OSError, ValueError):
                pass  # the other end left, or spoke something else: its own errors are what tests read

    def _serve(self, conn):
        head = b""
        while b"\r\n\r\n" not in head:
            data = conn.recv(65536)
            head += data
            if not data or head.startswith(TLS_HANDSHAKE):
                return
        request = Request(head.partition(b"\r\n\r\n")[0])
        self.requests.append(request)
        self._route(request)(Wire(conn, self._ended), request)

    def _route(self, request):
        if request.path in self.routes and self._allowed(request):
            return self.routes[request.path]
        for path, send in self.routes.items():
            if path.endswith("*") and request.path.startswith(path[:-1]):
                return send
        if not self._allowed(request):
            return answer(401, b"{}", WWW_Authenticate='Basic realm="evil"')
        return answer(404, b'{"errors":[{"code":"BLOB_UNKNOWN"}]}')

    def _allowed(self, request):
        if self.login is None or not request.path.startswith("/v2/"):
            return True
        return (request.authorization or "").split() == ["Basic", base64.b64encode(":".join(self.login).encode()).decode()]


def _blob(data, digest):
    """A blob as a registry serves it, with one range."""
    def send(wire, request):
        first, last, status, content_range = 0, len(data) - 1, 200, None
        asked = request.fields.get("range", "")
        if asked.startswith("bytes=") and request.method == "GET":
            first, last = (int(number) for number in asked[6:].split("-"))
            status, content_range = 206, f"bytes {first}-{last}/{len(data)}"
        wire.head(status, Content_Length=last - first + 1, Docker_Content_Digest=digest, Content_Range=content_range)
        if request.method != "HEAD":
            wire.send(data[first:last + 1])
    return send


def _certificate(folder):
    """A server's TLS context; its self-signed certificate for 127.0.0.1 is FOLDER/ca.crt."""
    os.makedirs(folder, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "evil")])
    now = datetime.datetime.utcnow()
    certificate = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
                   .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
                   .not_valid_after(now + datetime.timedelta(days=1))
                   .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
                   .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
                   .sign(key, hashes.SHA256()))
    path, key_path = os.path.join(folder, "ca.crt"), os.path.join(folder, "server.pem")
    with open(path, "wb") as f:
        f.write(certificate.public_bytes(serialization.Encoding.PEM))
    with open(key_path, "wb") as f:
        f.write(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path, key_path)
    return context
