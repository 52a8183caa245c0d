"""
The cases that npm's bittorrent-tracker tests its own client and server with, over HTTP, put to the running tracker.
docs/clients.md says of each whether it ends as it does with that package's server, and why not.
"""

import json
import subprocess
import threading

import pytest
from support import npm
from support.announce import announce, failure, get, scrape
from support.gate import Gate
from support.process import free_port, wait_for

LEAVES = "d2474e86c95b19b8bcfdb92bc12c9d44667cfa36"
ALICE = "722fe65b2aa26d14f35b4ad627d20236e481d924"
# Bytes that a query must escape, or that URLs, JavaScript and C strings give a meaning.
ODD = b"+ &=%*/@?#\x00\n\xff\"'\\<>;:".hex()
TEXT = b"twenty-bytes-of-text".hex()
PORT = 6881
FAULTS = ("warning", "error", "thrown")


def peer_id(number):
    return f"-XX0001-{number:012d}"


class Clients:
    """tests/npm/tracker_client.mjs: clients by number, and the events they emit, in their order."""

    def __init__(self):
        self.process = subprocess.Popen(["node", "tracker_client.mjs"], cwd=npm.install(),
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.events, self.ended = [], False
        self.changed = threading.Condition()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        self.next(0, "ready", 60)

    def _read(self):
        for line in self.process.stdout:
            with self.changed:
                self.events.append(json.loads(line))
                self.changed.notify_all()
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def tell(self, client, **command):
        self.process.stdin.write(json.dumps({"client": client, **command}) + "\n")
        self.process.stdin.flush()

    def new(self, number, announce_url, infohash=LEAVES, **options):
        """Client `number`, listening on PORT + number."""
        self.tell(number, new={"infoHash": infohash, "announce": announce_url, "peerId": peer_id(number),
                               "port": PORT + number, **options})

    def call(self, number, *calls):
        """Methods, each a name or [name, argument], called within one tick."""
        self.tell(number, calls=[[one] if isinstance(one, str) else one for one in calls])

    def next(self, number, event, seconds=20):
        """Takes the first `event` of a client and returns its data. A fault that nobody waits for fails."""
        def find():
            return next((e for e in self.events if e["client"] == number and e["event"] in (event, *FAULTS)), None)

        with self.changed:
            self.changed.wait_for(lambda: find() or self.ended, seconds)
            found = find()
            assert found, f"no {event} of client {number}, but {self.events}"
            assert found["event"] == event, found
            self.events.remove(found)
            return found.get("data")

    def ask(self, number, call, event="update"):
        self.call(number, call)
        return self.next(number, event)

    def end(self):
        """Waits until it has ended by itself; returns the events nobody took."""
        self.process.stdin.close()
        assert self.process.wait(20) == 0
        self.reader.join(20)
        return self.events

    def close(self):
        self.process.kill()
        self.process.wait()
        self.reader.join(20)
        self.process.stdout.close()
        self.process.stdin.close()


@pytest.fixture
def clients():
    running = Clients()
    yield running
    running.close()


@pytest.fixture
def url(tracker):
    return with_token(tracker, LEAVES, ALICE)


def with_token(gate, *infohashes, host=None, **options):
    """An announce URL as our torrents have it."""
    base = gate.announce_url if host is None else f"http://{host}/announce"
    return f"{base}?jwt={gate.token(*infohashes, **options)}"


def counts(update):
    return update["complete"], update["incomplete"]


def in_swarm(gate, infohash=LEAVES):
    """(complete, incomplete) as a stranger with a token is told."""
    row = scrape(gate.tracker, [infohash], gate.token(infohash))[b"files"][bytes.fromhex(infohash)]
    return row[b"complete"], row[b"incomplete"]


# --- start, update, stop ---

@pytest.mark.parametrize("infohash", [LEAVES, LEAVES.upper(), ODD, TEXT], ids=["leaves", "upper", "odd", "text"])
def test_start_update_stop(tracker, clients, infohash):
    url = with_token(tracker, infohash.lower())
    clients.new(0, url, infohash)
    for call, wanted in (("start", (0, 1)), ("update", (0, 1)), ("stop", (0, 0))):
        update = clients.ask(0, call)
        assert update["announce"] == url and counts(update) == wanted
        assert update["interval"] and update["min interval"]
        assert in_swarm(tracker, infohash.lower()) == wanted
    assert clients.end() == []


def test_stop_and_destroy_in_one_tick(tracker, clients, url):
    clients.new(0, url)
    clients.ask(0, "start")
    assert in_swarm(tracker) == (0, 1)
    clients.call(0, "stop", "destroy")
    clients.next(0, "destroyed")
    wait_for("the stop", 10, lambda: in_swarm(tracker) == (0, 0))
    assert clients.end() == []


def test_nothing_after_destroy(tracker, clients, url):
    clients.new(0, url)
    clients.call(0, "update", "destroy")
    clients.next(0, "destroyed")
    wait_for("the announce", 10, lambda: in_swarm(tracker) == (0, 1))
    assert clients.end() == []


def test_updates_at_an_interval(clients, url):
    clients.new(0, url)
    clients.ask(0, "start")
    clients.call(0, ["setInterval", 100])
    assert clients.next(0, "update")["announce"] == url
    assert counts(clients.ask(0, "stop")) == (0, 0)


@pytest.mark.parametrize("how", ["argument", "getAnnounceOpts"])
def test_parameters_of_its_own(tracker, clients, url, how):
    more = {"testParam": "this is a test", "left": 0}
    clients.new(0, url, **({"getAnnounceOpts": more} if how == "getAnnounceOpts" else {}))
    assert counts(clients.ask(0, ["start", more] if how == "argument" else "start")) == (1, 0)
    assert in_swarm(tracker) == (1, 0)
    assert counts(clients.ask(0, "stop")) == (0, 0)


@pytest.mark.parametrize("left", [2**31, 2**32, 2**32 + 1, 2**53, 2**63, 2**64 - 1])
def test_large_torrents(clients, url, left):
    clients.new(0, url)
    for call, wanted in (("start", (0, 1)), ("update", (0, 1)), ("stop", (0, 0))):
        assert counts(clients.ask(0, [call, {"left": str(left), "downloaded": 2**53}])) == wanted


def test_left_beyond_64_bits_is_refused(clients, url):
    clients.new(0, url)
    assert clients.ask(0, ["start", {"left": str(2**64)}], "warning") == "invalid parameter: left"


def test_user_agent_and_agent(clients, url):
    clients.new(0, url, userAgent="WebTorrent/0.98.0 (https://webtorrent.io)", agent=True)
    clients.call(0, "start")
    assert "/announce?jwt=" in clients.next(0, "agent")
    assert counts(clients.next(0, "update")) == (0, 1)


def test_numwant(clients, url):
    for number in (0, 1):
        clients.new(number, url)
        clients.ask(number, "start")
    clients.new(2, url)
    assert clients.ask(2, ["start", {"numwant": 0}])["peers"] == ""
    assert len(clients.ask(2, ["start", {"numwant": 1}])["peers"]) == 6
    assert clients.next(2, "peer") in ("127.0.0.1:6881", "127.0.0.1:6882")
    for number in (0, 1, 2):
        clients.ask(number, "stop")
    # Whom a stopping peer is told does not matter; of client 2 there was no second peer.
    assert [e for e in clients.end() if e["client"] == 2 and e["event"] == "peer"] == []


def test_peers_in_dictionaries(clients, url):
    clients.new(0, url)
    clients.ask(0, "start")
    clients.new(1, url)
    assert clients.ask(1, ["start", {"compact": 0}])["peers"] == [{"ip": "127.0.0.1", "peer id": peer_id(0), "port": PORT}]


# --- counts ---

@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_three_clients(tmp_path, clients, host):
    with Gate(str(tmp_path), host=host) as gate:
        url = with_token(gate, LEAVES)
        clients.new(0, url)
        assert counts(clients.ask(0, "start")) == (0, 1)
        assert counts(clients.ask(0, "complete")) == (1, 0)
        seen = clients.ask(0, "scrape", "scrape")
        assert counts(seen) == (1, 0) and seen["downloaded"] == 1
        clients.new(1, url)
        assert counts(clients.ask(1, "start")) == (1, 1)
        literal = f"[{host}]" if ":" in host else host
        assert clients.next(1, "peer") == f"{literal}:{PORT}"
        clients.new(2, url)
        assert counts(clients.ask(2, "start")) == (1, 2)
        assert {clients.next(2, "peer"), clients.next(2, "peer")} == {f"{literal}:{PORT}", f"{literal}:{PORT + 1}"}
        assert counts(clients.ask(1, "stop")) == (1, 1)
        clients.call(1, "destroy")
        clients.next(1, "destroyed")
        assert counts(clients.ask(2, "stop")) == (1, 0)
        clients.call(0, "destroy")
        clients.next(0, "destroyed")
        assert in_swarm(gate) == (1, 0)


def test_complete_holds_until_it_lacks_again(clients, url):
    """Their server believes `complete` for good; ours believes `left` in the announces that follow."""
    clients.new(0, url)
    clients.ask(0, "start")
    assert counts(clients.ask(0, "complete")) == (1, 0)
    assert counts(clients.ask(0, ["update", {"left": 0}])) == (1, 0)
    assert counts(clients.ask(0, "update")) == (0, 1)


def test_a_full_tracker_refuses_instead_of_forgetting(tmp_path, clients):
    with Gate(str(tmp_path), tracker={"max_peers": 2}) as gate:
        url = with_token(gate, LEAVES)
        for number in (0, 1):
            clients.new(number, url)
            clients.ask(number, "start")
        clients.new(2, url)
        assert clients.ask(2, "start", "warning") == "tracker is full"
        assert counts(clients.ask(0, "update")) == (0, 2)


# --- scrape ---

@pytest.mark.parametrize("infohash", [LEAVES, TEXT], ids=["leaves", "text"])
def test_scrape(tracker, clients, infohash):
    url = with_token(tracker, infohash)
    clients.new(0, url, infohash)
    clients.ask(0, "start")
    for seen in (clients.ask(0, "scrape", "scrape"), static_scrape(clients, url, infohash)):
        assert seen["announce"] == url
        assert (seen["complete"], seen["incomplete"], seen["downloaded"]) == (0, 1, 0)
        # The client reads keys as text and takes what is none for hex, of which it makes hex again.
        assert seen["infoHash"] == (infohash if infohash == TEXT else infohash.encode().hex())


def static_scrape(clients, announce_url, infohash):
    clients.tell(9, scrape={"announce": announce_url, "infoHash": infohash})
    return clients.next(9, "scraped")


def test_scrape_of_several(tracker, clients, url):
    announce(tracker.tracker, ALICE, tracker.token(ALICE), left=0)
    seen = static_scrape(clients, url, [LEAVES, ALICE])
    rows = {bytes.fromhex(key).decode(): (*counts(row), row["downloaded"]) for key, row in seen.items()}
    assert rows == {LEAVES: (0, 0, 0), ALICE: (1, 0, 0)}
    assert {row["announce"] for row in seen.values()} == {url}


def test_scrape_outside_the_token(tracker, clients):
    assert static_scrape(clients, with_token(tracker, ALICE), LEAVES) == {"error": "invalid scrape response"}
    assert static_scrape(clients, tracker.announce_url, LEAVES) == {"error": "token required"}
    # Client.scrape() calls back once it has heard of every infohash; of one outside the token it never does.
    clients.tell(9, scrape={"announce": with_token(tracker, ALICE), "infoHash": [LEAVES, ALICE]})
    assert static_scrape(clients, with_token(tracker, ALICE), ALICE)["infoHash"] == ALICE.encode().hex()
    assert clients.end() == []


def test_scrape_of_nobody(clients):
    closed = f"http://127.0.0.1:{free_port()}/announce"
    assert static_scrape(clients, closed, LEAVES) == {"error": "fetch failed"}


def test_scrape_of_all_is_refused(tracker):
    announce(tracker.tracker, LEAVES, tracker.token(LEAVES))
    assert failure(scrape(tracker.tracker, [])) == "token required"
    assert failure(scrape(tracker.tracker, [], tracker.token(LEAVES))) == "missing parameter: info_hash"


# --- trackers that are not ours, and URLs that are wrong ---

def test_a_list_of_trackers(tracker, clients, url):
    closed = f"http://127.0.0.1:{free_port()}/announce"
    clients.new(0, [url, closed, url, url + "/"])
    for call in ("start", "stop"):
        clients.call(0, call)
        assert clients.next(0, "warning") == "fetch failed"
        assert clients.next(0, "update")["announce"] == url
    # The same tracker twice is one.
    assert clients.end() == []


@pytest.mark.parametrize("bad,reason", [
    ("badprotocol://127.0.0.1:8080/announce", "Unsupported tracker protocol"),
    ("http://127.0.0.1:69691337/announce", "Invalid tracker URL"),
    ("http:", "Invalid tracker URL"), ("http://", "Invalid tracker URL")])
def test_wrong_urls(clients, url, bad, reason):
    clients.new(0, [bad, url])
    assert clients.next(0, "warning").startswith(reason)
    assert counts(clients.ask(0, "start")) == (0, 1)


def test_websocket_is_not_spoken(tracker, clients, url):
    clients.new(0, [f"ws://{tracker.tracker}/announce", url], wrtc={})
    assert clients.next(0, "warning").startswith("Error connecting to ws://")
    assert counts(clients.ask(0, "start")) == (0, 1)


@pytest.mark.parametrize("missing", ["peerId", "infoHash", "announce", "port"])
def test_missing_options(clients, url, missing):
    options = {"peerId": peer_id(0), "infoHash": LEAVES, "announce": url, "port": PORT, missing: None}
    clients.tell(0, new=options)
    assert clients.next(0, "thrown") == f"Option `{missing}` is required"


def test_other_paths(tracker, clients):
    url = with_token(tracker, LEAVES).replace("/announce", "/announcex")
    clients.new(0, url)
    assert clients.ask(0, "start", "warning").startswith("Non-200 response code 404")
    for path in ("/stats", "/stats.json"):
        assert get(tracker.tracker, path)[0] == 404


# --- tokens ---

def test_refusals_are_warnings(tracker, clients):
    clients.new(0, tracker.announce_url)
    assert clients.ask(0, "start", "warning") == "token required"
    clients.new(1, with_token(tracker, ALICE))
    assert clients.ask(1, "start", "warning") == "not authorised for this torrent"
    clients.new(2, with_token(tracker, LEAVES) + "x")
    assert clients.ask(2, "start", "warning") == "token invalid"
    clients.new(3, with_token(tracker, LEAVES))
    assert counts(clients.ask(3, "start")) == (0, 1)
    assert in_swarm(tracker) == (0, 1) and in_swarm(tracker, ALICE) == (0, 0)


def test_session(tmp_path, clients):
    """A seed goes on past its token. It sends its tracker id back empty, so that a restart ends the session."""
    with Gate(str(tmp_path), auth={"leeway": "0"}) as gate:
        token = gate.token(LEAVES, ttl="4s", session="1h")
        clients.new(0, f"{gate.announce_url}?jwt={token}")
        assert clients.ask(0, "start")["tracker id"]
        wait_for("the token's end", 20, lambda: gate.tool(
            "token", "verify", "--config", gate.config, token, check=False).returncode == 3)
        assert counts(clients.ask(0, "update")) == (0, 1)
        gate.stop()
        gate.start()
        assert clients.ask(0, "update", "warning") == "token expired"
        clients.new(1, with_token(gate, LEAVES))
        assert counts(clients.ask(1, "start")) == (0, 1)
