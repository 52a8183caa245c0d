"""POST /v1/notifications: a real docker-registry tells of what is pushed, and its torrents are made before anybody asks."""

import hashlib
import json
import os
import signal
import socket

import pytest
from conftest import USERS, registry_row
from support.announce import get
from support.gate import Gate
from support.image import CONFIG, LAYER, MANIFEST, small_image
from support.process import binary, free_port, run, wait_for
from support.registry import Registry

INDEX = "application/vnd.oci.image.index.v1+json"
SECRET = "a-secret-that-nobody-guesses-0123456789"
OTHER = "the-secret-of-another-registry-987654321"


def write_secret(folder, name="hook.secret", secret=SECRET, mode=0o600):
    path = os.path.join(folder, name)
    with open(path, "w", encoding="ascii") as f:
        f.write(secret + "\n")
    os.chmod(path, mode)
    return name


class Place:
    """A registry that notifies a gateway in front of it, which is at a fixed address through its restarts."""

    def __init__(self, folder, secret=SECRET, **more):
        self.folder = str(folder)
        listen = f"127.0.0.1:{free_port()}"
        endpoint = {"name": "swarmgate", "url": f"http://{listen}/v1/notifications", "timeout": "5s", "threshold": 3,
                    "backoff": "200ms", "headers": {"Authorization": [f"Bearer {secret}"]}}
        self.registry = Registry(os.path.join(self.folder, "registry"), USERS, notifications={"endpoints": [endpoint], **more})
        row = registry_row(self.registry, self.folder, notification_secret_file=write_secret(self.folder))
        self.gate = Gate(self.folder, [row], gateway={"listen": [listen]})
        self.gate.gateway = listen

    def push(self, name, sizes=(300_000, 70_000, 5_000)):
        """Pushes an image of so many layers; returns its blobs' digests."""
        layout = os.path.join(self.folder, name.replace("/", "-"))
        digest = small_image(layout, name, sizes)
        self.registry.push(f"oci:{layout}:1", name + ":1", "alice")
        with open(os.path.join(layout, "blobs", "sha256", digest.split(":")[1]), "rb") as f:
            manifest = json.load(f)
        return [manifest["config"]["digest"], *(layer["digest"] for layer in manifest["layers"])]

    def torrents(self):
        """{digest: its repositories}, as the tool lists them."""
        listed = json.loads(self.gate.tool("torrent", "list", "--config", self.gate.config, "--json").stdout)
        return {torrent["digest"]: {entry["repository"] for entry in torrent["repositories"]} for torrent in listed}

    def await_torrents(self, pushed):
        """Until all that was pushed, {repository: digests}, has its torrents."""
        def are_there():
            known = self.torrents()
            return all(name in known.get(digest, ()) for name, digests in pushed.items() for digest in digests)
        wait_for("torrents of what was pushed", 60, are_there)

    def notify(self, body, secret=SECRET, **headers):
        if secret is not None:
            headers["Authorization"] = f"Bearer {secret}"
        body = body if isinstance(body, (bytes, str)) else json.dumps(body)
        return get(self.gate.gateway, "/v1/notifications", headers, method="POST", body=body)

    def kill(self):
        self.gate.process.stop(signal.SIGKILL)
        self.gate.process = None


def event(repository, digest, action="push", media_type=MANIFEST, **target):
    return {"id": "1", "action": action, "target": {"mediaType": media_type, "repository": repository, "digest": digest, **target},
            "request": {"host": "registry.example"}, "actor": {"name": "alice"}}


@pytest.fixture
def place(tmp_path):
    """Both are running."""
    made = Place(tmp_path)
    with made.registry, made.gate:
        yield made


@pytest.fixture
def quiet_place(tmp_path):
    """Both are running, but what the registry says is refused, so that nothing is told but by the test."""
    made = Place(tmp_path, secret="is-not-what-the-gateway-knows")
    with made.registry, made.gate:
        yield made


def test_torrents_are_there_before_anybody_asks(place):
    pushed = {f"team/app{number}": place.push(f"team/app{number}", (50_000, 40_000, 30_000, 20_000, 10_000)) for number in range(5)}
    place.await_torrents(pushed)
    for name in pushed:
        before = place.registry.asked(name)
        status, _, body = get(place.gate.gateway, f"/v1/{name}/manifests/1", place.registry.basic("alice"))
        assert status == 200 and len(json.loads(body)["layers"]) == 5
        # Neither the blobs nor the manifest are read anew; who asks is authorised, no more.
        assert {method for method, _ in place.registry.asked(name, before)} == {"HEAD"}
        counted = place.registry.asked(name)
        assert all(counted["GET", f"blobs/{digest}"] == 1 for digest in pushed[name])


def test_what_is_mounted_belongs_to_both(place):
    digests = place.push("team/one")
    place.await_torrents({"team/one": digests})
    place.registry.push(f"oci:{os.path.join(place.folder, 'team-one')}:1", "team/two:1", "alice")
    place.await_torrents({"team/one": digests, "team/two": digests})
    assert not any(method == "GET" and "blobs" in what for method, what in place.registry.asked("team/two"))


def test_an_index_has_all_its_manifests_prepared(quiet_place):
    place, pushed, entries = quiet_place, [], []
    for number, architecture in enumerate(("amd64", "arm64")):
        pushed += place.push(f"team/part{number}")
        layout = os.path.join(place.folder, f"team-part{number}")
        place.registry.push(f"oci:{layout}:1", f"team/all:{architecture}", "alice")
        with open(os.path.join(layout, "index.json"), encoding="utf-8") as f:
            described = json.load(f)["manifests"][0]
        entries.append({"mediaType": MANIFEST, "digest": described["digest"], "size": described["size"],
                        "platform": {"os": "linux", "architecture": architecture}})
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})
    status, _, body = get(place.registry.address, "/v2/team/all/manifests/1", {**place.registry.basic("alice"), "Content-Type": INDEX},
                          method="PUT", body=index)
    assert status == 201, body
    digest = "sha256:" + hashlib.sha256(index.encode()).hexdigest()
    assert place.torrents() == {}
    assert place.notify({"events": [event("team/all", digest, media_type=INDEX)]})[0] == 202
    place.await_torrents({"team/all": pushed})


def test_a_kill_loses_nothing_that_was_answered(quiet_place):
    place = quiet_place
    digests = place.push("team/app")
    manifest = place.registry.tags("team/app")["1"]
    place.registry.process.popen.send_signal(signal.SIGSTOP)
    try:
        assert place.notify({"events": [event("team/app", manifest)]})[0] == 202
        place.kill()
    finally:
        place.registry.process.popen.send_signal(signal.SIGCONT)
    assert place.torrents() == {}
    place.gate.start()
    place.await_torrents({"team/app": digests})


def test_none_is_missing_after_a_kill_in_the_middle(place):
    pushed = {}
    for number in range(12):
        name = f"team/app{number}"
        pushed[name] = place.push(name, (200_000, 90_000, 5_000))
        if number in (3, 7):
            place.kill()
        if number in (5, 8):
            place.gate.start()
    place.await_torrents(pushed)
    for name, digests in pushed.items():
        status, _, body = get(place.gate.gateway, f"/v1/{name}/manifests/1", place.registry.basic("alice"))
        assert status == 200
        answer = json.loads(body)
        assert [entry["digest"] for entry in [answer["config"], *answer["layers"]]] == digests


def test_a_registry_that_is_down_is_asked_again(quiet_place):
    place = quiet_place
    digests = place.push("team/app")
    manifest = place.registry.tags("team/app")["1"]
    place.registry.stop()
    assert place.notify({"events": [event("team/app", manifest)]})[0] == 202
    place.gate.process.wait_line("cannot prepare now, but later")
    place.registry.start()
    place.await_torrents({"team/app": digests})


def test_an_image_of_many_layers_with_all_that_it_refers_to(tmp_path):
    """Its event is larger than a request's body may be from others."""
    place = Place(tmp_path, events={"includereferences": True})
    with place.registry, place.gate:
        digests = place.push("team/app", (5_000,))
        config, layer = ({"digest": digest, "size": int(get(place.registry.address, f"/v2/team/app/blobs/{digest}", place.registry.basic("alice"),
                                                            method="HEAD")[1]["Content-Length"])} for digest in digests)
        manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": {"mediaType": CONFIG, **config},
                               "layers": [{"mediaType": LAYER, **layer}] * 1000})
        status, _, body = get(place.registry.address, "/v2/team/app/manifests/many", {**place.registry.basic("alice"), "Content-Type": MANIFEST},
                              method="PUT", body=manifest)
        assert status == 201, body
        # What comes after it is told after it.
        place.await_torrents({"team/app": digests, "team/after": place.push("team/after", (4_000,))})
        place.registry.settle()
        assert not any("413" in line for line in list(place.registry.process.lines) if "notifications" in line)


def delete_blob(place, name, digest):
    status, _, body = get(place.registry.address, f"/v2/{name}/blobs/{digest}", place.registry.basic("alice"), method="DELETE")
    assert status == 202, body


def test_a_deleted_blob_loses_its_torrent(place):
    one = place.push("team/one")
    place.registry.push(f"oci:{os.path.join(place.folder, 'team-one')}:1", "team/two:1", "alice")
    place.await_torrents({"team/one": one, "team/two": one})
    delete_blob(place, "team/one", one[1])
    wait_for("the registration to go", 20, lambda: place.torrents().get(one[1]) == {"team/two"})
    delete_blob(place, "team/two", one[1])
    wait_for("the torrent to go", 20, lambda: one[1] not in place.torrents())
    assert place.torrents() == {digest: {"team/one", "team/two"} for digest in one if digest != one[1]}
    # A deleted manifest leaves its layers where they are; what comes after it is seen to after it.
    manifest = place.registry.tags("team/one")["1"]
    status, _, body = get(place.registry.address, f"/v2/team/one/manifests/{manifest}", place.registry.basic("alice"), method="DELETE")
    assert status == 202, body
    delete_blob(place, "team/two", one[2])
    wait_for("the registration to go", 20, lambda: place.torrents()[one[2]] == {"team/one"})
    assert place.torrents()[one[0]] == {"team/one", "team/two"}


def test_a_kill_loses_no_deletion(place):
    one = place.push("team/one")
    place.await_torrents({"team/one": one})
    place.kill()
    delete_blob(place, "team/one", one[1])  # the registry tells it until it is taken
    place.gate.start()
    wait_for("the torrent to go", 30, lambda: one[1] not in place.torrents())
    assert set(place.torrents()) == set(one) - {one[1]}


def test_what_is_said_to_be_deleted_and_is_there_stays(quiet_place):
    place = quiet_place
    one = place.push("team/one")
    manifest = place.registry.tags("team/one")["1"]
    assert place.notify({"events": [event("team/one", manifest)]})[0] == 202
    place.await_torrents({"team/one": one})
    before = place.registry.asked("team/one")
    assert place.notify({"events": [event("team/one", digest, action="delete", media_type=None) for digest in one]})[0] == 202
    asked = {("HEAD", f"blobs/{digest}"): 1 for digest in one}
    wait_for("what is asked about it", 20, lambda: place.registry.asked("team/one", before) == asked)
    assert place.torrents() == dict.fromkeys(one, {"team/one"})


def test_who_does_not_know_the_secret_is_refused(quiet_place):
    place = quiet_place
    place.push("team/app")
    body = {"events": [event("team/app", place.registry.tags("team/app")["1"])]}
    wrong = ["wrong-secret-0123456789", SECRET + "x", SECRET[:-1], SECRET.upper()]
    for secret in wrong:
        status, _, answer = place.notify(body, secret=secret)
        assert status == 403 and secret.encode() not in answer, answer
    status, headers, _ = place.notify(body, secret=None)
    assert status == 401 and headers["WWW-Authenticate"] == "Bearer"
    for value in ("", "Bearer", "Bearer ", f"Basic {SECRET}", SECRET):
        assert place.notify(body, secret=None, Authorization=value)[0] in (401, 403), value
    output = place.gate.process.output()
    assert "no notification is taken" in output
    assert not any(secret in output for secret in [*wrong, SECRET])
    # What the right one says is done; had the others been taken, it would have been done before that.
    marker = place.push("team/marker")
    assert place.notify({"events": [event("team/marker", place.registry.tags("team/marker")["1"])]})[0] == 202
    place.await_torrents({"team/marker": marker})
    assert set(place.torrents()) == set(marker)
    assert SECRET not in place.gate.process.output()


def test_what_is_no_pushed_manifest_is_passed_over(quiet_place):
    place = quiet_place
    ignored, wanted = place.push("team/ignored"), place.push("team/wanted")
    manifest, layer = place.registry.tags("team/ignored")["1"], ignored[1]
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        url = f"http://127.0.0.1:{elsewhere.getsockname()[1]}/v2/team/wanted/manifests/1"
        events = [
            event("team/ignored", manifest, action="pull"),
            event("team/ignored", manifest, action="delete"),
            event("team/ignored", layer, media_type="application/octet-stream"),
            event("team/ignored", "sha256:" + "0" * 64),
            event("team/../ignored", manifest),
            event("Team/ignored", manifest),
            event("team/ignored", "latest"),
            event("team/ignored", None),
            {"action": "push"}, "push", None, 7, {},
            event("team/wanted", place.registry.tags("team/wanted")["1"], url=url),
        ]
        assert place.notify({"events": events})[0] == 202
        place.await_torrents({"team/wanted": wanted})
        elsewhere.setblocking(False)
        with pytest.raises(BlockingIOError):
            elsewhere.accept()
    assert set(place.torrents()) == set(wanted)
    for body in (b"", b"{", b"[]", b"{}", b'{"events":{}}', b'{"events":[],"events":[]}', b"\xff"):
        assert place.notify(body)[0] == 400, body
    assert place.notify({"events": []})[0] == 202


def test_without_a_secret_none_are_taken(registry, gate):
    assert get(gate.gateway, "/v1/notifications", {"Authorization": "Bearer " + SECRET}, method="POST", body="{}")[0] == 404


@pytest.mark.parametrize("spoil, says", [
    (lambda path: os.chmod(path, 0o640), "others than its owner may use this secret: chmod 600"),
    (os.remove, "No such file"),
    (lambda path: os.truncate(path, 0), "is not one line of visible ASCII characters without spaces"),
    (lambda path: write_secret(os.path.dirname(path), secret="two words"), "is not one line of visible ASCII"),
    (lambda path: write_secret(os.path.dirname(path), secret=OTHER), "holds another registry's secret"),
])
def test_a_secret_that_is_of_no_use_is_refused_at_start(tmp_path, spoil, says):
    folder = str(tmp_path)
    rows = [{"name": "other", "url": "http://127.0.0.1:1", "notification_secret_file": write_secret(folder, "other.secret", OTHER)},
            {"name": "one", "url": "http://127.0.0.1:2", "notification_secret_file": write_secret(folder)}]
    gate = Gate(folder, rows)
    check = [binary("swarmgated"), "--config", gate.config, "--check-config"]
    run(check)
    spoil(os.path.join(folder, "hook.secret"))
    done = run(check, check=False)
    assert done.returncode == 2 and "registries[1].notification_secret_file" in done.stderr and says in done.stderr, done.stderr
    assert OTHER not in done.stderr and SECRET not in done.stderr
