"""
Debian's docker-registry with `auth: token`, and a token service as its realm: who may do what with skopeo, podman
and containerd, and what these ask of the service. docs/registry-clients.md is about what is seen here.
"""

import contextlib
import itertools
import json
import os

import pytest
from support.announce import get
from support.image import small_image
from support.our_service import OurService
from support.registry import Registry, auth_entry
from support.registry_clients import REGISTRY_CLIENTS, Containerd, Identity, Podman, Skopeo
from support.token_service import TokenService

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="containerd and podman's storage want root")

# A colon is part of a password.
USERS = {"reader": "reader:password", "writer": "writer-pässword", "stranger": "stranger-password", "owner": "owner-password"}
GRANTS = {"reader": {"team/*": "pull"}, "writer": {"team/app": "pull,push"},
          "owner": {"team/*": "pull,push", "public/*": "pull,push", "secret/*": "pull,push"}}
ANONYMOUS_PULL = ["public/*"]
REPOSITORIES = ("team/app", "team/other", "public/tool", "secret/box")
# Whoever is not here may not.
MAY = {
    ("reader", "pull"): {"team/app", "team/other", "public/tool"},
    ("writer", "pull"): {"team/app", "public/tool"},
    ("writer", "push"): {"team/app"},
    ("stranger", "pull"): {"public/tool"},
    (None, "pull"): {"public/tool"},
}
TABLE = list(itertools.product(REGISTRY_CLIENTS, ("reader", "writer", "stranger", None), REPOSITORIES, ("pull", "push")))


# Each is made with a folder, users, grants and patterns of anonymous pull, and has a `realm` while it runs.
REALMS = [TokenService, OurService]
APP = "repository:team/app:"


class Place:
    """A registry that believes a realm, an image in each of its repositories, and the clients."""

    def __init__(self, folder, realm):
        self.folder, self.realm = folder, realm
        self.registry = Registry(os.path.join(folder, "registry"), USERS, realm=realm)
        self.digests = {}
        self.stack = contextlib.ExitStack()

    def __enter__(self):
        with self.stack:
            self.stack.enter_context(self.registry)
            for name in (*REPOSITORIES, "to-push"):
                layout = os.path.join(self.folder, name.replace("/", "-"))
                self.digests[name] = small_image(layout, name, (5000,))
                if name != "to-push":
                    self.registry.push(f"oci:{layout}:1", name + ":1", "owner")
            self.clients = {kind: self.stack.enter_context(kind(layout)) for kind in REGISTRY_CLIENTS}
            self.stack = self.stack.pop_all()
        return self

    def __exit__(self, *ignored):
        self.stack.close()

    def image(self, repository, tag="1"):
        return f"{self.registry.address}/{repository}:{tag}"

    def pulls(self, kind, repository, user, password):
        """Whether the client gets the image, and no other."""
        got = self.clients[kind].pull(self.image(repository), user, password)
        assert got.digest == (self.digests[repository] if got else None)
        return bool(got)

    def pushes(self, kind, repository, user, password, tag):
        """Whether the client puts an image there, as it says and as the registry's storage does."""
        got = self.clients[kind].push(self.image(repository, tag), user, password)
        assert (tag in self.registry.tags(repository)) == bool(got)
        return bool(got)


def name_cell(value):
    return value.name if isinstance(value, type) else value or "anonymous"


@pytest.fixture(scope="module", params=REALMS, ids=name_cell)
def place(request, tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("place"))
    with request.param(os.path.join(folder, "realm"), USERS, GRANTS, ANONYMOUS_PULL) as service, Place(folder, service.realm) as running:
        yield running


def test_the_registry_honours_what_is_out(tmp_path):
    """A registry token is good there until its `exp`, whatever becomes of its user; the manual says so."""
    with OurService(str(tmp_path / "realm"), USERS, GRANTS) as service, Registry(str(tmp_path / "registry"), USERS, realm=service.realm) as registry:
        small_image(str(tmp_path / "image"), "team/app", (5000,))
        registry.push(f"oci:{tmp_path}/image:1", "team/app:1", "owner")
        token = service.realm.token_for(APP + "pull", user="reader", password=USERS["reader"])

        def status():
            return get(registry.address, "/v2/team/app/tags/list", {"Authorization": f"Bearer {token}"})[0]

        assert status() == 200
        service.user("ungrant", "reader", "team/*")
        assert status() == 200
        service.user("remove", "reader")
        service.gate.tool("revoke", "--config", service.gate.config, "--sub", "reader", "--ban")
        assert service.realm.ask([APP + "pull"], "reader", USERS["reader"])[0] == 401
        assert status() == 200


@pytest.mark.parametrize("kind,user,repository,action", TABLE, ids=name_cell)
def test_table(place, kind, user, repository, action):
    may = repository in MAY.get((user, action), ())
    if action == "pull":
        assert place.pulls(kind, repository, user, USERS.get(user)) == may
    else:
        assert place.pushes(kind, repository, user, USERS.get(user), f"{kind.name}-{user}") == may


# A user each: few wrong passwords are free.
@pytest.mark.parametrize("kind,name", zip(REGISTRY_CLIENTS, ("reader", "owner", "stranger")), ids=name_cell)
def test_wrong_password(place, kind, name):
    for user, password in ((name, "wrong"), ("nobody", USERS[name]), (name, USERS["writer"])):
        assert not place.pulls(kind, "team/app", user, password)
        # What needs no password is not given to a wrong one either: its user would not see the mistake.
        assert not place.pulls(kind, "public/tool", user, password)
    assert not place.pushes(kind, "team/app", "writer", "wrong", "wrong")


@pytest.mark.parametrize("kind", [Skopeo, Podman], ids=name_cell)
def test_login(place, kind):
    client, host = place.clients[kind], place.registry.address
    assert not client.login(host, "reader", "wrong")
    assert client.logins() == set()
    assert client.login(host, "reader", USERS["reader"])
    assert client.logins() == {host}
    # What it has kept is what it pulls with, above.
    with open(client.path("login.json"), encoding="utf-8") as f:
        assert json.load(f)["auths"][host] == auth_entry("reader", USERS["reader"])


@pytest.fixture(scope="module")
def identity(place):
    """writer's identity token, as docker login gets one."""
    status, body = place.realm.ask(user="writer", password=USERS["writer"], offline_token="true", client_id="tests")
    assert status == 200
    return Identity(body["refresh_token"])


@pytest.mark.parametrize("kind", REGISTRY_CLIENTS, ids=name_cell)
def test_identity_token(place, kind, identity):
    assert place.pulls(kind, "team/app", None, identity)
    assert place.pushes(kind, "team/app", None, identity, kind.name + "-identity")
    assert not place.pulls(kind, "team/other", None, identity)
    assert not place.pulls(kind, "team/app", None, Identity(identity.token[:-1]))


def test_no_identity_token_without_a_user(place):
    status, body = place.realm.ask(["repository:public/tool:pull"], offline_token="true")
    assert status == 200 and "refresh_token" not in body


def manifest(place, token, repository="team/app"):
    """(status, challenge) of the registry to a token."""
    status, headers, _ = get(place.registry.address, f"/v2/{repository}/manifests/1",
                             {"Authorization": "Bearer " + token, "Accept": "application/vnd.oci.image.manifest.v1+json"})
    return status, headers["WWW-Authenticate"]


def test_what_a_token_is_good_for(place):
    def token(*scopes, user="reader"):
        return place.realm.token_for(*scopes, user=user, password=USERS[user])

    assert manifest(place, token(APP + "pull"))[0] == 200
    assert manifest(place, token("repository:secret/box:pull", APP + "pull,push"))[0] == 200
    # As containers/image and as containerd write several.
    for scopes in ([APP + "pull", "repository:team/other:pull"], [APP + "pull repository:team/other:pull"]):
        assert [manifest(place, token(*scopes), name)[0] for name in ("team/app", "team/other")] == [200, 200]
    for scopes in ([], ["repository:team/other:pull"], [APP], [APP + "push"], ["registry:catalog:*"]):
        status, challenge = manifest(place, token(*scopes))
        assert status == 401 and 'error="insufficient_scope"' in challenge, scopes
    status, challenge = manifest(place, token(APP + "pull", user="stranger"))
    assert status == 401 and 'error="insufficient_scope"' in challenge


# --- what clients ask; of the independent service, which notes it ---

@pytest.fixture(scope="module", params=["ES256", "RS256"])
def noted(request, tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("noted"))
    with TokenService(os.path.join(folder, "realm"), USERS, GRANTS, ANONYMOUS_PULL, algorithm=request.param) as service, \
            Place(folder, service.realm) as place:
        place.service = service
        yield place


def asked(place, call, *argv):
    """What call() asked of the service: a list of (method, status, parameters without secrets, Basic user)."""
    place.service.asked.clear()
    call(*argv)
    told = []
    for one in place.service.asked:
        pairs = [(name, value) for name, value in one.pairs if name not in ("password", "refresh_token", "client_id", "service")]
        told.append((one.method, one.status, pairs, one.basic and one.basic[0]))
    return told


@pytest.mark.parametrize("kind", [Skopeo, Podman], ids=name_cell)
def test_containers_image_asks(noted, kind):
    client, scope, push = noted.clients[kind], ("scope", APP + "pull"), ("scope", APP + "pull,push")
    assert asked(noted, noted.pulls, kind, "team/app", "reader", USERS["reader"]) == [
        ("GET", 200, [("account", "reader"), scope], "reader")]
    assert asked(noted, noted.pulls, kind, "public/tool", None, None) == [
        ("GET", 200, [("scope", "repository:public/tool:pull")], None)]
    # A token that is too narrow is asked for again, the same need twice.
    assert asked(noted, noted.pulls, kind, "team/app", "stranger", USERS["stranger"]) == [
        ("GET", 200, [("account", "stranger"), scope], "stranger"),
        ("GET", 200, [("account", "stranger"), scope, scope], "stranger")]
    assert asked(noted, noted.pushes, kind, "team/app", "writer", USERS["writer"], "asked")[0] == (
        "GET", 200, [("account", "writer"), push], "writer")
    assert asked(noted, client.login, noted.registry.address, "reader", USERS["reader"]) == [
        ("GET", 200, [("account", "reader")], "reader")]
    assert asked(noted, noted.pulls, kind, "team/app", "reader", "wrong") == [
        ("GET", 401, [("account", "reader"), scope], "reader")]
    identity = Identity(noted.service.remember("writer"))
    assert asked(noted, noted.pulls, kind, "team/app", None, identity) == [
        ("POST", 200, [("grant_type", "refresh_token"), scope], None)]
    assert noted.service.asked[0].headers["transfer-encoding"] == "chunked"
    assert noted.service.asked[0].get("client_id") == ["containers/image"]


def test_containerd_asks(noted):
    def pulls(repository, user, password):
        return asked(noted, noted.pulls, Containerd, repository, user, password)

    def password_of(user, scope=APP + "pull"):
        return [("grant_type", "password"), ("scope", scope), ("username", user)]

    # Once to resolve the tag, once to fetch.
    assert pulls("team/app", "reader", USERS["reader"]) == [("POST", 200, password_of("reader"), None)] * 2
    assert noted.service.asked[0].get("client_id") == ["containerd-client"]
    assert pulls("public/tool", None, None) == [("GET", 200, [("scope", "repository:public/tool:pull")], None)] * 2
    assert pulls("team/app", "stranger", USERS["stranger"]) == [("POST", 200, password_of("stranger"), None)]
    assert asked(noted, noted.pushes, Containerd, "team/app", "writer", USERS["writer"], "asked")[0] == (
        "POST", 200, password_of("writer", APP + f"pull {APP}pull,push"), None)
    # A wrong password is tried twice.
    assert pulls("team/app", "reader", "wrong") == [
        ("POST", 401, password_of("reader"), None), ("GET", 401, [("scope", APP + "pull")], "reader")]
    identity = [("grant_type", "refresh_token"), ("scope", APP + "pull")]
    assert pulls("team/app", None, Identity(noted.service.remember("writer"))) == [("POST", 200, identity, None)] * 2
    # One that is refused is shown once more, as the password of a user without a name.
    assert pulls("team/app", None, Identity("unknown")) == [
        ("POST", 401, identity, None), ("GET", 401, [("scope", APP + "pull")], "")]
    assert noted.service.asked[1].basic == ("", "unknown")


@pytest.mark.parametrize("kind", [Skopeo, Podman], ids=name_cell)
def test_blobs_of_another_repository(noted, kind):
    """Who pushes what another repository has already asks for the right to pull there, too."""
    assert noted.pushes(kind, "team/app", "owner", USERS["owner"], "first")
    seen = asked(noted, noted.pushes, kind, "team/other", "owner", USERS["owner"], "second")
    both = [("account", "owner"), ("scope", "repository:team/other:pull,push"), ("scope", APP + "pull")]
    assert ("GET", 200, both, "owner") in seen


@pytest.fixture
def odd(noted):
    """A service that fails as its `fails` and `leaves_out` say, for one test."""
    yield noted.service
    noted.service.fails, noted.service.leaves_out = {}, ()


@pytest.mark.parametrize("status,asks_again", [(400, True), (401, True), (404, True), (405, True), (403, False), (429, False),
                                               (503, False)])
def test_containerd_where_post_fails(noted, odd, status, asks_again):
    odd.fails = {"POST": status}
    told = []

    def pull():
        with contextlib.suppress(AssertionError):  # it says neither yes nor no
            told.append(noted.pulls(Containerd, "team/app", "reader", USERS["reader"]))

    methods = [(one[0], one[1]) for one in asked(noted, pull)]
    assert methods == ([("POST", status), ("GET", 200)] * 2 if asks_again else [("POST", status)])
    assert told == [True] if asks_again else True not in told


@pytest.mark.parametrize("kind", REGISTRY_CLIENTS, ids=name_cell)
def test_slowed_down(noted, odd, kind):
    """A 429 is passed on to the user, and nobody asks again."""
    odd.fails = {"GET": 429, "POST": 429}
    odd.asked.clear()
    with pytest.raises(AssertionError, match="(?i)too many requests"):
        noted.pulls(kind, "team/app", "reader", USERS["reader"])
    assert len(odd.asked) == 1


@pytest.mark.parametrize("kind", REGISTRY_CLIENTS, ids=name_cell)
def test_members_of_the_answer(noted, odd, kind):
    def pulls(*leaves_out, password=None):
        odd.leaves_out = leaves_out
        try:
            return noted.pulls(kind, "team/app", None if password else "reader", password or USERS["reader"])
        except AssertionError:
            return False

    identity = Identity(odd.remember("reader"))
    # Of a GET either will do.
    odd.fails = {"POST": 404}
    assert pulls("access_token", "expires_in", "issued_at") and pulls("token", "expires_in", "issued_at")
    assert not pulls("token", "access_token")
    odd.fails = {}
    assert pulls("expires_in", "issued_at", "scope", "refresh_token", password=identity)
    assert not pulls("access_token", password=identity)
