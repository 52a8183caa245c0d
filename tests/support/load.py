"""Requests of every kind, right and wrong, put to swarmgated at once, with each answer checked."""

import asyncio
import collections
import json
import random
import re
import socket
import struct
import time

from cryptography.hazmat.primitives import serialization

from .announce import bdecode, query
from .jws import make_key, sign, unb64

SWARMS = 40      # in one token, and alive at once
ADDRESSES = 200  # of peers, 127.0.1.1 and on
PEERS = 4000     # announcing at once
PATIENCE = 120   # seconds for one answer, under valgrind
RENEWAL = 2      # seconds from one infohash and token to the next
TOKEN_TTL, SESSION = 30, 60
LASTING = 6 * 3600  # seconds of a session that outlives the run


class Wrong(Exception):
    """An answer that is not what the contract says."""


def expect(got, *wanted):
    if got not in wanted:
        raise Wrong(f"{got!r} instead of {' or '.join(map(repr, wanted))}")


class Wire:
    """One connection."""

    @classmethod
    async def open(cls, address, source=None):
        self = cls()
        self.kept = False
        host, port = address.rsplit(":", 1)
        self.reader, self.writer = await asyncio.open_connection(
            host.strip("[]"), int(port), local_addr=(source, 0) if source else None)
        self.writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self

    async def send(self, data):
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, body=True):
        """(status, body) of the next answer."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"\r\nContent-Length: (\d+)\r\n", head)
        return int(head[9:12]), await self.reader.readexactly(int(length[1])) if body and length else b""

    async def ask(self, target, *fields, method="GET"):
        lines = (f"{method} {target} HTTP/1.1", "Host: x", *fields, "", "")
        await self.send("\r\n".join(lines).encode())
        return await self.answer(body=method != "HEAD")

    def close(self):
        self.writer.close()

    def cut(self):
        """A reset instead of an end."""
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


class Tokens:
    """Swarm tokens signed with the gate's own key, quicker than by the tool."""

    def __init__(self, gate):
        header, claims, _ = gate.token("00" * 20).split(".")
        self.header, self.claims = json.loads(unb64(header)), json.loads(unb64(claims))
        with open(gate.key, "rb") as f:
            self.key = serialization.load_pem_private_key(f.read(), None)
        self.stranger = make_key("ES256")

    def make(self, infohashes, key=None, ttl=TOKEN_TTL, session=SESSION):
        now = int(time.time())
        claims = {**self.claims, "iat": now, "nbf": now, "exp": now + ttl, "session": now + session,
                  "jti": random.randbytes(8).hex(), "infohash": [h.hex() for h in infohashes]}
        if ttl < 0:
            claims.update(iat=now + ttl - 1, nbf=now + ttl - 1, session=now + ttl)
        return sign(self.header, claims, key or self.key)


class Peer:
    def __init__(self, number):
        self.id = b"-XX0001-" + random.randbytes(12)
        self.source = f"127.0.1.{1 + number % ADDRESSES}"
        self.port = random.randrange(1024, 65536)
        self.left = random.choice((0, 1, 2**33, 2**63))


class Load:
    """
    Each method with a weight does one request, or a few, and raises Wrong when it is not answered rightly.
    `blobs` are those of team/app in `registry`, which `gate` stands in front of; `trackers` are its addresses.
    """

    def __init__(self, gate, trackers, registry, blobs):
        self.gate, self.trackers, self.registry, self.blobs = gate, trackers, registry, blobs
        self.tokens = Tokens(gate)
        self.infohashes = [random.randbytes(20) for _ in range(SWARMS)]
        self.peers = [Peer(number) for number in range(PEERS)]
        self.expired = self.tokens.make(self.infohashes, ttl=-3600)
        self.renew()
        self.webseeds = {}
        self.basic = "Authorization: " + registry.basic("alice")["Authorization"]
        self.kept = {}
        self.done, self.asked, self.due = collections.Counter(), 0, 0
        self.wrong = collections.Counter()
        weights = {name: getattr(method, "weight", 0) for name in dir(self) if callable(method := getattr(self, name))}
        self.kinds = [name for name, weight in weights.items() if weight]
        self.weights = [weights[name] for name in self.kinds]

    # --- what comes and goes ---

    def renew(self):
        """A fresh infohash in place of the oldest, and a token for those of now."""
        self.infohashes = [*self.infohashes[1:], random.randbytes(20)]
        self.token = self.tokens.make(self.infohashes)

    def peer(self):
        number = random.randrange(PEERS)
        if random.random() < 0.1:
            self.peers[number] = Peer(number)
        return self.peers[number]

    async def keep(self, address, source=None):
        """A connection that others have used before, or a new one."""
        kept = self.kept.setdefault((address, source), [])
        return kept.pop() if kept else await Wire.open(address, source)

    def give_back(self, address, source, wire):
        kept = self.kept[address, source]
        if not kept and random.random() < 0.9:
            wire.kept = True
            kept.append(wire)
        else:
            wire.close()

    # --- what is asked ---

    def announce_target(self, peer, token=None, **params):
        usual = {"info_hash": random.choice(self.infohashes), "peer_id": peer.id, "port": peer.port, "uploaded": 0,
                 "downloaded": 0, "left": peer.left, "compact": random.choice((0, 1, 1, 1)),
                 "numwant": random.choice((0, 5, 50, 200))}
        usual.update(params)
        pairs = [("jwt", token)] if token else []
        return "/announce?" + query(pairs + [(k, v) for k, v in usual.items() if v is not None])

    async def ask_tracker(self, target, source, reason=None, *fields):
        """The dictionary of an answer with this failure reason, or none."""
        address = random.choice(self.trackers)
        source = None if "[" in address else source
        wire = await self.keep(address, source)
        try:
            status, body = await wire.ask(target, *fields)
        except (asyncio.IncompleteReadError, ConnectionError):
            if not wire.kept:
                raise
            # The server need not keep it for as long.
            wire = await Wire.open(address, source)
            status, body = await wire.ask(target, *fields)
        expect(status, 200)
        answer = bdecode(body)
        expect(answer.get(b"failure reason"), reason)
        self.give_back(address, source, wire)
        return answer

    async def announces(self):
        peer, token = self.peer(), self.token
        event = random.choice((None, None, None, "", "started", "completed", "paused", "stopped"))
        await self.ask_tracker(self.announce_target(peer, token, event=event), peer.source)
    announces.weight = 400

    async def announces_with_bearer(self):
        peer = self.peer()
        await self.ask_tracker(self.announce_target(peer), peer.source, None, "Authorization: Bearer " + self.token)
    announces_with_bearer.weight = 40

    async def announces_fresh(self):
        """A token nobody has seen, for a swarm nobody is in; it outlives the run, and so is forgotten only for others."""
        peer, infohash = self.peer(), random.randbytes(20)
        token = self.tokens.make([infohash], session=LASTING)
        await self.ask_tracker(self.announce_target(peer, token, info_hash=infohash), peer.source)
    announces_fresh.weight = 60

    async def announces_without_right(self):
        peer, token = self.peer(), self.token
        head, claims, signature = token.split(".")
        token, reason = random.choice((
            (None, b"token required"), (token[:-8], b"token invalid"), (f"{head}.{claims}.{signature[::-1]}", b"token invalid"),
            (random.randbytes(40).hex(), b"token invalid"), ("." * 4000, b"token invalid"),
            (self.tokens.make(self.infohashes, self.tokens.stranger), b"token invalid"), (self.expired, b"token expired"),
            (self.tokens.make([random.randbytes(20)]), b"not authorised for this torrent")))
        await self.ask_tracker(self.announce_target(peer, token), peer.source, reason)
    announces_without_right.weight = 80

    async def announces_nonsense(self):
        name, value = random.choice((("port", 80), ("port", "x"), ("left", 2**64), ("info_hash", b"short"), ("peer_id", b""),
                                     ("event", "begun"), ("uploaded", -1), ("numwant", "many"), ("compact", 7)))
        await self.ask_tracker(self.announce_target(self.peer(), self.token, **{name: value}), None,
                               b"invalid parameter: " + name.encode())
    announces_nonsense.weight = 30

    async def scrapes(self):
        token, infohashes = self.token, list(self.infohashes)
        wanted = random.sample(infohashes, random.randrange(1, SWARMS))
        foreign = [random.randbytes(20) for _ in range(random.randrange(3))]
        target = "/scrape?" + query([("jwt", token), *(("info_hash", h) for h in wanted + foreign)])
        answer = await self.ask_tracker(target, None)
        expect(set(answer[b"files"]), set(wanted))
    scrapes.weight = 50

    async def scrapes_fresh(self):
        """As announces_fresh, without a peer."""
        infohash = random.randbytes(20)
        token = self.tokens.make([infohash], session=LASTING)
        answer = await self.ask_tracker("/scrape?" + query([("jwt", token), ("info_hash", infohash)]), None)
        expect(set(answer[b"files"]), {infohash})
    scrapes_fresh.weight = 200

    async def scrapes_without_right(self):
        target, reason = random.choice((
            ("/scrape", b"token required"), ("/scrape?jwt=" + self.token, b"missing parameter: info_hash"),
            ("/scrape?jwt=x&info_hash=" + "x" * 20, b"token invalid")))
        await self.ask_tracker(target, None, reason)
    scrapes_without_right.weight = 10

    def place(self):
        return random.choice((*self.trackers, self.gate.gateway))

    async def asks_elsewhere(self):
        wire = await Wire.open(self.place())
        status, _ = await wire.ask(random.choice(("/", "/announcex", "/v1/", "/v2/", "/webseed/", "/" + "x" * 5000)),
                                   method=random.choice(("GET", "HEAD", "POST", "OPTIONS")))
        expect(status // 100, 4)
        wire.close()
    asks_elsewhere.weight = 20

    async def says_nonsense(self):
        wire = await Wire.open(self.place())
        await wire.send(random.choice((
            b"\0\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\rX: y\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\n folded: y\r\n\r\n", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + bytes(100),
            b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 40000 + b"\r\n\r\n",
            b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n")))
        status, _ = await wire.answer()
        expect(status // 100, 4, 5)
        wire.cut()
    says_nonsense.weight = 40

    async def speaks_slowly(self):
        """A head in pieces, at a byte boundary anywhere."""
        wire = await Wire.open(random.choice(self.trackers))
        head = f"GET {self.announce_target(self.peer(), self.token)} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
        while head:
            size = random.randrange(1, 200)
            await wire.send(head[:size])
            head = head[size:]
            await asyncio.sleep(0)
        status, body = await wire.answer()
        expect(status, 200)
        expect(b"8:interval" in body, True)
        wire.close()
    speaks_slowly.weight = 30

    async def pipelines(self):
        wire = await Wire.open(random.choice(self.trackers))
        targets = [self.announce_target(self.peer(), self.token) for _ in range(8)]
        await wire.send("".join(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n" for target in targets).encode())
        for _ in targets:
            status, body = await wire.answer()
            expect(status, 200)
            expect(b"8:interval" in body, True)
        self.asked += len(targets) - 1
        wire.close()
    pipelines.weight = 5

    async def goes_away(self):
        """Cut within the head, or before the answer."""
        wire = await Wire.open(self.place())
        head = f"GET {self.announce_target(self.peer(), self.token)} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        await wire.send(head[:random.choice((0, random.randrange(len(head)), len(head)))])
        random.choice((wire.close, wire.cut))()
    goes_away.weight = 40

    # --- the gateway ---

    async def ask_gateway(self, target, *fields, method="GET"):
        wire = await Wire.open(self.gate.gateway)
        answer = await wire.ask(target, "Connection: close", *fields, method=method)
        wire.close()
        return answer

    async def fetches_torrents(self):
        blob = random.choice(self.blobs)
        status, body = await self.ask_gateway(f"/v1/team/app/blobs/{blob['digest']}", self.basic)
        expect(status, 200)
        self.webseeds[blob["digest"]] = bdecode(body)[b"url-list"].decode().removeprefix(self.gate.gateway_url) + \
            blob["digest"].replace(":", "-")
    fetches_torrents.weight = 20

    async def fetches_what_is_not_its(self):
        digest = random.choice(self.blobs)["digest"]
        wrong = "Authorization: " + self.registry.basic("alice", "wrong")["Authorization"]
        target, fields, wanted = random.choice((
            (f"team/app/blobs/{digest}", [], 401), (f"team/app/blobs/{digest}", [wrong], 401),
            (f"team/app/blobs/{digest}", ["Authorization: Bearer x"], 401),
            (f"no/such/blobs/{digest}", [self.basic], 404), (f"team/app/blobs/sha256:{'0' * 64}", [self.basic], 404)))
        status, _ = await self.ask_gateway("/v1/" + target, *fields)
        expect(status, wanted)
    fetches_what_is_not_its.weight = 20

    async def reads_webseed(self):
        blob = random.choice(self.blobs)
        if blob["digest"] not in self.webseeds:
            return await self.fetches_torrents()
        path, size = self.webseeds[blob["digest"]], blob["size"]
        first = random.randrange(size)
        last = min(size - 1, first + random.randrange(100_000))
        method, fields, status, length = random.choice((
            ("GET", [], 200, size), ("GET", [f"Range: bytes={first}-{last}"], 206, last - first + 1),
            ("GET", [f"Range: bytes={first}-"], 206, size - first), ("GET", [f"Range: bytes=-{size - first}"], 206, size - first),
            ("GET", ["Range: bytes=0-1,3-4"], 200, size), ("GET", [f"Range: bytes={size}-"], 416, None), ("HEAD", [], 200, 0)))
        got, body = await self.ask_gateway(path, *fields, method=method)
        expect(got, status)
        if length is not None:
            expect(len(body), length)
    reads_webseed.weight = 50

    async def reads_webseed_without_right(self):
        path = random.choice(list(self.webseeds.values()) or ["/webseed/x.y.z/sha256-" + "0" * 64])
        status, _ = await self.ask_gateway(path.replace("/webseed/", "/webseed/A"))
        expect(status, 403)
    reads_webseed_without_right.weight = 10

    async def leaves_webseed(self):
        """Cut in the middle of a blob."""
        path = random.choice(list(self.webseeds.values()) or [None])
        if path is None:
            return await self.fetches_torrents()
        wire = await Wire.open(self.gate.gateway)
        await wire.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        if random.random() < 0.7:
            await wire.reader.read(random.randrange(1, 20_000))
        random.choice((wire.close, wire.cut))()
    leaves_webseed.weight = 20

    # --- the run ---

    async def pace(self, rate):
        """Waits until the next request is due; one that is late by far is not made up for."""
        now = time.monotonic()
        self.due = max(self.due, now - 1) + 1 / rate
        await asyncio.sleep(max(0, self.due - now))

    async def work(self, enough, rate):
        while not enough(self.asked):
            if rate:
                await self.pace(rate)
            kind = random.choices(self.kinds, self.weights)[0]
            self.asked += 1
            try:
                await asyncio.wait_for(getattr(self, kind)(), PATIENCE)
            except (Wrong, asyncio.TimeoutError, asyncio.IncompleteReadError, OSError) as problem:
                self.wrong[f"{kind}: {problem!r}"] += 1
            self.done[kind] += 1

    async def shows_tokens(self, count, workers):
        """So many fresh tokens at once, `workers` at a time."""
        async def show(share):
            for _ in range(share):
                await self.scrapes_fresh()

        await asyncio.gather(*(show(-(-count // workers)) for _ in range(workers)))

    async def run(self, enough, watch, workers, rate=None):
        """Asks, `workers` at once, `rate` times a second at most, until enough(requests so far); watch(self) runs beside it."""
        async def renewing():
            while True:
                await asyncio.sleep(RENEWAL)
                self.renew()

        beside = [asyncio.create_task(renewing()), asyncio.create_task(watch(self))]
        await asyncio.gather(*(self.work(enough, rate) for _ in range(workers)))
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        for wires in self.kept.values():
            for wire in wires:
                wire.close()

    async def peers_now(self):
        """Peers in the swarms of now, as a scrape tells."""
        target = "/scrape?" + query([("jwt", self.token), *(("info_hash", h) for h in self.infohashes)])
        files = (await self.ask_tracker(target, None))[b"files"].values()
        return sum(row[b"complete"] + row[b"incomplete"] for row in files)
