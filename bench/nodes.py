"""
N nodes that start the same private image within a second, each on a host of its own with a link of 200 Mbit/s, and
registry, gateway and tracker behind one of 100 Mbit/s: how many copies leave the registry and the gateway, and when the
last node is done. Beside it, in the same run, skopeo straight from the registry.
"""

import json
import os
import shutil
import statistics
import sys
import time

from support.clients import Libtorrent
from support.gate import Gate
from support.image import machine_image
from support.netns import Network
from support.process import Process, binary, run, wait_for
from support.registry import Registry

LAYERS = (100_000_000, 35_000_000, 15_000_000)
REGISTRY_RATE = 100  # Mbit/s
NODE_RATE = 200
USERS = {"alice": "correct horse", "gateway": "battery staple"}
PATIENCE = 600


class Swarm:
    """Registry and gateway with an image, on a network of their own."""

    def __init__(self, folder, network):
        self.folder, self.network = folder, network
        self.hub = network.add()
        self.registry = Registry(os.path.join(folder, "registry"), USERS, host=self.hub.address, port=5000,
                                 prefix=self.hub.prefix).start()
        machine_image(os.path.join(folder, "image"), LAYERS)
        self.registry.push(f"oci:{folder}/image:1", "team/app:1", "alice")
        gate = os.path.join(folder, "gate")
        os.makedirs(gate)
        with open(os.path.join(gate, "gateway.pass"), "w", encoding="utf-8") as f:
            f.write(USERS["gateway"])
        os.chmod(os.path.join(gate, "gateway.pass"), 0o600)
        row = {"name": self.registry.address, "url": self.registry.url,
               "credentials": {"username": "gateway", "password_file": "gateway.pass"}}
        self.gate = Gate(gate, [row], host=self.hub.address, prefix=self.hub.prefix,
                         gateway={"cache": {"path": "cache"}}).start()
        blobs = os.path.join(folder, "image", "blobs", "sha256")
        self.size = sum(os.path.getsize(os.path.join(blobs, name)) for name in os.listdir(blobs))
        self.auth = self.registry.auth_file("alice")
        self.gate.tool("torrent", "create", f"docker://{self.registry.address}/team/app:1", "--tls-verify=false", "--register",
                       "--config", self.gate.config, "--authfile", self.auth)
        self.nobody = self.registry.auth_file(None)
        self.hosts = []

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
        netrc = os.path.join(folder, "netrc")
        with open(netrc, "w", encoding="utf-8") as f:
            f.write(f"machine {self.hub.address} login alice password \"{USERS['alice']}\"\n")
        paths = []
        for digest in os.listdir(os.path.join(self.folder, "image", "blobs", "sha256")):
            path = os.path.join(folder, f"sha256-{digest}.torrent")
            got = host.run(["curl", "-sS", "--netrc-file", netrc, "-o", path, "-w", "%{http_code}",
                            f"{self.gate.gateway_url}/v1/team/app/blobs/sha256:{digest}"])
            if got.stdout == "200":  # the manifest has none
                paths.append(path)
        return paths

    def pull(self, host, layout, auth=None):
        return [*host.prefix, binary("swarmgate"), "pull", f"{self.registry.address}/team/app:1", "--to", f"oci:{layout}",
                "--gateway", self.gate.gateway_url, "--insecure", "--tls-verify=false", "--authfile", auth or self.auth, "--json", "--seed-for", "1h"]

    def skopeo(self, host, layout):
        return [*host.prefix, "skopeo", "copy", "-q", "--insecure-policy", "--src-tls-verify=false", "--authfile",
                self.auth, f"docker://{self.registry.address}/team/app:1", f"oci:{layout}:1"]

    def stop(self):
        self.gate.stop()
        self.registry.stop()


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


def at_once(swarm, count, command, trouble=None):
    """Runs them, makes trouble, and gives the seconds of those who have to finish, and what they said."""
    folder = os.path.join(swarm.folder, "nodes")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    begun = time.time()
    nodes = [Node(swarm, number, folder, command) for number in range(count)]
    helpers = []
    try:
        if trouble:
            helpers = trouble(swarm, nodes, folder) or []
        honest = [node for node in nodes if node.honest]
        ends = [wait_for(node.layout, PATIENCE, node.done_at) - begun for node in honest]
    finally:
        for process in [*(node.process for node in nodes), *helpers]:
            process.stop()
    for node in honest:
        run(["skopeo", "inspect", f"oci:{node.layout}:1"])
    return ends, [told for told in (node.told() for node in honest) if told]


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


def gateway_and_tracker_die(swarm, nodes, _folder):
    half_way(swarm, nodes[0])
    swarm.gate.process.popen.kill()
    swarm.gate.process.popen.wait()
    swarm.gate.process = None


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


def measure(swarm, count, name, command, trouble=None):
    before = swarm.registry.bytes_sent()
    sent_before = sent_by_gateway(swarm)
    ends, told = at_once(swarm, count, command, trouble)
    registry = (swarm.registry.bytes_sent() - before) / swarm.size
    gateway = (sent_by_gateway(swarm) - sent_before) / swarm.size
    peers = sum(node["from_peers"] for node in told)
    share = peers / (count * swarm.size)
    ideal = swarm.size * 8 / (REGISTRY_RATE * 1e6)
    print(f"| {count} | {name} | {registry:.3f} | {gateway:.3f} | {min(ends):.1f} | {statistics.median(ends):.1f} | "
          f"{max(ends):.1f} | {max(ends) / ideal:.2f} | {share:.0%} |", flush=True)


def cold(swarm):
    """The gateway anew, with its torrents and without its blobs."""
    swarm.gate.stop()
    shutil.rmtree(os.path.join(swarm.folder, "gate", "cache"), ignore_errors=True)
    swarm.gate.start()
    swarm.gate_process = swarm.gate.process


TROUBLES = {"one dies": one_dies, "one loses its link": one_vanishes, "one comes late": one_is_late,
            "one sends garbage": one_sends_garbage, "one has no right": one_has_no_right,
            "gateway and tracker die": gateway_and_tracker_die}


def nodes(folder):
    counts = [int(text) for text in os.environ.get("SWARMGATE_NODES", "1 2 4 8 16").split()]
    troubles = os.environ.get("SWARMGATE_TROUBLES", ",".join(TROUBLES)).split(",")
    with Network() as network:
        swarm = Swarm(folder, network)
        swarm.limit(max([*counts, 9]))
        print("| nodes | how | copies from the registry | from the gateway | first, s | median | last | × ideal | from peers |")
        print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)
        try:
            for count in counts:
                cold(swarm)
                measure(swarm, count, "swarmgate", swarm.pull)
                if count <= 2 or os.environ.get("SWARMGATE_SKOPEO"):
                    measure(swarm, count, "skopeo", swarm.skopeo)
            for name in troubles:
                cold(swarm)
                measure(swarm, 8, name, swarm.pull, TROUBLES[name])
        finally:
            swarm.stop()
