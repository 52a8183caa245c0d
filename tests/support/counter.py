"""A TCP forwarder that counts: what a server sends to whom, seen at its socket."""

import socket
import threading


class Counter:
    """Listens on loopback and forwards to `target`, `host:port`; `sent` are the bytes that came from there."""

    def __init__(self, target):
        host, _, port = target.rpartition(":")
        self.target = (host.strip("[]"), int(port))
        self.sent = 0
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(self.target)
            except OSError:
                near.close()
                continue
            # What waits unread here was sent, too: let it be little.
            for end in (near, far):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            threading.Thread(target=self._copy, args=(near, far, False), daemon=True).start()
            threading.Thread(target=self._copy, args=(far, near, True), daemon=True).start()

    def _copy(self, source, sink, counts):
        try:
            while data := source.recv(65536):
                if counts:
                    with self.lock:
                        self.sent += len(data)
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        if counts:
            source.close()
            sink.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()
