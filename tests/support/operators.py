"""Operators who change users, grants and revocations by the tool, and know what came of it though it may be killed."""

import collections
import copy
import hashlib
import json
import signal
import subprocess
import time

from .process import binary


def key_of(event):
    """An event as a key: all but when and by whom, and until when."""
    return json.dumps({name: value for name, value in event.items() if name not in ("time", "from", "who", "until")}, sort_keys=True)


def named(kind, value):
    return {"infohashes": [value]} if kind == "infohash" else {kind: value}


class Operator:
    """
    Changes what is its own: `users` {name: {pattern: actions}}, `revoked` {(kind, value): banned}. `before` is
    another state than these when the last command was killed: then it is either.
    """

    def __init__(self, name, gate, registry, dice):
        self.gate, self.dice = gate, dice
        self.names = [f"{name}-{i}" for i in range(3)]
        self.patterns = [f"{name}/*", f"{name}/app", "*"]
        infohash = hashlib.sha1(name.encode()).hexdigest()
        self.values = [*(("sub", f"{registry}/{one}") for one in self.names), ("jti", f"{name}-jti"), ("kid", f"{name}-kid"),
                       ("repository", f"{registry}/{name}/app"), ("infohash", infohash)]
        self.users, self.revoked, self.before = {}, {}, None
        self.since = {}      # (kind, value): not older than this is its revocation
        self.passwords = {}  # those that are known to be set
        self.fresh = set()   # users whose password was set and not tried yet
        self.held = {}       # user: a refresh token that is good
        self.ended = []      # refresh tokens that are not any more
        self.acknowledged, self.expected = collections.Counter(), []
        self.wrong = []
        self.tool = None

    def any_command(self):
        """(argv, password, event, what changes the state, what is called with whether it is known to be done)."""
        unknown = [name for name in self.names if name not in self.users]
        if len(unknown) > 1 or unknown and self.dice.random() < 0.2:
            return self.user("add", self.dice.choice(unknown), lambda users, name: users.update({name: {}}))
        kind = self.dice.choices(("passwd", "remove", "grant", "ungrant", "revoke", "unrevoke"), (1, 1, 6, 4, 6, 4))[0]
        name = self.dice.choice(sorted(self.users))
        if kind == "passwd":
            return self.user("passwd", name, lambda users, name: None)
        if kind == "remove":
            return self.user("remove", name, lambda users, name: users.pop(name))
        granted = [(one, pattern) for one, grants in sorted(self.users.items()) for pattern in sorted(grants)]
        if kind == "ungrant" and granted:
            return self.grant("ungrant", *self.dice.choice(granted))
        if kind == "unrevoke" and self.revoked:
            return self.unrevoke(*self.dice.choice(sorted(self.revoked)))
        if kind == "revoke":
            return self.revoke(*self.dice.choice(self.values))
        return self.grant("grant", name, self.dice.choice(self.patterns))

    def user(self, action, name, does):
        password = None if action == "remove" else f"password {self.dice.random()}"

        def done(known):
            self.passwords.pop(name, None)
            self.end(name, known)
            if known and password:
                self.passwords[name] = password
                self.fresh.add(name)

        return (["user", action, name], password, {"event": "user", "action": action, "user": name},
                lambda: does(self.users, name), done)

    def grant(self, action, name, pattern):
        actions = self.dice.choice(("pull", "pull,push")) if action == "grant" else "pull,push"

        def does():
            if action == "grant":
                self.users[name][pattern] = actions.split(",")
            else:
                del self.users[name][pattern]

        return (["user", action, name, pattern, actions], None,
                {"event": "grant", "action": "add" if action == "grant" else "remove", "access": [actions], "user": name, "pattern": pattern},
                does, lambda known: None)

    def revoke(self, kind, value):
        ban = kind in ("sub", "repository") and self.dice.random() < 0.3
        more = ["--ban"] if ban else ["--for", "1h"] if kind in ("sub", "repository") else []
        began = int(time.time())

        def done(known):
            if known:
                self.since[kind, value] = began
            if kind == "sub":
                self.end(value.partition("/")[2], known)

        return (["revoke", "--" + kind, value, *more], None, {"event": "ban" if ban else "revoke", **named(kind, value)},
                lambda: self.revoked.update({(kind, value): ban or self.revoked.get((kind, value), False)}), done)

    def unrevoke(self, kind, value):
        return (["revoke", "remove", "--" + kind, value], None, {"event": "unrevoke", **named(kind, value)},
                lambda: self.revoked.pop((kind, value)), lambda known: self.since.pop((kind, value), None))

    def end(self, name, known):
        """The refresh token that is held of a user is good no more, or it is not known whether it is."""
        token = self.held.pop(name, None)
        if known and token:
            self.ended.append(token)

    def change(self):
        """Runs one command, and believes what it says. False when it was killed."""
        argv, password, event, does, done = self.any_command()
        before = copy.deepcopy((self.users, self.revoked))
        does()
        self.tool = subprocess.Popen([binary("swarmgate"), *argv, "--config", self.gate.config], stdin=subprocess.PIPE,
                                     stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        _, said = self.tool.communicate(password)
        status = self.tool.returncode
        done(status == 0)
        if status == 0:
            self.acknowledged[" ".join(argv[:2] if argv[0] == "user" or argv[1] == "remove" else argv[:1])] += 1
            self.expected.append(key_of(event))
        else:
            self.before = before
            if status != -signal.SIGKILL:
                self.wrong.append(f"{' '.join(argv)}: exit {status} {said}")
        return status == 0

    def compare(self, users, revocations):
        """Holds what is listed against what is known; what was not acknowledged may be there or not."""
        there = ({name: grants for name, grants in users.items() if name in self.names},
                 {(row["kind"], row["value"]): row["ban"] for row in revocations if (row["kind"], row["value"]) in self.values})
        before, self.before = self.before, None
        if there not in ((self.users, self.revoked), before):
            self.wrong.append(f"there is {there} instead of {(self.users, self.revoked)} or {before}")
        for row in revocations:
            if row["at"] < self.since.get((row["kind"], row["value"]), 0):
                self.wrong.append(f"an older revocation: {row}")
        made = before is not None and there != before
        self.users, self.revoked = there
        return made

    def try_secrets(self, server):
        """Passwords that were set let in, and refresh tokens are good or ended, as the commands have said."""
        for name in sorted(self.fresh & set(self.passwords) & set(self.users)):
            answer = server.login(name, self.passwords[name], (200, 403))  # 403 to the revoked
            if answer and answer[0] == 200:
                self.end(name, False)
                self.held[name] = json.loads(answer[1])["refresh_token"]
        self.fresh.clear()
        for token in self.held.values():
            server.exchange(token)
        for token in self.ended:
            server.exchange(token, (401,))
        self.ended.clear()
