"""
Images are pushed to a docker-registry that notifies, one after the other, and asked for at once; and the gateway is
killed again and again meanwhile. They are $SWARMGATE_PUSHES.
"""

import base64
import concurrent.futures
import json
import os
import statistics
import time

import libtorrent
import pytest
from support.announce import get
from support.process import wait_for
from test_notifications import Place

PUSHES = int(os.environ.get("SWARMGATE_PUSHES", "5"))
SIZES = (2_000_000, 1_000_000, 300_000, 70_000, 5_000)


@pytest.fixture
def place(tmp_path):
    made = Place(tmp_path)
    with made.registry, made.gate:
        yield made


def name_of(number):
    return f"team/app{number}"


def made_by_the_tool(place, number):
    """{digest: infohash} of an image, from where it was pushed from."""
    layout = os.path.join(place.folder, name_of(number).replace("/", "-"))
    made = json.loads(place.gate.tool("torrent", "create", f"oci:{layout}:1", "--output", layout + ".torrents", "--json").stdout)
    return {blob["digest"]: blob["infohash"] for blob in made["blobs"]}


def ask(place, number):
    """The answer to a request for an image, and how many it took."""
    asked, status = 0, 202
    while status == 202:
        asked += 1
        status, _, body = get(place.gate.gateway, f"/v1/{name_of(number)}/manifests/1", place.registry.basic("alice"))
    assert status == 200, body
    return json.loads(body), asked


def answered(answer):
    """{digest: infohash}, of the torrents themselves."""
    torrents = {entry["digest"]: base64.b64decode(entry["torrent"]) for entry in [answer["config"], *answer["layers"]]}
    return {digest: str(libtorrent.torrent_info(libtorrent.bdecode(torrent)).info_hashes().v1) for digest, torrent in torrents.items()}


def test_torrents_are_there_at_the_first_request(place):
    seconds, first = [], 0
    for number in range(PUSHES):
        place.push(name_of(number), SIZES)
        pushed = time.monotonic()
        answer, asked = ask(place, number)
        seconds.append(time.monotonic() - pushed)
        first += asked == 1
        assert answered(answer) == made_by_the_tool(place, number)
    print(f"{PUSHES} images of {len(SIZES)} layers: {first} answered with torrents at the first request; from the end of the push "
          f"to the answer {statistics.median(seconds):.3f} s in the median, {max(seconds):.3f} s at most")


def test_kills_while_images_are_pushed(place):
    """After the first torrent that each life of the gateway makes."""
    kills = 0
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        pushing = pool.submit(lambda: {name_of(number): place.push(name_of(number), SIZES) for number in range(PUSHES)})

        def goes_on():
            return pushing.done() or any("made the torrent of" in line for line in list(place.gate.process.lines))

        while wait_for("a torrent", 60, goes_on, every=0.001) and not pushing.done():
            place.kill()
            kills += 1
            place.gate.start()
        pushed = pushing.result()
    place.await_torrents(pushed)  # before anybody asks, which would have them made
    wrong = [number for number in range(PUSHES) if answered(ask(place, number)[0]) != made_by_the_tool(place, number)]
    print(f"{PUSHES} images of {len(SIZES)} layers, {kills} kills of the gateway: none of "
          f"{sum(map(len, pushed.values()))} torrents missing, {len(wrong)} images with wrong ones")
    assert kills > 0 and not wrong
    place.gate.tool("db", "check", "--config", place.gate.config)
