"""A TCP forwarder that counts: what a server sends to whom, seen at its socket."""

import contextlib
import socket
import threading


class Counter:
    """
    Listens on loopback, or on a Host of a Network, and forwards to `target`, `host:port`; `sent` are the bytes that
    came from there. held() stops them in the middle; what is known from the start to be stopped at has `limit`.
    """

    def __init__(self, target, host=None, limit=float("inf")):
        self.target = target
        self.sent, self.limit = 0, limit
        self.changed = threading.Condition()
        address = host.address if host else "127.0.0.1"
        with host.entered() if host else contextlib.nullcontext():
            self.listener = socket.create_server((address, 0))
        self.address = "%s:%d" % self.listener.getsockname()
        threading.Thread(target=self._accept, args=(host,), daemon=True).start()

    def _accept(self, host):
        with host.entered() if host else contextlib.nullcontext():
            while True:
                try:
                    near, _ = self.listener.accept()
                except OSError:
                    return
                self._forward(near)

    def _forward(self, near):
        address, _, port = self.target.rpartition(":")
        try:
            far = socket.create_connection((address.strip("[]"), int(port)))
        except OSError:
            near.close()
            return
        # What waits here was sent, too: let it be little.
        for end in (near, far):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        threading.Thread(target=self._copy, args=(near, far, False), daemon=True).start()
        threading.Thread(target=self._copy, args=(far, near, True), daemon=True).start()

    def count(self, data):
        """Called with what came, under the lock."""
        self.sent += len(data)

    def _copy(self, source, sink, counts):
        try:
            while data := source.recv(65536):
                if counts:
                    with self.changed:
                        self.count(data)
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

    def stop(self):
        """Takes no more connections."""
        self.listener.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
