"""`swarmgate agent` with a configuration of its own, and its answers."""

import dataclasses
import http.client
import json
import os
import signal

import yaml

from .process import Process, binary, free_port, run


@dataclasses.dataclass
class Answer:
    status: int
    headers: dict
    body: bytes


class Agent:
    """
    Mirrors the registries of `gateways`, {host: URL}; `more` are further keys of its configuration. `prefix` goes in
    front of its command lines, for a network namespace.
    """

    def __init__(self, folder, gateways, prefix=(), **more):
        os.makedirs(folder, exist_ok=True)
        self.folder, self.prefix = str(folder), list(prefix)
        self.address = f"127.0.0.1:{free_port()}"
        self.config = os.path.join(self.folder, "node.yaml")
        with open(self.config, "w", encoding="utf-8") as f:
            yaml.safe_dump({"gateways": gateways, "listen": [self.address], "store": {"path": "store", **more.pop("store", {})},
                            "log": {"level": "debug"}, **more}, f)
        self.process = None

    @property
    def url(self):
        return f"http://{self.address}"

    def start(self):
        self.process = Process([*self.prefix, binary("swarmgate"), "agent", "run", "--config", self.config])
        self.process.wait_line("ready")
        return self

    def stop(self):
        """Ends it and fails when it did not end well."""
        if self.process is not None:
            process, self.process = self.process, None
            status = process.stop(seconds=20)
            assert status == 0, f"swarmgate agent: exit {status}\n{process.output()}"

    def kill(self):
        process, self.process = self.process, None
        process.stop(signal.SIGKILL)

    def __enter__(self):
        return self.start()

    def __exit__(self, *ignored):
        self.stop()

    def log(self):
        return self.process.output()

    def ask(self, path, method="GET", **headers):
        """One request; what follows `headers` is written with `_` for `-`."""
        connection = http.client.HTTPConnection(self.address, timeout=60)
        try:
            connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def status(self):
        return json.loads(run([*self.prefix, binary("swarmgate"), "status", "--url", self.url, "--json"]).stdout)

    def blobs(self):
        """The digests of the blobs that are there."""
        return {"sha256:" + name for name in os.listdir(os.path.join(self.folder, "store", "blobs", "sha256"))}

    def install(self, root):
        """`agent install` below the folder `root`; returns containerd's folder of hosts.toml, and podman's file."""
        run([binary("swarmgate"), "agent", "install", "--config", self.config, "--root", root])
        return f"{root}/etc/containerd/certs.d", f"{root}/etc/containers/registries.conf.d/50-swarmgate.conf"
