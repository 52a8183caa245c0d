"""`swarmgate user …`: users, their passwords and grants, as an operator meets them."""

import base64
import contextlib
import hashlib
import json
import os
import pty
import random
import re
import select
import signal
import subprocess
import termios
import time

import pytest
from support.gate import Gate
from support.process import binary, run

PASSWORD = "correct horse SECRET"


class Users:
    """The tool with a configuration of its own."""

    def __init__(self, folder):
        self.folder = folder
        self.config = str(folder / "swarmgated.yaml")
        (folder / "swarmgated.yaml").write_text("data_dir: data\ntracker: {}\n")

    def __call__(self, *argv, password=None, check=True):
        more = {} if password is None else {"input": password}
        return run([binary("swarmgate"), "user", *argv, "--config", self.config], check=check, **more)

    def refused(self, status, says, *argv, password=None):
        done = self(*argv, password=password, check=False)
        assert done.returncode == status and says in done.stderr, done
        assert done.stderr.count("\n") == 1 and done.stderr.startswith("swarmgate: ") and done.stdout == "", done
        assert "SECRET" not in done.stderr

    def list(self):
        return {user["name"]: {g["pattern"]: g["actions"] for g in user["grants"]} for user in json.loads(self("list", "--json").stdout)}

    def hashes(self):
        """The hashes that are in the database's file, also those that lie in it no more."""
        return set(re.findall(rb"\$scrypt\$ln=15,r=8,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}", (self.folder / "data" / "db" / "data.mdb").read_bytes()))

    def sound(self):
        return "all sound" in run([binary("swarmgate"), "db", "check", "--config", self.config]).stdout


@pytest.fixture
def users(tmp_path):
    return Users(tmp_path)


@pytest.fixture(scope="module")
def alice(tmp_path_factory):
    """Users of whom there is one, for what is refused."""
    users = Users(tmp_path_factory.mktemp("alice"))
    users("add", "alice", password=PASSWORD)
    yield users
    assert users.list() == {"alice": {}} and len(users.hashes()) == 1


def brief(value):
    return repr(value)[:40]


def fits(phc, password):
    salt, digest = (base64.b64decode(part + b"=" * (-len(part) % 4)) for part in phc.split(b"$")[3:])
    return hashlib.scrypt(password.encode(), salt=salt, n=1 << 15, r=8, p=1, maxmem=1 << 26, dklen=32) == digest


@pytest.mark.parametrize("service", [False, True])
def test_users_without_a_token_service_are_noted(users, service):
    """They may be there before it, but are for nothing without."""
    if service:
        with open(users.config, "a", encoding="utf-8") as f:
            f.write("token_service: {issuer: i, service: s, signing_key: registry.pem}\n")
    for argv, noted in ((["add", "alice"], True), (["grant", "alice", "*", "pull"], True), (["passwd", "alice"], False),
                        (["ungrant", "alice", "*"], False), (["list"], False), (["remove", "alice"], False)):
        said = users(*argv, password=PASSWORD).stderr
        assert said.count("\n") == (noted and not service), (argv, said)
        assert service or not noted or ("note: " in said and "swarmgated.yaml has no token_service" in said)


def test_users_come_and_go(users):
    assert users("list").stdout == "" and json.loads(users("list", "--json").stdout) == []
    users("add", "alice", password=PASSWORD + "\n")
    users("add", "jürgen müller", password=PASSWORD)
    users.refused(1, "alice already", "add", "alice", password="another SECRET")
    assert users.list() == {"alice": {}, "jürgen müller": {}}
    users("remove", "alice")
    users.refused(4, "no user alice", "remove", "alice")
    users.refused(4, "no user alice", "passwd", "alice", password=PASSWORD)
    users.refused(4, "no user alice", "grant", "alice", "team/*", "pull")
    users.refused(2, "a grant is of pull, or of pull,push", "grant", "alice", "team/*", "pull,")
    users.refused(4, "no user alice", "ungrant", "alice", "team/*")
    assert users.list() == {"jürgen müller": {}} and users.sound()


def test_what_is_stored_is_a_hash(users):
    users("add", "alice", password=PASSWORD)
    users("add", "bob", password=PASSWORD)
    stored = users.hashes()
    assert len(stored) == 2 and all(fits(phc, PASSWORD) for phc in stored)
    before = json.loads(users("list", "--json").stdout)
    users("passwd", "alice", password="SECRET two")
    new, = users.hashes() - stored
    assert fits(new, "SECRET two") and not fits(new, PASSWORD)
    after = json.loads(users("list", "--json").stdout)
    assert [user["name"] for user in after] == ["alice", "bob"] and after[1] == before[1]
    assert after[0]["password_changed"] >= before[0]["password_changed"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", after[0]["password_changed"])
    for path, _, names in os.walk(users.folder):
        assert all(b"SECRET" not in open(os.path.join(path, name), "rb").read() for name in names)


@pytest.mark.parametrize("given,password", [("x", "x"), ("x\n", "x"), ("x\r\n", "x"), (" x y \n", " x y "), ("$:/ü", "$:/ü"),
                                            ("x" * 1024, "x" * 1024), ("x" * 1024 + "\r\n", "x" * 1024)], ids=brief)
def test_passwords_on_standard_input(users, given, password):
    users("add", "alice", password=given)
    stored, = users.hashes()
    assert fits(stored, password)


@pytest.mark.parametrize("given,says", [("", "empty"), ("\n", "empty"), ("\r\n", "empty"), ("SECRET\nSECRET\n", "control"), ("SECRET\n\n", "control"),
                                        ("SECRET\r", "control"), ("\tSECRET", "control"), ("SECRET\0\n", "control"), ("SECRET\x1b[2J", "control"),
                                        ("SECRET\x9b", "control"), ("x" * 1025, "1024"), ("x" * 1025 + "\n", "1024"), ("x" * 1026 + "\n", "1024"),
                                        ("x" * 100_000, "1024")], ids=brief)
def test_passwords_that_will_not_do(alice, given, says):
    alice.refused(2, says, "add", "bob", password=given)
    alice.refused(2, says, "passwd", "alice", password=given)


@pytest.mark.parametrize("argv", [
    ["add"], ["add", "a:b"], ["add", "a/b"], ["add", ""], ["add", "a\nb"], ["add", "n" * 256], ["add", "\udcff"], ["add", "a\x9b"], ["remove", "a:b"],
    ["passwd", "a/b"], ["grant", "alice"], ["grant", "alice", "team/*"], ["grant", "alice", "team/*", "push"], ["grant", "alice", "team/*", "delete"],
    ["grant", "alice", "team/*", "pull,delete"], ["grant", "alice", "team/*", "Pull"], ["grant", "alice", "team/*", ""], ["grant", "alice", "team*", "pull"],
    ["grant", "alice", "", "pull"], ["grant", "alice", "a/*/b", "pull"], ["grant", "alice", "Team/App", "pull"], ["grant", "alice", "x" * 256, "pull"],
    ["grant", "a:b", "team/*", "pull"], ["ungrant", "alice"], ["ungrant", "alice", "team*"], ["ungrant", "alice", "team/*", "delete"], ["list", "alice"],
    ["grant", "alice", "team/*", "pull,"], ["grant", "alice", "team/*", ",pull"], ["grant", "alice", "team/*", "push"],
    ["grant", "alice", "team/*", "pull,pull"], ["ungrant", "alice", "team/*", "push,"],
    ["grant", "alice", "team/*", "pull", "more"], ["add", "alice", "--json"], ["add", "alice", "--password", "x"], ["nonsense"],
], ids=brief)
def test_wrong_usage(alice, argv):
    done = alice(*argv, password=PASSWORD, check=False)
    assert done.returncode == 2 and done.stderr and done.stdout == "", done


def test_a_password_on_the_command_line_is_not_repeated(alice):
    alice.refused(2, "too many arguments", "add", "bob", "SECRET")
    alice.refused(2, "too many arguments", "passwd", "alice", "SECRET")


def test_grants(users):
    for name in ("al", "alice"):
        users("add", name, password=PASSWORD)
    users("grant", "alice", "team/*", "pull")
    users("grant", "alice", "team/app", "pull,push")
    users("grant", "alice", "team/app2", "push,pull")
    users("grant", "al", "*", "pull,push")
    users("grant", "al", "*", "pull")
    assert users.list() == {"al": {"*": ["pull"]}, "alice": {"team/*": ["pull"], "team/app": ["pull", "push"], "team/app2": ["pull", "push"]}}
    lines = users("list").stdout.splitlines()
    assert [line.split("  ")[0] for line in lines if not line.startswith(" ")] == ["al", "alice"]
    assert lines[1] == "  *  pull" and "  team/app  pull,push" in lines
    users("ungrant", "alice", "team/app", "push")
    assert users.list()["alice"]["team/app"] == ["pull"]
    users("ungrant", "alice", "team/app")
    users.refused(4, "no grant of team/app", "ungrant", "alice", "team/app", "pull")
    users("ungrant", "alice", "team/app2", "pull")
    assert users.list()["alice"] == {"team/*": ["pull"]}
    users("remove", "al")
    users("add", "al", password=PASSWORD)
    assert users.list() == {"al": {}, "alice": {"team/*": ["pull"]}} and users.sound()


def test_what_is_stored_is_counted(users):
    users("add", "alice", password=PASSWORD)
    for pattern in ("a", "b"):
        users("grant", "alice", pattern, "pull")
    stats = dict(re.split(r"  +", line) for line in run([binary("swarmgate"), "db", "stats", "--config", users.config]).stdout.splitlines())
    assert (stats["users"], stats["grants"], stats["refresh tokens"]) == ("1", "2", "0")


def test_users_are_changed_while_the_server_runs(tmp_path):
    with Gate(str(tmp_path)) as gate:
        gate.tool("user", "add", "alice", "--config", gate.config, input=PASSWORD)
        gate.tool("user", "grant", "alice", "team/*", "pull", "--config", gate.config)
        assert "team/*" in gate.tool("user", "list", "--config", gate.config).stdout


class Terminal:
    """The tool at a terminal."""

    def __init__(self, users, *argv):
        self.master, self.slave = pty.openpty()
        self.shown = b""
        self.popen = subprocess.Popen([binary("swarmgate"), "user", *argv, "--config", users.config], stdin=self.slave, stdout=self.slave, stderr=self.slave,
                                      start_new_session=True, preexec_fn=lambda: [signal.signal(sig, signal.SIG_DFL) for sig in (signal.SIGINT, signal.SIGHUP)])

    def wait(self, text, seconds=60):
        """Waits until `text` is shown, and forgets all before it."""
        while text not in self.shown:
            ready, _, _ = select.select([self.master], [], [], seconds)
            assert ready, (text, self.shown)
            self.shown += os.read(self.master, 4096)
            assert b"SECRET" not in self.shown
        self.shown = self.shown.split(text, 1)[1]

    def type(self, text):
        os.write(self.master, text)

    def echo(self):
        return bool(termios.tcgetattr(self.slave)[3] & termios.ECHO)

    def end(self):
        status = self.popen.wait(60)
        while select.select([self.master], [], [], 0)[0]:
            self.shown += os.read(self.master, 4096)
        assert b"SECRET" not in self.shown
        return status

    def __enter__(self):
        return self

    def __exit__(self, *ignored):
        self.popen.kill()
        self.popen.wait()
        os.close(self.master)
        os.close(self.slave)


def test_a_terminal_is_asked_twice_without_echo(users):
    with Terminal(users, "add", "alice") as terminal:
        terminal.wait(b"Password: ")
        assert not terminal.echo()
        terminal.type(b"SECRET one\n")
        terminal.wait(b"The same again: ")
        terminal.type(b"SECRET one\n")
        assert terminal.end() == 0 and terminal.echo()
    stored, = users.hashes()
    assert fits(stored, "SECRET one")


@pytest.mark.parametrize("lines,says", [([b"SECRET one\n", b"SECRET two\n"], b"differ"), ([b"\n"], b"empty"), ([b"\x04"], b"empty"),
                                        ([b"SECRET\n", b"\n"], b"empty"), ([b"x" * 1025 + b"\n"], b"1024"), ([b"x" * 2000 + b"\n"], b"1024")], ids=brief)
def test_a_terminal_that_is_told_nothing_of_use(users, lines, says):
    with Terminal(users, "add", "alice") as terminal:
        for question, line in zip((b"Password: ", b"The same again: "), lines):
            terminal.wait(question)
            terminal.type(line)
        assert terminal.end() == 2 and terminal.echo() and says in terminal.shown
    assert users.list() == {}


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_terminal_shows_again_what_is_typed_after_a_signal(users, sig):
    with Terminal(users, "add", "alice") as terminal:
        terminal.wait(b"Password: ")
        terminal.type(b"SEC")
        terminal.popen.send_signal(sig)
        assert terminal.end() == -sig and terminal.echo()
    assert users.list() == {}


def test_nobody_is_asked_for_nothing(alice):
    for argv, status in ((["add", "alice"], 1), (["passwd", "bob"], 4), (["add", "a:b"], 2)):
        with Terminal(alice, *argv) as terminal:
            assert terminal.end() == status and b"Password" not in terminal.shown


def test_kill_9_loses_nothing_that_was_acknowledged(users):
    """The tool is killed at any moment of a write: what it said is there, and the database is sound."""
    users("add", "alice", password=PASSWORD)
    began = time.monotonic()
    users("grant", "alice", "*", "pull")
    usual = time.monotonic() - began
    known = {"*": ["pull"]}
    outcomes = []
    for i in range(60):
        pattern = f"team/app{i % 10}"
        actions = None if i % 3 == 0 else ["pull"] if i % 3 == 1 else ["pull", "push"]
        argv = ["ungrant", "alice", pattern] if actions is None else ["grant", "alice", pattern, ",".join(actions)]
        tool = subprocess.Popen([binary("swarmgate"), "user", *argv, "--config", users.config], stderr=subprocess.DEVNULL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            tool.wait(random.random() * 1.2 * usual)
        tool.kill()
        outcomes.append(tool.wait())
        there = users.list()["alice"]
        if outcomes[-1] == 0 or there.get(pattern) == actions:  # it was done, whether it said so or not
            known[pattern] = actions
        assert there == {pattern: actions for pattern, actions in known.items() if actions}, outcomes
    assert -signal.SIGKILL in outcomes and users.sound()
