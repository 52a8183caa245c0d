"""
A libtorrent node as a program of its own, so that it can be put into a network namespace:
libtorrent_node.py FOLDER ADDRESS TORRENT... downloads into FOLDER, seeds on, and tells what happens, a
line each: `complete NAME`, `all complete`, `tracker error: …`, `webseed error: …`, `reply N peers`.
"""

import sys

import libtorrent as lt


def main(folder, address, torrents):
    session = lt.session({
        # A free port: on one that is named, listening fails now and then at the start, on an address that
        # nobody else has, and without a listening socket libtorrent announces nothing.
        "listen_interfaces": f"{address}:0",
        "enable_dht": False, "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False,
        "alert_mask": lt.alert.category_t.status_notification | lt.alert.category_t.error_notification
                      | lt.alert.category_t.tracker_notification | lt.alert.category_t.peer_notification,
        "allow_multiple_connections_per_ip": True,
    })
    handles = {}
    for path in torrents:
        info = lt.torrent_info(path)
        handles[info.name()] = session.add_torrent({"ti": info, "save_path": folder})
    left = set(handles)
    while True:
        session.wait_for_alert(1000)
        for alert in session.pop_alerts():
            if isinstance(alert, lt.torrent_finished_alert):
                name = alert.torrent_name
                if name in left:
                    left.discard(name)
                    print("complete", name, flush=True)
                    if not left:
                        print("all complete", flush=True)
            elif isinstance(alert, lt.tracker_error_alert):
                print("tracker error:", alert.error_message(), flush=True)
            elif isinstance(alert, lt.tracker_reply_alert):
                print("reply", alert.num_peers, "peers", flush=True)
            elif isinstance(alert, lt.url_seed_alert):
                print("webseed error:", alert.error_message(), flush=True)


if __name__ == "__main__":
    try:
        main(sys.argv[1], sys.argv[2], sys.argv[3:])
    except KeyboardInterrupt:
        pass
