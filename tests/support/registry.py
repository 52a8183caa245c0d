"""Debian's docker-registry; with htpasswd every repository is private, with a token service it is as that says."""

import base64
import json
import os
import subprocess

from .announce import get
from .process import Process, free_port, run, wait_for


def auth_entry(user, password):
    """What an auth.json holds of a user at a registry."""
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def basic(user, password):
    """The Authorization header of a user."""
    return {"Authorization": "Basic " + auth_entry(user, password)["auth"]}


class Registry:
    """
    Listens on host:port and keeps its blobs in `folder`. `prefix` goes in front of the command line, for
    a network namespace. With `tls`, a Certificate of certificates.py, it speaks https; with `client_ca`, an
    Authority, to those alone who show a certificate of that. With `realm`, a Realm of token_service.py, it takes
    the tokens of that service, whose users `users` are then; else they are its own. Without either everybody
    may read and write. `more` are sections of its configuration.
    """

    def __init__(self, folder, users, host="127.0.0.1", port=None, prefix=(), tls=None, client_ca=None, realm=None, **more):
        os.makedirs(folder, exist_ok=True)
        self.folder, self.users, self.prefix, self.tls = folder, users, list(prefix), tls
        literal = f"[{host}]" if ":" in host else host
        self.address = f"{literal}:{port or free_port(host)}"
        http = {"addr": self.address, "secret": "not used by one registry alone"}
        if tls:
            http["tls"] = {"certificate": tls.cert, "key": tls.key}
        if client_ca:
            http["tls"]["clientcas"] = [client_ca.cert]
        auth = {}
        if realm:
            auth = {"token": {"realm": realm.url, "service": realm.service, "issuer": realm.issuer,
                              "rootcertbundle": realm.certificate}}
        elif users:
            auth = {"htpasswd": {"realm": "registry", "path": self._passwords()}}
        self.config = os.path.join(folder, "registry.yml")
        with open(self.config, "w", encoding="utf-8") as f:
            # JSON is YAML.
            json.dump({
                "version": "0.1",
                "log": {"level": "info", "formatter": "json", "accesslog": {"disabled": True}},
                "storage": {"filesystem": {"rootdirectory": os.path.join(folder, "storage")},
                            "delete": {"enabled": True}},
                "http": http,
                **({"auth": auth} if auth else {}),
                **more,
            }, f)
        self.process = None
        self.settled = 0

    def _passwords(self):
        path = os.path.join(self.folder, "htpasswd")
        with open(path, "w", encoding="utf-8") as f:
            for user, password in self.users.items():
                f.write(subprocess.run(["htpasswd", "-niB", "-C", "4", user], input=password, text=True,
                                       stdout=subprocess.PIPE, check=True).stdout.strip() + "\n")
        return path

    def start(self):
        self.process = Process([*self.prefix, "docker-registry", "serve", self.config],
                               env={**os.environ, "OTEL_TRACES_EXPORTER": "none"})
        self.process.wait_line("listening on")
        return self

    def stop(self):
        if self.process is not None:
            self.process.stop()

    def __enter__(self):
        return self.start()

    def __exit__(self, *ignored):
        self.stop()

    @property
    def url(self):
        return ("https://" if self.tls else "http://") + self.address

    def auth_file(self, user, path=None):
        """An auth.json for one user, or for nobody, as containers-auth.json(5) has it; returns its path."""
        path = path or os.path.join(self.folder, f"auth-{user}.json")
        with open(path, "w", encoding="utf-8") as f:
            json.dump({"auths": {} if user is None else {self.address: auth_entry(user, self.users[user])}}, f)
        os.chmod(path, 0o600)
        return path

    def basic(self, user, password=None):
        """The Authorization header of a user of its."""
        return basic(user, password or self.users[user])

    def push(self, source, name, user, *options):
        """skopeo copy SOURCE to NAME, such as team/app:1."""
        run([*self.prefix, "skopeo", "copy", "-q", "--insecure-policy", "--dest-tls-verify=false",
             "--preserve-digests", *options, "--authfile", self.auth_file(user), source, f"docker://{self.address}/{name}"])

    def tags(self, name):
        """{tag: manifest's digest} of a repository, as they lie in its storage."""
        folder = os.path.join(self.folder, "storage/docker/registry/v2/repositories", name, "_manifests/tags")
        tags = {}
        for tag in os.listdir(folder) if os.path.isdir(folder) else ():
            with open(os.path.join(folder, tag, "current/link"), encoding="ascii") as f:
                tags[tag] = f.read()
        return tags

    def asked(self, name, before=None, status=200):
        """
        What was asked about a repository and answered with that status, {(method, "manifests/1"): count, …}: so far, or
        since an earlier answer of this.
        """
        self.settle()
        counts = {}
        for line in list(self.process.lines):
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            uri = entry.get("http.request.uri", "")
            if entry.get("msg") == "response completed" and entry.get("http.response.status") == status and uri.startswith(f"/v2/{name}/"):
                key = entry["http.request.method"], "/".join(uri.split("/")[-2:])
                counts[key] = counts.get(key, 0) + 1
        return {key: count - (before or {}).get(key, 0) for key, count in counts.items() if count > (before or {}).get(key, 0)}

    def settle(self):
        """Waits until the log has what was answered before."""
        self.settled += 1
        marker = f"/v2/settled/manifests/{self.settled}"
        get(self.address, marker, self.basic(next(iter(self.users))) if self.users else {})
        wait_for("the registry's log", 20, lambda: any(marker in line and "http.response.status" in line for line in list(self.process.lines)))

    def bytes_sent(self, client=""):
        """Bytes of all GET answers so far, from the registry's own log; to clients whose User-Agent begins so."""
        total = 0
        for line in self.process.lines:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if (entry.get("http.request.method") == "GET" and entry.get("msg") == "response completed"
                    and entry.get("http.request.useragent", "").startswith(client)):
                total += int(entry.get("http.response.written", 0))
        return total


__all__ = ["Registry", "wait_for"]
