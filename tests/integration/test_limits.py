"""Bounds on what is given to the programs, end to end, where no unit test can see them; docs/limits.md has them all."""

import contextlib
import os
import pathlib
import re
import resource
import socket

import pytest
from support.announce import announce, get
from support.gate import Gate
from support.process import Process, binary, run, wait_for

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


# --- open files ---

FILES = 100 + 30 * len(os.sched_getaffinity(0))


def files_of(process):
    return len(os.listdir(f"/proc/{process.popen.pid}/fd"))


@contextlib.contextmanager
def many_files():
    """For ourselves, for a while."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@contextlib.contextmanager
def flood(address, count):
    """Connections that say nothing; those that are not accepted wait, or are not even there."""
    host, port = address.rsplit(":", 1)
    with contextlib.ExitStack() as all_:
        for _ in range(count):
            s = all_.enter_context(socket.socket())
            s.setblocking(False)
            s.connect_ex((host, int(port)))
        yield


def assert_serves(gate, process):
    """Each loop, whichever a connection comes to, still accepts, and all of them end."""
    for _ in range(20):
        status, _, body = get(gate.tracker, "/scrape")
        assert status == 200 and body.startswith(b"d14:failure reason"), body
    assert process.stop() == 0, process.output()


def test_connections_are_as_many_as_open_files_allow(tmp_path):
    gate = Gate(str(tmp_path))
    process = Process([binary("swarmgated"), "--config", gate.config],
                      before=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES)))
    process.wait_line("raise LimitNOFILE=")
    connections = int(re.search(r"up to (\d+) connections a role and loop, of (\d+) open files",
                                process.wait_line("open files"))[1])
    process.wait_line("ready")
    idle = files_of(process)
    with many_files(), flood(gate.tracker, 4 * FILES):
        process.wait_line("as many are open as the limit allows")
        wait_for("a loop that is full", 20, lambda: files_of(process) >= idle + connections)
        assert files_of(process) < FILES - 20, "nothing is left for the rest of the server"
    assert_serves(gate, process)


def test_no_open_files_are_left(tmp_path):
    """Fewer than there were at the start: every loop runs out of them, and goes on when there are some again."""
    gate = Gate(str(tmp_path)).start()
    process, gate.process = gate.process, None
    few = files_of(process) + 15
    resource.prlimit(process.popen.pid, resource.RLIMIT_NOFILE, (few, few))
    with many_files(), flood(gate.tracker, 800):
        process.wait_line("too many open files")
    assert_serves(gate, process)


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
