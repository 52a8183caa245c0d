"""The demo of the README does what it says, and leaves nothing behind."""

import glob
import os
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
    done = run([sys.executable, DEMO], check=False, timeout=300)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("digests right") == 3
    assert "no token: refused" in done.stdout and "token for other/app: refused" in done.stdout
    assert set(glob.glob("/var/tmp/swarmgate-demo-*")) <= before
