"""Bounds on what is given to the programs, end to end, where no unit test can see them; docs/limits.md has them all."""

import os
import pathlib
import re
import socket

import pytest
from support.announce import announce
from support.gate import Gate
from support.process import binary, run

INFOHASH = "ab" * 20
TOP = pathlib.Path(__file__).resolve().parents[2]


def refused(done, status, says):
    assert done.returncode == status and says in done.stderr and done.stderr.count("\n") == 1, done


@pytest.mark.parametrize("command", [["inspect"], ["verify", "--config", "CONFIG"]], ids=["inspect", "verify"])
def test_token_on_standard_input(tmp_path, command):
    gate = Gate(str(tmp_path))
    argv = [gate.config if word == "CONFIG" else word for word in command]
    for size in (8193, 8194, 1 << 20):
        refused(gate.tool("token", *argv, "-", input="x" * size, check=False), 3, "token")


def test_password_file(tmp_path):
    gate = Gate(str(tmp_path), [{"name": "registry.example", "url": "http://127.0.0.1:1",
                                 "credentials": {"username": "gateway", "password_file": "pass"}}])
    for size, status in ((4096, 0), (4097, 2)):
        (tmp_path / "pass").write_text("x" * size)
        os.chmod(tmp_path / "pass", 0o600)
        done = run([binary("swarmgated"), "--config", gate.config, "--check-config"], check=False)
        assert done.returncode == status, done.stderr
    refused(done, 2, "larger than 4096 bytes")


def test_peers_in_an_answer(tmp_path):
    for most, status in ((500, 0), (501, 2)):
        gate = Gate(str(tmp_path), tracker={"numwant": {"max": most}})
        done = run([binary("swarmgated"), "--config", gate.config, "--check-config"], check=False)
        assert done.returncode == status, done.stderr
    refused(done, 2, "tracker.numwant.max: 501")


def test_connections_of_an_address(tracker):
    """300 that say nothing, and the next is served; the contract promises 256."""
    host, port = tracker.tracker.rsplit(":", 1)
    idle = [socket.create_connection((host, int(port)), timeout=10) for _ in range(300)]
    try:
        assert b"failure reason" not in announce(tracker.tracker, INFOHASH, tracker.token(INFOHASH))
    finally:
        for s in idle:
            s.close()


UNITS = {None: 1, "KiB": 1024, "MiB": 1024 * 1024, "s": 1000}


def test_the_table_is_right():
    """docs/limits.md names bounds that are in the code, with the number that they have there, and tests that there are."""
    code = "\n".join(path.read_text(encoding="utf-8") for path in sorted(TOP.glob("*/*.[ch]")) + sorted(TOP.glob("tools/*/*.[ch]")))
    rows = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in open(TOP / "docs" / "limits.md", encoding="utf-8")
            if line.startswith("|") and not line.startswith(("| what", "| ---"))]
    compared = 0
    for what, names, default, beyond, tests in rows:
        assert what and beyond, what
        names = re.findall(r"`([A-Z_]+)`", names)
        for name in names:
            number = re.search(rf"\b{name} = (\d+(?: (?:\*|<<) \d+)*)(?:[,;]| }}|\n)", code)
            assert re.search(rf"\b{name} = ", code), f"{name} is not in the code"
            if len(names) == 1 and number:
                told, unit = re.match(r"([\d,]+)(?: (KiB|MiB|s)\b)?", default).groups()
                assert int(told.replace(",", "")) * UNITS[unit] == eval(number[1]), f"{name} is {number[1]}"
                compared += 1
        for test in tests.split(", "):
            path, name = test.split("::")
            assert re.search(rf"\b{name}\(", (TOP / "tests" / path).read_text(encoding="utf-8")), f"{test} is not there"
    assert compared > 40
