"""Bounds on what is given to the programs, end to end, where no unit test can see them; docs/limits.md has them all."""

import os
import socket

import pytest
from support.announce import announce
from support.gate import Gate
from support.process import binary, run

INFOHASH = "ab" * 20


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
