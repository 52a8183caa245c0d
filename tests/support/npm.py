"""The clients of the npm world: tests/npm and its node_modules."""

import fcntl
import functools
import os
import shutil
import unittest

from .process import run

FOLDER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "npm")


@functools.cache
def _fetch():
    """Why the packages cannot be had; nothing when they are there."""
    modules = os.path.join(FOLDER, "node_modules")
    lock = os.path.join(FOLDER, "package-lock.json")
    mark = os.path.join(modules, ".installed")
    with open(lock, "rb") as f:
        wanted = f.read()
    # Two test runs at once install once.
    with open(os.path.join(FOLDER, "package.json"), "rb") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if os.path.exists(mark):
            with open(mark, "rb") as f:
                if f.read() == wanted:
                    return None
        shutil.rmtree(modules, ignore_errors=True)
        done = run(["npm", "ci", "--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund", "--fetch-retries=1",
                    "--fetch-timeout=60000"], cwd=FOLDER, timeout=600, check=False)
        if done.returncode != 0:
            shutil.rmtree(modules, ignore_errors=True)
            return next((line for line in done.stderr.splitlines() if "ERR! request to" in line or "network" in line),
                        done.stderr)
        with open(mark, "wb") as f:
            f.write(wanted)
    return None


def install():
    """
    The folder of tests/npm, with the packages of its package-lock.json in it; once is enough. Where npm cannot
    be reached, which is no part of Debian, a test that wants it is skipped, and says why.
    """
    why = _fetch()
    if why is not None:
        raise unittest.SkipTest("npm: " + why)
    return FOLDER
