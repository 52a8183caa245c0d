"""The clients of the npm world: tests/npm and its node_modules."""

import fcntl
import os
import shutil

from .process import run

FOLDER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "npm")


def install():
    """The folder of tests/npm, with the packages of its package-lock.json in it; once is enough."""
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
                    return FOLDER
        shutil.rmtree(modules, ignore_errors=True)
        run(["npm", "ci", "--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund"], cwd=FOLDER, timeout=600)
        with open(mark, "wb") as f:
            f.write(wanted)
    return FOLDER
