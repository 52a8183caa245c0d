"""Fixtures: a private registry with an image, and swarmgated in front of it, on loopback."""

import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support.gate import Gate  # noqa: E402
from support.image import small_image  # noqa: E402
from support.registry import Registry  # noqa: E402

USERS = {"alice": "alice-password", "gateway": "gateway-password"}


@pytest.fixture(scope="session")
def registry(tmp_path_factory):
    """A docker-registry with team/app:1 and other/app:1, and the users of USERS."""
    folder = tmp_path_factory.mktemp("registry")
    with Registry(str(folder), USERS) as running:
        for name in ("team/app", "other/app"):
            layout = str(folder / name.replace("/", "-"))
            small_image(layout, name)
            running.push(f"oci:{layout}:1", name + ":1", "alice")
        yield running


def registry_row(registry, folder, **more):
    """A row of `registries:` for a Registry, with the gateway's own password file in `folder`."""
    path = os.path.join(folder, "gateway.pass")
    with open(path, "w", encoding="utf-8") as f:
        f.write(USERS["gateway"] + "\n")
    os.chmod(path, 0o600)
    return {"name": "registry.example", "url": registry.url,
            "credentials": {"username": "gateway", "password_file": "gateway.pass"}, **more}


@pytest.fixture
def gate(registry, tmp_path):
    """swarmgated, tracker and gateway, in front of `registry`; running, nothing registered yet."""
    with Gate(str(tmp_path), [registry_row(registry, str(tmp_path))]) as running:
        yield running


@pytest.fixture
def tracker(tmp_path):
    """swarmgated with a tracker alone."""
    with Gate(str(tmp_path)) as running:
        yield running
