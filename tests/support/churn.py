"""
A long, mixed load on swarmgated, tracker and gateway in front of a real registry, by hand:

    churn.py --valgrind 100000     that many requests under valgrind; fails when it finds an error or a leak
    churn.py --minutes 30          for that long, with peers, infohashes and tokens that come and go; fails when
                                   the last third of the time needs 5 % more memory than the first

The memory counts from when what is bounded is full. The tracker remembers as many tokens as it may have peers, in a
table whose pages are the system's until a token comes to lie there. So the bound is low here; beside the load's
beginning three times as many tokens are shown, and the load goes on with enough of them to replace all in two minutes.
They last as long as the run does: the table stays full, and none of what is lost can hide in what was given back.

The programs are those of $SWARMGATE_BIN: of the `dev` preset for valgrind, of `release` otherwise. Every answer is
checked; a wrong one fails as well.
"""

import argparse
import asyncio
import json
import os
import re
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support.gate import Gate  # noqa: E402
from support.image import small_image  # noqa: E402
from support.load import Load  # noqa: E402
from support.process import Process, binary, free_port  # noqa: E402
from support.registry import Registry  # noqa: E402

USERS = {"alice": "alice-password", "gateway": "gateway-password"}
LAYERS = (3_000_000, 300_000, 20_000)
WORKERS = 32
SAMPLE = 10    # seconds from one row of the table to the next
RATE = 1000    # requests a second, so that as many peers are there at the end as at the beginning
WARM_UP = 60   # seconds, at least, and a fifth of the time, and until SHOWN: then as many peers go as come, and the
               # allocator has found how much it needs for what comes and goes, which took seven minutes
ROOM = 16384   # for peers, and for tokens remembered
SHOWN = 3 * ROOM
GROWTH = 1.05  # of memory, the last third over the first
VALGRIND_ERROR = 99


def make_gate(folder, registry, trackers):
    with open(os.path.join(folder, "gateway.pass"), "w", encoding="utf-8") as f:
        f.write(USERS["gateway"])
    os.chmod(f.name, 0o600)
    row = {"name": "registry.example", "url": registry.url,
           "credentials": {"username": "gateway", "password_file": "gateway.pass"}}
    return Gate(folder, [row], tracker={"listen": trackers, "interval": "5s", "min_interval": "5s", "max_peers": ROOM},
                auth={"leeway": "0"}, log={"level": "info"})


def load_of(gate, trackers, registry):
    index = gate.tool("torrent", "create", f"docker://{registry.address}/team/app:1", "--register", "--json",
                      "--config", gate.config, "--authfile", registry.auth_file("alice")).stdout
    return Load(gate, trackers, registry, json.loads(index)["blobs"])


def memory_of(pid):
    """(VmRSS, RssAnon) in KiB; the difference is files that are mapped, the database among them."""
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        fields = dict(line.split(":", 1) for line in f)
    return tuple(int(fields[name].split()[0]) for name in ("VmRSS", "RssAnon"))


def report(load):
    """The requests by kind, and the wrong answers. Returns whether there were none."""
    for kind, count in load.done.most_common():
        print(f"{count:9,}  {kind}")
    print(f"{load.asked:9,}  requests in all")
    for problem, count in load.wrong.most_common(20):
        print(f"WRONG {count:,} times: {problem}")
    return not load.wrong


def under_valgrind(gate, trackers, registry, requests):
    log = os.path.join(gate.folder, "valgrind.log")
    gate.process = Process([
        "valgrind", "--leak-check=full", "--show-leak-kinds=definite,indirect,possible", "--num-callers=30",
        "--errors-for-leak-kinds=definite,indirect,possible", f"--error-exitcode={VALGRIND_ERROR}", "--fair-sched=yes",
        f"--log-file={log}", binary("swarmgated"), "--config", gate.config])
    gate.process.wait_line("ready", 120)
    load = load_of(gate, trackers, registry)
    began = time.monotonic()

    async def watch(load):
        while True:
            await asyncio.sleep(SAMPLE)
            print(f"{time.monotonic() - began:6.0f} s  {load.asked:9,} requests", flush=True)

    asyncio.run(load.run(lambda asked: asked >= requests, watch, WORKERS))
    print(f"{load.asked / (time.monotonic() - began):.0f} requests a second")
    status = gate.process.stop(seconds=120)
    right = report(load)
    with open(log, encoding="utf-8") as f:
        text = f.read()
    verdict = re.findall(r"==\d+== +((?:definitely lost|indirectly lost|possibly lost|still reachable|suppressed"
                         r"|All heap blocks|ERROR SUMMARY).*)", text)
    print(*(verdict if status == 0 else [text, gate.process.output()[-1000:]]), sep="\n")
    print(f"exit status {status}")
    return right and status == 0


def in_memory(gate, trackers, registry, minutes):
    rows = []
    with gate:
        pid = gate.process.popen.pid
        load = load_of(gate, trackers, registry)
        began = time.monotonic()

        async def watch(load):
            print("     time     requests    VmRSS KiB  RssAnon KiB    peers")
            showing = asyncio.create_task(load.shows_tokens(SHOWN, WORKERS))
            while True:
                await asyncio.sleep(SAMPLE)
                row = (time.monotonic() - began, load.asked, *memory_of(pid), await load.peers_now())
                print("{:7.0f} s {:12,} {:12,} {:12,} {:8,}".format(*row), flush=True)
                if showing.done():
                    showing.result()
                    rows.append(row)

        asyncio.run(load.run(lambda _: time.monotonic() - began > minutes * 60, watch, WORKERS, RATE))
    right = report(load)
    rows = [row for row in rows if row[0] > max(WARM_UP, minutes * 12)]
    third = len(rows) // 3
    if third == 0:
        sys.exit(f"too short: {WARM_UP} s and the showing do not count, then three samples are needed, {SAMPLE} s apart")
    for name, column in (("VmRSS", 2), ("RssAnon", 3), ("peers", 4)):
        first, last = (sum(row[column] for row in part) / third for part in (rows[:third], rows[-third:]))
        print(f"{name:8} first third {first:12,.0f}   last third {last:12,.0f}   {100 * (last / first - 1):+.2f} %")
        if name == "RssAnon":
            right = right and last <= first * GROWTH
    return right


def main():
    parser = argparse.ArgumentParser(description="A long, mixed load on swarmgated.")
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--valgrind", type=int, metavar="REQUESTS")
    how.add_argument("--minutes", type=float)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="swarmgate-churn-") as folder:
        small_image(os.path.join(folder, "image"), "churn", LAYERS)
        with Registry(os.path.join(folder, "registry"), USERS) as registry:
            registry.push(f"oci:{folder}/image:1", "team/app:1", "alice")
            trackers = [f"127.0.0.1:{free_port()}", f"[::1]:{free_port('::1')}"]
            gate = make_gate(folder, registry, trackers)
            if options.valgrind:
                right = under_valgrind(gate, trackers, registry, options.valgrind)
            else:
                right = in_memory(gate, trackers, registry, options.minutes)
    sys.exit(0 if right else 1)


if __name__ == "__main__":
    main()
