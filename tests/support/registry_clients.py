"""
Clients of registries as users run them, each with storage of its own: skopeo, podman and containerd. A registry
says yes or no to them, in whatever words; anything else that goes wrong is a test's failure.
"""

import contextlib
import dataclasses
import json
import os
import re
import shutil
import subprocess
import tempfile

from .process import Process, run
from .registry import auth_entry

# What the three make of a 401 of a registry, and of its token service.
NO = re.compile(r"unauthorized|authentication required|access to the resource is denied|authorization failed"
                r"|invalid username/password|unexpected status: 401", re.IGNORECASE)


@dataclasses.dataclass
class Outcome:
    """`digest` is the manifest's, of what was pulled; None where it was refused, or was no pull."""

    refused: bool
    output: str
    digest: str = None

    def __bool__(self):
        return not self.refused


def outcome(done):
    """Of a program that is done."""
    output = done.stdout + done.stderr
    refused = done.returncode != 0
    if refused and not NO.search(output):
        raise AssertionError(f"{' '.join(map(str, done.args))}: exit {done.returncode}, and no refusal:\n{output}")
    return Outcome(refused, output)


@dataclasses.dataclass
class Identity:
    """An identity token in place of a password: a refresh token of the registry's token service."""

    token: str


class RegistryClient:
    """
    Started by `with`. `layout` is an OCI layout with the tag 1, which push() pushes. References are
    host:port/name:tag, of registries that speak http. `password` may be an Identity; without a user there are
    no credentials. `prefix` is put before the command lines.
    """

    name = None

    def __init__(self, layout=None, prefix=()):
        self.layout, self.prefix = layout, list(prefix)

    def __enter__(self):
        # Not where $TMPDIR says: podman takes no run root longer than 50 characters, a socket's path none over 107.
        self.folder = tempfile.mkdtemp(prefix="sg-", dir="/var/tmp")
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *ignored):
        self.stop()
        # podman's storage leaves a mount.
        for path in (os.path.join(self.folder, "root"), self.folder):
            subprocess.run(["umount", "-R", path], stderr=subprocess.DEVNULL, check=False)
        shutil.rmtree(self.folder)

    def start(self):
        """Makes ready what the commands need."""

    def stop(self):
        """Ends what start() began."""

    def path(self, name):
        return os.path.join(self.folder, name)

    def auth_file(self, image, user, password):
        """An auth.json with these credentials for the image's registry."""
        host = image.split("/")[0]
        entry = {}
        if isinstance(password, Identity):
            entry = {host: {**auth_entry(user or "", ""), "identitytoken": password.token}}
        elif user is not None:
            entry = {host: auth_entry(user, password)}
        # Several may pull at once.
        fd, path = tempfile.mkstemp(prefix="auth-", suffix=".json", dir=self.folder)
        with open(fd, "w", encoding="utf-8") as f:
            json.dump({"auths": entry}, f)
        return path

    def pull(self, image, user=None, password=None):
        """Pulls all of an image, as if none of it were there yet."""
        raise NotImplementedError

    def push(self, image, user=None, password=None):
        """Pushes the layout."""
        raise NotImplementedError


class _ContainersImage(RegistryClient):
    """What is built on containers/image, and has its logins in an auth.json."""

    def command(self, *argv, **more):
        """Runs it, whatever its exit status."""
        raise NotImplementedError

    def login(self, host, user, password):
        return outcome(self.command("login", "--tls-verify=false", "--authfile", self.path("login.json"), "-u", user,
                                    "--password-stdin", host, input=password))

    def logins(self):
        """The hosts that it has logged in to."""
        with contextlib.suppress(FileNotFoundError), open(self.path("login.json"), encoding="utf-8") as f:
            return set(json.load(f).get("auths", {}))
        return set()


class Skopeo(_ContainersImage):
    name = "skopeo"

    @staticmethod
    def version():
        return run(["skopeo", "--version"]).stdout.split()[2]

    def command(self, *argv, **more):
        return run([*self.prefix, "skopeo", "--insecure-policy", *argv], check=False, **more)

    def pull(self, image, user=None, password=None):
        folder = tempfile.mkdtemp(dir=self.folder)
        got = outcome(self.command("copy", "-q", "--src-tls-verify=false", "--preserve-digests", "--digestfile",
                                   os.path.join(folder, "digest"), "--src-authfile", self.auth_file(image, user, password),
                                   f"docker://{image}", f"oci:{folder}/image:1"))
        if got:
            with open(os.path.join(folder, "digest"), encoding="ascii") as f:
                got.digest = f.read().strip()
        return got

    def push(self, image, user=None, password=None):
        return outcome(self.command("copy", "-q", "--dest-tls-verify=false", "--preserve-digests", "--dest-authfile",
                                    self.auth_file(image, user, password), f"oci:{self.layout}:1", f"docker://{image}"))


class Podman(_ContainersImage):
    name = "podman"
    driver = "vfs"

    @staticmethod
    def version():
        return run(["podman", "--version"]).stdout.split()[2]

    def command(self, *argv, **more):
        return run([*self.prefix, "podman", "--root", self.path("root"), "--runroot", self.path("run"), "--tmpdir",
                    self.path("tmp"), "--storage-driver", self.driver, "--cgroup-manager", "cgroupfs", "--runtime", "runc",
                    *argv], check=False, **more)

    def start(self):
        if self.layout is not None:
            # By a relative path, for podman makes the image's name of it.
            os.symlink(os.path.abspath(self.layout), self.path("layout"))
            loaded = self.command("pull", "-q", "oci:layout:1", cwd=self.folder)
            assert loaded.returncode == 0, loaded.stderr
            self.loaded = loaded.stdout.split()[-1]

    def pull(self, image, user=None, password=None):
        got = outcome(self.command("pull", "-q", "--tls-verify=false", "--authfile", self.auth_file(image, user, password), image))
        if got:
            got.digest = self.command("image", "inspect", "--format", "{{.Digest}}", image).stdout.strip()
            removed = self.command("rmi", image)
            assert removed.returncode == 0, removed.stderr
        return got

    def push(self, image, user=None, password=None):
        return outcome(self.command("push", "-q", "--tls-verify=false", "--authfile", self.auth_file(image, user, password),
                                    self.loaded, f"docker://{image}"))


CONTAINERD = """
version = 2
root = "{folder}/root"
state = "{folder}/state"
disabled_plugins = [{disabled}]
[grpc]
address = "{folder}/sock"
[ttrpc]
address = "{folder}/ttrpc"
"""
# Kubernetes' interface, whose folder for plugins would be /opt, and file systems that may not be there.
WITHOUT = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt", "io.containerd.internal.v1.restart",
           *["io.containerd.snapshotter.v1." + name for name in ("aufs", "btrfs", "devmapper", "zfs")]]


class Containerd(RegistryClient):
    name = "containerd"
    process = None

    @staticmethod
    def version():
        return run(["containerd", "--version"]).stdout.split()[2]

    def start(self):
        config = self.path("config.toml")
        with open(config, "w", encoding="utf-8") as f:
            f.write(CONTAINERD.format(folder=self.folder, disabled=", ".join(f'"{name}"' for name in WITHOUT)))
        self.process = Process([*self.prefix, "containerd", "--config", config])
        self.process.wait_line("successfully booted")
        if self.layout is not None:
            archive = self.path("image.tar")
            run(["tar", "-C", self.layout, "-cf", archive, "."])
            self.ctr("images", "import", "--no-unpack", "--base-name", "local/image", archive, check=True)

    def stop(self):
        if self.process is not None:
            self.process.stop()

    def ctr(self, *argv, check=False):
        return run([*self.prefix, "ctr", "--address", self.path("sock"), *argv], check=check)

    @staticmethod
    def credentials(user, password):
        # ctr takes them on its command line alone; these are nobody's secrets. With a user it would not
        # look at the other.
        if isinstance(password, Identity):
            return ["--refresh", password.token]
        return [] if user is None else ["--user", f"{user}:{password}"]

    def pull(self, image, user=None, password=None):
        got = outcome(self.ctr("images", "pull", "--plain-http", "--snapshotter", "native", *self.credentials(user, password), image))
        if got:
            listed = self.ctr("images", "list", f"name=={image}").stdout
            got.digest = re.search(r"sha256:[0-9a-f]{64}", listed).group()
            self.ctr("images", "remove", "--sync", image, check=True)
        return got

    def push(self, image, user=None, password=None):
        return outcome(self.ctr("images", "push", "--plain-http", *self.credentials(user, password), image, "local/image:1"))


REGISTRY_CLIENTS = (Skopeo, Podman, Containerd)
