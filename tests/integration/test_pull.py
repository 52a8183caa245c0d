"""swarmgate pull: from a real registry through the gateway and other nodes into an OCI layout."""

import json
import os
import subprocess

import pytest

from support.gate import Gate
from support.image import small_image
from support.process import Process, binary, run
from support.registry import Registry

USERS = {"alice": "correct horse", "gateway": "battery staple"}
LAYERS = (3_000_000, 1_000_000, 70_000)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pull")
    with Registry(str(folder / "registry"), USERS) as registry:
        small_image(str(folder / "image"), "pull", LAYERS)
        registry.push(f"oci:{folder / 'image'}:1", "team/app:1", "alice")
        os.makedirs(folder / "gate")
        secret = folder / "gate" / "gateway.pass"
        secret.write_text(USERS["gateway"])
        secret.chmod(0o600)
        row = {"name": registry.address, "url": registry.url,
               "credentials": {"username": "gateway", "password_file": "gateway.pass"}}
        with Gate(str(folder / "gate"), [row], gateway={"cache": {"path": "cache"}}) as gate:
            yield folder, registry, gate


def pull_command(world, to, *options):
    _, registry, gate = world
    return [binary("swarmgate"), "pull", f"{registry.address}/team/app:1", "--to", f"oci:{to}", "--gateway",
            gate.gateway_url, "--authfile", registry.auth_file("alice"), "--json", *options]


def test_pull(world, tmp_path):
    _, registry, _ = world
    told = run(pull_command(world, tmp_path / "layout")).stdout
    assert json.loads(told)["kept"] == 0
    seen = json.loads(run(["skopeo", "inspect", f"oci:{tmp_path}/layout:1"]).stdout)
    assert seen["Digest"] == json.loads(told)["digest"]
    assert not os.path.exists(f"{tmp_path}/layout.unfinished")
    again = json.loads(run(pull_command(world, tmp_path / "layout")).stdout)
    assert again["kept"] == again["blobs"] and again["from_gateway"] == 0
