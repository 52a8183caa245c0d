"""
One image through the swarm in front of each kind of registry: who may pull it there gets it from the webseed and
from other nodes, who may not gets nothing; and what was handed out for one thing opens no other.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import re

import pytest
from conftest import registry_row
from support.announce import announce, bdecode, failure, get, scrape
from support.client_matrix import PATIENCE, make_gate
from support.clients import Aria2, Libtorrent
from support.image import small_image
from support.jws import make_key, unb64
from support.netns import Network
from support.our_service import OurService
from support.registry import Registry, basic
from support.token_service import Realm, TokenService
from test_clients import can_make_hosts

pytestmark = pytest.mark.skipif(not can_make_hosts(), reason="network namespaces want root")

USERS = {"alice": "alice-password", "stranger": "stranger-password", "gateway": "gateway-password"}
GRANTS = {"alice": {"team/*": "pull,push", "public/*": "pull,push", "secret/*": "pull,push"},
          "gateway": {"team/*": "pull", "public/*": "pull", "secret/*": "pull"}}
# public/app is the image of team/app, secret/app another.
IMAGES = {"team/app": "app", "public/app": "app", "secret/app": "other"}
ALICE, NOBODY = ("alice", USERS["alice"]), (None, None)


@dataclasses.dataclass(frozen=True)
class Kind:
    """
    A kind of registry. `realm` is the class of its token service; without one the users are its own, and without
    `users` everybody may do anything. `trusted`: the tracker takes the registry's own tokens, and the nodes announce by
    them. `row` is laid over its row of `registries:`. `right` is (repository, caller) that may, each of `wrong` may not; a
    caller is (user, password).
    """

    name: str
    realm: type = None
    users: bool = True
    trusted: bool = False
    row: dict = dataclasses.field(default_factory=dict)
    right: tuple = ("team/app", ALICE)
    wrong: tuple = (("team/app", NOBODY), ("team/app", ("alice", "wrong")), ("team/app", ("mallory", USERS["alice"])))


WRONG_OF_A_SERVICE = (*Kind.wrong, ("team/app", ("stranger", USERS["stranger"])))
KINDS = [
    Kind("htpasswd"),
    Kind("token", TokenService, wrong=WRONG_OF_A_SERVICE),
    Kind("token-trusted", TokenService, trusted=True, wrong=WRONG_OF_A_SERVICE),
    Kind("token-ours", OurService, trusted=True, wrong=WRONG_OF_A_SERVICE),
    Kind("anonymous-ours", OurService, right=("public/app", NOBODY), wrong=(("team/app", NOBODY), ("secret/app", NOBODY))),
    Kind("anonymous", TokenService, right=("public/app", NOBODY), wrong=(("team/app", NOBODY), ("secret/app", NOBODY))),
    # There is nobody who may not; but what is there in one repository is not there in another.
    Kind("open", users=False, right=("team/app", NOBODY), wrong=(("secret/app", NOBODY), ("team/none", NOBODY))),
]


class Place:
    """A registry of a kind with IMAGES, swarmgated in front of it, and their torrents registered."""

    def __init__(self, kind, folder, network):
        self.kind, self.folder, self.network = kind, folder, network
        self.hub = network.add()
        self.stack = contextlib.ExitStack()

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def __enter__(self):
        with self.stack:
            self.realm = None
            if self.kind.realm:
                self.realm = self.stack.enter_context(
                    self.kind.realm(self.path("realm"), USERS, GRANTS, ["public/*"], self.hub)).realm
            self.registry = self.stack.enter_context(Registry(
                self.path("registry"), USERS if self.kind.users else {}, self.hub.address, 5000, self.hub.prefix, realm=self.realm))
            trust = [self.realm.trust_row()] if self.kind.trusted else []
            os.makedirs(self.path("gate"))
            row = registry_row(self.registry, self.path("gate"), **self.kind.row)
            self.gate = self.stack.enter_context(make_gate(self.path("gate"), self.hub, registries=[row], auth={"trust": trust}))
            self.owner = "alice" if self.kind.users else None
            self.blobs = {name: self.register(name, seed) for name, seed in IMAGES.items()}
            self.stack = self.stack.pop_all()
        return self

    def __exit__(self, *ignored):
        self.stack.close()

    def register(self, name, seed):
        """Pushes an image and registers its torrents; returns its blobs."""
        if not os.path.exists(self.path(seed)):
            small_image(self.path(seed), seed)
        self.registry.push(f"oci:{self.path(seed)}:1", name + ":1", self.owner)
        made = self.gate.tool("torrent", "create", f"docker://{self.registry.address}/{name}:1", "--register", "--json",
                              "--tls-verify=false", "--config", self.gate.config, "--authfile", self.registry.auth_file(self.owner))
        return json.loads(made.stdout)["blobs"]

    # --- as a node asks ---

    def ask(self, path, headers):
        with self.hub.entered():
            return get(self.gate.gateway, path, headers)

    def credentials(self, path, user, password):
        """
        The headers by which a caller asks for `path`, after what the gateway hands through of the registry's challenge:
        none, Basic, or a token of the realm. None when the realm has nothing for the caller.
        """
        status, headers, _ = self.ask(path, {})
        if status != 401:
            return {}
        scheme, _, rest = headers["WWW-Authenticate"].partition(" ")
        if scheme == "Basic":
            return {} if user is None else basic(user, password)
        said = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        assert scheme == "Bearer" and (said["realm"], said["service"]) == (self.realm.url, self.realm.service)
        with self.hub.entered():
            status, body = self.realm.ask([said["scope"]], user, password)
        return {"Authorization": "Bearer " + body["token"]} if status == 200 else None

    def torrent(self, repository, blob, caller):
        """(status, body, Authorization) for one blob's torrent; 401 also where the realm has refused."""
        path = f"/v1/{repository}/blobs/{blob['digest']}"
        headers = self.credentials(path, *caller)
        if headers is None:
            return 401, b"", None
        status, _, body = self.ask(path, headers)
        return status, body, headers.get("Authorization")

    def handed_out(self, blob):
        """(metainfo, swarm token, path of the webseed, Authorization) that the right caller gets."""
        repository, caller = self.kind.right
        status, body, authorization = self.torrent(repository, blob, caller)
        assert status == 200, body
        metainfo = bdecode(body)
        url, token = metainfo[b"announce"].decode().split("?jwt=")
        assert url == self.gate.announce_url
        (seed,) = [metainfo[b"url-list"]] if isinstance(metainfo[b"url-list"], bytes) else metainfo[b"url-list"]
        return body, token, seed.decode()[len(self.gate.gateway_url):], authorization

    # --- as a node announces ---

    def told(self, infohash, token):
        """The tracker's reason to a token, None when it lets it in; a scrape must say the same."""
        with self.hub.entered():
            answer = announce(self.gate.tracker, infohash, token, port=7001)
            files = scrape(self.gate.tracker, [infohash], token).get(b"files")
            if failure(answer) is None:
                announce(self.gate.tracker, infohash, token, port=7001, event="stopped")
        assert bool(files) == (failure(answer) is None), (answer, files)
        return failure(answer)

    def webseed(self, path):
        return self.ask(path, {})[0]


@pytest.fixture(scope="module")
def network():
    with Network() as running:
        yield running


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.name)
def place(request, network, tmp_path_factory):
    with Place(request.param, str(tmp_path_factory.mktemp("place")), network) as running:
        yield running


@pytest.fixture
def blobs(place):
    """Of the image that the right caller may pull."""
    return place.blobs[place.kind.right[0]]


def announce_by(torrent, token, webseed):
    """The .torrent with this token in its announce URL, and its webseed or none."""
    url = bdecode(torrent)[b"announce"].split(b"?")[0] + b"?jwt=" + token.encode()
    start, end = torrent.index(b"4:info"), torrent.index(b"8:url-list")
    return b"d8:announce%d:%s" % (len(url), url) + torrent[start:end] + (torrent[end:] if webseed else b"e")


def test_right_caller_gets_the_image(place, blobs, tmp_path):
    """One node by the webseed, another from the first alone."""
    torrents = {True: [], False: []}
    for blob in blobs:
        torrent, token, _, authorization = place.handed_out(blob)
        if place.kind.trusted:
            token = authorization.split()[1]
        for webseed, paths in torrents.items():
            folder = tmp_path / f"webseed-{webseed}"
            folder.mkdir(exist_ok=True)
            paths.append(str(folder / (blob["digest"].replace(":", "-") + ".torrent")))
            with open(paths[-1], "wb") as f:
                f.write(announce_by(torrent, token, webseed))
    first, second = place.network.add(), place.network.add()
    with Libtorrent(str(tmp_path / "node1"), torrents[True], first.address, first.prefix) as one:
        one.wait_complete(PATIENCE)
        with Aria2(str(tmp_path / "node2"), torrents[False], second.address, second.prefix) as two:
            two.wait_complete(PATIENCE)
    layout = os.path.join(place.folder, IMAGES[place.kind.right[0]], "blobs", "sha256")
    assert {blob["digest"].split(":")[1] for blob in blobs} < set(os.listdir(layout))
    for node in (one, two):
        for blob in blobs:
            with open(os.path.join(node.folder, blob["digest"].replace(":", "-")), "rb") as f:
                assert "sha256:" + hashlib.sha256(f.read()).hexdigest() == blob["digest"]


def test_wrong_caller_gets_nothing(place):
    right = place.kind.right[0]
    for repository, caller in place.kind.wrong:
        # A blob that is there in that repository, or, where everybody may, in another one alone.
        known = place.blobs[right] if not place.kind.users else place.blobs[repository]
        for blob in known:
            status, body, _ = place.torrent(repository, blob, caller)
            assert status in (401, 404) and json.loads(body or b'{"errors":[1]}')["errors"], (repository, caller, status)
            assert blob["infohash"].encode() not in body and bytes.fromhex(blob["infohash"]) not in body


def test_swarm_token_is_for_its_infohash_alone(place, blobs):
    mine = max(blobs, key=lambda blob: blob["size"])
    _, token, _, _ = place.handed_out(mine)
    assert place.told(mine["infohash"], token) is None
    others = [blob["infohash"] for name in IMAGES for blob in place.blobs[name] if blob["infohash"] != mine["infohash"]]
    for infohash in [*others, "00" * 20]:
        assert place.told(infohash, token) == "not authorised for this torrent"


def test_webseed_token_is_for_its_blob_alone(place, blobs):
    mine = max(blobs, key=lambda blob: blob["size"])
    _, swarm_token, path, authorization = place.handed_out(mine)
    name, token = mine["digest"].replace(":", "-"), path.split("/")[2]
    assert json.loads(unb64(token.split(".")[1]))["digest"] == mine["digest"]
    assert place.webseed(path + name) == 200
    for other in (blob for names in IMAGES for blob in place.blobs[names] if blob["digest"] != mine["digest"]):
        assert place.webseed(path + other["digest"].replace(":", "-")) in (403, 404)
        assert place.webseed(path + other["digest"]) in (403, 404)
    # Nor is it any other kind of token, or another that kind.
    assert place.told(mine["infohash"], token) == "token invalid"
    for foreign in (swarm_token, (authorization or "Bearer none").split()[1]):
        assert place.webseed(f"/webseed/{foreign}/{name}") == 403
    if place.kind.users:
        for foreign in (token, swarm_token):
            assert place.ask(f"/v1/{place.kind.right[0]}/blobs/{mine['digest']}", {"Authorization": "Bearer " + foreign})[0] == 401


def registry_token(place, repository, actions=("pull",), **claims):
    """As the realm would sign it; where there is none, of a service that nobody trusts."""
    realm = place.realm or Realm(None, "auth.example", "registry.example", None, make_key("ES256"))
    return realm.sign("alice", [{"type": "repository", "name": repository, "actions": list(actions)}], **claims)


def test_registry_token_of_another_audience(place, blobs):
    repository, mine = place.kind.right[0], max(blobs, key=lambda blob: blob["size"])
    path, name = f"/v1/{repository}/blobs/{mine['digest']}", mine["digest"].replace(":", "-")
    # An open registry looks at no token.
    everybody = not place.kind.users

    def opened(**claims):
        """Of gateway, tracker and webseed, those that the token opens."""
        token = registry_token(place, repository, **claims)
        return [place.ask(path, {"Authorization": "Bearer " + token})[0] == 200,
                place.told(mine["infohash"], token) is None,
                place.webseed(f"/webseed/{token}/{name}") == 200]

    assert opened() == [place.realm is not None or everybody, place.kind.trusted, False]
    for claims in ({"aud": "other.example"}, {"aud": "registry.example."}, {"aud": place.gate.gateway_url},
                   {"aud": "swarmgate-tracker"}, {"aud": ["other.example"]}, {"aud": None}, {"iss": "auth.other.example"},
                   {"iss": "swarmgate"}, {"iss": "swarmgate", "aud": "swarmgate-tracker"}, {"exp": 1_700_000_000}):
        assert opened(**claims) == [everybody, False, False], claims


def test_registry_token_at_the_tracker(place):
    """Where it is trusted there, it is for what is registered to the repositories it may pull."""
    reasons = (None, "not authorised for this torrent") if place.kind.trusted else ("token invalid",) * 2
    token, pushes = registry_token(place, "team/app"), registry_token(place, "team/app", actions=["push"])
    for blob in place.blobs["team/app"]:
        assert [place.told(blob["infohash"], one) for one in (token, pushes)] == list(reasons)
    for blob in place.blobs["secret/app"]:
        assert place.told(blob["infohash"], token) == reasons[1]
