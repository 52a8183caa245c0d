"""
BitTorrent clients as users run them: each downloads some torrents into a folder, or finds their data there,
and seeds on. DHT, peer exchange, local discovery, µTP and port forwarding are off: what they know of each
other, a tracker told them.
"""

import base64
import json
import os
import re
import signal
import socket
import subprocess
import time
import xmlrpc.client

from . import npm
from .announce import bdecode
from .process import Process, run, wait_for


def name_of(torrent):
    """What a .torrent of ours is about: its file's name says it."""
    return os.path.basename(torrent)[: -len(".torrent")]


def tracker_of(torrent):
    """The announce URL in a .torrent."""
    with open(torrent, "rb") as f:
        return bdecode(f.read())[b"announce"].decode()


class Client:
    """
    `start` begins; `wait_complete` returns once all of `torrents` (paths) are there and checked. `address` is
    its own one; `prefix` is put before its command lines, `ca` is a certificate to trust in trackers. What
    it is told of trackers is in errors(), as its user sees it.
    """

    name = None
    quit_signal = signal.SIGTERM

    @staticmethod
    def require():
        """Skips the test where the client cannot be had."""

    def __init__(self, folder, torrents, address="127.0.0.1", prefix=(), ca=None):
        self.folder, self.torrents, self.address, self.prefix = folder, list(torrents), address, list(prefix)
        self.ca = ca
        os.makedirs(folder, exist_ok=True)
        self.process = None
        self.started = None

    def names(self):
        """The files to come, as the torrents call them."""
        return {name_of(torrent) for torrent in self.torrents}

    def file(self, digest):
        """Where it puts the blob of that digest, whose torrent is of its name."""
        return os.path.join(self.folder, digest.replace(":", "-"))

    def home(self):
        """A folder for what it keeps beside the data."""
        path = self.folder + ".config"
        os.makedirs(path, exist_ok=True)
        return path

    def environment(self, ca_variable=None, **more):
        trust = {ca_variable: self.ca} if self.ca and ca_variable else {}
        return {**os.environ, **trust, **more}

    def curl(self, *argv):
        """Asks an interface that listens on loopback where the client runs."""
        return run([*self.prefix, "curl", "-sS", "--fail-with-body", "--noproxy", "*", *argv], check=False)

    def complete(self):
        """The names of the files that are all there, and checked."""
        raise NotImplementedError

    def errors(self):
        """What its trackers answered."""
        return self.process.output()

    def add(self, torrent):
        """As a user who opens one more .torrent."""
        raise NotImplementedError

    def remove(self, name):
        """As a user who removes a torrent and keeps its data."""
        raise NotImplementedError

    def renew(self, torrent):
        """Takes a new .torrent of a torrent it has, for the token in it."""
        self.remove(name_of(torrent))
        self.add(torrent)

    def take_anew(self, torrent):
        """Takes a new .torrent of a torrent it has, for the webseed in it; what it has of the data it keeps."""
        self.remove(name_of(torrent))
        self.add(torrent)

    def reannounce(self):
        """As a user who asks for it."""
        raise NotImplementedError

    def wait_complete(self, seconds):
        wait_for(f"{self.name} has everything", seconds, lambda: self.names() <= self.complete(), every=0.2)

    def stop(self):
        """As a user who quits it."""
        if self.process is not None:
            process, self.process = self.process, None
            process.stop(self.quit_signal)

    def start(self):
        self.started = time.monotonic()
        self.process = self.launch()
        return self

    def __enter__(self):
        return self.start()

    def __exit__(self, *ignored):
        self.stop()


class Libtorrent(Client):
    name = "libtorrent"

    @staticmethod
    def version():
        return run(["/usr/bin/python3", "-c", "import libtorrent; print(libtorrent.__version__)"]).stdout.strip()

    def launch(self):
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "libtorrent_node.py")
        return Process([*self.prefix, "/usr/bin/python3", script, self.folder, self.address, *self.torrents],
                       stdin=subprocess.PIPE, env=self.environment("SSL_CERT_FILE"))

    def complete(self):
        return {line.split()[1] for line in self.process.lines if line.startswith("complete ")}

    def renew(self, torrent):
        self.process.tell("renew " + torrent)

    def take_anew(self, torrent):
        self.process.tell("webseed " + torrent)

    def reannounce(self):
        self.process.tell("announce")

    def scrape(self):
        self.process.tell("scrape")

    def skip(self):
        """Wants none of its files any more."""
        self.process.tell("skip")


class Transmission(Client):
    name = "transmission"

    @staticmethod
    def version():
        return run(["transmission-daemon", "--version"]).stderr.split()[1]

    def launch(self):
        home = self.home()
        family = "bind-address-ipv6" if ":" in self.address else "bind-address-ipv4"
        with open(os.path.join(home, "settings.json"), "w", encoding="utf-8") as f:
            json.dump({
                family: self.address, "dht-enabled": False, "lpd-enabled": False,
                "pex-enabled": False, "utp-enabled": False, "port-forwarding-enabled": False,
                "download-dir": self.folder, "incomplete-dir-enabled": False, "encryption": 0,
                "rpc-bind-address": "127.0.0.1", "rpc-whitelist-enabled": False, "rpc-authentication-required": False,
                "ratio-limit-enabled": False, "cache-size-mb": 16,
            }, f)
        process = Process([*self.prefix, "transmission-daemon", "--foreground", "--config-dir", home,
                           "--log-error"], env=self.environment("CURL_CA_BUNDLE"))
        wait_for("transmission's RPC", 20, lambda: self.remote("--session-info", check=False).returncode == 0)
        for torrent in self.torrents:
            self.add(torrent)
        return process

    def remote(self, *argv, check=True):
        return run([*self.prefix, "transmission-remote", *argv], check=check)

    def listed(self):
        return self.remote("--torrent", "all", "--info").stdout

    def complete(self):
        return {re.search(r"Name: (\S+)", one).group(1) for one in self.listed().split("\nNAME\n")
                if "Percent Done: 100%" in one and "State: Verifying" not in one}

    def errors(self):
        return self.listed() + self.remote("--torrent", "all", "--info-trackers").stdout

    def add(self, torrent):
        return self.remote("--add", torrent, check=False).stdout

    def reannounce(self):
        self.remote("--torrent", "all", "--reannounce")

    def number(self, name):
        """Its own one of a torrent, or None."""
        return next((line.split()[0].rstrip("*") for line in self.remote("--list").stdout.splitlines() if name in line), None)

    def remove(self, name):
        self.remote("--torrent", self.number(name), "--remove")
        wait_for("transmission removes it", 20, lambda: self.number(name) is None)

    def renew(self, torrent):
        number = self.number(name_of(torrent))
        self.remote("--torrent", number, "--tracker-add", tracker_of(torrent))
        self.remote("--torrent", number, "--tracker-remove", "0")


class Aria2(Client):
    name = "aria2"
    quit_signal = signal.SIGINT

    @staticmethod
    def version():
        return run(["aria2c", "--version"]).stdout.split()[2]

    def launch(self):
        trust = [f"--ca-certificate={self.ca}"] if self.ca else []
        process = Process([*self.prefix, "aria2c", "--no-conf", "--dir", self.folder, "--enable-dht=false",
                           "--enable-dht6=false", "--bt-enable-lpd=false", "--enable-peer-exchange=false",
                           "--seed-ratio=0.0", "--file-allocation=none", "--max-concurrent-downloads=20",
                           "--summary-interval=0", "--show-console-readout=false", "--check-integrity=true",
                           "--enable-rpc=true", "--rpc-listen-all=false", f"--interface={self.address}", *trust])
        wait_for("aria2's RPC", 20, lambda: self.rpc("getVersion", check=False))
        for torrent in self.torrents:
            self.add(torrent)
        return process

    def rpc(self, method, *params, check=True):
        asked = json.dumps({"jsonrpc": "2.0", "id": "1", "method": "aria2." + method, "params": params})
        done = run([*self.prefix, "curl", "-sS", "--noproxy", "*", "--data", "@-", "http://127.0.0.1:6800/jsonrpc"],
                   input=asked, check=False)
        if done.returncode != 0 and not check:
            return None
        return json.loads(done.stdout).get("result")

    def listed(self):
        return [*self.rpc("tellActive"), *self.rpc("tellWaiting", 0, 100), *self.rpc("tellStopped", 0, 100)]

    def complete(self):
        return {one["bittorrent"]["info"]["name"] for one in self.listed() if one.get("seeder") == "true"}

    def add(self, torrent):
        with open(torrent, "rb") as f:
            return self.rpc("addTorrent", base64.b64encode(f.read()).decode())

    def remove(self, name):
        for one in self.listed():
            if one["bittorrent"]["info"]["name"] == name:
                self.rpc("remove", one["gid"])
        # Until then it refuses the same torrent as one that it has.
        wait_for("aria2 removes it", 20, lambda: all(one["status"] not in ("active", "waiting") for one in self.listed()
                                                     if one["bittorrent"]["info"]["name"] == name))


class _Scgi(xmlrpc.client.Transport):
    """XML-RPC over SCGI on a unix socket, as rtorrent has it."""

    def __init__(self, path):
        super().__init__()
        self.path = path

    def single_request(self, host, handler, request_body, verbose=False):
        head = b"CONTENT_LENGTH\0%d\0SCGI\0001\0" % len(request_body)
        got = b""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(20)
            s.connect(self.path)
            s.sendall(b"%d:%s,%s" % (len(head), head, request_body))
            while chunk := s.recv(65536):
                got += chunk
        parser, unmarshaller = self.getparser()
        parser.feed(got.partition(b"\r\n\r\n")[2])
        parser.close()
        return unmarshaller.close()


class Rtorrent(Client):
    name = "rtorrent"
    # Two of them, or SIGTERM, would leave out `stopped`.
    quit_signal = signal.SIGINT

    @staticmethod
    def version():
        return re.search(r"version ([\d.]+)", run(["rtorrent", "-h"], check=False).stdout).group(1)

    def launch(self):
        home = self.home()
        rc = os.path.join(home, "rtorrent.rc")
        options = {
            "system.daemon": "true", "directory.default": self.folder, "network.port_range": "6890-6999",
            "dht.mode": "disable", "protocol.pex": "no", "trackers.use_udp": "no",
            # With the check of all data at its end, which is the default, it never announces `completed`.
            "pieces.hash.on_completion": "no",
        }
        if ":" not in self.address:
            options["network.bind_address"] = self.address
        if self.ca:
            options["network.http.cacert"] = self.ca
        with open(rc, "w", encoding="utf-8") as f:
            f.writelines(f"{name}.set = {value}\n" for name, value in options.items())
            f.write(f"network.scgi.open_local = {os.path.join(home, 'rpc')}\n")
            f.writelines(f"load.start = {torrent}\n" for torrent in self.torrents)
        process = Process([*self.prefix, "rtorrent", "-n", "-o", f"import={rc}"], env=self.environment(HOME=home))
        self.rpc = xmlrpc.client.ServerProxy("http://rtorrent", transport=_Scgi(os.path.join(home, "rpc")))
        wait_for("rtorrent's RPC", 20, self.ready)
        return process

    def ready(self):
        try:
            return self.rpc.system.client_version()
        except OSError:
            return None

    def listed(self, *fields):
        return self.rpc.d.multicall2("", "main", *fields)

    def complete(self):
        return {name for name, complete, hashing in self.listed("d.name=", "d.complete=", "d.hashing=")
                if complete and not hashing}

    def errors(self):
        return "\n".join(message for (message,) in self.listed("d.message="))

    def add(self, torrent):
        self.rpc.load.start("", torrent)

    def reannounce(self):
        for (infohash,) in self.listed("d.hash="):
            self.rpc.d.tracker_announce(infohash)

    def renew(self, torrent):
        for infohash, one in self.listed("d.hash=", "d.name="):
            if one == name_of(torrent):
                self.rpc.d.tracker.insert(infohash, "0", tracker_of(torrent))
                self.rpc.t.is_enabled.set(infohash + ":t0", 0)


class Qbittorrent(Client):
    name = "qbittorrent"

    @staticmethod
    def version():
        return run(["qbittorrent-nox", "--version"]).stdout.split()[1].lstrip("v")

    def launch(self):
        home = self.home()
        conf = os.path.join(home, "qBittorrent", "config", "qBittorrent.conf")
        os.makedirs(os.path.dirname(conf), exist_ok=True)
        with open(conf, "w", encoding="utf-8") as f:
            f.write("[LegalNotice]\nAccepted=true\n[BitTorrent]\n"
                    "Session\\DHTEnabled=false\nSession\\PeXEnabled=false\nSession\\LSDEnabled=false\n"
                    f"Session\\BTProtocol=TCP\nSession\\Port=6881\nSession\\InterfaceAddress={self.address}\n"
                    f"Session\\DefaultSavePath={self.folder}\nSession\\QueueingSystemEnabled=false\n"
                    "[Network]\nPortForwardingEnabled=false\n"
                    "[Preferences]\nWebUI\\Address=127.0.0.1\nWebUI\\Port=8081\nWebUI\\LocalHostAuth=false\n"
                    "WebUI\\UseUPnP=false\n")
        process = Process([*self.prefix, "qbittorrent-nox", f"--profile={home}"],
                          env=self.environment("SSL_CERT_FILE"))
        wait_for("qbittorrent's API", 30, lambda: self.ask("app/version").returncode == 0)
        for torrent in self.torrents:
            self.add(torrent)
        return process

    def ask(self, method, *argv):
        return self.curl(*argv, "http://127.0.0.1:8081/api/v2/" + method)

    def api(self, method, *argv):
        """Asked again for a while, for now and then it closes a connection without an answer."""
        answer = self.ask(method, "--retry", "5", "--retry-all-errors", "--retry-delay", "1", *argv)
        assert answer.returncode == 0, f"qbittorrent, {method}: {answer.stderr}\n{self.process.output() if self.process else ''}"
        return answer

    def listed(self):
        return json.loads(self.api("torrents/info").stdout)

    def complete(self):
        return {one["name"] for one in self.listed() if one["state"] in ("uploading", "stalledUP", "forcedUP")}

    def trackers(self, infohash):
        """Those of the torrent alone: the first three are DHT, PeX and LSD."""
        return [one for one in json.loads(self.api("torrents/trackers?hash=" + infohash).stdout) if one["tier"] != -1]

    def errors(self):
        return "\n".join(one["msg"] for torrent in self.listed() for one in self.trackers(torrent["hash"]))

    def add(self, torrent):
        return self.api("torrents/add", "-F", f"torrents=@{torrent}").stdout

    def remove(self, name):
        for one in self.listed():
            if one["name"] == name:
                self.api("torrents/delete", "-d", f"hashes={one['hash']}&deleteFiles=false")
        wait_for("qbittorrent removes it", 20, lambda: all(one["name"] != name for one in self.listed()))

    def reannounce(self):
        self.api("torrents/reannounce", "-d", "hashes=all")

    def skip(self):
        """Wants none of its files any more."""
        for one in self.listed():
            self.api("torrents/filePrio", "-d", f"hash={one['hash']}&id=0&priority=0")

    def renew(self, torrent):
        for one in self.listed():
            if one["name"] == name_of(torrent):
                self.api("torrents/editTracker", "--data-urlencode", "hash=" + one["hash"], "--data-urlencode",
                         "origUrl=" + self.trackers(one["hash"])[0]["url"], "--data-urlencode", "newUrl=" + tracker_of(torrent))


class Webtorrent(Client):
    name = "webtorrent"

    @staticmethod
    def require():
        npm.install()

    @staticmethod
    def version():
        with open(os.path.join(npm.install(), "node_modules", "webtorrent", "package.json"), encoding="utf-8") as f:
            return json.load(f)["version"]

    def launch(self):
        script = os.path.join(npm.install(), "webtorrent_node.mjs")
        return Process([*self.prefix, "node", script, self.folder, *self.torrents], stdin=subprocess.PIPE,
                       env=self.environment("NODE_EXTRA_CA_CERTS"))

    def complete(self):
        return {line.split()[1] for line in self.process.lines if line.startswith("complete ")}

    def add(self, torrent):
        self.process.tell("add " + torrent)

    def remove(self, name):
        self.process.tell("remove " + name)
        self.process.wait_line("removed " + name)

    def reannounce(self):
        self.process.tell("announce")

    def scrape(self):
        self.process.tell("scrape")


CLIENTS = (Libtorrent, Transmission, Aria2, Rtorrent, Qbittorrent, Webtorrent)
