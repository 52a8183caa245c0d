"""
The same heads put to us, nginx and haproxy, each on a connection of its own, until it is closed. Where we take
what both others refuse, or see more requests than either, it is a bug. Then the same through nginx and haproxy
as reverse proxies: what they forward as one request, we must not see as two.
"""

import asyncio
import contextlib
import re

import pytest
from support.gate import Gate
from support.http_heads import heads
from support.proxies import Haproxy, Nginx, Tap

SECONDS = 20
AT_ONCE = 150
STATUS = re.compile(rb"HTTP/1\.[01] ([2-5]\d\d) ")
"""The status line of a final answer: none of the bodies answered here holds one."""
BODY = "answered"
"""What nginx and haproxy answer: alone, without a head, when they take a request for HTTP/0.9."""
TAKEN = {200, 401, 403, 404, 405}
"""Statuses of a request that was understood as one, whatever came of it."""

HEADS = heads()

# Why we refuse what both others take, by the line of text that refuses it; what is not here is a failure.
STRICTER = {
    "Invalid method encountered": "a method that HTTP's registry did not have when the parser was made",
    "Expected space after method": "a method that is none",
    "Invalid method for HTTP/x.x request": "a method of RTSP",
    "the request's target is not a path or an http URL": "nothing else is served; RFC 9112, 3.2",
    "Unexpected char in url schema": "nothing else is served; RFC 9112, 3.2",
    "Invalid char in url query": "RFC 3986, 3.4: no byte above 0x7f",
    "only HTTP/1.1 and HTTP/1.0 are spoken": "no program says 1.2, and RFC 9110, 2.5, has a SHOULD only",
    "the head is larger than is taken": "32 KiB, empty lines before the request line included",
    "an LF without CR": "RFC 9112, 2.2, lets it be taken for a line's end; who does and who does not read two requests",
    "a control character in the head": "RFC 9110, 5.5: to be refused or replaced",
    "Invalid header value char": "RFC 9110, 5.5: to be refused or replaced; in trailers a bare LF too",
    "Host is not a host": "RFC 9112, 3.2: to be refused; percent-encodings are no name that DNS has",
    "only 100-continue can be expected": "RFC 9110, 10.1.1",
    "Invalid character in chunk size": "a bare LF, or white space behind a size, which no program sends since it was forbidden",
    "Invalid character in chunk extensions": "RFC 9112, 7.1.1, but for white space and quoted pairs, which no program sends",
    "Invalid character in chunk extensions name": "RFC 9112, 7.1.1, but for white space, which no program sends",
    "Invalid character in chunk extensions quoted value": "RFC 9112, 7.1.1, but for quoted pairs, which no program sends",
    "Expected CRLF after chunk": "RFC 9112, 7.1: data that is longer than said, or ends in a bare LF",
    "Invalid header token": "in a trailer's name: RFC 9110, 5.1",
    "Invalid `Transfer-Encoding` header value": "in a trailer, which RFC 9110, 6.5.1, forbids",
}


async def ask(address, request, end):
    """All that is answered until the other end closes; `end` says whether our half is ended behind the request."""
    host, port = address.rsplit(":", 1)
    reader, writer = await asyncio.open_connection(host, int(port))
    got = bytearray()
    with contextlib.suppress(ConnectionError):
        writer.write(request)
        if end:
            writer.write_eof()
        while data := await reader.read(65536):
            got += data
    writer.close()
    return bytes(got)


class Verdict:
    """What a server made of a head."""

    def __init__(self, answer):
        self.statuses = [int(s) for s in STATUS.findall(answer)]
        if not self.statuses and answer == BODY.encode():
            self.statuses = [200]
        self.taken = bool(self.statuses) and self.statuses[0] in TAKEN
        self.requests = sum(status in TAKEN for status in self.statuses)
        self.why = answer.rstrip().rsplit(b"\n", 1)[-1].decode(errors="replace") if answer else ""

    def __str__(self):
        return " ".join(map(str, self.statuses)) or "closed"


async def ask_all(*servers):
    """
    {name: [verdict of each]} for all heads; a server is an address or a proxy. To haproxy our half stays open: at
    its end haproxy may leave out what it has not begun with. It closes when its patience is over.
    """
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(name, request):
        async with turn:
            try:
                answers = await asyncio.wait_for(asyncio.gather(
                    *(ask(getattr(s, "address", s), request, not isinstance(s, Haproxy)) for s in servers)), SECONDS)
            except asyncio.TimeoutError:
                raise AssertionError(f"{name}: not answered and closed by all within {SECONDS} s") from None
        return name, [Verdict(answer) for answer in answers]

    return dict(await asyncio.gather(*(one(*head) for head in HEADS)))


def table(rows):
    widths = [max(len(str(row[i])) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(str(cell).ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


@pytest.fixture
def gate(tmp_path):
    """A gate whose registry is not there: nothing asked here gets so far."""
    with Gate(str(tmp_path / "gate"), [{"name": "registry.example", "url": "http://127.0.0.1:1"}]) as running:
        yield running


def test_nothing_taken_that_both_others_refuse(gate, tmp_path):
    assert len(HEADS) >= 500
    with Nginx(tmp_path / "nginx", f"return 200 {BODY};") as nginx, \
         Haproxy(tmp_path / "haproxy", f"option http-buffer-request\n  http-request return status 200 content-type text/plain "
                                       f"string {BODY}", patience="2s") as haproxy:
        verdicts = asyncio.run(ask_all(gate.tracker, gate.gateway, nginx, haproxy))
    header = ("head", "tracker", "gateway", "nginx", "haproxy")
    looser, stricter, unjudged = [], [], []
    for name, (tracker, gateway, *others) in verdicts.items():
        row = (name, tracker, gateway, *others)
        for ours in (tracker, gateway):
            if ours.requests > max(other.requests for other in others):
                looser.append(row)
            elif not ours.taken and all(other.taken for other in others):
                (stricter if ours.why in STRICTER else unjudged).append((*row, ours.why))
    agreed = sum(tracker.taken == nginx.taken == haproxy.taken for tracker, _, nginx, haproxy in verdicts.values())
    print(f"{len(verdicts)} heads; on {agreed} all three agree. Refused by us, taken by both others:")
    for why, reason in STRICTER.items():
        names = dict.fromkeys(row[0] for row in stricter if row[-1] == why)
        if names:
            print(f"\n{why}: {len(names)}; {reason}\n  " + "\n  ".join(names))
    assert not looser, "taken by us, refused by both others:\n" + table([header, *dict.fromkeys(looser)])
    assert not unjudged, "refused by us without a reason in STRICTER:\n" + table([(*header, "why"), *dict.fromkeys(unjudged)])


TAG = "x-of-the-proxy: 6f1d2a9c"
"""What a proxy puts into every request that it forwards, and no head has. haproxy writes names in lower case."""


def nginx_before(folder, upstream, *directives):
    name, value = TAG.split(": ")
    return Nginx(folder, f"""
        client_max_body_size 0;
        merge_slashes off;
        ignore_invalid_headers off;
        underscores_in_headers on;
        location / {{
          proxy_pass http://gate;
          proxy_http_version 1.1;
          proxy_set_header Connection "";
          proxy_set_header Host $http_host;
          proxy_set_header {name} {value};
          proxy_ignore_client_abort on;
          proxy_next_upstream off;
          {" ".join(directives)}
        }}""", http=f"upstream gate {{ server {upstream}; keepalive 8; }}")


def haproxy_before(folder, upstream, *options):
    name, value = TAG.split(": ")
    lines = "\n  ".join((f"http-request set-header {name} {value}", "default_backend gate", *options))
    return Haproxy(folder, lines, f"backend gate\n  http-reuse always\n  retries 0\n  server gate {upstream}", patience="1s")


PROXIES = {
    "nginx": ("tracker", nginx_before),
    "nginx, bodies as they come": ("gateway", nginx_before, "proxy_request_buffering off;"),
    "haproxy": ("tracker", haproxy_before),
    "haproxy, lenient": ("gateway", haproxy_before, "option accept-invalid-http-request"),
}


@pytest.mark.parametrize("kind", PROXIES)
def test_as_many_requests_as_a_proxy_forwards(gate, tmp_path, kind):
    """The connections to us are kept open and shared, so that what is smuggled would be answered."""
    role, make, *directives = PROXIES[kind]

    async def all_through():
        async with Tap(getattr(gate, role)) as tap:
            with make(tmp_path / "proxy", tap.address, *directives) as proxy:
                await ask_all(proxy)
        return tap.connections

    forwarded = answered = 0
    for sent, answers in asyncio.run(all_through()):
        requests, statuses = sent.count(TAG.encode()), STATUS.findall(answers)
        assert len(statuses) == requests, f"{requests} requests, {len(statuses)} answers:\n{bytes(sent)!r}\n{bytes(answers)!r}"
        forwarded += requests
        answered += len(statuses)
    print(f"{kind}: {forwarded} requests forwarded, {answered} answered")
    assert answered > len(HEADS) / 2
