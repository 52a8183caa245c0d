"""
N nodes that start the same private image within a second, each on a host of its own with a link of 200 Mbit/s, and
registry, gateway and tracker behind one of 100 Mbit/s: how many copies leave the registry and the gateway, and when the
last node is done. Beside it, in the same run, skopeo straight from the registry, and plain BitTorrent: a libtorrent
client a node with the gateway's ordinary torrents, whose webseed each of them has. What of the time is the machine's and
not the links' can be told by the CPU time that all took.

SWARMGATE_NODES="8 16", SWARMGATE_HOW="swarmgate,libtorrent" and SWARMGATE_TROUBLES="tracker dies,one dies" choose.
"""

import hashlib
import json
import os
import resource
import shutil
import statistics
import sys
import time

from support.announce import get
from support.certificates import Authority
from support.clients import Libtorrent
from support.gate import Gate
from support.image import machine_image
from support.netns import Network
from support.our_service import OurService
from support.process import Process, binary, run, wait_for
from support.registry import Registry

LAYERS = (100_000_000, 35_000_000, 15_000_000)
REGISTRY_RATE = 100  # Mbit/s
NODE_RATE = 200
USERS = {"alice": "correct horse", "gateway": "battery staple"}
GRANTS = {"alice": {"team/*": "pull,push"}, "gateway": {"team/*": "pull"}}
PATIENCE = 600
TRACKER_AWAY = "tracker never there"


class Swarm:
    """Registry and gateway with an image, on a network of their own."""

    def __init__(self, folder, network):
        self.folder, self.network = folder, network
        self.hub = network.add()
        # A registry with passwords of its own hashes one for each request, which the CPUs here would feel.
        self.service = OurService(os.path.join(folder, "service"), USERS, GRANTS, host=self.hub)
        self.service.gate.start()
        self.registry = Registry(os.path.join(folder, "registry"), USERS, host=self.hub.address, port=5000,
                                 prefix=self.hub.prefix, realm=self.service.realm).start()
        machine_image(os.path.join(folder, "image"), LAYERS)
        self.registry.push(f"oci:{folder}/image:1", "team/app:1", "alice")
        self.ca = Authority(os.path.join(folder, "ca"), "swarm")
        # The tracker is a process of its own, so that each can die alone.
        self.tracker_listens = f"{self.hub.address}:6970"
        self.gate = self.make_gate(False).start()
        self.tracker = self.make_tracker(os.path.join(folder, "tracker")).start()
        blobs = os.path.join(folder, "image", "blobs", "sha256")
        self.size = sum(os.path.getsize(os.path.join(blobs, name)) for name in os.listdir(blobs))
        self.auth = self.registry.auth_file("alice")
        self.gate.tool("torrent", "create", f"docker://{self.registry.address}/team/app:1", "--tls-verify=false", "--register",
                       "--config", self.gate.config, "--authfile", self.auth)
        self.nobody = self.registry.auth_file(None)
        self.hosts = []

    def make_gate(self, swarm_tls):
        folder = os.path.join(self.folder, "gate")
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "gateway.pass"), "w", encoding="utf-8") as f:
            f.write(USERS["gateway"])
        os.chmod(os.path.join(folder, "gateway.pass"), 0o600)
        row = {"name": self.registry.address, "url": self.registry.url,
               "credentials": {"username": "gateway", "password_file": "gateway.pass"}}
        tls = {"ca_certificate": self.ca.cert, "ca_key": self.ca.write_key()} if swarm_tls else None
        return Gate(folder, [row], host=self.hub.address, prefix=self.hub.prefix,
                    gateway={"cache": {"path": "cache"}, "swarm_tls": tls}, tracker={"url": f"http://{self.tracker_listens}/announce"})

    def make_tracker(self, folder):
        os.makedirs(folder)
        with open(os.path.join(folder, "announce.jwks.json"), "w", encoding="utf-8") as f:
            f.write(self.gate.tool("key", "jwks", self.gate.key).stdout)
        trust = {"issuer": "swarmgate", "audience": "swarmgate-tracker", "keys": "announce.jwks.json",
                 "algorithms": ["ES256"], "accept": ["swarm"]}
        return Gate(folder, host=self.hub.address, prefix=self.hub.prefix,
                    tracker={"listen": [self.tracker_listens], "revocations": self.gate.gateway_url + "/v1/revocations"},
                    auth={"signing_keys": None, "trust": [trust]})

    def ours(self):
        """Gateway, tracker and token service, those that run."""
        return [gate.process for gate in (self.gate, self.tracker, self.service.gate) if gate.process]

    def limit(self, nodes):
        while len(self.hosts) < nodes:
            host = self.network.add()
            host.limit_uplink(f"{NODE_RATE}mbit")
            self.network.limit_downlink(host, f"{NODE_RATE}mbit")
            self.hosts.append(host)
        self.hub.limit_uplink(f"{REGISTRY_RATE}mbit")

    def torrents(self, host, folder):
        """A torrent of each blob, as a plain client has them."""
        os.makedirs(folder)
        paths = []
        with host.entered():
            token = self.service.realm.token_for("repository:team/app:pull", user="alice", password=USERS["alice"])
            for digest in os.listdir(os.path.join(self.folder, "image", "blobs", "sha256")):
                status, _, body = get(self.gate.gateway, f"/v1/team/app/blobs/sha256:{digest}",
                                      {"Authorization": "Bearer " + token})
                if status == 200:  # the manifest has none
                    paths.append(os.path.join(folder, f"sha256-{digest}.torrent"))
                    with open(paths[-1], "wb") as f:
                        f.write(body)
        return paths

    def pull(self, host, layout, auth=None):
        return [*host.prefix, binary("swarmgate"), "pull", f"{self.registry.address}/team/app:1", "--to", f"oci:{layout}",
                "--gateway", self.gate.gateway_url, "--insecure", "--tls-verify=false", "--authfile", auth or self.auth, "--json", "--seed-for", "1h"]

    def skopeo(self, host, layout):
        return [*host.prefix, "skopeo", "copy", "-q", "--insecure-policy", "--src-tls-verify=false", "--authfile",
                self.auth, f"docker://{self.registry.address}/team/app:1", f"oci:{layout}:1"]

    def stop(self):
        self.tracker.stop()
        self.gate.stop()
        self.registry.stop()
        self.service.gate.stop()


class Node:
    """A pull on a host of its own, and when it was done."""

    def __init__(self, swarm, number, folder, command):
        self.layout = os.path.join(folder, str(number))
        self.process = Process(command(swarm.hosts[number], self.layout))
        self.honest = True  # and has to finish

    def done_at(self):
        index = os.path.join(self.layout, "index.json")
        if self.process.popen.poll() not in (None, 0) and self.honest:
            sys.exit("bench: a node failed: " + self.process.output())
        return os.path.getmtime(index) if os.path.exists(index) and os.path.getsize(index) > 100 else None

    def share(self, size):
        """How much of the image has come, by what its files take on the disk."""
        folder = self.layout + ".unfinished"
        names = os.listdir(folder) if os.path.isdir(folder) else []
        return sum(os.stat(os.path.join(folder, name)).st_blocks * 512 for name in names) / size

    def told(self):
        text = self.process.output()
        return json.loads(text[text.index("{"):text.rindex("}") + 1]) if "{" in text else None

    def blobs(self):
        folder = os.path.join(self.layout, "blobs", "sha256")
        return {name: os.path.join(folder, name) for name in os.listdir(folder)}

    def stop(self):
        self.process.stop()


class PlainNode:
    """The same of a client that knows nothing of us; it has its torrents before the clock runs."""

    honest = True

    def __init__(self, swarm, number, folder, torrents):
        host = swarm.hosts[number]
        self.files = os.path.join(folder, str(number))
        self.client = Libtorrent(self.files, torrents[number], host.address, host.prefix).start()
        self.process = self.client.process

    def done_at(self):
        return time.time() if "all complete" in self.process.lines else None

    def told(self):
        return None

    def blobs(self):
        return {name.removeprefix("sha256-"): os.path.join(self.files, name) for name in self.client.names()}

    def stop(self):
        self.client.stop()


def check(node):
    """All of it is what it should be."""
    for digest, path in node.blobs().items():
        with open(path, "rb") as f:
            if hashlib.file_digest(f, "sha256").hexdigest() != digest:
                sys.exit(f"bench: {path} is not what its name says")


def finish(nodes):
    """When each was done. All are asked in turn, for not each can say when that was."""
    ends = {}

    def look():
        for node in nodes:
            if node not in ends and node.done_at():
                ends[node] = node.done_at()
        return len(ends) == len(nodes)

    wait_for("that all nodes are done", PATIENCE, look)
    return list(ends.values())


TICKS = os.sysconf("SC_CLK_TCK")


def cpu_time(process):
    """Seconds, of all its threads."""
    with open(f"/proc/{process.popen.pid}/stat", encoding="ascii") as f:
        return sum(int(text) for text in f.read().rsplit(")", 1)[1].split()[11:13]) / TICKS


def cpu_time_of_machine():
    """Seconds that its cores were not idle, whoever had them."""
    with open("/proc/stat", encoding="ascii") as f:
        user, nice, system, _idle, _wait, irq, softirq = (int(text) for text in f.readline().split()[1:8])
    return (user + nice + system + irq + softirq) / TICKS


def cpu_times(swarm):
    """Of nodes that have ended, of what is ours beside the registry, of the registry."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (ended.ru_utime + ended.ru_stime, sum(cpu_time(process) for process in swarm.ours()),
            cpu_time(swarm.registry.process))


def at_once(swarm, count, make, trouble=None):
    """
    Runs them and makes trouble. Gives the seconds of those who have to finish, what they said, CPU times, and the share
    of all cores' time that the machine was not idle meanwhile.
    """
    folder = os.path.join(swarm.folder, "nodes")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    cpu_before = cpu_times(swarm)
    begun, machine_before = time.time(), cpu_time_of_machine()
    nodes = [make(number, folder) for number in range(count)]
    helpers = []
    try:
        if trouble:
            helpers = trouble(swarm, nodes, folder) or []
        honest = [node for node in nodes if node.honest]
        ends = [end - begun for end in finish(honest)]
        busy = (cpu_time_of_machine() - machine_before) / (time.time() - begun) / os.cpu_count()
    finally:
        for process in [*nodes, *helpers]:
            process.stop()
    # Of a server that was killed nothing is known, and it counts as a node's.
    cpu = [max(now - before, 0) for now, before in zip(cpu_times(swarm), cpu_before)]
    for node in honest:
        check(node)
    return ends, [told for told in (node.told() for node in honest) if told], cpu, busy


def half_way(swarm, node):
    wait_for("half of it", PATIENCE, lambda: node.share(swarm.size) > 0.5)


def one_dies(swarm, nodes, _folder):
    half_way(swarm, nodes[0])
    nodes[0].honest = False
    nodes[0].process.popen.kill()


def one_vanishes(swarm, nodes, _folder):
    """As a machine that loses its link: nobody is told."""
    half_way(swarm, nodes[0])
    nodes[0].honest = False
    swarm.hosts[0].run(["ip", "link", "set", "eth0", "down"])
    nodes[0].process.popen.kill()
    nodes[0].process.popen.wait()
    swarm.hosts[0].run(["ip", "link", "set", "eth0", "up"])


def one_is_late(swarm, nodes, folder):
    half_way(swarm, nodes[0])
    nodes.append(Node(swarm, len(nodes), folder, swarm.pull))


def one_has_no_right(swarm, nodes, folder):
    nodes.append(Node(swarm, len(nodes), folder, lambda host, layout: swarm.pull(host, layout, swarm.nobody)))
    nodes[-1].honest = False
    status = nodes[-1].process.popen.wait(PATIENCE)
    if status != 3:
        sys.exit(f"bench: who has no right ended with {status}: {nodes[-1].process.output()}")


def kill(gate):
    gate.process.popen.kill()
    gate.process.wait_end()
    gate.process = None


def gateway_dies(swarm, nodes, _folder):
    half_way(swarm, nodes[0])
    kill(swarm.gate)


def tracker_dies(swarm, nodes, _folder):
    half_way(swarm, nodes[0])
    kill(swarm.tracker)


def gateway_and_tracker_die(swarm, nodes, _folder):
    half_way(swarm, nodes[0])
    kill(swarm.gate)
    kill(swarm.tracker)



def one_sends_garbage(swarm, _nodes, folder):
    """A client that had all, and whose files were then overwritten."""
    host = swarm.hosts[-1]
    torrents = swarm.torrents(host, os.path.join(folder, "garbage-torrents"))
    files = os.path.join(folder, "garbage")
    os.makedirs(files)
    blobs = os.path.join(swarm.folder, "image", "blobs", "sha256")
    for torrent in torrents:
        name = os.path.basename(torrent)[:-len(".torrent")]
        shutil.copy(os.path.join(blobs, name.removeprefix("sha256-")), os.path.join(files, name))
    client = Libtorrent(files, torrents, host.address, host.prefix).start()
    client.wait_complete(PATIENCE)
    for name in os.listdir(files):
        path = os.path.join(files, name)
        with open(path, "r+b") as f:
            f.write(b"garbage!" * (os.path.getsize(path) // 8))
    return [client]


def sent_by_gateway(swarm):
    """Bytes of all answers of the webseed, by its log, which cut ones are in."""
    lines = swarm.gate_process.lines
    return sum(int(line.split("webseed: sent ")[1].split()[0]) for line in lines if "webseed: sent " in line)


def measure(swarm, count, name, how, trouble=None):
    before = swarm.registry.bytes_sent()
    sent_before = sent_by_gateway(swarm)
    ends, told, cpu, busy = at_once(swarm, count, how(swarm, count), trouble)
    registry = (swarm.registry.bytes_sent() - before) / swarm.size
    gateway = (sent_by_gateway(swarm) - sent_before) / swarm.size
    # Of a plain client: what did not come from the gateway.
    peers = sum(node["from_peers"] for node in told) / (len(ends) * swarm.size) if told else 1 - gateway / count
    ideal = swarm.size * 8 / (REGISTRY_RATE * 1e6)
    by_swarm = f"{gateway:.3f} | {{}} | {max(peers, 0):.0%}" if gateway > 0 else "- | {} | -"
    times = f"{min(ends):.1f} | {statistics.median(ends):.1f} | {max(ends):.1f} | {max(ends) / ideal:.2f}"
    seconds = " | ".join(f"{part:.1f}" for part in cpu)
    print(f"| {count} | {name} | {registry:.3f} | {by_swarm.format(times)} | {seconds} | {busy:.0%} |", flush=True)


def cold(swarm, swarm_tls):
    """The gateway anew, with its torrents and without its blobs, and a tracker that knows nobody."""
    swarm.tracker.stop()
    swarm.gate.stop()
    shutil.rmtree(os.path.join(swarm.folder, "gate", "cache"), ignore_errors=True)
    swarm.gate = swarm.make_gate(swarm_tls).start()
    swarm.gate_process = swarm.gate.process
    swarm.tracker.start()


def by_swarmgate(swarm, _count):
    return lambda number, folder: Node(swarm, number, folder, swarm.pull)


def by_skopeo(swarm, _count):
    return lambda number, folder: Node(swarm, number, folder, swarm.skopeo)


def by_libtorrent(swarm, count):
    folder = os.path.join(swarm.folder, "torrents")
    shutil.rmtree(folder, ignore_errors=True)
    torrents = [swarm.torrents(swarm.hosts[number], os.path.join(folder, str(number))) for number in range(count)]
    return lambda number, folder: PlainNode(swarm, number, folder, torrents)


WITH_TLS = "swarmgate"
GARBAGE = "one sends garbage"
HOWS = {WITH_TLS: by_swarmgate, "without swarm TLS": by_swarmgate, "libtorrent": by_libtorrent, "skopeo": by_skopeo}
TROUBLES = {"one dies": one_dies, "one loses its link": one_vanishes, "one comes late": one_is_late,
            GARBAGE: one_sends_garbage, "one has no right": one_has_no_right, "gateway dies": gateway_dies,
            "tracker dies": tracker_dies, "gateway and tracker die": gateway_and_tracker_die,
            TRACKER_AWAY: None}


def nodes(folder):
    counts = [int(text) for text in os.environ.get("SWARMGATE_NODES", "1 2 4 8 16 32").split()]
    hows = os.environ.get("SWARMGATE_HOW", ",".join(HOWS)).split(",")
    troubles = [text for text in os.environ.get("SWARMGATE_TROUBLES", ",".join(TROUBLES)).split(",") if text]
    with Network() as network:
        swarm = Swarm(folder, network)
        swarm.limit(max([*counts, 9]))
        print("| nodes | how | copies from the registry | from the gateway | first, s | median | last | × ideal | from peers "
              "| CPU s, nodes | gateway | registry | cores busy |")
        print("| --- " * 13 + "|", flush=True)
        try:
            for count in counts:
                for how in hows:
                    cold(swarm, how == WITH_TLS)
                    measure(swarm, count, how, HOWS[how])
            for name in troubles:
                cold(swarm, name != GARBAGE)  # whose sender is a plain client
                if name == TRACKER_AWAY:
                    swarm.tracker.stop()
                measure(swarm, 8, name, by_swarmgate, TROUBLES[name])
        finally:
            swarm.stop()
