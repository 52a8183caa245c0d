"""What the unit tests and the fuzz corpora leave untouched, from gcovr's JSON.

Usage: coverage.py GCOVR.json REPORT.txt. Prints a table of the rooms, writes that and more of each
file into the report, and fails when a room or a file has less than is asked of it here.
"""

import json
import re
import sys

LINES_LEAST = {"auth": 95, "bencode": 95, "torrent": 95, "tracker": 95}  # per cent

# Every branch of these is taken: they read what strangers send, or decide who is let in.
EVERY_BRANCH = [
    "auth/claims.c",
    "auth/jws.c",
    "auth/revocation.c",
    "auth/revocation_feed.c",
    "auth/revocation_set.c",
    "auth/scope.c",
    "auth/strict_json.c",
    "auth/token.c",
    "auth/token_cache.c",
    "base/address.c",
    "base/base64.c",
    "base/hex.c",
    "base/repository.c",
    "bencode/reader.c",
    "http/forwarded.c",
    "http/proxy_header.c",
    "http/query.c",
    "http/range.c",
    "tracker/announce.c",
    "tracker/parameter.c",
    "tracker/scrape.c",
]


class Count:
    """How many there are, and how many of them ran."""

    def __init__(self, runs=()):
        runs = list(runs)
        self.total, self.taken = len(runs), sum(n > 0 for n in runs)

    def __iadd__(self, other):
        self.total += other.total
        self.taken += other.taken
        return self

    def percent(self):
        return 100 * self.taken / self.total if self.total else 100

    def __str__(self):
        return f"{self.taken:6d} of {self.total:5d} {self.percent():6.1f} %"


class File:
    def __init__(self, name, lines):
        self.name, self.room = name, name.split("/")[0]
        lines = [line for line in lines if not line.get("gcovr/noncode")]
        branches = {line["line_number"]: [branch["count"] for branch in line["branches"]] for line in lines}
        self.lines = Count(line["count"] for line in lines)
        self.branches = Count(n for counts in branches.values() for n in counts)
        self.untouched = [line["line_number"] for line in lines if line["count"] == 0]
        self.untaken = [number for number, counts in branches.items() if 0 in counts]


def ranges(numbers):
    """[1, 2, 3, 7] as `1-3, 7`."""
    out = []
    for n in numbers:
        if out and out[-1][1] == n - 1:
            out[-1][1] = n
        else:
            out.append([n, n])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in out)


def table(rows):
    head = f"{'':32} {'lines':>24} {'branches':>24}"
    return "\n".join([head] + [f"{name:32} {lines!s:>24} {branches!s:>24}" for name, lines, branches in rows])


def faults(files, rooms):
    by_name = {f.name: f for f in files}
    for room, least in LINES_LEAST.items():
        if rooms[room][0].percent() < least:
            yield f"{room}/: {rooms[room][0].percent():.1f} % of the lines, {least} % at least"
    for name in EVERY_BRANCH:
        if name not in by_name:
            yield f"{name}: not measured"
        elif by_name[name].untaken:
            yield f"{name}: not every branch is taken; see lines {ranges(by_name[name].untaken)}"


def main(measured, report):
    with open(measured, encoding="utf-8") as f:
        # Headers are seen through the rooms' include roots.
        files = [File(re.sub(r"^build/.*/include/[^/]+/", "", one["file"]), one["lines"])
                 for one in json.load(f)["files"]]
    files.sort(key=lambda one: one.name)
    rooms = {}
    for one in files:
        lines, branches = rooms.setdefault(one.room, (Count(), Count()))
        lines += one.lines
        branches += one.branches
    summary = table((room + "/", *counts) for room, counts in sorted(rooms.items()))
    print(summary)
    with open(report, "w", encoding="utf-8") as out:
        print(summary, table((one.name, one.lines, one.branches) for one in files), sep="\n\n", file=out)
        for one in files:
            if one.untouched or one.untaken:
                print(f"\n{one.name}", file=out)
                print(f"  lines not run: {ranges(one.untouched) or 'none'}", file=out)
                print(f"  with branches not taken: {ranges(one.untaken) or 'none'}", file=out)
    missing = list(faults(files, rooms))
    for fault in missing:
        print(f"coverage: {fault}", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
