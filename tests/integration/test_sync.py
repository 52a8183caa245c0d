"""swarmgate torrent sync: torrents and registrations follow what a registry has, and what it has no more."""

import hashlib
import json
import os
import shutil
import signal

import pytest
from conftest import USERS, registry_row
from support.announce import get
from support.evil_registry import EvilRegistry, answer, digest_of, hang_up, noise, redirect, reset, stall
from support.gate import Gate
from support.image import MANIFEST, small_image
from support.our_service import OurService
from support.process import Process, binary, run
from support.registry import Registry

INDEX = "application/vnd.oci.image.index.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
CONFIG = "application/vnd.oci.image.config.v1+json"
PAGE = 100  # REGISTRY_LIST_PAGE


class Tool:
    """`torrent sync` with a configuration; what is stored is looked at by `torrent list`."""

    def __init__(self, folder, rows):
        self.gate = Gate(str(folder), rows)

    def sync(self, *argv, status=0):
        """What it says in JSON; None when it fails before there is anything to say."""
        done = self.gate.tool("torrent", "sync", "--config", self.gate.config, "--json", *argv, check=False)
        assert done.returncode == status, (done.stdout, done.stderr)
        assert status == 0 or done.stderr.startswith("swarmgate: "), done.stderr
        self.said = done.stderr
        return json.loads(done.stdout) if done.stdout else None

    def registered(self):
        """{digest: its repositories}."""
        listed = json.loads(self.gate.tool("torrent", "list", "--config", self.gate.config, "--json").stdout)
        return {torrent["digest"]: {entry["repository"] for entry in torrent["repositories"]} for torrent in listed}

    def check(self):
        self.gate.tool("db", "check", "--config", self.gate.config)


def counts(said):
    return {name: said[name] for name in ("hashed", "registered", "removed", "failed")}


def only(**more):
    return {"hashed": 0, "registered": 0, "removed": 0, "failed": 0, **more}


class Place(Tool):
    """A real registry and the tool in front of it."""

    def __init__(self, folder):
        self.folder = str(folder)
        self.registry = Registry(os.path.join(self.folder, "registry"), USERS)
        super().__init__(folder, [registry_row(self.registry, self.folder)])

    def push(self, name, seed=None, sizes=(30_000, 20_000)):
        """Pushes an image; returns its blobs' digests, config first."""
        layout = os.path.join(self.folder, (seed or name).replace("/", "-"))
        if not os.path.isdir(layout):
            small_image(layout, seed or name, sizes)
        self.registry.push(f"oci:{layout}:1", name + ":1", "alice")
        manifest = self.manifest(name)
        return [manifest["config"]["digest"], *(layer["digest"] for layer in manifest["layers"])]

    def ask(self, method, target, **more):
        return get(self.registry.address, target, {**self.registry.basic("alice"), **more.pop("headers", {})}, method=method, **more)

    def manifest(self, name, reference="1"):
        return json.loads(self.ask("GET", f"/v2/{name}/manifests/{reference}", headers={"Accept": MANIFEST})[2])

    def copy(self, from_name, to_name):
        """As skopeo does it within a registry: by mounts."""
        auth = self.registry.auth_file("alice")
        run(["skopeo", "copy", "-q", "--insecure-policy", "--src-tls-verify=false", "--dest-tls-verify=false", "--authfile", auth,
             f"docker://{self.registry.address}/{from_name}:1", f"docker://{self.registry.address}/{to_name}:1"])

    def delete_blob(self, name, digest):
        status, _, body = self.ask("DELETE", f"/v2/{name}/blobs/{digest}")
        assert status == 202, body

    def delete_image(self, name):
        """By skopeo, and its blobs by the registry's own collection of garbage."""
        run(["skopeo", "delete", "--tls-verify=false", "--authfile", self.registry.auth_file("alice"),
             f"docker://{self.registry.address}/{name}:1"])
        run(["docker-registry", "garbage-collect", self.registry.config])

    def repository(self, name):
        return os.path.join(self.registry.folder, "storage/docker/registry/v2/repositories", name)


@pytest.fixture
def place(tmp_path):
    made = Place(tmp_path)
    with made.registry:
        yield made


def test_all_that_a_registry_has(place):
    one, two = place.push("team/one"), place.push("team/two")
    place.copy("team/one", "team/three")
    before = {name: place.registry.asked(name) for name in ("team/one", "team/two", "team/three")}
    said = place.sync()
    assert counts(said) == only(hashed=6, registered=3) and said["registry"] == "registry.example"
    expected = {**dict.fromkeys(one, {"team/one", "team/three"}), **dict.fromkeys(two, {"team/two"})}
    assert place.registered() == expected
    done = {entry["repository"]: entry for entry in said["repositories"]}
    assert set(done["team/one"]["hashed"]) == set(one) and done["team/one"]["registered"] == []
    assert set(done["team/three"]["registered"]) == set(one) and done["team/three"]["manifests"] == 1
    for name, digests in (("team/one", one), ("team/two", two)):
        asked = place.registry.asked(name, before[name])
        assert all(asked["GET", f"blobs/{digest}"] == 1 for digest in digests), asked
    asked = place.registry.asked("team/three", before["team/three"])
    assert not any(method == "GET" and "blobs" in what for method, what in asked)
    # Once more there is nothing to be done, and no blob is read.
    before = {name: place.registry.asked(name) for name in done}
    assert counts(place.sync()) == only()
    for name in done:
        assert not any(method == "GET" and "blobs" in what for method, what in place.registry.asked(name, before[name]))
    assert place.registered() == expected
    place.check()


def test_one_repository_alone(place):
    one = place.push("team/one")
    place.push("team/two")
    assert counts(place.sync("team/one")) == only(hashed=3)
    assert place.registered() == dict.fromkeys(one, {"team/one"})


def test_it_is_said_for_people_too(place):
    one = place.push("team/one")
    done = place.gate.tool("torrent", "sync", "--config", place.gate.config)
    for digest in one:
        assert f"hashed      {digest}  team/one\n" in done.stdout
    assert done.stdout.endswith("1 repository, 1 manifest: 3 hashed, 0 registered, 0 removed, 0 failed\n")
    place.delete_blob("team/one", one[1])
    done = place.gate.tool("torrent", "sync", "--config", place.gate.config)
    assert f"removed     {one[1]}  team/one\n" in done.stdout and done.stderr == ""


def test_the_server_knows_at_once(place):
    with place.gate:
        one = place.push("team/one")
        place.sync()
        for digest in one:
            status, _, body = get(place.gate.gateway, f"/v1/team/one/blobs/{digest}", place.registry.basic("alice"))
            assert status == 200, body
        assert all(place.registry.asked("team/one")["GET", f"blobs/{digest}"] == 1 for digest in one)


def test_a_deleted_blob_is_taken_from_its_repository_alone(place):
    one = place.push("team/one")
    place.copy("team/one", "team/two")
    place.sync()
    place.delete_blob("team/one", one[1])
    said = place.sync("team/two")
    assert counts(said) == only()
    said = place.sync()
    assert counts(said) == only(removed=1)
    assert next(entry for entry in said["repositories"] if entry["repository"] == "team/one")["removed"] == [one[1]]
    assert place.registered() == {**dict.fromkeys(one, {"team/one", "team/two"}), one[1]: {"team/two"}}
    # With its last repository the torrent goes; when it is pushed again it comes again.
    place.delete_blob("team/two", one[1])
    assert counts(place.sync()) == only(removed=1)
    assert one[1] not in place.registered()
    place.push("team/one")
    assert counts(place.sync()) == only(hashed=1)
    assert place.registered()[one[1]] == {"team/one"}
    place.check()


def test_what_the_garbage_collection_took(place):
    one, two = place.push("team/one"), place.push("team/two")
    place.sync()
    place.delete_image("team/one")
    assert counts(place.sync()) == only(removed=3)
    assert place.registered() == dict.fromkeys(two, {"team/two"})


def test_a_repository_that_is_gone(place):
    place.push("team/one")
    two = place.push("team/two")
    place.sync()
    shutil.rmtree(place.repository("team/one"))
    assert json.loads(place.ask("GET", "/v2/_catalog")[2]) == {"repositories": ["team/two"]}
    assert counts(place.sync()) == only(removed=3)
    assert place.registered() == dict.fromkeys(two, {"team/two"})
    shutil.rmtree(place.repository("team/two"))
    assert counts(place.sync("team/two")) == only(removed=3)
    assert place.registered() == {}
    assert place.sync("team/two", status=4) is None and "team/two" in place.said
    assert counts(place.sync()) == only()


def test_what_no_tag_names_stays_while_it_is_there(place):
    old = place.push("team/app", "old")
    place.sync()
    new = place.push("team/app", "new")
    assert not set(old) & set(new)
    assert counts(place.sync()) == only(hashed=3)
    assert set(place.registered()) == {*old, *new}
    place.delete_blob("team/app", old[0])
    assert counts(place.sync()) == only(removed=1)
    assert set(place.registered()) == {*old[1:], *new}


def test_all_manifests_of_an_index(place):
    entries, blobs = [], set()
    for architecture in ("amd64", "arm64"):
        blobs.update(place.push(f"team/{architecture}"))
        layout = os.path.join(place.folder, f"team-{architecture}")
        place.registry.push(f"oci:{layout}:1", "team/all:" + architecture, "alice")
        with open(os.path.join(layout, "index.json"), encoding="utf-8") as f:
            described = json.load(f)["manifests"][0]
        entries.append({"mediaType": MANIFEST, "digest": described["digest"], "size": described["size"],
                        "platform": {"os": "linux", "architecture": architecture}})
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})
    assert place.ask("PUT", "/v2/team/all/manifests/1", headers={"Content-Type": INDEX}, body=index)[0] == 201
    for architecture in ("amd64", "arm64"):
        os.remove(os.path.join(place.repository("team/all"), "_manifests/tags", architecture, "current/link"))
        shutil.rmtree(os.path.join(place.repository("team/all"), "_manifests/tags", architecture))
    said = place.sync("team/all")
    assert counts(said) == only(hashed=6) and said["manifests"] == 3
    assert place.registered() == dict.fromkeys(blobs, {"team/all"})


def test_a_catalog_of_many_pages(place):
    one = place.push("team/one", sizes=(2_000,))
    names = {"team/one", *(f"many/n{number:03}" for number in range(2 * PAGE + 1))}
    for name in names - {"team/one"}:
        shutil.copytree(place.repository("team/one"), place.repository(name))
    assert len(json.loads(place.ask("GET", f"/v2/_catalog?n={PAGE}")[2])["repositories"]) == PAGE
    said = place.sync()
    assert counts(said) == only(hashed=2, registered=2 * (len(names) - 1))
    assert {entry["repository"] for entry in said["repositories"]} == names
    assert place.registered() == dict.fromkeys(one, names)


# --- what goes wrong ---

BLOBS = [noise("a", 70_000), noise("b", 60_000), noise("c", 50_000)]
DIGESTS = [digest_of(blob) for blob in BLOBS]


class Evil(Tool):
    """A registry that may misbehave, and the tool; `image` is there, and synced."""

    def __init__(self, folder, evil):
        super().__init__(folder, [{"name": "registry.example", "url": evil.url}])
        self.evil = evil
        evil.on("/v2/_catalog", answer(200, b'{"repositories":["team/app"]}'))
        evil.on("/v2/team/app/tags/list", answer(200, b'{"name":"team/app","tags":["1"]}'))
        evil.image(layers=BLOBS[1:], config=BLOBS[0])


@pytest.fixture
def evil(tmp_path):
    with EvilRegistry() as registry:
        yield Evil(tmp_path, registry)


def test_a_kill_in_the_middle(evil):
    """What was done is kept whole, and another run does the rest."""
    whole = evil.evil.routes[f"/v2/team/app/blobs/{DIGESTS[1]}"]
    evil.evil.on(f"/v2/team/app/blobs/{DIGESTS[1]}", stall)
    process = Process([binary("swarmgate"), "torrent", "sync", "--config", evil.gate.config])
    try:
        process.wait_line(f"hashed      {DIGESTS[0]}")
    finally:
        process.stop(signal.SIGKILL)
    evil.check()
    assert set(evil.registered()) == {DIGESTS[0]}
    evil.evil.on(f"/v2/team/app/blobs/{DIGESTS[1]}", whole)
    assert counts(evil.sync()) == only(hashed=2)
    assert evil.registered() == dict.fromkeys(DIGESTS, {"team/app"})
    assert len([r for r in evil.evil.asked(f"/v2/team/app/blobs/{DIGESTS[0]}") if r.method == "GET"]) == 1


ERROR = b'{"errors":[{"code":"NAME_UNKNOWN"}]}'


@pytest.mark.parametrize("path, send, status, failed", [
    (f"/v2/team/app/blobs/{DIGESTS[0]}", answer(500, b"no"), 1, 1),
    (f"/v2/team/app/blobs/{DIGESTS[0]}", answer(403, b"no"), 3, 1),
    (f"/v2/team/app/blobs/{DIGESTS[0]}", answer(401, b"no"), 3, 1),
    (f"/v2/team/app/blobs/{DIGESTS[0]}", answer(410, b"no"), 1, 1),
    (f"/v2/team/app/blobs/{DIGESTS[0]}", reset, 1, 1),
    (f"/v2/team/app/blobs/{DIGESTS[0]}", redirect("/nowhere"), 1, 1),
    (f"/v2/team/app/blobs/{DIGESTS[0]}", answer(200, b"short"), 5, 1),
    ("/v2/team/app/blobs/*", reset, 1, 3),
    ("/v2/team/app/tags/list", answer(500, ERROR), 1, 1),
    ("/v2/team/app/tags/list", answer(404, b"<html>what registry?</html>"), 1, 1),
    ("/v2/team/app/tags/list", answer(401, ERROR), 3, 1),
    ("/v2/team/app/tags/list", reset, 1, 1),
    ("/v2/team/app/tags/list", answer(200, b'{"tags":7}'), 1, 1),
    ("/v2/team/app/tags/list", answer(200, b'{"tags":[]}', Link="<http://127.0.0.1:1/v2/>; rel=next"), 1, 1),
    ("/v2/team/app/manifests/1", answer(500, b"no"), 1, 1),
    ("/v2/team/app/manifests/1", answer(404, b"<html>what registry?</html>"), 1, 1),
    ("/v2/team/app/manifests/1", answer(200, b"{}"), 1, 1),
])
def test_only_a_clear_404_takes_anything_away(evil, path, send, status, failed):
    evil.sync()
    if path.endswith("*"):
        evil.evil.routes = {known: way for known, way in evil.evil.routes.items() if "/blobs/" not in known}
    evil.evil.on(path, send)
    said = evil.sync("team/app", status=status)
    assert counts(said) == only(failed=failed), evil.said
    assert len(said["repositories"][0]["failed"]) == failed and evil.said.count("\n") == failed + 1
    assert evil.registered() == dict.fromkeys(DIGESTS, {"team/app"})
    # It does not stop what else there is, and the exit status says so.
    assert counts(evil.sync(status=1)) == only(failed=failed)


def test_what_is_no_registry_takes_nothing_away(evil):
    """As behind a wrong URL: all is 404 there, but no registry says so."""
    evil.sync()
    evil.evil.routes = {"/v2/*": answer(404, b"<html>what registry?</html>")}
    assert counts(evil.sync("team/app", status=1)) == only(failed=1)
    assert evil.sync(status=1) is None
    assert evil.registered() == dict.fromkeys(DIGESTS, {"team/app"})


def test_a_registry_that_is_taken_away_meanwhile(evil):
    """Once the tags are read something else answers in its place, which has nothing: no registry says so, either."""
    evil.sync()
    evil.evil.routes = {path: send for path, send in evil.evil.routes.items() if "/blobs/" not in path}
    evil.evil.on("/v2/team/app/blobs/*", answer(404, b"default backend - 404"))
    assert counts(evil.sync("team/app", status=1)) == only(failed=3)
    assert evil.registered() == dict.fromkeys(DIGESTS, {"team/app"})


def test_a_registry_that_contradicts_itself(evil):
    """Not to be had by HEAD but by GET: it is there, and not read for that."""
    evil.sync()

    def send(wire, request):
        if request.method == "HEAD":
            answer(404)(wire, request)
        else:
            answer(200, BLOBS[0])(wire, request)

    evil.evil.on(f"/v2/team/app/blobs/{DIGESTS[0]}", send)
    assert counts(evil.sync("team/app", status=1)) == only(failed=1)
    assert evil.registered() == dict.fromkeys(DIGESTS, {"team/app"})


def test_a_repository_of_too_many_blobs(evil):
    """The blobs are empty, so that none is asked for."""
    def blob(number, layer, media_type=LAYER):
        return {"mediaType": media_type, "digest": f"sha256:{layer:03x}{number:061x}", "size": 0}

    def send(wire, request):
        number = int(request.path.split("/")[-1])
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": blob(number, 1024, CONFIG),
                    "layers": [blob(number, layer) for layer in range(1024)]}
        answer(200, json.dumps(manifest).encode(), Content_Type=MANIFEST)(wire, request)

    evil.evil.routes = {"/v2/team/app/manifests/*": send}
    evil.evil.on("/v2/team/app/tags/list", answer(200, json.dumps({"tags": [str(number) for number in range(256)]}).encode()))
    said = evil.sync("team/app", status=1)
    assert said["manifests"] == 256 and counts(said) == only(failed=1) and "more than 262144 blobs" in evil.said


def test_a_registry_that_goes_away(evil):
    evil.sync()
    evil.evil.routes = {path: send for path, send in evil.evil.routes.items() if "/blobs/" not in path}
    evil.evil.on("/v2/_catalog", answer(200, json.dumps({"repositories": [f"team/n{n}" for n in range(20)] + ["team/app"]}).encode()))
    evil.evil.on("/v2/*", hang_up)
    evil.evil.routes.pop("/v2/team/app/tags/list")
    before = len(evil.evil.requests)
    said = evil.sync(status=1)
    assert "does not answer any more" in evil.said
    assert said["removed"] == 0 and said["failed"] == 5 and len(evil.evil.requests) < before + 20
    assert evil.registered() == dict.fromkeys(DIGESTS, {"team/app"})


def test_a_registry_that_is_down(place):
    one = place.push("team/one")
    place.sync()
    place.registry.stop()
    assert place.sync(status=1) is None
    assert place.sync("team/one", status=1)["failed"] == 1
    assert place.registered() == dict.fromkeys(one, {"team/one"})
    place.registry.start()


def test_other_bytes_make_no_torrent(evil):
    evil.evil.on(f"/v2/team/app/blobs/{DIGESTS[1]}", answer(200, noise("x", len(BLOBS[1]))))
    said = evil.sync("team/app", status=5)
    assert counts(said) == only(hashed=2, failed=1) and DIGESTS[1] in evil.said
    assert set(evil.registered()) == {DIGESTS[0], DIGESTS[2]}


def test_what_was_never_pushed_is_no_failure(evil):
    """An index may name manifests, and a manifest layers, that the registry does not have."""
    evil.evil.routes.pop(f"/v2/team/app/blobs/{DIGESTS[1]}")
    missing = {"mediaType": MANIFEST, "digest": "sha256:" + "1" * 64, "size": 5}
    there = evil.evil.put_manifest(evil.evil.manifest(layers=[BLOBS[2]], config=BLOBS[0]), tag="x")
    evil.evil.put_manifest({"schemaVersion": 2, "mediaType": INDEX, "manifests": [missing, there]}, tag="2")
    evil.evil.on("/v2/team/app/tags/list", answer(200, b'{"tags":["1","2","deleted-meanwhile"]}'))
    assert counts(evil.sync()) == only(hashed=2)


def test_a_catalog_that_cannot_be_had(evil):
    for send, status in ((answer(401, b"{}"), 3), (answer(404, ERROR), 1), (answer(500, b""), 1), (answer(200, b"[]"), 1)):
        evil.evil.on("/v2/_catalog", send)
        assert evil.sync(status=status) is None
    assert counts(evil.sync("team/app")) == only(hashed=3)


def test_credentials_go_to_the_registry_alone(tmp_path):
    with EvilRegistry(login=("gateway", USERS["gateway"])) as registry, EvilRegistry() as other:
        made = Evil(tmp_path, registry)
        made.gate = Gate(str(tmp_path), [{**registry_row(registry, str(tmp_path))}])
        registry.on("/v2/_catalog", answer(200, b'{"repositories":["team/app"]}', Link=f"<{other.url}/v2/_catalog?last=x>; rel=next"))
        assert made.sync(status=1) is None and "at another server" in made.said
        registry.on("/v2/_catalog", answer(200, b'{"repositories":["team/app"]}'))
        assert counts(made.sync()) == only(hashed=3)
        assert other.requests == []
        with open(os.path.join(str(tmp_path), "gateway.pass"), "w", encoding="utf-8") as f:
            f.write("wrong\n")
        made.sync(status=3)
        assert "credentials" in made.said and "wrong" not in made.said
        assert set(made.registered()) == set(DIGESTS)


def test_a_registry_with_a_token_service(tmp_path):
    """Ours gives nobody the catalog; a repository by its name can be had."""
    grants = {"alice": {"*": "pull,push"}, "gateway": {"team/*": "pull"}}
    with OurService(str(tmp_path / "service"), USERS, grants) as service:
        with Registry(str(tmp_path / "registry"), USERS, realm=service.realm) as registry:
            for name in ("team/app", "other/app"):
                small_image(str(tmp_path / name.replace("/", "-")), name)
                registry.push(f"oci:{tmp_path / name.replace('/', '-')}:1", name + ":1", "alice")
            made = Tool(tmp_path / "gate", [])
            made.gate = Gate(str(tmp_path / "gate"), [registry_row(registry, str(tmp_path / "gate"))])
            assert made.sync(status=3) is None and "give the NAME of one" in made.said
            assert counts(made.sync("team/app")) == only(hashed=3)
            assert counts(made.sync("other/app", status=3)) == only(failed=1)
            # Without its right any more, the gateway is told nothing by which it would take something back.
            service.user("ungrant", "gateway", "team/*")
            assert counts(made.sync("team/app", status=3)) == only(failed=1)
            assert all(names == {"team/app"} for names in made.registered().values()) and len(made.registered()) == 3


def test_names_that_are_none_are_passed_over(evil):
    names = ["Team/App", "team/../app", "a b", "", "\u001b[2J", "team/app"] + [f"X{n}" for n in range(9)]
    evil.evil.on("/v2/_catalog", answer(200, json.dumps({"repositories": names}).encode()))
    said = evil.sync(status=1)
    assert counts(said) == only(hashed=3, failed=len(names) - 1)
    assert "\u001b" not in evil.said
    assert {request.path for request in evil.evil.requests} >= {"/v2/_catalog", "/v2/team/app/tags/list"}
    assert not any(".." in request.path for request in evil.evil.requests)


@pytest.mark.parametrize("argv, says", [
    (["Team/App"], "Team/App"), (["a", "b"], "too many"), (["--registry", "other"], "--registry other"), (["--nonsense"], "nonsense"),
])
def test_wrong_usage(evil, argv, says):
    assert evil.sync(*argv, status=2) is None and says in evil.said


def test_one_of_several_registries(tmp_path):
    with EvilRegistry() as first, EvilRegistry() as second:
        made = Evil(tmp_path, second)
        made.gate = Gate(str(tmp_path), [{"name": "one.example", "url": first.url}, {"name": "two.example", "url": second.url}])
        assert made.sync(status=2) is None and "--registry NAME is missing" in made.said
        assert counts(made.sync("--registry", "two.example")) == only(hashed=3)
        # What is registered of another registry is not its business, whatever that has.
        first.on("/v2/_catalog", answer(200, b'{"repositories":[]}'))
        said = made.sync("--registry", "one.example")
        assert counts(said) == only() and said["repositories"] == []
        assert made.sync("--registry", "one.example", "team/app", status=4) is None
        assert set(made.registered()) == set(DIGESTS)
        assert all(hashlib.sha256(blob).hexdigest() in digest for blob, digest in zip(BLOBS, DIGESTS))
