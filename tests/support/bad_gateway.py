"""
A gateway of a test's making, with its tracker and its webseed: right by itself, and wrong in whatever a test
says. No registry is behind it, and what it offers is of `reg.invalid`, which nobody can reach.
"""

import base64
import contextlib
import hashlib
import http.server
import json
import re
import socket
import threading
import time

HOST = "reg.invalid"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def bencode(value):
    """Of integers, text, bytes and dictionaries."""
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, dict):
        return b"d" + b"".join(bencode(key) + bencode(value[key]) for key in sorted(value)) + b"e"
    value = value.encode() if isinstance(value, str) else value
    return b"%d:%s" % (len(value), value)


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class BadGateway:
    """
    Offers the image `HOST/team/app:1` of the layers, in pieces of `piece` bytes. `hashed`, {digest: bytes}, has what a
    torrent's hashes are of instead; `sent` likewise what the webseed has; `info` is laid over every info dictionary,
    `offer` over every offer. `peers` are ports of 127.0.0.1 that the tracker tells of.
    `before(request, path)` sees each request first, and answers it by a status, to be asked again at once, or not:
    None.
    """

    def __init__(self, *layers, piece=256 * 1024):
        self.piece, self.hashed, self.sent, self.info, self.offer = piece, {}, {}, {}, {}
        self.before = lambda request, path: None
        self.requests, self.peers = [], []
        config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {
            "type": "layers", "diff_ids": [digest_of(layer) for layer in layers]}}).encode()
        self.blobs = {digest_of(data): data for data in (config, *layers)}
        self.digest = digest_of(self._manifest(config, layers))

    def _manifest(self, config, layers):
        self.kinds = {digest_of(config): CONFIG, **{digest_of(layer): LAYER for layer in layers}}
        entries = [{"mediaType": kind, "digest": digest, "size": len(self.blobs[digest])} for digest, kind in self.kinds.items()]
        self.entries = entries
        self.manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": entries[0], "layers": entries[1:]}).encode()
        return self.manifest

    def torrent(self, digest):
        data = self.hashed.get(digest, self.blobs[digest])
        pieces = (data[at:at + self.piece] for at in range(0, len(data), self.piece))
        info = {"name": digest.replace(":", "-"), "length": len(self.blobs[digest]), "piece length": self.piece, "private": 1,
                "pieces": b"".join(hashlib.sha1(piece).digest() for piece in pieces), **self.info}
        return bencode({"announce": self.url + "/announce?jwt=x", "info": info, "url-list": self.url + "/webseed/token/"})

    def _offered(self):
        config, *layers = ({**entry, "torrent": base64.b64encode(self.torrent(entry["digest"])).decode()} for entry in self.entries)
        return {"digest": self.digest, "mediaType": MANIFEST, "manifest": base64.b64encode(self.manifest).decode(),
                "config": config, "layers": layers, "expires_in": 600, "session": int(time.time()) + 3600, **self.offer}

    def _webseed(self, request, digest):
        data = self.sent.get(digest, self.blobs[digest])
        first, last = map(int, re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers["Range"]).groups())
        request.reply(206, data[first:last + 1], Content_Range=f"bytes {first}-{last}/{len(data)}")

    def answer(self, request):
        path = request.path.partition("?")[0]
        request.body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        self.requests.append(path)
        status = self.before(request, path)
        if status is not None:
            request.reply(status, b"{}", Retry_After=0)
        elif path == "/announce":
            peers = b"".join(socket.inet_aton("127.0.0.1") + port.to_bytes(2, "big") for port in self.peers)
            request.reply(200, bencode({"interval": 60, "peers": peers}))
        elif path.startswith("/v1/team/app/manifests/"):
            request.reply(200, json.dumps(self._offered()).encode(), Content_Type="application/json")
        elif path.startswith("/webseed/token/"):
            self._webseed(request, path.rpartition("/")[2].replace("-", ":"))
        else:
            request.reply(404, b"{}")

    def of_blob(self, digest):
        """How many requests there were for it at the webseed."""
        return self.requests.count("/webseed/token/" + digest.replace(":", "-"))

    @contextlib.contextmanager
    def running(self):
        gateway = self

        class Request(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle(self):
                with contextlib.suppress(ConnectionError):
                    super().handle()

            def do_GET(self):
                gateway.answer(self)

            do_POST = do_GET

            def reply(self, status, body, **fields):
                self.send_response(status)
                for name, value in {**fields, "Content-Length": len(body)}.items():
                    self.send_header(name.replace("_", "-"), str(value))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *ignored):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False
            request_queue_size = 128

        with Server(("127.0.0.1", 0), Request) as server:
            self.url = f"http://127.0.0.1:{server.server_address[1]}"
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            try:
                yield self
            finally:
                server.shutdown()
                thread.join()
