"""The demo of the README does what it says, and leaves nothing behind."""

import glob
import os
import re
import subprocess
import sys

import pytest
from support.process import run

DEMO = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support", "demo.py")


def can_make_hosts():
    return os.geteuid() == 0 and subprocess.run(["unshare", "--net", "true"], check=False).returncode == 0


@pytest.mark.skipif(not can_make_hosts(), reason="network namespaces want root")
def test_demo():
    before = set(glob.glob("/var/tmp/swarmgate-demo-*"))
    # libtorrent 2.0.8 does not free the names of a certificate that it has verified.
    done = run([sys.executable, DEMO], check=False, timeout=400, env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"})
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("digests right") == 7
    got = {label: cells.split("  ") for label, cells in re.findall(r"^(\S.*?)  +((?:(?:[\d.]+ MB|0|-) *){7})$", done.stdout, re.M)}
    taken = {label: [cell.strip().endswith("MB") for cell in cells if cell.strip()] for label, cells in got.items()}
    for way in "plain BitTorrent", "BitTorrent, encrypted (MSE)":
        assert taken.pop(way) == [True] * 3 + [False] * 4
    assert taken.pop("alice's certificate, to compare") == [False] * 3 + [True] * 4
    assert len(taken) == 6 and all(cells == [False] * 7 for cells in taken.values())
    assert len(re.findall("^(?:tracker|webseed), .* refused  refused$", done.stdout, re.M)) == 4
    assert set(glob.glob("/var/tmp/swarmgate-demo-*")) <= before
