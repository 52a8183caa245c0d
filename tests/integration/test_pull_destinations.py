"""swarmgate pull --to: every destination, read by the programs that it is meant for."""

import contextlib
import fcntl
import hashlib
import io
import json
import os
import pty
import shutil
import signal
import subprocess
import tarfile
import tempfile

import pytest

from support.gate import Gate
from support.image import small_image
from support.process import Process, binary, run, wait_for
from support.registry import Registry
from support.registry_clients import Containerd, Podman

USERS = {"alice": "correct horse", "gateway": "battery staple"}
LAYERS = (2_000_000, 700_000)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("destinations")
    with Registry(str(folder / "registry"), USERS) as registry:
        for tag in ("1", "2"):
            small_image(str(folder / tag), tag, LAYERS)
            registry.push(f"oci:{folder / tag}:1", f"team/app:{tag}", "alice")
        os.makedirs(folder / "gate")
        secret = folder / "gate" / "gateway.pass"
        secret.write_text(USERS["gateway"])
        secret.chmod(0o600)
        row = {"name": registry.address, "url": registry.url,
               "credentials": {"username": "gateway", "password_file": "gateway.pass"}}
        with Gate(str(folder / "gate"), [row], gateway={"cache": {"path": "cache"}}) as gate:
            yield World(folder, registry, gate)


class World:
    def __init__(self, folder, registry, gate):
        self.folder, self.registry, self.gate = folder, registry, gate

    def name(self, tag="1"):
        return f"{self.registry.address}/team/app:{tag}"

    def digest(self, tag="1"):
        with open(self.folder / tag / "index.json", encoding="utf-8") as f:
            return json.load(f)["manifests"][0]["digest"]

    def diff_ids(self, tag="1"):
        manifest = self.blob(self.digest(tag), tag)
        return self.blob(manifest["config"]["digest"], tag)["rootfs"]["diff_ids"]

    def blob(self, digest, tag="1"):
        with open(self.folder / tag / "blobs" / "sha256" / digest.split(":")[1], encoding="utf-8") as f:
            return json.load(f)

    def argv(self, to, *options, tag="1"):
        to = [] if to is None else ["--to", to]
        return [binary("swarmgate"), "pull", self.name(tag), *to, "--gateway", self.gate.gateway_url,
                "--authfile", self.registry.auth_file("alice"), *options]

    def pull(self, to, *options, tag="1", **more):
        done = run(self.argv(to, *options, tag=tag), **more)
        if done.returncode == 0:
            assert done.stdout.strip() == self.digest(tag)
        return done


@pytest.fixture
def store(tmp_path):
    """A containers-storage of its own, as the environment names it; (environment, Podman)."""
    with Podman() as podman:
        conf = tmp_path / "storage.conf"
        conf.write_text(f'[storage]\ndriver = "vfs"\ngraphroot = "{podman.path("root")}"\nrunroot = "{podman.path("run")}"\n')
        yield {**os.environ, "CONTAINERS_STORAGE_CONF": str(conf), "TMPDIR": str(tmp_path)}, podman


def without(folder, *names):
    """A $PATH that has all programs but these."""
    os.makedirs(folder)
    for place in ("/usr/bin", "/usr/sbin"):
        for name in os.listdir(place):
            if name not in names and not os.path.lexists(os.path.join(folder, name)):
                os.symlink(os.path.join(place, name), os.path.join(folder, name))
    return str(folder)


def inspect(reference):
    return json.loads(run(["skopeo", "inspect", reference]).stdout)


def left_over(folder):
    """What lies in a folder and is not the destination."""
    return sorted(name for name in os.listdir(folder) if "unfinished" in name or "making" in name)


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


# --- archives and folders ---


def test_oci_archive(world, tmp_path):
    file = tmp_path / "image.tar"
    file.write_text("what was there before")
    world.pull(f"oci-archive:{file}")
    assert inspect(f"oci-archive:{file}:1")["Digest"] == world.digest()
    world.pull(f"oci-archive:{tmp_path}/new/named.tar:other", tag="2")
    assert inspect(f"oci-archive:{tmp_path}/new/named.tar:other")["Digest"] == world.digest("2")
    assert left_over(tmp_path) == [] and os.listdir(tmp_path / "new") == ["named.tar"]


def test_the_same_image_makes_the_same_archive(world, tmp_path):
    for kind in ("oci-archive", "docker-archive"):
        for name in ("a", "b"):
            world.pull(f"{kind}:{tmp_path}/{kind}-{name}")
        assert (tmp_path / f"{kind}-a").read_bytes() == (tmp_path / f"{kind}-b").read_bytes()


def test_docker_archive(world, tmp_path, store):
    file = tmp_path / "image.tar"
    world.pull(f"docker-archive:{file}")
    with tarfile.open(file) as tar:
        manifest = json.load(tar.extractfile("manifest.json"))
        assert manifest[0]["RepoTags"] == [world.name()]
        assert [sha256(tar.extractfile(layer).read()) for layer in manifest[0]["Layers"]] == world.diff_ids()
        assert sha256(tar.extractfile(manifest[0]["Config"]).read()) == "sha256:" + manifest[0]["Config"][:64]
    assert inspect(f"docker-archive:{file}:{world.name()}")["Layers"] == world.diff_ids()
    _, podman = store
    loaded = podman.command("load", "-q", "-i", file)
    assert loaded.returncode == 0, loaded.stderr
    assert podman.command("image", "exists", world.name()).returncode == 0
    world.pull(f"docker-archive:{file}:example.org/else:7", tag="2")
    assert inspect(f"docker-archive:{file}:example.org/else:7")["Layers"] == world.diff_ids("2")
    assert left_over(tmp_path) == []


def test_dir(world, tmp_path):
    folder = tmp_path / "image"
    world.pull(f"dir:{folder}")
    assert inspect(f"dir:{folder}")["Digest"] == world.digest()
    first = set(os.listdir(folder))
    run(["skopeo", "copy", "-q", f"dir:{folder}", f"oci:{tmp_path}/copy:1"])  # it reads and checks every blob
    (folder / "mine").write_text("nobody's business")
    world.pull(f"dir:{folder}", tag="2")
    assert inspect(f"dir:{folder}")["Digest"] == world.digest("2")
    run(["skopeo", "copy", "-q", f"dir:{folder}", f"oci:{tmp_path}/copy:2"])
    second = set(os.listdir(folder))
    assert second & first == {"version", "manifest.json"} and len(second) == len(first) + 1 and "mine" in second
    world.pull(f"dir:{folder}", tag="2")  # over itself
    assert set(os.listdir(folder)) == second and left_over(tmp_path) == []


def test_a_folder_that_is_a_mount_point(world, tmp_path):
    """Nothing can be renamed or linked across its edge."""
    for kind, reference in (("dir", "dir:{}"), ("oci", "oci:{}:1")):
        folder = tmp_path / kind
        folder.mkdir()
        done = run(["unshare", "-m", "sh", "-ec", 'mount -t tmpfs none "$0"; folder=$0; "$@" >/dev/null; ls -A "$folder"; skopeo inspect ' +
                    reference.format('"$folder"').replace("dir:", "dir:"), folder, *world.argv(f"{kind}:{folder}")])
        assert world.digest() in done.stdout and "unfinished" not in done.stdout
    assert left_over(tmp_path) == []


# --- standard output ---


def test_standard_output(world, tmp_path, store):
    env, podman = store
    argv = world.argv("-")
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env) as pull:
        loaded = podman.command("load", "-q", stdin=pull.stdout)
        told = pull.stderr.read().decode()
    assert pull.returncode == 0 and loaded.returncode == 0, told + loaded.stderr
    assert world.digest() in told
    assert podman.command("image", "exists", world.name()).returncode == 0
    with open(tmp_path / "out", "w+b") as out:
        out.write(b"before")
        out.flush()
        subprocess.run(argv, stdout=out, stderr=subprocess.PIPE, check=True, env=env)
        out.seek(0)
        assert out.read(6) == b"before"
        with tarfile.open(fileobj=io.BytesIO(out.read())) as tar:
            assert "manifest.json" in tar.getnames()
    assert left_over(tmp_path) == []


def test_standard_output_is_wanted_by_one_alone(world):
    refused = world.pull("-", "--json", check=False)
    assert refused.returncode == 2 and "--json" in refused.stderr
    ours, theirs = pty.openpty()
    try:
        refused = subprocess.run(world.argv("-"), stdout=theirs, stderr=subprocess.PIPE, text=True, check=False)
    finally:
        os.close(ours)
        os.close(theirs)
    assert refused.returncode == 2 and "terminal" in refused.stderr


def test_who_reads_no_more(world, tmp_path):
    with subprocess.Popen(world.argv("-"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env={**os.environ, "TMPDIR": str(tmp_path)}) as pull:
        pull.stdout.close()
        told = pull.stderr.read()
    assert pull.returncode == 1 and "cannot write to standard output: Broken pipe" in told


# --- runtimes ---


def test_containers_storage(world, tmp_path, store):
    env, podman = store
    world.pull("containers-storage:", env=env)
    listed = podman.command("image", "inspect", "--format", "{{.Digest}}", world.name())
    assert listed.stdout.strip() == world.digest(), listed.stderr
    root = podman.command("image", "mount", world.name()).stdout.strip()
    assert os.path.getsize(os.path.join(root, "data-0")) == LAYERS[0]
    assert os.path.getsize(os.path.join(root, "data-1")) == LAYERS[1]
    podman.command("image", "umount", world.name())
    world.pull("containers-storage:example.org/else:7", tag="2", env=env)
    assert podman.command("image", "inspect", "--format", "{{.Digest}}", "example.org/else:7").stdout.strip() == world.digest("2")
    assert left_over(tmp_path) == []


def test_containers_storage_of_a_store(world, tmp_path, store):
    env, podman = store
    del env["CONTAINERS_STORAGE_CONF"]
    world.pull(f"containers-storage:[vfs@{podman.path('root')}+{podman.path('run')}]", env=env)
    assert podman.command("image", "exists", world.name()).returncode == 0


def test_containers_storage_by_podman(world, tmp_path, store):
    env, podman = store
    env["PATH"] = without(tmp_path / "bin", "skopeo")
    world.pull("containers-storage:", env=env)
    listed = podman.command("image", "inspect", "--format", "{{.Digest}}", world.name())
    assert listed.stdout.strip() == world.digest(), podman.command("images").stdout


def test_podman_s_storage_is_the_default(world, tmp_path, store):
    env, podman = store
    world.pull(None, env=env)
    assert podman.command("image", "exists", world.name()).returncode == 0
    env["PATH"] = without(tmp_path / "bin", "podman")
    refused = world.pull(None, env=env, check=False)
    assert refused.returncode == 2 and "--to is missing" in refused.stderr


@pytest.mark.parametrize("missing", ["podman", "skopeo"])
def test_an_image_by_its_digest(world, tmp_path, store, missing):
    env, podman = store
    env["PATH"] = without(tmp_path / "bin", missing)
    argv = world.argv("containers-storage:")
    argv[2] = f"{world.registry.address}/team/app@{world.digest()}"
    run(argv, env=env)
    assert podman.command("image", "exists", argv[2]).returncode == 0


def test_containerd(world, tmp_path):
    env = {**os.environ, "TMPDIR": str(tmp_path), "CONTAINERD_SNAPSHOTTER": "native"}
    with Containerd() as containerd:
        env["CONTAINERD_ADDRESS"] = containerd.path("sock")
        world.pull("containerd:", env=env)
        assert world.digest() in containerd.ctr("images", "list", f"name=={world.name()}", check=True).stdout
        world.pull("containerd:k8s.io", "--platform", "linux/amd64", tag="2", env=env)
        assert world.digest("2") in containerd.ctr("-n", "k8s.io", "images", "list", f"name=={world.name('2')}", check=True).stdout
        mounted = tmp_path / "mounted"
        mounted.mkdir()
        containerd.ctr("images", "mount", "--snapshotter", "native", world.name(), mounted, check=True)
        try:
            assert (mounted / "data-1").stat().st_size == LAYERS[1]
        finally:
            run(["umount", mounted])
        for kind in ("docker-archive", "oci-archive"):
            world.pull(f"{kind}:{tmp_path}/image.tar", tag="2")
            containerd.ctr("-n", kind, "images", "import", "--snapshotter", "native", "--base-name", "local/app", f"{tmp_path}/image.tar", check=True)
            name = world.name("2") if kind == "docker-archive" else "local/app:2"
            assert name in containerd.ctr("-n", kind, "images", "list", "-q", check=True).stdout.split()
    assert left_over(tmp_path) == []


def test_no_containerd_is_there(world, tmp_path):
    env = {**os.environ, "TMPDIR": str(tmp_path), "CONTAINERD_ADDRESS": str(tmp_path / "sock")}
    failed = world.pull("containerd:", env=env, check=False)
    assert failed.returncode == 1 and "ctr: exit 1: " in failed.stderr and failed.stderr.count("swarmgate: ") == 1


@pytest.mark.parametrize("to, names", [("containerd:", ["ctr"]), ("containers-storage:", ["skopeo", "podman"]),
                                       ("containers-storage:[vfs@/a+/b]", ["skopeo"])])
def test_a_program_that_is_missing_is_named_before_anything_is_fetched(world, tmp_path, to, names):
    env = {**os.environ, "PATH": without(tmp_path / "bin", *names), "TMPDIR": str(tmp_path)}
    failed = world.pull(to, env=env, check=False)
    assert failed.returncode == 1 and all(name in failed.stderr for name in names)
    assert left_over(tmp_path) == []


# --- pulls that are ended, and several at once ---


class Stuck:
    """A ctr that reads nothing and never ends; `with` ends it."""

    def __init__(self, folder):
        self.bin, self.mark = folder / "stuck", folder / "pid"
        self.bin.mkdir()
        program = self.bin / "ctr"
        program.write_text(f"#!/bin/sh\necho $$ > {self.mark}.new\nmv {self.mark}.new {self.mark}\nexec sleep 600\n")
        program.chmod(0o755)
        self.env = {**os.environ, "PATH": f"{self.bin}:{os.environ['PATH']}", "TMPDIR": str(folder)}
        self.pids = []

    def await_start(self):
        """Waits until one more has started; returns its process id."""
        wait_for("ctr", 20, self.mark.exists)
        self.pids.append(int(self.mark.read_text()))
        self.mark.unlink()
        return self.pids[-1]

    def __enter__(self):
        return self

    def __exit__(self, *ignored):
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def is_running(pid):
    with contextlib.suppress(FileNotFoundError), open(f"/proc/{pid}/stat", encoding="ascii") as f:
        return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    return False


@pytest.fixture
def stuck(tmp_path):
    with Stuck(tmp_path) as program:
        yield program


def test_it_is_said_that_a_runtime_loads(world, tmp_path, stuck):
    """Once: on a terminal in the place of the bar, on a line of its own elsewhere."""
    with Process(world.argv("containerd:"), env=stuck.env) as pull:
        pull.wait_line("loading into containerd")
        stuck.await_start()
        pull.stop()
        assert pull.output().count("loading into") == 1, pull.output()
    ours, theirs = pty.openpty()
    with subprocess.Popen([str(a) for a in world.argv("containerd:")], stdout=subprocess.DEVNULL, stderr=theirs, env=stuck.env) as pull:
        os.close(theirs)
        stuck.await_start()
        pull.terminate()
        seen = b""
        with contextlib.suppress(OSError), open(ours, "rb", buffering=0) as screen:  # EIO is its end
            while data := screen.read(65536):
                seen += data
        assert pull.wait(20) == 1 and seen.count(b"\r\x1b[Jloading into containerd") == 1, seen
        assert b"loading into containerd\r" in seen, seen  # and is wiped, or drawn over


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_pull_that_is_ended_while_a_runtime_loads(world, tmp_path, stuck, sig):
    with Process(world.argv("containerd:"), env=stuck.env) as pull:
        pid = stuck.await_start()
        status = pull.stop(sig)
    if sig == signal.SIGKILL:
        assert status == -sig
    else:
        assert status == 1 and "interrupted; what was fetched is kept in" in pull.output()
        assert not is_running(pid)
    assert len(left_over(tmp_path)) == 1
    with Containerd() as containerd:
        env = {**os.environ, "TMPDIR": str(tmp_path), "CONTAINERD_ADDRESS": containerd.path("sock"), "CONTAINERD_SNAPSHOTTER": "native"}
        told = json.loads(run(world.argv("containerd:", "--json"), env=env).stdout)
        assert told["kept"] == told["blobs"] == len(LAYERS) + 1 and told["from_gateway"] == 0
        assert world.digest() in containerd.ctr("images", "list", f"name=={world.name()}").stdout
    assert left_over(tmp_path) == []


def test_what_is_unfinished_is_nobody_else_s(world, tmp_path, stuck):
    with Process(world.argv("containerd:"), env=stuck.env) as pull:
        stuck.await_start()
        folder = tmp_path / left_over(tmp_path)[0]
        assert folder.stat().st_mode & 0o777 == 0o700
        pull.stop()
    folder.chmod(0o755)
    refused = world.pull("containerd:", env=stuck.env, check=False)
    assert refused.returncode == 1 and "is no folder of ours alone" in refused.stderr


def test_two_pulls_to_one_place(world, tmp_path, stuck):
    with Process(world.argv("containerd:"), env=stuck.env):
        stuck.await_start()
        refused = world.pull("containerd:", env=stuck.env, check=False)
        assert refused.returncode == 1 and "another pull to the same place is under way" in refused.stderr
        assert "or set another TMPDIR" in refused.stderr
        with Process(world.argv("containerd:k8s.io"), env=stuck.env) as other:  # another place
            stuck.await_start()
            other.stop()
    file = tmp_path / "image.tar"
    os.mkdir(f"{file}.unfinished", 0o700)
    with open(f"{file}.unfinished/lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refused = world.pull(f"oci-archive:{file}", check=False)
        assert refused.returncode == 1 and "another pull to the same place is under way" in refused.stderr
        assert "TMPDIR" not in refused.stderr and not file.exists()
    world.pull(f"oci-archive:{file}")


def test_a_reader_that_waits(world, tmp_path):
    """Two archives of one image may be on their way at once, and each pull ends when it is told to."""
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    with contextlib.ExitStack() as stack:
        pulls = [stack.enter_context(subprocess.Popen(world.argv("-"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env))
                 for _ in range(2)]
        for pull in pulls:
            os.read(pull.stdout.fileno(), 1)
        for pull in pulls:
            pull.send_signal(signal.SIGTERM)
            assert pull.wait(20) == 1
            assert "interrupted" in pull.stderr.read()


def test_a_kill_leaves_the_old_or_the_new(world, tmp_path):
    archives, file, folder = set(), tmp_path / "image.tar", tmp_path / "dir"
    for tag in ("1", "2"):
        world.pull(f"docker-archive:{file}:example.org/app:1", tag=tag)
        archives.add(sha256(file.read_bytes()))
    world.pull(f"dir:{folder}")
    for number in range(16):
        to = f"docker-archive:{file}:example.org/app:1" if number % 2 else f"dir:{folder}"
        with subprocess.Popen(world.argv(to, tag=str(number // 2 % 2 + 1)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as pull:
            with contextlib.suppress(subprocess.TimeoutExpired):
                pull.wait(0.15 + 0.05 * number)
            pull.kill()
        assert sha256(file.read_bytes()) in archives
        run(["skopeo", "copy", "-q", f"dir:{folder}", f"oci:{tmp_path}/copy:1"])  # it checks every blob
    world.pull(f"docker-archive:{file}")
    world.pull(f"dir:{folder}")
    assert left_over(tmp_path) == []


def test_what_is_delivered_is_seeded(world, tmp_path):
    with Process(world.argv(f"oci-archive:{tmp_path}/image.tar", "--seed-for", "10m")) as pull:
        pull.wait_line("seeding for")
        assert inspect(f"oci-archive:{tmp_path}/image.tar:1")["Digest"] == world.digest()
        assert pull.stop(signal.SIGINT) == 0, pull.output()
    assert left_over(tmp_path) == []


# --- what is not replaced ---


def test_what_is_no_image_is_not_replaced(world, tmp_path):
    (tmp_path / "file").write_text("mine")
    os.mkfifo(tmp_path / "fifo")
    for to, why in ((f"dir:{tmp_path}", "holds something else than an image"), (f"oci-archive:{tmp_path}", "is no regular file"),
                    (f"docker-archive:{tmp_path}/fifo", "is no regular file"), (f"dir:{tmp_path}/file", "cannot open"),
                    ("docker://example.org/app:1", "--to - | docker load"), ("docker-daemon:app:1", "--to - | docker load"), ("blob:file", "is wanted"), ("nonsense", "is wanted")):
        refused = world.pull(to, check=False)
        assert refused.returncode in (1, 2) and why in refused.stderr, (to, refused.stderr)
    assert (tmp_path / "file").read_text() == "mine" and left_over(tmp_path) == []


def test_a_pull_of_nothing_leaves_nothing(world, tmp_path):
    failed = world.pull(f"oci-archive:{tmp_path}/image.tar", tag="none", check=False)
    assert failed.returncode == 4 and os.listdir(tmp_path) == []


def test_no_room(world, tmp_path):
    """It is said before anything is written over."""
    small = tmp_path / "small"
    small.mkdir()
    done = run(["unshare", "-m", "sh", "-c", 'mount -t tmpfs -o size=5m none "$0"; echo old > "$0/image.tar"; "$@"; echo "exit $?"; cat "$0/image.tar"', small,
                *world.argv(f"docker-archive:{small}/image.tar")])
    assert done.stdout == "exit 1\nold\n" and "no room in" in done.stderr, done


def test_without_a_gateway_the_registry_s_own_is_delivered(world, tmp_path, stuck):
    away = ["--gateway", "http://127.0.0.1:1"]
    argv = [word for word in world.argv(f"docker-archive:{tmp_path}/image.tar") if word not in ("--gateway", world.gate.gateway_url)] + away
    done = run(argv)
    assert "going on with the registry itself" in done.stderr and done.stdout.strip() == world.digest()
    assert inspect(f"docker-archive:{tmp_path}/image.tar")["Layers"] == world.diff_ids()
    assert left_over(tmp_path) == []
    argv = [word for word in world.argv("containerd:") if word not in ("--gateway", world.gate.gateway_url)] + away
    with Process(argv, env=stuck.env) as pull:
        pid = stuck.await_start()
        assert pull.stop(signal.SIGTERM) == 1 and "interrupted" in pull.output()
        assert not is_running(pid)
