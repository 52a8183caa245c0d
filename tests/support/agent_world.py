"""Registries, private and public, with images, a gateway for both, and agents that mirror them."""

import hashlib
import json
import os

from .agent import Agent
from .gate import Gate
from .image import MANIFEST, small_image
from .process import wait_for
from .registry import Registry

USERS = {"alice": "correct horse", "bob": "hunter two", "gateway": "battery staple"}
LAYERS = (6_000_000, 1_000_000, 70_000)
INDEX = "application/vnd.oci.image.index.v1+json"


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def many_platforms(folder, platforms=("amd64", "arm64")):
    """An index of an image for each platform, in a layout; returns the digests of the index and of the images."""
    entries = []
    for architecture in platforms:
        digest = small_image(str(folder), architecture, LAYERS[1:])
        size = os.path.getsize(folder / "blobs/sha256" / digest[7:])
        entries.append({"mediaType": MANIFEST, "digest": digest, "size": size, "platform": {"os": "linux", "architecture": architecture}})
    data = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode()
    (folder / "blobs/sha256" / digest_of(data)[7:]).write_bytes(data)
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [{
        "mediaType": INDEX, "digest": digest_of(data), "size": len(data), "annotations": {"org.opencontainers.image.ref.name": "1"}}]}))
    return digest_of(data), dict(zip(platforms, (entry["digest"] for entry in entries)))


def blobs_of(layout, digest):
    """What the manifest of that digest names: the config, and the layers."""
    manifest = json.loads((layout / "blobs/sha256" / digest[7:]).read_bytes())
    return [manifest["config"], *manifest["layers"]]


class World:
    """
    team/app:1 is in both registries, and has `digest`, `blobs` and `size`; team/many:1 is in the private one, and has
    an image for each of `platforms`. Alice may read both. `gateway` is laid over that key of
    the gate's configuration, `gate` over the others.
    """

    def __init__(self, folder, gateway=None, **gate):
        self.folder = folder
        self.private = Registry(str(folder / "private"), USERS).start()
        self.public = Registry(str(folder / "public"), {}).start()
        self.layout = folder / "image"
        self.digest = small_image(str(self.layout), "agent", LAYERS)
        self.private.push(f"oci:{self.layout}:1", "team/app:1", "alice")
        self.public.push(f"oci:{self.layout}:1", "team/app:1", None)
        self.many = folder / "many"
        self.index, self.platforms = many_platforms(self.many)
        self.private.push(f"oci:{self.many}:1", "team/many:1", "alice", "--all")
        os.makedirs(folder / "gate")
        secret = folder / "gate" / "gateway.pass"
        secret.write_text(USERS["gateway"])
        secret.chmod(0o600)
        rows = [{"name": self.private.address, "url": self.private.url,
                 "credentials": {"username": "gateway", "password_file": "gateway.pass"}},
                {"name": self.public.address, "url": self.public.url}]
        self.gate = Gate(str(folder / "gate"), rows, gateway={"cache": {"path": "cache"}, **(gateway or {})}, **gate).start()
        self.blobs = blobs_of(self.layout, self.digest)
        self.size = sum(blob["size"] for blob in self.blobs)

    def agent(self, folder, user="alice", gateway=None, registries=None, **more):
        url = gateway or self.gate.gateway_url
        if user is not None:
            more["authfile"] = self.private.auth_file(user)
        return Agent(folder, {registry.address: url for registry in registries or (self.private, self.public)}, **more)

    def path(self, what, image="team/app", registry=None):
        return f"/v2/{image}/{what}?ns={(registry or self.private).address}"

    def image(self, image="team/app:1", registry=None):
        return f"{(registry or self.private).address}/{image}"

    def stop(self):
        self.gate.stop()
        self.public.stop()
        self.private.stop()


def pull_all(world, agent, registry=None, **headers):
    """What runtimes ask for; returns the bytes of all blobs once the agent has looked through them too."""
    assert agent.ask("/v2/", **headers).status == 200
    head = agent.ask(world.path("manifests/1", registry=registry), "HEAD", **headers)
    got = agent.ask(world.path("manifests/" + head.headers["docker-content-digest"], registry=registry), **headers)
    assert (head.status, got.status, head.body) == (200, 200, b"")
    for answer in head, got:
        assert answer.headers["docker-content-digest"] == world.digest == digest_of(got.body)
        assert answer.headers["content-type"] == "application/vnd.oci.image.manifest.v1+json"
        assert int(answer.headers["content-length"]) == len(got.body)
    total = 0
    for blob in world.blobs:
        seen = agent.ask(world.path("blobs/" + blob["digest"], registry=registry), "HEAD", **headers)
        assert (seen.status, int(seen.headers["content-length"]), seen.body) == (200, blob["size"], b"")
        answer = agent.ask(world.path("blobs/" + blob["digest"], registry=registry), **headers)
        assert (answer.status, digest_of(answer.body)) == (200, blob["digest"])
        total += len(answer.body)
    wait_for("the store", 20, lambda: agent.status()["fetching"] == 0)
    return total
