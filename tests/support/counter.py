"""A TCP forwarder that counts: what a server sends to whom, seen at its socket."""

import contextlib
import socket
import threading


class Counter:
    """
    Listens on loopback and forwards to `target`, `host:port`; `sent` are the bytes that came from there. held() stops
    them in the middle.
    """

    def __init__(self, target):
        host, _, port = target.rpartition(":")
        self.target = (host.strip("[]"), int(port))
        self.sent, self.limit = 0, float("inf")
        self.changed = threading.Condition()
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
            # What waits here was sent, too: let it be little.
            for end in (near, far):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
            threading.Thread(target=self._copy, args=(near, far, False), daemon=True).start()
            threading.Thread(target=self._copy, args=(far, near, True), daemon=True).start()

    def _copy(self, source, sink, counts):
        try:
            while data := source.recv(65536):
                if counts:
                    with self.changed:
                        self.sent += len(data)
                        self.changed.notify_all()
                        self.changed.wait_for(lambda: self.sent < self.limit)
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

    @contextlib.contextmanager
    def held(self, at, seconds=300):
        """Once `sent` has come to `at` nothing goes on, on no connection; this begins then."""
        with self.changed:
            self.limit = at
            assert self.changed.wait_for(lambda: self.sent >= at, seconds), f"no more than {self.sent} of {at} bytes came"
        try:
            yield
        finally:
            with self.changed:
                self.limit = float("inf")
                self.changed.notify_all()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()
