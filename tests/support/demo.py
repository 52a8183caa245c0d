"""
The demo of ./dev demo: a private image from a real registry through a swarm into a container runtime, in two acts:
with different BitTorrent clients, each on a host of its own, and with nodes of our own under swarm TLS. In both a thief
who knows infohashes and addresses tries what he may.
"""

import concurrent.futures
import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.parse

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support.agent import Agent  # noqa: E402
from support.announce import announce, bdecode, failure, get  # noqa: E402
from support.certificates import Authority  # noqa: E402
from support.clients import Aria2, Libtorrent, Transmission  # noqa: E402
from support.gate import Gate  # noqa: E402
from support.image import machine_image, small_image, write_index  # noqa: E402
from support.netns import Network  # noqa: E402
from support.process import Process, binary, run, wait_for  # noqa: E402
from support.registry import Registry, auth_entry  # noqa: E402
from support.registry_clients import Podman  # noqa: E402
from support.swarm_tls import certify, wrong_certificate  # noqa: E402
from support.thief import Thief  # noqa: E402

LAYERS = (64_000_000, 24_000_000, 12_000_000)
UPLINK = "100mbit"
USERS = {"alice": "correct horse", "gateway": "battery staple"}
REGISTRY = "registry.example"
PATIENCE = 120

# What the thief shows in a TLS handshake, by the kinds of wrong_certificate().
SHOWN = {"none": "TLS, no certificate", "another CA's": "TLS, by a CA of his own",
         "a CA's of the same name": "TLS, by a CA of the same name", "expired": "TLS, by our CA, but run out",
         "not yet": "TLS, by our CA, not yet valid", "another torrent's": "TLS, by our CA, another torrent's"}
OURS = "alice's certificate, to compare"


def say(text):
    print(f"\n\033[1m== {text}\033[0m" if sys.stdout.isatty() else f"\n== {text}", flush=True)


def human(count):
    return f"{count / 1e6:.1f} MB"


def amount(count):
    return "-" if count is None else human(count) if count else "0"


def sha256_of(path):
    digest = hashlib.sha256()
    with open(path, "rb") as f:
        while chunk := f.read(1 << 20):
            digest.update(chunk)
    return "sha256:" + digest.hexdigest()


def print_table(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


class Pull:
    """`swarmgate pull` into an OCI layout, that goes on seeding; started and awaited as the clients are."""

    name = "swarmgate pull"

    def __init__(self, folder, gateway, authfile, host):
        self.folder, self.address = folder, host.address
        self.argv = [*host.prefix, binary("swarmgate"), "pull", f"{REGISTRY}/team/app:1", "--to", f"oci:{folder}:1",
                     "--gateway", gateway, "--insecure", "--authfile", authfile, "--seed-for", "1h"]

    def start(self):
        self.started = time.monotonic()
        self.process = Process(self.argv)
        return self

    def wait_complete(self, seconds):
        self.process.wait_line("seeding for", seconds)

    def file(self, digest):
        return os.path.join(self.folder, "blobs", "sha256", digest.split(":")[1])

    def stop(self):
        self.process.stop()


class Demo:
    def __init__(self, folder, network, stack):
        self.folder, self.network, self.stack = folder, network, stack
        self.hub = network.add()
        # Of the thief, for a client may serve but one connection an address.
        self.alleys = network.add(), network.add()
        self.rows = [("node", "client", "bytes", "from peers", "seconds", "verdict")]
        self.peers = []
        self.loot, self.refused = {}, {}
        # Ends after whom the thief dials, so that he does not wait for them.
        self.pool = concurrent.futures.ThreadPoolExecutor(8)
        stack.callback(self.pool.shutdown)
        self.failed = False

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def registry_and_image(self):
        say("a private registry, and an image of three layers made of this machine's files")
        self.registry = Registry(self.path("registry"), USERS, port=5000, prefix=self.hub.prefix).start()
        self.stack.callback(self.registry.stop)
        self.digest = machine_image(self.path("image"), LAYERS)
        small_image(self.path("other"), "other")
        self.registry.push(f"oci:{self.path('image')}:1", "team/app:1", "alice")
        self.registry.push(f"oci:{self.path('other')}:1", "other/app:1", "alice")
        print(f"pushed team/app:1, {self.digest}")

    def start_gate(self, **gateway):
        row = {"name": REGISTRY, "url": self.registry.url,
               "credentials": {"username": "gateway", "password_file": "gateway.pass"}}
        os.makedirs(self.path("gate"), exist_ok=True)
        with open(self.path("gate", "gateway.pass"), "w", encoding="utf-8", opener=lambda p, flags: os.open(p, flags, 0o600)) as f:
            f.write(USERS["gateway"])
        self.gate = Gate(self.path("gate"), [row], host=self.hub.address, prefix=self.hub.prefix,
                         gateway={"cache": {"path": "cache"}, **gateway}).start()
        self.stack.callback(self.gate.stop)

    def torrents(self):
        say("swarmgated in front of it; torrents made from the manifest")
        self.start_gate()
        self.index = self.create("team/app:1")
        self.other = max(self.create("other/app:1")["blobs"], key=lambda blob: blob["size"])
        for blob in self.index["blobs"]:
            print(f"{blob['infohash']}  {human(blob['size']):>9}  {blob['digest'][:19]}…")
        self.layer = min((blob for blob in self.index["blobs"] if "config" not in blob["mediaType"]), key=lambda blob: blob["size"])
        self.sent_before = self.registry.bytes_sent()
        self.hub.limit_uplink(UPLINK)

    def create(self, name):
        return json.loads(self.gate.tool(
            "torrent", "create", f"docker://{self.registry.address}/{name}", "--register", "--json",
            "--config", self.gate.config, "--authfile", self.registry.auth_file("alice")).stdout)

    @property
    def size(self):
        return sum(blob["size"] for blob in self.index["blobs"])

    def ask_gateway(self, path):
        """As alice."""
        with self.hub.entered():
            status, _, body = get(self.gate.gateway, path, self.registry.basic("alice"))
        assert status == 200, (path, status, body)
        return body

    def fetch_torrents(self, folder):
        """Each blob's, as the gateway gives it to a node with registry credentials."""
        os.makedirs(folder)
        paths = []
        for blob in self.index["blobs"]:
            paths.append(os.path.join(folder, blob["digest"].replace(":", "-") + ".torrent"))
            with open(paths[-1], "wb") as f:
                f.write(self.ask_gateway(f"/v1/team/app/blobs/{blob['digest']}"))
        return paths

    def sent_to(self, address):
        """Bytes that the webseed sent to an address, from swarmgated's log."""
        messages = [json.loads(line)["message"] for line in self.gate.process.lines if line.startswith("{")]
        return sum(int(message.split()[2]) for message in messages
                   if message.startswith("webseed: sent ") and f" to {address}:" in message)

    def row(self, host, client, seconds, good):
        share = max(0.0, 1 - self.sent_to(host.address) / self.size)
        self.peers.append(host)
        self.rows.append((str(len(self.peers)), client, human(self.size), f"{100 * share:.0f} %", f"{seconds:.1f}",
                          "digests right" if good else "WRONG DIGEST"))
        self.failed = self.failed or not good

    def swarm(self, nodes):
        """`nodes`: (host, client), which begin together."""
        for number, (host, client) in enumerate(nodes, len(self.peers) + 1):
            self.act.callback(client.start().stop)
            print(f"node {number}: {client.name} at {host.address} begins", flush=True)
        for number, (host, client) in enumerate(nodes, len(self.peers) + 1):
            # In turn, but each one's own end is noted by the files' times.
            client.wait_complete(PATIENCE)
            print(f"node {number}: {client.name} has everything", flush=True)
        for host, client in nodes:
            files = {blob["digest"]: client.file(blob["digest"]) for blob in self.index["blobs"]}
            newest = max(map(os.path.getmtime, files.values()))
            self.row(host, client.name, max(0.0, newest - (time.time() - (time.monotonic() - client.started))),
                     all(sha256_of(path) == digest for digest, path in files.items()))

    def clients(self):
        say(f"act one: three nodes, three clients; what leaves the registry's host is held to {UPLINK}")
        nodes = []
        for number, kind in enumerate((Libtorrent, Transmission, Aria2), 1):
            host = self.network.add()
            nodes.append((host, kind(self.path(f"node{number}"), self.fetch_torrents(self.path(f"node{number}-torrents")),
                                     host.address, host.prefix)))
        self.swarm(nodes)

    def podman_loads(self):
        say("node 2 puts its blobs together; skopeo reads them, podman loads them")
        layout = self.path("layout")
        blobs = os.path.join(layout, "blobs", "sha256")
        os.makedirs(blobs)
        for blob in self.index["blobs"]:
            os.link(self.path("node2", blob["digest"].replace(":", "-")), os.path.join(blobs, blob["digest"].split(":")[1]))
        # The manifest is no blob of the swarm; the node has it from the registry.
        manifest = run([*self.hub.prefix, "skopeo", "inspect", "--raw", "--tls-verify=false", "--authfile",
                        self.registry.auth_file("alice"), f"docker://{self.registry.address}/team/app:1"]).stdout.encode()
        digest = hashlib.sha256(manifest).hexdigest()
        with open(os.path.join(blobs, digest), "wb") as f:
            f.write(manifest)
        write_index(layout, {"digest": "sha256:" + digest, "size": len(manifest)})
        seen = json.loads(run(["skopeo", "inspect", f"oci:{layout}:1"]).stdout)
        assert seen["Digest"] == self.digest, f"skopeo reads {seen['Digest']}, pushed was {self.digest}"
        print(f"skopeo inspect: {len(seen['Layers'])} layers, {seen['Digest']}")
        with Podman(layout) as podman:
            self.look_into(podman, podman.loaded)
        print("podman: loaded; the overwritten file is the new one, the hidden file is hidden")

    @staticmethod
    def look_into(podman, image):
        root = podman.command("image", "mount", image).stdout.strip()
        with open(os.path.join(root, "etc/motd"), encoding="utf-8") as f:
            motd = f.read()
        hidden = not os.path.exists(os.path.join(root, "etc/secret"))
        podman.command("image", "umount", image)
        assert motd == "the second layer\n" and hidden, "podman's file system is not the image's"

    def infohash_under_tls(self):
        """Of the layer's torrent that is under the CA: another one, for the CA is in it."""
        listed = json.loads(self.gate.tool("torrent", "list", "--config", self.gate.config, "--json").stdout)
        return next(one["infohash"] for one in listed if one["digest"] == self.layer["digest"] and "ca" in one)

    def pulls(self):
        say("act two: the same gateway with swarm_tls; three nodes `swarmgate pull` and seed on")
        authfile = self.path("auth.json")
        with open(authfile, "w", encoding="utf-8") as f:
            json.dump({"auths": {REGISTRY: auth_entry("alice", USERS["alice"])}}, f)
        hosts = [self.network.add() for _ in range(3)]
        self.swarm([(host, Pull(self.path(f"node{number}"), self.gate.gateway_url, authfile, host))
                    for number, host in enumerate(hosts, 4)])
        self.copies = sum(self.sent_to(host.address) for host in hosts) / self.size

    def podman_pulls(self):
        host = self.network.add()
        agent = Agent(self.path("agent"), {REGISTRY: self.gate.gateway_url}, host.prefix, insecure=True, authfile=self.path("auth.json"))
        self.act.callback(agent.start().stop)
        self.gate.tool("agent", "install", "--config", agent.config, "--root", self.path("etc"))
        conf = self.path("etc", "etc/containers/registries.conf.d/50-swarmgate.conf")
        with Podman(prefix=host.prefix) as podman:
            begun = time.monotonic()
            # It knows nothing of any swarm, and the registry itself it would not find.
            done = podman.command("pull", "-q", f"{REGISTRY}/team/app:1", env={**os.environ, "CONTAINERS_REGISTRIES_CONF": conf})
            seconds = time.monotonic() - begun
            assert done.returncode == 0, done.stderr + agent.log()
            digest = podman.command("image", "inspect", "--format", "{{.Digest}}", done.stdout.strip()).stdout.strip()
            self.look_into(podman, done.stdout.strip())
        wait_for("the agent has everything", 20, lambda: agent.status()["seeding"] == len(self.index["blobs"]))
        self.row(host, "podman, swarmgate agent", seconds, digest == self.digest)
        print(f"node {len(self.peers)}: podman at {host.address} has pulled through `swarmgate agent`", flush=True)

    def thief(self, act, infohash, peers):
        """All he can do, to each of these hosts, and at tracker and gateway."""
        name = self.layer["digest"].replace(":", "-")
        say(f"a thief knows infohash and size of the {human(self.layer['size'])} layer, and where its peers are; he dials")
        first, thief = (Thief(alley, infohash, self.layer) for alley in self.alleys)
        ways = {"BitTorrent, encrypted (MSE)": thief.obfuscated}
        for kind, label in SHOWN.items():
            shown = wrong_certificate(kind, self.ca, name, self.path("ca"))
            ways[label] = lambda address, shown=shown: thief.by_tls(address, shown)
        if act == 2:
            with self.hub.entered():
                own = certify(self.gate.gateway, self.registry.basic("alice"), "team/app", [self.layer["digest"]], self.path("ca"))
            ways[OURS] = lambda address: thief.by_tls(address, own)

        def visit(host, tried):
            return {label: sum(way(address) for address in host.listeners()) for label, way in tried.items()}

        visits = [(host, self.pool.submit(visit, host, tried)) for host in peers for tried in ({"plain BitTorrent": first.plainly}, ways)]
        for host, one in visits:
            self.loot.setdefault(host, {}).update(one.result())
        print(f"he has the layer {self.stolen(peers) / self.layer['size']:.2g} times" if self.stolen(peers) else "he has nothing")
        self.refused[act] = self.at_the_gateway(infohash, name)

    def stolen(self, peers):
        return sum(size for host in peers for label, size in self.loot[host].items() if label != OURS)

    def at_the_gateway(self, infohash, name):
        """What tracker and webseed give to who has no token, and one of another repository."""
        torrent = bdecode(self.ask_gateway(f"/v1/other/app/blobs/{self.other['digest']}"))
        foreign = urllib.parse.urlsplit(torrent[b"url-list"].decode()).path
        token = self.gate.token(self.other["infohash"], sub=f"{REGISTRY}/mallory")
        got = {}
        with self.alleys[0].entered():
            for label, shown in (("tracker, no token", None), ("tracker, a token of other/app", token)):
                answer = announce(self.gate.tracker, infohash, shown)
                got[label] = "refused" if failure(answer) and b"peers" not in answer else "LET IN"
            for label, path in (("webseed, no token", "/webseed/x/"), ("webseed, a token of other/app", foreign)):
                got[label] = "refused" if get(self.gate.gateway, path + name)[0] in (403, 404) else "LET IN"
        return got

    def table(self):
        say("what came of it")
        print_table(self.rows)
        sent = self.registry.bytes_sent() - self.sent_before
        received = len(self.peers) * self.size
        print(f"\nthe registry sent {human(sent)}, the nodes received {human(received)}: {received / max(sent, 1):.1f} times as much\n"
              f"the gateway sent {self.copies:.2f} copies to nodes 4 to 6, which began together")

    def table_of_the_thief(self):
        say("what the thief got of the layer, by what he came with")
        labels = list(self.loot[self.peers[-1]])
        print(f"{'':{max(map(len, labels))}}  act one                    act two, swarm TLS")
        print_table([("", *(f"node {number}" for number in range(1, len(self.peers) + 1))),
                     *((label, *(amount(self.loot[host].get(label)) for host in self.peers)) for label in labels)])
        print()
        print_table([("", "act one", "act two"), *((label, got, self.refused[2][label]) for label, got in self.refused[1].items())])
        plain, tls = self.peers[:3], self.peers[3:]
        good = (self.stolen(tls) == 0 and all(self.loot[host][OURS] > 0 for host in tls)
                and all(got == "refused" for act in self.refused.values() for got in act.values()))
        self.failed = self.failed or not good
        print(f"\nWho knows infohash and address of plain BitTorrent clients has their bytes: {human(self.stolen(plain))}.\n"
              f"Under swarm TLS he has {human(self.stolen(tls)) if self.stolen(tls) else 'nothing'}.")

    def run(self):
        self.registry_and_image()
        self.ca = Authority(self.path("ca"), "swarm")
        self.torrents()
        with contextlib.ExitStack() as self.act:
            self.clients()
            self.podman_loads()
            self.thief(1, self.layer["infohash"], self.peers)
        self.gate.stop()
        with contextlib.ExitStack() as self.act:
            self.start_gate(swarm_tls={"ca_certificate": self.ca.cert, "ca_key": self.ca.write_key()})
            self.pulls()
            self.podman_pulls()
            self.thief(2, self.infohash_under_tls(), self.peers[3:])
        self.table()
        self.table_of_the_thief()
        return 1 if self.failed else 0


def main():
    if os.geteuid() != 0:
        # Network namespaces and podman's storage want root.
        os.execvp("sudo", ["sudo", "--", sys.executable, *sys.argv])
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    begun = time.monotonic()
    # Not where $TMPDIR says: podman takes no run root longer than 50 characters.
    folder = tempfile.mkdtemp(prefix="swarmgate-demo-", dir="/var/tmp")
    try:
        with Network() as network, contextlib.ExitStack() as stack:
            status = Demo(folder, network, stack).run()
    except KeyboardInterrupt:
        # A layer that was cut off complains when it is collected.
        sys.unraisablehook = lambda unraisable: None
        print("\ninterrupted; everything is cleaned up", file=sys.stderr)
        status = 130
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"\n{time.monotonic() - begun:.0f} seconds, exit {status}")
    return status


if __name__ == "__main__":
    sys.exit(main())
