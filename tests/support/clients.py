"""BitTorrent clients as users run them: each downloads some torrents into a folder and seeds on."""

import json
import os
import stat
import time

from .process import Process, run, wait_for


class Client:
    """`start` begins; `wait_complete` returns once all of `torrents` (paths) are there."""

    name = None

    def __init__(self, folder, torrents, address="127.0.0.1", prefix=()):
        self.folder, self.torrents, self.address, self.prefix = folder, list(torrents), address, list(prefix)
        os.makedirs(folder, exist_ok=True)
        self.process = None
        self.started = None

    def names(self):
        """The files to come, as the torrents call them."""
        return [os.path.basename(t)[: -len(".torrent")] for t in self.torrents]

    def stop(self):
        if self.process is not None:
            self.process.stop()

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

    def launch(self):
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "libtorrent_node.py")
        return Process([*self.prefix, "/usr/bin/python3", script, self.folder, self.address, *self.torrents])

    def wait_complete(self, seconds):
        self.process.wait_line("all complete", seconds)


class Transmission(Client):
    name = "transmission"

    def launch(self):
        home = self.folder + ".config"
        os.makedirs(home, exist_ok=True)
        with open(os.path.join(home, "settings.json"), "w", encoding="utf-8") as f:
            json.dump({
                "bind-address-ipv4": self.address, "dht-enabled": False, "lpd-enabled": False,
                "pex-enabled": False, "utp-enabled": False, "port-forwarding-enabled": False,
                "download-dir": self.folder, "incomplete-dir-enabled": False, "encryption": 0,
                "rpc-bind-address": "127.0.0.1", "rpc-whitelist-enabled": False, "rpc-authentication-required": False,
                "ratio-limit-enabled": False, "cache-size-mb": 16,
            }, f)
        process = Process([*self.prefix, "transmission-daemon", "--foreground", "--config-dir", home,
                           "--log-error"])
        wait_for("transmission's RPC", 20, lambda: self.remote("--session-info", check=False).returncode == 0)
        for torrent in self.torrents:
            self.remote("--add", torrent)
        return process

    def remote(self, *argv, check=True):
        return run([*self.prefix, "transmission-remote", *argv], check=check)

    def errors(self):
        """What its trackers answered, as its user sees it."""
        return self.remote("--torrent", "all", "--info").stdout

    def wait_complete(self, seconds):
        def complete():
            listed = self.remote("--torrent", "all", "--info").stdout
            return listed.count("Percent Done: 100%") == len(self.torrents)

        wait_for("transmission has everything", seconds, complete, every=0.2)


class Aria2(Client):
    name = "aria2"

    def launch(self):
        done = self.folder + ".done"
        os.makedirs(done, exist_ok=True)
        hook = os.path.join(done, "hook")
        with open(hook, "w", encoding="utf-8") as f:
            # aria2 gives the path of the (first) file as the third argument.
            f.write(f'#!/bin/sh\ntouch "{done}/$(basename "$3").done"\n')
        os.chmod(hook, os.stat(hook).st_mode | stat.S_IXUSR)
        return Process([*self.prefix, "aria2c", "--no-conf", "--dir", self.folder, "--enable-dht=false",
                        "--enable-dht6=false", "--bt-enable-lpd=false", "--enable-peer-exchange=false",
                        "--seed-ratio=0.0", "--file-allocation=none", "--max-concurrent-downloads=20",
                        "--summary-interval=0", "--show-console-readout=false", "--bt-exclude-tracker=",
                        "--on-bt-download-complete", hook, *self.torrents])

    def wait_complete(self, seconds):
        done = self.folder + ".done"
        wanted = {name + ".done" for name in self.names()}
        wait_for("aria2 has everything", seconds, lambda: wanted <= set(os.listdir(done)), every=0.1)
