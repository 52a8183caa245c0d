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
        self.hosts = []

    def limit(self, nodes):
        while len(self.hosts) < nodes:
            host = self.network.add()
            host.limit_uplink(f"{NODE_RATE}mbit")
            self.network.limit_downlink(host, f"{NODE_RATE}mbit")
            self.hosts.append(host)
        self.hub.limit_uplink(f"{REGISTRY_RATE}mbit")

    def pull(self, host, layout):
        return [*host.prefix, binary("swarmgate"), "pull", f"{self.registry.address}/team/app:1", "--to", f"oci:{layout}",
                "--gateway", self.gate.gateway_url, "--insecure", "--authfile", self.auth, "--json", "--seed-for", "1h"]

    def skopeo(self, host, layout):
        return [*host.prefix, "skopeo", "copy", "-q", "--insecure-policy", "--src-tls-verify=false", "--authfile",
                self.auth, f"docker://{self.registry.address}/team/app:1", f"oci:{layout}:1"]

    def stop(self):
        self.gate.stop()
        self.registry.stop()


def all_at_once(swarm, count, command):
    """Each node's seconds, and what each said."""
    folder = os.path.join(swarm.folder, "nodes")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    begun = time.time()
    layouts = [os.path.join(folder, str(number)) for number in range(count)]
    nodes = [Process(command(swarm.hosts[number], layouts[number])) for number in range(count)]
    try:
        def done(number):
            index = os.path.join(layouts[number], "index.json")
            if nodes[number].popen.poll() not in (None, 0):
                sys.exit("bench: a node failed: " + nodes[number].output())
            return os.path.getmtime(index) if os.path.exists(index) and os.path.getsize(index) > 100 else None

        ends = [wait_for(f"node {number}", PATIENCE, lambda number=number: done(number)) - begun
                for number in range(count)]
    finally:
        for node in nodes:
            node.stop()
    told = [json.loads(text[text.index("{"):]) for text in (node.output() for node in nodes) if "{" in text]
    for layout in layouts:
        run(["skopeo", "inspect", f"oci:{layout}:1"])
    return ends, told


def row(swarm, count, name, command):
    before = swarm.registry.bytes_sent()
    ends, told = all_at_once(swarm, count, command)
    registry = (swarm.registry.bytes_sent() - before) / swarm.size
    gateway = sum(node["from_gateway"] for node in told) / swarm.size
    peers = sum(node["from_peers"] for node in told)
    share = peers / (count * swarm.size)
    ideal = swarm.size * 8 / (REGISTRY_RATE * 1e6)
    print(f"| {count} | {name} | {registry:.3f} | {gateway:.3f} | {min(ends):.1f} | {statistics.median(ends):.1f} | "
          f"{max(ends):.1f} | {max(ends) / ideal:.2f} | {share:.0%} |", flush=True)


def nodes(folder):
    counts = [int(text) for text in os.environ.get("SWARMGATE_NODES", "1 2 4 8 16").split()]
    with Network() as network:
        swarm = Swarm(folder, network)
        swarm.limit(max(counts))
        print("| nodes | how | copies from the registry | from the gateway | first, s | median | last | × ideal | from peers |")
        print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)
        try:
            for count in counts:
                swarm.gate.stop()
                shutil.rmtree(os.path.join(swarm.folder, "gate", "cache"), ignore_errors=True)
                swarm.gate.start()
                row(swarm, count, "swarmgate", swarm.pull)
                if count <= 2 or os.environ.get("SWARMGATE_SKOPEO"):
                    row(swarm, count, "skopeo", swarm.skopeo)
        finally:
            swarm.stop()
