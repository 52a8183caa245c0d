"""
A libtorrent node as a program of its own, so that it can be put into a network namespace:
libtorrent_node.py FOLDER ADDRESS TORRENT... downloads into FOLDER, or seeds what is there already, until it
is asked to end. It tells what happens, a line each: `complete NAME`, `all complete`, `tracker error: …`,
`webseed error: …`, `reply N peers`. Lines on its standard input are obeyed: `renew TORRENT`: takes the trackers
of this one for a torrent that is there; `webseed TORRENT`: its webseeds; `announce`; `scrape`; `skip`: no file
is wanted any more, which makes a partial seed.
"""

import os
import select
import signal
import sys

import libtorrent as lt


class Node:
    def __init__(self, folder, address, torrents):
        literal = f"[{address}]" if ":" in address else address
        self.folder = folder
        self.session = lt.session({
            # A free port: on one that is named, listening fails now and then at the start, on an address that
            # nobody else has, and without a listening socket libtorrent announces nothing.
            "listen_interfaces": f"{literal}:0",
            "enable_dht": False, "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False,
            "alert_mask": lt.alert.category_t.status_notification | lt.alert.category_t.error_notification
                          | lt.alert.category_t.tracker_notification | lt.alert.category_t.peer_notification,
            "allow_multiple_connections_per_ip": True,
            # By default five seeds and three downloads at once; what waits its turn is not announced.
            "active_seeds": -1, "active_downloads": -1, "active_limit": -1,
        })
        self.handles = {}
        for path in torrents:
            self.add(path)
        self.left = set(self.handles)

    def add(self, path):
        info = lt.torrent_info(path)
        self.handles[info.name()] = self.session.add_torrent({"ti": info, "save_path": self.folder})

    def renew(self, path):
        info = lt.torrent_info(path)
        trackers = [{"url": tracker.url, "tier": tracker.tier} for tracker in info.trackers()]
        self.handles[info.name()].replace_trackers(trackers)

    def take_webseeds(self, path):
        info = lt.torrent_info(path)
        handle = self.handles[info.name()]
        for url in handle.url_seeds():
            handle.remove_url_seed(url)
        for seed in info.web_seeds():
            handle.add_url_seed(seed["url"])

    def obey(self, line):
        command, _, argument = line.partition(" ")
        if command == "renew":
            self.renew(argument)
        elif command == "webseed":
            self.take_webseeds(argument)
        for handle in self.handles.values():
            if command == "announce":
                handle.force_reannounce(0, -1, lt.reannounce_flags_t.ignore_min_interval)
            elif command == "scrape":
                handle.scrape_tracker()
            elif command == "skip":
                handle.prioritize_files([0])

    def tell(self, alert):
        if isinstance(alert, lt.torrent_finished_alert):
            name = alert.torrent_name
            if name in self.left and alert.handle.status().is_seeding:
                self.left.discard(name)
                print("complete", name, flush=True)
                if not self.left:
                    print("all complete", flush=True)
        elif isinstance(alert, lt.tracker_error_alert):
            print("tracker error:", alert.error_message() or alert.error.message(), flush=True)
        elif isinstance(alert, lt.tracker_reply_alert):
            print("reply", alert.num_peers, "peers", flush=True)
        elif isinstance(alert, lt.url_seed_alert):
            print("webseed error:", alert.error_message(), flush=True)

    def run(self, awake):
        # Without a buffer, in which lines could wait unseen.
        commands = open(0, "rb", buffering=0, closefd=False)
        while True:
            readable, _, _ = select.select([awake, *([commands] if commands else [])], [], [])
            if commands in readable:
                line = commands.readline()
                if line:
                    self.obey(line.decode().rstrip("\n"))
                else:
                    commands = None
            if awake in readable:
                os.read(awake, 4096)
                for alert in self.session.pop_alerts():
                    self.tell(alert)


def main(folder, address, torrents):
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    node = Node(folder, address, torrents)
    awake, alarm = os.pipe()
    os.set_blocking(alarm, False)
    node.session.set_alert_fd(alarm)
    try:
        node.run(awake)
    except KeyboardInterrupt:
        pass
    # The session ends with its announces of `stopped`.


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
