"""
A thousand readers of one blob who take 1 KiB a second each, and a fast one beside them, by hand:

    slow_readers.py [--readers 1000]

Prints how fast the one is alone and among the others, which should be 90 % or more, and what memory these cost; fails
when a slow reader costs more than 256 KiB. The programs are those of $SWARMGATE_BIN.
"""

import argparse
import http.client
import json
import multiprocessing
import os
import socket
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support.announce import bdecode, get  # noqa: E402
from support.gate import Gate  # noqa: E402
from support.image import small_image  # noqa: E402
from support.registry import Registry  # noqa: E402

SIZE = 64_000_000
ROUNDS = 25
A_SECOND = 1024
MEMORY = 256 * 1024


def resident(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def processor_time(pid):
    """In tenths of a second."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        return sum(int(n) for n in f.read().rpartition(")")[2].split()[11:13]) * 10 // os.sysconf("SC_CLK_TCK")


def read_fast(address, path):
    """Bytes a second of a whole reading."""
    connection = http.client.HTTPConnection(address, timeout=600)
    before, count = time.monotonic(), 0
    connection.request("GET", path)
    answer = connection.getresponse()
    while piece := answer.read(1 << 20):
        count += len(piece)
    connection.close()
    return count / (time.monotonic() - before)


def read_slowly(address, path, readers, ready):
    """A process of its own: what it does costs the fast reader no time."""
    host, port = address.rsplit(":", 1)
    sockets = [socket.create_connection((host, int(port))) for _ in range(readers)]
    for s in sockets:
        s.sendall(f"GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n".encode())
    for s in sockets:
        assert s.recv(A_SECOND).startswith(b"HTTP/1.1 200 ")
    ready.set()
    while True:
        before = time.monotonic()
        for s in sockets:
            s.recv(A_SECOND)
        time.sleep(max(0, before + 1 - time.monotonic()))


def await_rest(pid):
    """Until all that the kernel holds for the slow is there, and the server has nothing to do but what they take."""
    last, worked = -1, processor_time(pid)
    while last != worked:
        time.sleep(1)
        last, worked = worked, processor_time(pid)


def among(address, path, pid, readers):
    ready, before = multiprocessing.Event(), resident(pid)
    slow = multiprocessing.Process(target=read_slowly, args=(address, path, readers, ready), daemon=True)
    slow.start()
    assert ready.wait(60)
    await_rest(pid)
    speeds = [read_fast(address, path) for _ in range(ROUNDS)]
    cost = (resident(pid) - before) / readers
    assert slow.is_alive()
    slow.kill()
    slow.join()
    return sorted(speeds)[ROUNDS // 2], cost


def main():
    parser = argparse.ArgumentParser(description=__doc__.strip().partition("\n")[0])
    parser.add_argument("--readers", type=int, default=1000)
    readers = parser.parse_args().readers
    with tempfile.TemporaryDirectory(prefix="swarmgate-slow-") as folder:
        small_image(os.path.join(folder, "image"), "slow", (SIZE,))
        with Registry(os.path.join(folder, "registry"), None) as registry:
            registry.push(f"oci:{folder}/image:1", "team/app:1", None)
            row = {"name": "registry.example", "url": registry.url}
            with Gate(os.path.join(folder, "gate"), [row], gateway={"cache": {"path": "cache"}}, log={"level": "info"}) as gate:
                index = gate.tool("torrent", "create", f"docker://{registry.address}/team/app:1", "--json", "--tls-verify=false", cwd=folder).stdout
                blob = max(json.loads(index)["blobs"], key=lambda blob: blob["size"])
                status, torrent = 202, b""
                while status == 202:
                    status, _, torrent = get(gate.gateway, f"/v1/team/app/blobs/{blob['digest']}", {})
                path = bdecode(torrent)[b"url-list"].decode().removeprefix(gate.gateway_url) + blob["digest"]
                read_fast(gate.gateway, path)
                alone = sorted(read_fast(gate.gateway, path) for _ in range(ROUNDS))[ROUNDS // 2]
                beside, cost = among(gate.gateway, path, gate.process.popen.pid, readers)
    print(f"alone {alone / 1e6:.0f} MB/s; among {readers} slow readers {beside / 1e6:.0f} MB/s, {beside / alone:.2f} of it; "
          f"{cost / 1024:.0f} KiB a slow reader")
    sys.exit(0 if cost <= MEMORY else 1)


if __name__ == "__main__":
    main()
