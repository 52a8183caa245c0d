"""
An hour of the tracker's time, in steps: seeds whose tokens let join for a minute go on announcing with what real
clients send back, and whoever repeats that from elsewhere is refused.
"""

import concurrent.futures
import email.utils
import os

import pytest
from support.announce import announce, failure, get, scrape
from support.client_matrix import PATIENCE, Blob, make_gate
from support.clients import Aria2, Libtorrent, Transmission
from support.faketime import Clock, library
from support.netns import Network
from support.process import binary, wait_for
from support.recorder import Recorder
from test_clients import can_make_hosts, name_client

pytestmark = [pytest.mark.skipif(not can_make_hosts(), reason="network namespaces want root"),
              pytest.mark.skipif(library() is None, reason="libfaketime is not installed")]

KINDS = [Libtorrent, Transmission, Aria2]
HOUR, STEP = 3600, 300
SILENT = 2400  # by then who has not announced any more, every 15 minutes, is forgotten: 2.5 of that
RESTART = 2700
TTL = 60
GHOST = "99" * 20


def plain_binaries():
    """Programs without a sanitizer, under which libfaketime cannot be: those at hand, or the release."""
    top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    for folder in (os.path.dirname(binary("swarmgated")), os.path.join(top, "build", "bin")):
        program = os.path.join(folder, "swarmgated")
        if os.path.exists(program):
            with open(program, "rb") as f:
                if not any(name in f.read() for name in (b"__asan_init", b"__tsan_init")):
                    return folder
    return None


class Seed:
    """A client that seeds one torrent, whose announces are noted on their way."""

    def __init__(self, kind, number, folder, gate, hub, host, clock):
        self.kind, self.gate = kind, gate
        # Transmission passes over what it is asked for two minutes after its first announce: they shall pass for it, too.
        self.prefix = [*host.prefix, *(clock.prefix if kind is Transmission else [])]
        self.folder = os.path.join(folder, kind.name)
        self.blob = Blob(gate, folder, number)
        self.infohash, = self.blob.infohashes
        self.recorder = Recorder(host, (hub.address, 6969))
        self.blob.put(self.folder)
        self.host, self.client = host, None
        self.seen = []

    def start(self):
        self.token = self.gate.token(self.infohash, ttl=f"{TTL}s", session="24h", sub=f"registry/{self.kind.name}")
        torrent = self.blob.torrent(self.folder + "-torrent", self.recorder.url, self.token)
        self.client = self.kind(self.folder, [torrent], self.host.address, self.prefix).start()
        self.client.wait_complete(PATIENCE)
        self.started = self.recorder.wait_announce("started", PATIENCE)

    def again(self):
        """The next announce of which the tracker answers all; asked for where the client can be asked."""
        before = len(self.recorder.exchanges)

        def came():
            return next((one for one in list(self.recorder.exchanges)[before:] if one.path == "/announce" and one.answer), None)

        def probe():
            if self.kind is not Aria2 and not came():  # which announces every `min interval` by itself
                self.client.reannounce()
            return came()

        return wait_for(f"{self.kind.name} announces", PATIENCE, probe, every=0.5)

    def go_on(self):
        self.seen.append(self.again())

    def stop(self):
        if self.client is not None:
            self.client.stop()
        self.recorder.stop()


class Hour:
    """
    What is seen through an hour: at each step `counts` of each seed, and the tracker's reasons to a replay from another
    host, of the token alone and of all that the seed last sent.
    """

    def __init__(self, folder, network):
        self.folder, self.clock = folder, Clock(folder)
        self.hub, self.guest, self.thief = network.add(), network.add(), network.add()
        prefix = [*self.hub.prefix, *self.clock.prefix]
        self.gate = make_gate(os.path.join(folder, "gate"), self.hub, tracker={"min_interval": "1s"}, auth={"leeway": "0s"})
        self.gate.prefix = prefix
        self.hosts = [network.add() for _ in KINDS]
        # Clients end with the thread that starts them: it stays.
        self.pool = concurrent.futures.ThreadPoolExecutor(len(KINDS))
        self.seeds, self.counts, self.replays, self.ghosts, self.times = [], [], [], [], []

    def __enter__(self):
        self.gate.start()
        self.seeds = [Seed(kind, number, self.folder, self.gate, self.hub, host, self.clock)
                      for number, (kind, host) in enumerate(zip(KINDS, self.hosts))]
        self.observer = self.gate.token(GHOST, *[seed.infohash for seed in self.seeds], ttl="3h", sub="registry/observer")
        return self

    def __exit__(self, *ignored):
        self.everyone("stop")
        self.pool.shutdown()
        self.gate.stop()

    def everyone(self, step):
        return list(self.pool.map(lambda seed: getattr(seed, step)(), self.seeds))

    def ask(self, host, infohash, token, **params):
        with host.entered():
            return announce(self.gate.tracker, infohash, token, **{"port": 7001, "left": 0, **params})

    def look(self):
        """Counts, as somebody sees them who is no peer; and what time it is on the tracker."""
        infohashes = [GHOST, *[seed.infohash for seed in self.seeds]]
        with self.guest.entered():
            files = scrape(self.gate.tracker, infohashes, self.observer)[b"files"]
            date = get(self.gate.tracker, "/")[1]["Date"]
        ghost, *seeds = [files[bytes.fromhex(infohash)][b"complete"] for infohash in infohashes]
        self.counts.append(seeds)
        self.ghosts.append(ghost)
        self.times.append(email.utils.parsedate_to_datetime(date).timestamp())

    def replay(self):
        """From the thief's host, what each seed has sent last."""
        reasons = []
        for seed in self.seeds:
            sent = {name: value for name, value in seed.seen[-1].query if name in ("trackerid", "key")}
            peer_id = seed.seen[-1].get("peer_id").encode("latin-1")
            for more in ({}, {**sent, "peer_id": peer_id}, {**sent, "peer_id": peer_id, "port": seed.seen[-1].get("port")}):
                reasons.append(failure(self.ask(self.thief, seed.infohash, seed.token, **more)))
        self.replays.append(reasons)

    def run(self):
        self.everyone("start")
        # Before the token's end who has it may join from anywhere: it is a bearer's.
        self.shared = [failure(self.ask(self.guest, seed.infohash, seed.token, event="started")) for seed in self.seeds]
        for seed in self.seeds:
            self.ask(self.guest, seed.infohash, seed.token, event="stopped")
        self.ask(self.guest, GHOST, self.observer)
        self.look()
        while self.clock.ahead < HOUR:
            self.clock.step(STEP)
            self.everyone("go_on")
            self.look()
            self.replay()
            if self.clock.ahead == RESTART:
                self.gate.stop()
                self.gate.start()


@pytest.fixture(scope="module")
def hour(tmp_path_factory):
    folder = plain_binaries()
    if folder is None:
        pytest.skip("libfaketime wants programs without a sanitizer: ./dev build")
    with pytest.MonkeyPatch.context() as patch, Network() as network:
        patch.setenv("SWARMGATE_BIN", folder)
        with Hour(str(tmp_path_factory.mktemp("hour")), network) as hour:
            hour.run()
            yield hour


def test_time_has_passed(hour):
    assert len(hour.times) == HOUR // STEP + 1
    assert all(STEP <= after - before < 2 * STEP for before, after in zip(hour.times, hour.times[1:]))
    assert HOUR <= hour.times[-1] - hour.times[0]


def test_who_says_nothing_is_forgotten(hour):
    """So whoever is counted has announced since."""
    assert hour.ghosts[0] == 1 and hour.ghosts[SILENT // STEP] == 0


@pytest.mark.parametrize("kind", KINDS, ids=name_client)
def test_seed_is_counted_for_an_hour(hour, kind):
    seed = next(seed for seed in hour.seeds if seed.kind is kind)
    assert len(seed.seen) == HOUR // STEP
    for one in seed.seen:
        assert failure(one.answer) is None and one.answer[b"complete"] == 1
        assert one.get("jwt") == seed.token and one.get("trackerid") == seed.started.answer[b"tracker id"].decode()
    at = hour.seeds.index(seed)
    assert [counts[at] for counts in hour.counts] == [1] * len(hour.counts)


def test_another_host_is_refused(hour):
    assert hour.shared == [None] * len(KINDS)
    assert len(hour.replays) == HOUR // STEP
    for reasons in hour.replays:
        assert reasons == ["token expired"] * (3 * len(KINDS))
