"""
An announce's server CPU against the least HTTP server that could answer it, and Debian's opentracker. That
server and the client that asks come as C sources, httpfloor.c and announceload.c, from $SWARMGATE_BENCH or
../shared/bench beside the checkout.
"""

import os
import shutil
import statistics
import sys

from support import announce
from support.gate import Gate
from support.process import Process, binary, free_port, run, wait_for

ROUNDS = 5
SWARMS = 200
PEERS = 20_000
REQUESTS = {"kept open": 150_000, "one each": 50_000}  # a round takes a second of CPU or more
NEW_PEERS = 200_000
INFOHASHES_MAX = 48  # of a token

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SOURCES = os.environ.get("SWARMGATE_BENCH", os.path.join(os.path.dirname(TOP), "shared", "bench"))


def pinned(core):
    """The client gets the last core, a server of one core the first."""
    cores = sorted(os.sched_getaffinity(0))
    return ["taskset", "-c", str(cores[core])]


def failures(figures):
    return int(figures["failures"] + figures["http_errors"] + figures["failure_reasons"])


class Load:
    """The client, against one running server."""

    def __init__(self, folder, port, server, tokens=None):
        self.argv = [*pinned(-1), os.path.join(folder, "announceload"), "-P", str(port), "-i", str(server.popen.pid),
                     "-s", str(SWARMS), *(["-t", tokens] if tokens else [])]

    def __call__(self, requests, peers=PEERS, keep=False):
        """The figures of its line, as numbers."""
        argv = [*self.argv, "-n", requests, "-p", peers, *(["-k"] if keep else [])]
        fields = dict(field.split("=") for field in run(argv, check=False).stdout.split())
        return {name: float(value.rstrip("us/")) for name, value in fields.items()}

    def wait_ready(self):
        wait_for("a server that answers", 10, lambda: failures(self(SWARMS)) == 0)


class Contender:
    def __init__(self, name, folder, port, argv, tokens=None):
        self.name, self.folder, self.port, self.argv, self.tokens = name, folder, port, argv, tokens
        self.costs, self.ratios, self.failures = [], [], 0

    def measure(self, connections):
        """CPU microseconds a request of a new process that has seen the peers once."""
        with Process(self.argv) as server:
            load = Load(self.folder, self.port, server, self.tokens)
            load.wait_ready()
            keep = connections == "kept open"
            load(PEERS, keep=keep)
            figures = load(REQUESTS[connections], keep=keep)
            self.failures += failures(figures)
        self.costs.append(figures["server_cpu_us"])
        return self.costs[-1]

    def row(self, connections):
        ratio = f"{statistics.median(self.ratios):.2f}" if self.ratios else "1"
        print(f"| {connections} | {self.name} | {statistics.median(self.costs):.1f} | {ratio} | {self.failures} |", flush=True)


def compile_ruler(folder):
    for name in ("httpfloor", "announceload"):
        run(["gcc", "-O2", "-w", "-o", os.path.join(folder, name), os.path.join(SOURCES, name + ".c")])


def infohashes(folder, swarms):
    return run([os.path.join(folder, "announceload"), "-l", "-s", swarms]).stdout.split()


def write_tokens(gate, path, hashes, at_once):
    """A line a swarm: its infohash and a token for it and its neighbours."""
    with open(path, "w", encoding="utf-8") as f:
        for first in range(0, len(hashes), at_once):
            some = hashes[first:first + at_once]
            token = gate.token(*some, ttl="24h")
            f.writelines(f"{infohash} {token}\n" for infohash in some)


def opentracker(folder, hashes):
    """Debian's build answers for a whitelist only; started by root it goes into its folder and drops its rights."""
    place = os.path.join(folder, "opentracker")
    os.mkdir(place, mode=0o755)
    with open(os.path.join(place, "whitelist"), "w", encoding="utf-8") as f:
        f.writelines(infohash + "\n" for infohash in hashes)
    port = free_port()
    argv = [*pinned(0), "opentracker", "-i", "127.0.0.1", "-p", str(port), "-d", place, "-w", "whitelist"]
    return Contender("opentracker", folder, port, argv)


def cost(folder, gate):
    tokens = os.path.join(folder, "tokens")
    hashes = infohashes(folder, SWARMS)
    write_tokens(gate, tokens, hashes, 1)
    ours = [binary("swarmgated"), "--config", gate.config]
    port = int(gate.tracker.rpartition(":")[2])
    floor_port = free_port()
    floor_argv = [*pinned(0), os.path.join(folder, "httpfloor"), str(floor_port)]
    other = opentracker(folder, hashes) if shutil.which("opentracker") else None

    print(f"\nAnnounces: {SWARMS} swarms, {PEERS} peers, a token each, 64 connections, {ROUNDS} rounds\n")
    print("| connections | server | CPU µs a request | × the floor | failures |\n| --- | --- | --- | --- | --- |")
    for connections in REQUESTS:
        floor = Contender("floor", folder, floor_port, floor_argv, tokens)
        of_ours = [Contender("swarmgated, one core", folder, port, [*pinned(0), *ours], tokens),
                   Contender("swarmgated, all cores", folder, port, ours, tokens)]
        others = [other] if other and connections == "one each" else []  # it keeps none open
        for _ in range(ROUNDS):
            for contender in of_ours + others:
                least = floor.measure(connections)
                contender.ratios.append(contender.measure(connections) / least)
        for contender in [floor, *of_ours, *others]:
            contender.row(connections)
        if any(contender.failures for contender in of_ours):
            sys.exit("bench: announces to swarmgated failed, so their cost says nothing")


def memory(folder, gate):
    print(f"\nMemory: growth of the resident size by {NEW_PEERS} new peers\n")
    print("| swarms | peers | bytes a peer |\n| --- | --- | --- |")
    for swarms in (200, 10_000):
        tokens = os.path.join(folder, f"tokens{swarms}")
        hashes = infohashes(folder, swarms)
        write_tokens(gate, tokens, hashes, INFOHASHES_MAX)
        with open(tokens, encoding="utf-8") as f:
            token_of = dict(line.split() for line in f)
        with Process([*pinned(0), binary("swarmgated"), "--config", gate.config]) as server:
            server.wait_line("ready")
            load = Load(folder, int(gate.tracker.rpartition(":")[2]), server, tokens)
            before = load(64, keep=True)["server_rss_kb"]
            after = load(NEW_PEERS, peers=1 << 40, keep=True)["server_rss_kb"]
            peers = 0
            for first in range(0, swarms, INFOHASHES_MAX):
                some = hashes[first:first + INFOHASHES_MAX]
                files = announce.scrape(gate.tracker, some, token_of[some[0]])[b"files"]
                peers += sum(counts[b"complete"] + counts[b"incomplete"] for counts in files.values())
        print(f"| {swarms} | {peers} | {(after - before) * 1024 / peers:.0f} |", flush=True)


def announces(folder):
    if not os.path.exists(os.path.join(SOURCES, "httpfloor.c")):
        print(f"\nAnnounces: left out, for there is no {SOURCES}/httpfloor.c", file=sys.stderr)
        return
    compile_ruler(folder)
    gate = Gate(os.path.join(folder, "gate"), tracker={"max_peers": 20_000_000}, log={"level": "info"})
    cost(folder, gate)
    memory(folder, gate)
