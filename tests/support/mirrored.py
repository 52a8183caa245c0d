"""Container runtimes that pull through an agent, each as `agent install` has it configured."""

import concurrent.futures
import contextlib
import http.client
import json
import os

from .agent_world import INDEX, digest_of
from .cri import CriContainerd
from .image import MANIFEST
from .registry import basic
from .registry_clients import Containerd, Outcome, Podman, RegistryClient, Skopeo


class Mirrored(RegistryClient):
    """`user_agent` is how a registry tells its requests from others'. use() may be called at any time, and again."""

    user_agent = None
    when_cut = "goes on"  # with the registry, after what it has of the agent; or "begins anew" there, or "fails"
    tells_agent = True  # what it would tell the registry, when the agent challenges it
    ns = True  # it says which registry it means

    @property
    def hosts(self):
        return self.path("node/etc/containerd/certs.d")

    def use(self, agent):
        self.agent = agent
        _, self.registries = agent.install(self.path("node"))


class Ctr(Mirrored, Containerd):
    name = "ctr"
    user_agent = "containerd/"

    def credentials(self, user, password):
        return ["--hosts-dir", self.hosts, *super().credentials(user, password)]


class Cri(Mirrored, CriContainerd):
    name = "cri"
    user_agent = "containerd/"


class CriThatDiscards(Cri):
    name = "cri-discards"
    discards = True


class _ContainersImage(Mirrored):
    user_agent = "containers/"
    when_cut = "fails"
    tells_agent = False

    def auth_file(self, image, user, password):
        """Beside what it is asked for it has all logins."""
        path = super().auth_file(image, user, password)
        with contextlib.suppress(FileNotFoundError), open(self.path("login.json"), encoding="utf-8") as f:
            logins = json.load(f)["auths"]
            with open(path, "r+", encoding="utf-8") as file:
                auths = {**logins, **json.load(file)["auths"]}
                file.seek(0)
                json.dump({"auths": auths}, file)
        return path

    def login_at_agent(self, image, user, password):
        """Where the agent has the image's registry."""
        host = image.split("/")[0].replace(":", "_")
        got = self.login(f"{self.agent.address}/{host}", user, password)
        assert got, got.output


class PodmanVfs(_ContainersImage, Podman):
    name = "podman-vfs"

    def command(self, *argv, **more):
        return super().command(*argv, env={**os.environ, "CONTAINERS_REGISTRIES_CONF": self.registries}, **more)


class PodmanOverlay(PodmanVfs):
    name = "podman-overlay"
    driver = "overlay"


class MirroredSkopeo(_ContainersImage, Skopeo):
    user_agent = "skopeo/"
    architecture = "amd64"

    def command(self, *argv, **more):
        return super().command("--registries-conf", self.registries, "--override-arch", self.architecture, *argv, **more)


class Refused(Exception):
    """What docker does not try again at that place: any answer that is neither good nor cut off."""


class _Place:
    """A mirror or a registry as docker asks it. Answers whose credentials are wanted come with a user."""

    def __init__(self, address, name, user, password):
        self.address, self.name = address, name
        self.headers = {"User-Agent": Docker.user_agent + "20.10.24"}
        if self.get("/v2/", (200, 401))[0] == 401:
            self.headers.update(basic(user, password) if user else {})

    def get(self, path, good=(200,), method="GET", into=None, **headers):
        """Status, headers and body; what comes of the body before it is cut off is in `into` too."""
        into = bytearray() if into is None else into
        connection = http.client.HTTPConnection(self.address, timeout=60)
        try:
            connection.request(method, path, headers={**self.headers, **headers})
            answer = connection.getresponse()
            if answer.status not in good:
                raise Refused(f"{self.address}{path}: {answer.status}")
            while block := answer.read1(65536):
                into += block
            if answer.length:
                raise http.client.IncompleteRead(bytes(into), answer.length)
            return answer.status, answer.headers, bytes(into)
        finally:
            connection.close()

    def manifest(self, reference, method="GET"):
        return self.get(f"/v2/{self.name}/manifests/{reference}", method=method, Accept=f"{MANIFEST}, {INDEX}")

    def blob(self, digest):
        """Five times it is tried, and goes on where it was; between them docker waits some seconds, which this does not."""
        got = bytearray()
        for left in range(4, -1, -1):
            try:
                headers = {"Range": f"bytes={len(got)}-"} if got else {}
                self.get(f"/v2/{self.name}/blobs/{digest}", (206,) if got else (200,), into=got, **headers)
                break
            except (OSError, http.client.HTTPException):
                if not left:
                    raise
        if digest_of(got) != digest:
            raise Refused(f"{self.address}: {digest} is of other bytes")


class Docker(Mirrored):
    """
    The requests of `docker pull`, of which the agent is a registry mirror, in their order (moby 20.10, distribution/:
    pull.go, pull_v2.go, errors.go): the tag's digest, its manifest, of an index that of the platform, then config and
    layers, three at once. What goes wrong with the mirror, whenever it does, has it begin anew with the registry.
    """

    name = "docker"
    user_agent = "docker/"
    when_cut = "begins anew"
    ns = False
    architecture = "amd64"

    def pull(self, image, user=None, password=None):
        host, rest = image.split("/", 1)
        name, tag = rest.split(":")
        try:
            return self.pull_from(self.agent.address, name, tag, user, password)
        except (Refused, OSError, http.client.HTTPException):
            return self.pull_from(host, name, tag, user, password)

    def pull_from(self, address, name, tag, user, password):
        place = _Place(address, name, user, password)
        digest = place.manifest(tag, "HEAD")[1]["Docker-Content-Digest"]
        _, headers, data = place.manifest(digest)
        if headers["Content-Type"] == INDEX:
            _, _, data = place.manifest(next(entry["digest"] for entry in json.loads(data)["manifests"]
                                             if entry["platform"]["architecture"] == self.architecture))
        manifest = json.loads(data)
        with concurrent.futures.ThreadPoolExecutor(3) as three:
            list(three.map(place.blob, [blob["digest"] for blob in (manifest["config"], *manifest["layers"])]))
        return Outcome(False, "", digest)


RUNTIMES = (Ctr, Cri, CriThatDiscards, PodmanVfs, PodmanOverlay, MirroredSkopeo, Docker)
