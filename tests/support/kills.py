"""
`kill -9` at random moments, by hand:

    kills.py --kills 500 [--seed 1]

swarmgated, with gateway and token service in front of a real registry, hands out tokens of every kind while two
operators change users, passwords, grants and revocations by the tool; then the server, a tool, or all of them are
killed. After each kill what was acknowledged is looked for in the database, what left in the audit log, and the
database is checked. It fails when anything is missing. The programs are those of $SWARMGATE_BIN.
"""

import argparse
import base64
import collections
import contextlib
import fcntl
import hashlib
import json
import os
import random
import re
import signal
import sys
import tempfile
import threading
import time
import urllib.parse
from http.client import HTTPException, IncompleteRead

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support.announce import get  # noqa: E402
from support.gate import Gate  # noqa: E402
from support.image import small_image  # noqa: E402
from support.operators import Operator, key_of  # noqa: E402
from support.process import Process, binary  # noqa: E402
from support.registry import Registry, basic  # noqa: E402

REGISTRY = "registry.example"
USERS = {"alice": "alice-password", "gateway": "gateway-password"}  # of the registry
KEEPER = "keeper"  # whose rights stay as they are
TAKERS, OPERATORS = 3, ("ann", "ben")
AT_LEAST, AT_MOST = 0.02, 1.2  # seconds from the first request or command to a kill
STARTING = 0.15                # seconds, at most, until a server that starts is killed
SLOW = 0.05                    # seconds, at most, for which the audit log takes nothing before a kill
JWT = re.compile(rb"eyJ[\w-]+\.([\w-]+)\.[\w-]+")
REFRESH = re.compile(rb'"refresh_token":"([\w-]{43})"')
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def ids_in(body):
    """[(kind, jti)] of all the tokens in an answer, or in as much of it as came."""
    ids = []
    for payload in JWT.findall(body):
        said = json.loads(base64.urlsafe_b64decode(payload + b"=="))
        ids.append(("registry" if "access" in said else "webseed" if "digest" in said else "swarm", said["jti"]))
    # The log knows a refresh token by its hash.
    return set(ids + [("refresh", hashlib.sha256(token).hexdigest()[:32]) for token in REFRESH.findall(body)])


class AuditLog:
    """What is in the audit log, read on from where it was left."""

    def __init__(self, path):
        self.path, self.offset = path, 0
        self.tokens, self.changes, self.torn = collections.Counter(), collections.Counter(), 0

    def read(self):
        with open(self.path, "rb") as f:
            f.seek(self.offset)
            lines, newline, _ = f.read().rpartition(b"\n")
        self.offset += len(lines) + len(newline)
        for line in lines.splitlines():
            try:
                self.add(json.loads(line))
            except ValueError:
                self.torn += 1

    @contextlib.contextmanager
    def held(self):
        """Nobody else can write to it meanwhile, as if the disk were slow."""
        folder = os.open(os.path.dirname(self.path), os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

    def add(self, event):
        if event["event"] == "token":
            self.tokens[event["kind"], event["jti"]] += 1
        else:
            self.changes[key_of(event)] += 1


class Server:
    """The server, and what it was asked for."""

    def __init__(self, gate, blobs, basic_of):
        self.gate, self.blobs, self.alice = gate, blobs, basic_of("alice")
        self.keeper = basic(KEEPER, KEEPER)
        self.got, self.refresh, self.wrong = set(), [], []
        self._lock = threading.Lock()

    def ask(self, target, headers=None, allowed=(200,), **more):
        """(status, body); all tokens in it have left. None when the server ended before the answer did."""
        try:
            status, _, body = get(self.gate.gateway, target, headers, **more)
        except IncompleteRead as e:
            status, body = None, e.partial
        except (OSError, HTTPException):
            return None
        with self._lock:
            self.got |= ids_in(body)
        if status not in (None, *allowed):
            self.wrong.append(f"{target}: {status} {body[:300]!r}")
        return status and (status, body)

    def login(self, name, password, allowed=(200,)):
        """As ask(), for a refresh token too."""
        return self.ask(f"/token?service={REGISTRY}&scope=repository:team/app:pull&offline_token=true", basic(name, password), allowed)

    def exchange(self, token, allowed=(200,)):
        form = urllib.parse.urlencode({"grant_type": "refresh_token", "service": REGISTRY, "refresh_token": token,
                                       "scope": "repository:team/app:pull"})
        return self.ask("/token", FORM, allowed, method="POST", body=form)

    def take(self, dice):
        """One request of any kind. False when the server is gone."""
        kind = dice.choices(("torrent", "tokens", "login", "refresh", "anonymous"), (4, 4, 1, 4, 4))[0]
        if kind == "torrent":
            return self.ask("/v1/team/app/blobs/" + dice.choice(self.blobs), self.alice)
        if kind == "tokens":
            return self.ask("/v1/team/app/tokens", self.alice, method="POST", body=json.dumps({"digests": self.blobs}))
        if kind == "anonymous":
            return self.ask(f"/token?service={REGISTRY}&scope=repository:public/tool:pull")
        if kind == "refresh" and self.refresh:
            return self.exchange(dice.choice(self.refresh[-20:]))
        done = self.login(KEEPER, KEEPER)
        if done:
            self.refresh += [token.decode() for token in REFRESH.findall(done[1])]
        return done


class Kills:
    """Rounds of use that end with a kill, and what comes of them."""

    def __init__(self, gate, registry, blobs, seed):
        self.gate, self.dice = gate, random.Random(seed)
        self.server = Server(gate, blobs, registry.basic)
        self.operators = [Operator(name, gate, REGISTRY, random.Random(f"{seed}-{name}")) for name in OPERATORS]
        self.log = AuditLog(os.path.join(gate.folder, "data", "audit", "audit.jsonl"))
        self.kills, self.killed, self.made, self.checks, self.lost = 0, collections.Counter(), 0, 0, []

    def repeat(self, step):
        """A thread that takes steps until one is the last."""
        def steps():
            while not self.over.is_set() and step():
                pass

        thread = threading.Thread(target=steps)
        thread.start()
        return thread

    def round(self, target):
        """Returns how many processes were killed."""
        if target == "start":
            self.gate.stop()
            self.gate.process = Process([binary("swarmgated"), "--config", self.gate.config])
            time.sleep(self.dice.uniform(0, STARTING))
            return self.kill_server(target)
        self.over = threading.Event()
        dices = [random.Random(self.dice.random()) for _ in range(TAKERS)]
        threads = [self.repeat(lambda dice=dice: self.server.take(dice)) for dice in dices]
        threads += [self.repeat(operator.change) for operator in self.operators]
        time.sleep(self.dice.uniform(AT_LEAST, AT_MOST))
        count = 0
        with self.log.held() if self.dice.random() < 0.5 else contextlib.nullcontext():
            time.sleep(self.dice.uniform(0, SLOW))
            if target in ("tool", "both"):
                self.kill_tools()
            if target in ("server", "both"):
                count += self.kill_server(target)
        self.over.set()
        for thread in threads:
            thread.join()
        tools = sum(operator.before is not None for operator in self.operators)
        self.killed["tool"] += tools
        return count + tools

    def kill_tools(self):
        for operator in self.operators:
            if operator.tool is not None:
                operator.tool.kill()

    def kill_server(self, target):
        process, self.gate.process = self.gate.process, None
        status = process.stop(signal.SIGKILL)
        if status != -signal.SIGKILL:
            self.server.wrong.append(f"the server ended by itself: {status} {process.output()[-2000:]}")
        self.killed["server, starting" if target == "start" else "server"] += 1
        return 1

    def json_of(self, *argv):
        return json.loads(self.gate.tool(*argv, "--json", "--config", self.gate.config).stdout)

    def check(self):
        """Everything that can be seen before the server is there again, then what it says."""
        checked = self.gate.tool("db", "check", "--config", self.gate.config, check=False)
        self.checks += 1
        if checked.returncode != 0:
            self.lost.append(f"the database is damaged: {checked.stderr}")
        users = {user["name"]: {grant["pattern"]: grant["actions"] for grant in user["grants"]} for user in self.json_of("user", "list")}
        revocations = self.json_of("revoke", "list")
        for operator in self.operators:
            self.made += operator.compare(users, revocations)
        self.check_log()
        if self.gate.process is None:
            self.gate.start()
        kept = self.server.refresh[-20:]
        for token in kept:
            self.server.exchange(token)
        for operator in self.operators:
            operator.try_secrets(self.server)
            self.lost += operator.wrong
            operator.wrong = []
        self.lost += self.server.wrong
        self.server.wrong = []

    def check_log(self):
        self.log.read()
        self.lost += [f"not in the audit log: {one}" for one in self.server.got if self.log.tokens[one] != 1]
        for operator in self.operators:
            self.lost += [f"not in the audit log: {event}" for event in operator.expected if not self.log.changes[event]]
            self.log.changes.subtract(operator.expected)
            operator.expected = []

    def run(self, kills):
        self.gate.start()
        while self.kills < kills and not self.lost:
            # A tool may have ended just when it was to be killed.
            self.kills += self.round(self.dice.choices(("server", "tool", "both", "start"), (4, 3, 3, 1))[0]) > 0
            self.check()
        self.gate.stop()
        self.check_log()
        told = {(event["kind"], event["jti"]) for line in self.gate.tool("audit", "--json", "--config", self.gate.config).stdout.splitlines()
                if (event := json.loads(line))["event"] == "token"}
        self.lost += [f"not among what `swarmgate audit` shows: {one}" for one in self.server.got - told]
        return not self.lost

    def report(self):
        """In lines, the last of which says it all."""
        acknowledged = sum((operator.acknowledged for operator in self.operators), collections.Counter())
        tokens = collections.Counter(kind for kind, _ in self.server.got)
        for title, counts in (("processes killed", self.killed), ("acknowledged", acknowledged), ("tokens out", tokens)):
            print(f"{title}: " + ", ".join(f"{count} {name}" for name, count in sorted(counts.items())))
        print(f"changes not acknowledged: {self.killed['tool']}, made all the same: {self.made}; torn lines of the audit log: {self.log.torn}")
        print(*(f"LOST {one}" for one in self.lost), sep="\n", end="\n" if self.lost else "")
        print(f"{self.kills} kills, {sum(acknowledged.values())} changes acknowledged and {sum(tokens.values())} tokens out, "
              f"{self.checks} checks of the database: {len(self.lost)} lost or wrong")


def run_kills(folder, kills, seed):
    """Returns whether nothing was lost."""
    with Registry(os.path.join(folder, "registry"), USERS) as registry:
        small_image(os.path.join(folder, "image"), "kills", (3000, 2000))
        registry.push(f"oci:{folder}/image:1", "team/app:1", "alice")
        path = os.path.join(folder, "registry.pem")
        service = {"issuer": "auth.example", "service": REGISTRY, "signing_key": "registry.pem", "anonymous_pull": ["public/*"]}
        gate = Gate(folder, [{"name": REGISTRY, "url": registry.url}], token_service=service, log={"level": "info"})
        gate.tool("key", "generate", "--use", "registry", "--out", path)
        gate.tool("user", "add", KEEPER, "--config", gate.config, input=KEEPER)
        gate.tool("user", "grant", KEEPER, "team/*", "pull", "--config", gate.config)
        made = gate.tool("torrent", "create", f"docker://{registry.address}/team/app:1", "--register", "--json", "--config", gate.config,
                         "--authfile", registry.auth_file("alice"))
        one = Kills(gate, registry, [blob["digest"] for blob in json.loads(made.stdout)["blobs"]], seed)
        try:
            return one.run(kills)
        finally:
            one.report()
            if gate.process is not None:
                gate.process.stop()


def main():
    parser = argparse.ArgumentParser(description="Kills swarmgated and swarmgate at random, and looks what is lost.")
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="swarmgate-kills-") as folder:
        sys.exit(0 if run_kills(folder, options.kills, options.seed) else 1)


if __name__ == "__main__":
    main()
