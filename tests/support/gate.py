"""swarmgated with keys and a configuration of its own, and the tool that goes with it."""

import os
import signal

import yaml

from .process import Process, binary, free_port, run


class Gate:
    """
    Tracker and gateway in front of `registries`, a list of rows of the configuration. `more` is laid over
    the configuration, section by section; None takes a section, or a key of one, out.
    """

    def __init__(self, folder, registries=(), host="127.0.0.1", prefix=(), **more):
        os.makedirs(folder, exist_ok=True)
        self.folder, self.prefix = folder, list(prefix)
        literal = f"[{host}]" if ":" in host else host
        self.tracker = f"{literal}:{free_port() if not prefix else 6969}"
        self.gateway = f"{literal}:{free_port() if not prefix else 8080}"
        self.key = os.path.join(folder, "announce.pem")
        if not os.path.exists(self.key):
            run([binary("swarmgate"), "key", "generate", "--use", "announce", "--out", self.key])
        config = {
            "data_dir": os.path.join(folder, "data"),
            "tracker": {"listen": [self.tracker]},
            "auth": {"signing_keys": ["announce.pem"]},
            "log": {"level": "debug"},
        }
        if registries:
            config["gateway"] = {"listen": [self.gateway]}
            config["registries"] = list(registries)
        for section, values in more.items():
            if values is None:
                config.pop(section, None)
            elif isinstance(values, dict):
                laid = {**config.get(section, {}), **values}
                config[section] = {key: value for key, value in laid.items() if value is not None}
            else:
                config[section] = values
        self.config = os.path.join(folder, "swarmgated.yaml")
        with open(self.config, "w", encoding="utf-8") as f:
            yaml.safe_dump(config, f, sort_keys=False)
        self.process = None

    def start(self):
        self.process = Process([*self.prefix, binary("swarmgated"), "--config", self.config])
        self.process.wait_line("ready")
        return self

    def stop(self):
        """Ends it and fails when it did not end well: a sanitizer's report is an exit status too."""
        if self.process is not None:
            process, self.process = self.process, None
            status = process.stop()
            assert status == 0, f"swarmgated: exit {status}\n{process.output()}"

    def reload(self, says="reloaded the certificates"):
        """Sends SIGHUP, waits for a new line of the log with that text, and returns it."""
        process = self.process
        before = sum(says in line for line in process.lines)
        process.popen.send_signal(signal.SIGHUP)
        with process._seen:
            assert process._seen.wait_for(lambda: sum(says in line for line in process.lines) > before, 20), process.output()
            return next(line for line in reversed(process.lines) if says in line)

    def __enter__(self):
        return self.start()

    def __exit__(self, *ignored):
        self.stop()

    @property
    def announce_url(self):
        return f"http://{self.tracker}/announce"

    @property
    def scrape_url(self):
        return f"http://{self.tracker}/scrape"

    @property
    def gateway_url(self):
        return f"http://{self.gateway}"

    def tool(self, *argv, check=True, **more):
        """Runs swarmgate with these arguments."""
        return run([*self.prefix, binary("swarmgate"), *argv], check=check, **more)

    def token(self, *infohashes, sub="registry/alice", **options):
        """A swarm token by the tool."""
        argv = ["token", "issue", "--config", self.config, "--sub", sub]
        for infohash in infohashes:
            argv += ["--infohash", infohash]
        for name, value in options.items():
            argv += ["--" + name, value]
        return self.tool(*argv).stdout.strip()
