"""
The demo of ./dev demo: a private image from a real registry, through a swarm of different BitTorrent
clients, each on a host of its own, into a container runtime; and two strangers who get nothing.
"""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support.clients import Aria2, Libtorrent, Transmission  # noqa: E402
from support.gate import Gate  # noqa: E402
from support.image import machine_image, small_image, write_index  # noqa: E402
from support.netns import Network  # noqa: E402
from support.process import run, wait_for  # noqa: E402
from support.registry import Registry  # noqa: E402

LAYERS = (100_000_000, 35_000_000, 15_000_000)
UPLINK = "100mbit"
USERS = {"alice": "correct horse", "gateway": "battery staple"}
PATIENCE = 120


def say(text):
    print(f"\n\033[1m== {text}\033[0m" if sys.stdout.isatty() else f"\n== {text}", flush=True)


def human(count):
    return f"{count / 1e6:.1f} MB"


def sha256_of(path):
    digest = hashlib.sha256()
    with open(path, "rb") as f:
        while chunk := f.read(1 << 20):
            digest.update(chunk)
    return "sha256:" + digest.hexdigest()


class Demo:
    def __init__(self, folder, network):
        self.folder, self.network = folder, network
        self.hub = network.add()
        self.rows = []
        self.failed = False

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def registry_and_image(self):
        say("a private registry, and an image of three layers made of this machine's files")
        self.registry = Registry(self.path("registry"), USERS, port=5000, prefix=self.hub.prefix).start()
        self.digest = machine_image(self.path("image"), LAYERS)
        small_image(self.path("other"), "other")
        self.registry.push(f"oci:{self.path('image')}:1", "team/app:1", "alice")
        self.registry.push(f"oci:{self.path('other')}:1", "other/app:1", "alice")
        print(f"pushed {self.registry.address}/team/app:1, {self.digest}")

    def gate_and_torrents(self):
        say("swarmgated in front of it; torrents made from the manifest")
        row = {"name": "registry.example", "url": self.registry.url,
               "credentials": {"username": "gateway", "password_file": "gateway.pass"}}
        gate_folder = self.path("gate")
        os.makedirs(gate_folder)
        with open(os.path.join(gate_folder, "gateway.pass"), "w", encoding="utf-8") as f:
            f.write(USERS["gateway"])
        os.chmod(os.path.join(gate_folder, "gateway.pass"), 0o600)
        self.gate = Gate(gate_folder, [row], host=self.hub.address, prefix=self.hub.prefix,
                         gateway={"cache": {"path": "cache"}}).start()
        self.index = self.create("team/app:1")
        other = self.create("other/app:1")
        self.other_blob = max(other["blobs"], key=lambda blob: blob["size"])
        for blob in self.index["blobs"]:
            print(f"{blob['infohash']}  {human(blob['size']):>9}  {blob['digest'][:19]}…")

    def create(self, name):
        return json.loads(self.gate.tool(
            "torrent", "create", f"docker://{self.registry.address}/{name}", "--register", "--json",
            "--config", self.gate.config, "--authfile", self.registry.auth_file("alice")).stdout)

    def fetch_torrents(self, host, folder):
        """The node asks the gateway for each blob's torrent with its own registry credentials."""
        os.makedirs(folder)
        netrc = os.path.join(folder, "netrc")
        with open(netrc, "w", encoding="utf-8") as f:
            f.write(f"machine {self.hub.address} login alice password \"{USERS['alice']}\"\n")
        os.chmod(netrc, 0o600)
        torrents = []
        for blob in self.index["blobs"]:
            torrents.append(os.path.join(folder, blob["digest"].replace(":", "-") + ".torrent"))
            host.run(["curl", "-fsS", "--netrc-file", netrc, "-o", torrents[-1],
                      f"{self.gate.gateway_url}/v1/team/app/blobs/{blob['digest']}"])
        return torrents

    def sent_to(self, address):
        """Bytes that the webseed sent to an address, from swarmgated's log."""
        messages = [json.loads(line)["message"] for line in self.gate.process.lines if line.startswith("{")]
        return sum(int(message.split()[2]) for message in messages
                   if message.startswith("webseed: sent ") and f" to {address}:" in message)

    def swarm(self):
        say(f"three nodes, three clients; what leaves the registry's host is held to {UPLINK}")
        started = []
        for number, kind in enumerate((Libtorrent, Transmission, Aria2), 1):
            host = self.network.add()
            torrents = self.fetch_torrents(host, self.path(f"node{number}-torrents"))
            started.append((number, kind, host, torrents))
        self.hub.limit_uplink(UPLINK)
        self.clients = []
        for number, kind, host, torrents in started:
            client = kind(self.path(f"node{number}"), torrents, host.address, host.prefix)
            self.clients.append((number, client.start()))
            print(f"node {number}: {kind.name} at {host.address} begins", flush=True)
        wanted = sum(blob["size"] for blob in self.index["blobs"])
        ends = self.await_all()
        for number, client in self.clients:
            good = all(sha256_of(os.path.join(client.folder, blob["digest"].replace(":", "-"))) == blob["digest"]
                       for blob in self.index["blobs"])
            from_webseed = self.sent_to(client.address)
            share = max(0.0, 1 - from_webseed / wanted)
            self.row(number, client.name, wanted, f"{100 * share:.0f} %", ends[number],
                     "digests right" if good else "WRONG DIGEST", good)

    def await_all(self):
        ends = {}
        for number, client in self.clients:
            # In turn, but each client's own end is noted by the files' times.
            client.wait_complete(PATIENCE)
            print(f"node {number}: {client.name} has everything", flush=True)
        for number, client in self.clients:
            newest = max(os.path.getmtime(os.path.join(client.folder, name)) for name in client.names())
            ends[number] = max(0.0, newest - (time.time() - (time.monotonic() - client.started)))
        return ends

    def row(self, node, client, size, share, seconds, verdict, good):
        self.rows.append((str(node), client, human(size), share, f"{seconds:.1f}", verdict))
        self.failed = self.failed or not good

    def strangers(self):
        say("a client without a token, and one with a token for another repository")
        layer = max(self.index["blobs"], key=lambda blob: blob["size"])
        bare = self.make_torrent(layer, "bare", f"{self.gate.announce_url}", f"{self.gate.gateway_url}/webseed/x/")
        token = self.gate.token(self.other_blob["infohash"], sub="registry.example/mallory")
        webseed = self.webseed_of_other()
        foreign = self.make_torrent(layer, "foreign", f"{self.gate.announce_url}?jwt={token}", webseed)
        for number, label, torrent, reason in ((4, "no token", bare, "token required"),
                                               (5, "token for other/app", foreign, "not authorised for this torrent")):
            host = self.network.add()
            client = Libtorrent(self.path(f"node{number}"), [torrent], host.address, host.prefix)
            begun = time.monotonic()
            with client.start():
                told = client.process.wait_line("tracker error:", 30)
                wait_for("the webseed's refusal", 30, lambda: "webseed error" in client.process.output())
                output = client.process.output()
            got = sum(self.file_bytes(client.folder, name) for name in os.listdir(client.folder))
            good = reason in told and "reply" not in output and "complete" not in output and got == 0
            self.row(number, "libtorrent", got, "-", time.monotonic() - begun,
                     f"{label}: refused, no peers, no webseed" if good else f"{label}: LET IN", good)

    @staticmethod
    def file_bytes(folder, name):
        # A sparse file that was only allocated holds nothing.
        return os.stat(os.path.join(folder, name)).st_blocks * 512

    def make_torrent(self, blob, name, announce, webseed):
        """The layer's torrent as a thief would make it who knows the blob's infohash: from the blob itself."""
        out = self.path("stolen-" + name)
        source = os.path.join(self.path("image"), "blobs", "sha256", blob["digest"].split(":")[1])
        self.gate.tool("torrent", "create", "blob:" + source, "--output", out, "--announce", announce,
                       "--webseed", webseed)
        return os.path.join(out, blob["digest"].replace(":", "-") + ".torrent")

    def webseed_of_other(self):
        """A webseed URL that is good, for a blob of the other repository."""
        host = self.hub
        torrent = self.path("other.torrent")
        netrc = self.path("node1-torrents", "netrc")
        host.run(["curl", "-fsS", "--netrc-file", netrc, "-o", torrent,
                  f"{self.gate.gateway_url}/v1/other/app/blobs/{self.other_blob['digest']}"])
        with open(torrent, "rb") as f:
            text = f.read()
        at = text.index(b"8:url-list") + len(b"8:url-list")
        at += 1 if text[at:at + 1] == b"l" else 0
        size, _, rest = text[at:].partition(b":")
        return rest[:int(size)].decode()

    def runtime(self):
        say("node 2 puts its blobs together; skopeo reads them, podman loads them")
        layout, node = self.path("layout"), self.path("node2")
        blobs = os.path.join(layout, "blobs", "sha256")
        os.makedirs(blobs)
        for blob in self.index["blobs"]:
            os.link(os.path.join(node, blob["digest"].replace(":", "-")), os.path.join(blobs, blob["digest"].split(":")[1]))
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
        podman = ["podman", "--root", self.path("podman"), "--runroot", self.path("podman-run"), "--storage-driver",
                  "vfs", "--cgroup-manager", "cgroupfs", "--runtime", "runc"]
        # By a relative path, for podman makes the image's name of it.
        run([*podman, "pull", "-q", "oci:layout:1"], cwd=self.folder)
        image = run([*podman, "images", "--quiet", "--no-trunc"]).stdout.split()[0]
        root = run([*podman, "image", "mount", image]).stdout.strip()
        with open(os.path.join(root, "etc/motd"), encoding="utf-8") as f:
            motd = f.read()
        hidden = not os.path.exists(os.path.join(root, "etc/secret"))
        run([*podman, "image", "umount", image])
        assert motd == "the second layer\n" and hidden, "podman's file system is not the image's"
        print("podman: loaded; the overwritten file is the new one, the hidden file is hidden")

    def table(self):
        say("what came of it")
        head = ("node", "client", "bytes", "from peers", "seconds", "verdict")
        widths = [max(len(row[i]) for row in [head, *self.rows]) for i in range(len(head))]
        for row in [head, *self.rows]:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
        received = len(self.clients) * sum(blob["size"] for blob in self.index["blobs"])
        sent = self.registry.bytes_sent() - self.sent_before
        print(f"\nthe registry sent {human(sent)} to the swarm, the nodes received {human(received)}: "
              f"{received / max(sent, 1):.1f} times as much")

    def run(self):
        self.registry_and_image()
        self.gate_and_torrents()
        self.sent_before = self.registry.bytes_sent()
        try:
            self.swarm()
            self.strangers()
            self.runtime()
            self.table()
        finally:
            for _, client in getattr(self, "clients", []):
                client.stop()
            self.gate.stop()
            self.registry.stop()
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
        with Network() as network:
            status = Demo(folder, network).run()
    except KeyboardInterrupt:
        # A layer that was cut off complains when it is collected.
        sys.unraisablehook = lambda unraisable: None
        print("\ninterrupted; everything is cleaned up", file=sys.stderr)
        status = 130
    finally:
        subprocess.run(["umount", "-R", os.path.join(folder, "podman")], stderr=subprocess.DEVNULL, check=False)
        shutil.rmtree(folder, ignore_errors=True)
    print(f"\n{time.monotonic() - begun:.0f} seconds, exit {status}")
    return status


if __name__ == "__main__":
    sys.exit(main())
