"""What goes over the wire between clients and a tracker: a TCP forwarder that notes requests and answers."""

import dataclasses
import selectors
import socket
import threading
import time
import urllib.parse

from .announce import bdecode
from .process import wait_for


@dataclasses.dataclass
class Exchange:
    """One request as it was sent, and the answer's dictionary; `answer` is None until it is there."""

    path: str
    query: list
    headers: dict
    seconds: float
    answer: dict = None

    def get(self, name, default=None):
        """The first parameter of that name, decoded as latin-1."""
        return next((value for key, value in self.query if key == name), default)


class _Pair:
    """A connection of a client and ours to the tracker, with what is not yet read of either direction."""

    def __init__(self, inner, outer):
        self.inner, self.outer = inner, outer
        self.asked, self.answered, self.waiting = b"", b"", []


class Recorder:
    """
    Listens on `host` (of a Network) and forwards to `target`, (address, port): the tracker goes on seeing
    that host's address. `exchanges` grows; `url` is the announce URL to give to a client.
    """

    def __init__(self, host, target, ipv6=False):
        family = socket.AF_INET6 if ipv6 else socket.AF_INET
        self.host, self.target = host, target
        self.exchanges = []
        address = host.address6 if ipv6 else host.address
        with host.entered():
            self.listener = socket.create_server((address, 0), family=family)
        literal = f"[{address}]" if ipv6 else address
        self.url = f"http://{literal}:{self.listener.getsockname()[1]}/announce"
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.ended = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        with self.host.entered():
            while not self.ended:
                for key, _ in self.selector.select(0.2):
                    if key.fileobj is self.listener:
                        self._accept()
                    else:
                        self._forward(key.fileobj, key.data)

    def _accept(self):
        inner, _ = self.listener.accept()
        try:
            outer = socket.create_connection(self.target, timeout=5)
        except OSError:
            inner.close()
            return
        pair = _Pair(inner, outer)
        for one in (inner, outer):
            self.selector.register(one, selectors.EVENT_READ, pair)

    def _forward(self, source, pair):
        if source.fileno() < 0:
            return  # closed with its other end a moment ago
        target = pair.outer if source is pair.inner else pair.inner
        try:
            data = source.recv(65536)
            if data:
                target.sendall(data)
        except OSError:
            data = b""
        if not data:
            for one in (pair.inner, pair.outer):
                self.selector.unregister(one)
                one.close()
        elif source is pair.inner:
            self._read_requests(pair, data)
        else:
            self._read_answers(pair, data)

    def _read_requests(self, pair, data):
        pair.asked += data
        while b"\r\n\r\n" in pair.asked:
            head, _, pair.asked = pair.asked.partition(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").split("\r\n")
            path, _, query = first.split(" ")[1].partition("?")
            pairs = urllib.parse.parse_qsl(query, keep_blank_values=True, encoding="latin-1")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            pair.waiting.append(Exchange(path, pairs, headers, time.monotonic()))
            self.exchanges.append(pair.waiting[-1])

    def _read_answers(self, pair, data):
        pair.answered += data
        while pair.waiting and b"\r\n\r\n" in pair.answered:
            head, _, rest = pair.answered.partition(b"\r\n\r\n")
            lengths = [int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
            if len(rest) < lengths[0]:
                return
            body, pair.answered = rest[:lengths[0]], rest[lengths[0]:]
            pair.waiting.pop(0).answer = bdecode(body)

    def stop(self):
        self.ended = True
        self.thread.join()
        for one in list(self.selector.get_map().values()):
            one.fileobj.close()
        self.selector.close()

    def __enter__(self):
        return self

    def __exit__(self, *ignored):
        self.stop()

    def announces(self, event=None):
        """Those that were answered; with `event` those of that event, "" being a regular one."""
        return [one for one in list(self.exchanges) if one.path == "/announce" and one.answer is not None
                and (event is None or one.get("event", "") == event)]

    def scrapes(self):
        return [one for one in list(self.exchanges) if one.path == "/scrape" and one.answer is not None]

    def wait_announce(self, event, seconds, after=0):
        """The first announce of that event beyond the first `after` of its kind."""
        wait_for(f"an announce with event={event!r}", seconds, lambda: len(self.announces(event)) > after)
        return self.announces(event)[after]
