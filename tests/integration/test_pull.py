"""swarmgate pull: from a real registry through the gateway and other nodes into an OCI layout."""

import contextlib
import fcntl
import json
import os
import pty
import re
import signal
import socket
import struct
import subprocess
import termios

import pytest

from support.agent_world import many_platforms
from support.certificates import Authority
from support.gate import Gate
from support.image import small_image
from support.process import Process, binary, free_port, run, wait_for
from support.registry import Registry, auth_entry
from support.web import web_server

USERS = {"alice": "correct horse", "bob": "hunter two", "gateway": "battery staple"}
LAYERS = (6_000_000, 1_000_000, 70_000)


class World:
    """A registry with an image, a gateway in front of it, and nodes that pull it."""

    def __init__(self, folder, gateway=None, **gate):
        self.folder = folder
        self.registry = Registry(str(folder / "registry"), USERS).start()
        small_image(str(folder / "image"), "pull", LAYERS)
        self.registry.push(f"oci:{folder / 'image'}:1", "team/app:1", "alice")
        os.makedirs(folder / "gate")
        secret = folder / "gate" / "gateway.pass"
        secret.write_text(USERS["gateway"])
        secret.chmod(0o600)
        row = {"name": self.registry.address, "url": self.registry.url,
               "credentials": {"username": "gateway", "password_file": "gateway.pass"}}
        self.gate = Gate(str(folder / "gate"), [row], gateway={"cache": {"path": "cache"}, **(gateway or {})}, **gate).start()
        self.digest = json.loads(run(["skopeo", "inspect", f"oci:{folder}/image:1"]).stdout)["Digest"]

    def command(self, to, *options, image="team/app:1", user="alice", gateway=None):
        return [binary("swarmgate"), "pull", f"{self.registry.address}/{image}", "--to", f"oci:{to}", "--gateway",
                gateway or self.gate.gateway_url, "--authfile", self.registry.auth_file(user), "--json", *options]

    def pull(self, to, *options, **more):
        told = json.loads(run(self.command(to, *options, **more)).stdout)
        seen = json.loads(run(["skopeo", "inspect", f"oci:{to}:1"]).stdout)
        assert seen["Digest"] == told["digest"] == self.digest
        assert not os.path.exists(f"{to}.unfinished")
        return told

    def stop(self):
        self.gate.stop()
        self.registry.stop()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = World(tmp_path_factory.mktemp("pull"))
    yield made
    made.stop()


def size_of(folder):
    return sum(os.stat(os.path.join(folder, name)).st_blocks * 512 for name in os.listdir(folder)) if os.path.isdir(folder) else 0


def test_alone_all_comes_from_the_gateway_and_nothing_twice(world, tmp_path):
    told = world.pull(tmp_path / "layout")
    assert (told["kept"], told["from_peers"], told["from_gateway"]) == (0, 0, told["size"])
    again = world.pull(tmp_path / "layout")
    assert again["kept"] == again["blobs"] and again["from_gateway"] == 0


def test_a_second_node_takes_it_from_the_first(world, tmp_path):
    with Process(world.command(tmp_path / "first", "--seed-for", "1h")) as first:
        wait_for("the first node", 60, lambda: os.path.exists(tmp_path / "first" / "index.json"))
        told = world.pull(tmp_path / "second", "--skip-webseed")
        assert (told["from_peers"], told["from_gateway"]) == (told["size"], 0)
        first.popen.send_signal(signal.SIGTERM)
        assert first.popen.wait(20) == 0, first.output()
        assert json.loads(first.output())["uploaded"] >= told["size"]
    assert not os.path.exists(tmp_path / "first.unfinished")


def test_a_killed_pull_goes_on(world, tmp_path):
    with Process(world.command(tmp_path / "layout", "--download-rate", "2MiB")) as pull:
        wait_for("a part", 60, lambda: size_of(tmp_path / "layout.unfinished") > 2_000_000)
        pull.popen.send_signal(signal.SIGKILL)
        pull.popen.wait(20)
    told = world.pull(tmp_path / "layout")
    assert told["from_gateway"] < told["size"] - 1_000_000


def test_without_a_gateway_it_falls_back_to_the_registry(world, tmp_path):
    done = run(world.command(tmp_path / "layout", gateway=f"http://127.0.0.1:{free_port()}"))
    told = json.loads(done.stdout)
    assert told["digest"] == world.digest and told["from_registry"] == told["size"]
    assert "going on with the registry itself" in done.stderr
    assert json.loads(run(["skopeo", "inspect", f"oci:{tmp_path}/layout:1"]).stdout)["Digest"] == world.digest


@pytest.mark.parametrize("status, body, kind", [
    (404, b"<html>no such page</html>", "text/html"),
    (404, b"404 page not found", "text/plain"),
    (404, b'{"message": "no such route"}', "application/json"),
    (401, b"<html>who are you?</html>", "text/html"),
    (200, b"<html>welcome</html>", "text/html"),
])
def test_what_is_no_gateway_is_not_believed(world, tmp_path, status, body, kind):
    with web_server(status, body, kind) as url:
        done = run(world.command(tmp_path / "layout", gateway=url))
    assert json.loads(done.stdout)["from_registry"] > 0
    assert "swarmgate gateway" in done.stderr and "going on with the registry itself" in done.stderr, done.stderr
    assert "no such image" not in done.stderr and (status == 200 or url in done.stderr)


def test_a_gateway_in_trouble_is_said_to_have_a_log(world, tmp_path):
    with web_server(502, b"") as url:
        done = run(world.command(tmp_path / "layout", gateway=url))
    assert "the gateway answered 502: its log says why" in done.stderr, done.stderr


def test_a_url_of_the_other_scheme(world, tmp_path):
    leaf = Authority(str(tmp_path / "ca")).server()
    row = {"name": world.registry.address, "url": world.registry.url}
    with Gate(str(tmp_path / "gate"), [row], gateway={"tls": {"certificate": leaf.cert, "key": leaf.key}}) as gate:
        done = run(world.command(tmp_path / "plainly", gateway=f"http://{gate.gateway}"))
        assert "it answered 400, and not as a gateway does; does it speak TLS? Then its URL begins with https://" in done.stderr, done.stderr
    done = run(world.command(tmp_path / "by-tls", gateway=f"https://{world.gate.gateway}"))
    assert "it does not speak TLS: does it speak plain http?" in done.stderr, done.stderr


def test_when_the_gateway_dies_the_registry_gives_what_is_missing(tmp_path):
    made = World(tmp_path)
    try:
        made.pull(tmp_path / "warm")
        with Process(made.command(tmp_path / "layout", "--download-rate", "2MiB")) as pull:
            wait_for("a part", 60, lambda: size_of(tmp_path / "layout.unfinished") > 2_000_000)
            made.gate.process.popen.kill()
            made.gate.process = None
            assert pull.popen.wait(60) == 0, pull.output()
            told = json.loads(pull.output()[pull.output().index("{"):])
        assert told["from_gateway"] + told["from_registry"] == told["size"]
        assert told["from_gateway"] > 1_000_000 and told["from_registry"] > 1_000_000
    finally:
        made.stop()


def test_a_port_that_somebody_has_is_not_taken_for_another(world, tmp_path):
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as other:
        port = other.getsockname()[1]
        done = run(world.command(tmp_path / "layout", "--lower-port", port), check=False)
    assert done.returncode == 1 and f"cannot listen for peers on port {port}: somebody else does" in done.stderr, done.stderr


def test_an_address_of_another_machine(world, tmp_path):
    done = run(world.command(tmp_path / "layout", "--address", "192.0.2.1"), check=False)
    assert done.returncode == 1 and "cannot listen for peers: 192.0.2.1 is no address of this machine" in done.stderr, done.stderr


def test_what_fails_here_is_not_asked_of_the_registry(world, tmp_path):
    (tmp_path / "layout").write_text("in the way")
    done = run(world.command(tmp_path / "layout"), check=False)
    assert done.returncode == 1 and "registry itself" not in done.stderr, done.stderr


@pytest.mark.parametrize("image, user, status", [
    ("team/app:1", None, 3),  # the registry wants to know who asks
    ("team/none:1", "alice", 4),
])
def test_refusals(world, tmp_path, image, user, status):
    done = run(world.command(tmp_path / "layout", image=image, user=user), check=False)
    assert done.returncode == status, done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2
    assert not os.path.exists(tmp_path / "layout")  # nothing has come, so nothing is made


def test_what_to_do_about_a_login(world, tmp_path):
    def refused(*options, user):
        done = run(world.command(tmp_path / "layout", *options, user=user), check=False)
        assert done.returncode == 3, done.stderr
        return done.stderr

    host, nobody = world.registry.address, world.registry.auth_file(None)
    assert f"there is no login for {host} in {nobody}: `podman login --authfile {nobody} {host}`" in refused(user=None)
    assert f"the login in --creds is not taken: log in anew by `podman login {host}`" in refused("--creds", "alice:SECRET", user=None)
    wrong = tmp_path / "auth.json"
    wrong.write_text(json.dumps({"auths": {host: auth_entry("alice", "SECRET")}}))
    wrong.chmod(0o600)
    done = run([word if word != nobody else wrong for word in world.command(tmp_path / "layout", user=None)], check=False)
    assert done.returncode == 3 and f"the login in {wrong} is not taken" in done.stderr and "SECRET" not in done.stderr


def test_an_image_without_a_registry_is_said_to_be_of_docker_io(tmp_path):
    done = run([binary("swarmgate"), "pull", "team/app:1", "--to", f"oci:{tmp_path}/layout"], check=False,
               env={**os.environ, "SWARMGATE_GATEWAY": ""})
    assert done.returncode == 2 and "team/app:1 names no registry, so that it is docker.io/team/app" in done.stderr, done.stderr


def test_a_folder_of_something_else_is_left_alone(world, tmp_path):
    (tmp_path / "mine").write_text("mine")
    done = run(world.command(tmp_path), check=False)
    assert done.returncode == 2 and "holds something else than an image" in done.stderr, done.stderr
    assert os.listdir(tmp_path) == ["mine"]
    os.makedirs(tmp_path / "killed" / "blobs" / "sha256")  # by a pull that has just begun
    world.pull(tmp_path / "killed")


def test_of_what_is_no_index_no_platform_is_chosen(world, tmp_path):
    many_platforms(tmp_path / "many")
    world.registry.push(f"oci:{tmp_path}/many:1", "team/many:1", "alice", "--all")
    for image, noted in (("team/app:1", True), ("team/many:1", False)):
        argv = [a for a in world.command(tmp_path / "layout", "--platform", "linux/arm64", image=image) if a != "--json"]
        assert ("image of one platform alone" in run(argv).stderr) == noted
    argv = [a for a in world.command(tmp_path / "layout") if a != "--json"]
    assert "one platform" not in run(argv).stderr


def test_what_was_there_is_in_no_rate(world, tmp_path):
    """Seen on a terminal: a row for each blob, and rate and time left of what comes now."""
    with Process(world.command(tmp_path / "layout", "--download-rate", "2MiB")) as pull:
        wait_for("a part", 60, lambda: size_of(tmp_path / "layout.unfinished") > 3_000_000)
        pull.popen.send_signal(signal.SIGKILL)
        pull.popen.wait(20)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 110, 0, 0))
    with subprocess.Popen([str(a) for a in world.command(tmp_path / "layout", "--download-rate", "1MiB")], stdout=subprocess.DEVNULL,
                          stderr=theirs) as pull:
        os.close(theirs)
        seen = b""
        with contextlib.suppress(OSError), open(ours, "rb", buffering=0) as screen:  # EIO is its end
            while data := screen.read(65536):
                seen += data
        assert pull.wait(60) == 0, seen
    rates = [float(number) * {b"B": 1, b"KiB": 1 << 10, b"MiB": 1 << 20}[unit] for number, unit in re.findall(rb"([\d.]+) (B|KiB|MiB)/s", seen)]
    assert len(rates) > 5 and 0 < max(rates) < 3 << 20, rates
    with open(world.folder / "image" / "index.json", encoding="utf-8") as f:
        manifest = json.load(f)["manifests"][0]["digest"]
    blob = world.folder / "image" / "blobs" / "sha256" / manifest[7:]
    for layer in json.loads(blob.read_text())["layers"]:
        assert layer["digest"][7:19].encode() in seen


def test_a_token_that_ends_is_renewed(tmp_path):
    made = World(tmp_path, auth={"ttl": {"webseed": "1s"}, "leeway": "0s"})
    try:
        # It takes three times as long as a token is good for.
        told = made.pull(tmp_path / "layout", "--download-rate", "2MiB")
        assert told["from_gateway"] == told["size"]
        issued = made.gate.tool("audit", "--config", made.gate.config).stdout
        assert issued.count("webseed") > told["blobs"], issued
    finally:
        made.stop()
