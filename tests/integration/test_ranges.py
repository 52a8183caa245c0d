"""
Ranges of one blob, of the webseed out of its cache and out of the registry's storage, and of nginx: status, range and
bytes. Where we answer otherwise than nginx, it is said why.
"""

import http.client
import os

import pytest
from conftest import USERS, registry_row
from support.announce import bdecode, get
from support.gate import Gate
from support.image import small_image
from support.proxies import Nginx
from support.registry import Registry
from test_gateway import blob_file, blob_path, create, webseed_of

SIZE = 5_000_000  # about; of several pieces

WHOLE = "several ranges, or what is none: RFC 9110, 14.2, lets it be ignored, and then the whole is sent"
BLANK = "white space within a range, which nginx reads past and RFC 9110, 14.1.1, does not have: ignored as what is none"
LARGE = "a position beyond 64 bits is one behind any end"

# `S` is the blob's size, `L` its last byte. None: as nginx answers.
RANGES = {
    # RFC 9110, 14.1.2
    "bytes=0-499": None, "bytes=500-999": None, "bytes=-500": None, "bytes=9500-": None, "bytes=0-0": None,
    "bytes=0-0,-1": WHOLE, "bytes= 0-999, 4500-5499, -1000": WHOLE, "bytes=500-600,601-999": WHOLE, "bytes=500-700,601-999": WHOLE,
    # Ends
    "bytes=0-": None, "bytes=0-L": None, "bytes=0-S": None, "bytes=L-": None, "bytes=L-L": None, "bytes=L-S": None,
    "bytes=S-": None, "bytes=S-S": None, "bytes=S-99999999": None, "bytes=1-0": WHOLE, "bytes=L-0": WHOLE,
    "bytes=0-99999999999": None, "bytes=262143-262144": None, "bytes=262144-524287": None, "bytes=1-L": None,
    # Suffixes
    "bytes=-1": None, "bytes=-0": None, "bytes=-S": None, "bytes=-L": None, "bytes=-99999999": None, "bytes=-": WHOLE,
    # Numbers
    "bytes=00-010": None, "bytes=0000000000000000000000000000-9": None, "bytes=9223372036854775807-": None,
    "bytes=9223372036854775808-": LARGE, "bytes=18446744073709551615-": LARGE, "bytes=18446744073709551616-": LARGE,
    "bytes=0-18446744073709551615": LARGE, "bytes=0-99999999999999999999999": LARGE, "bytes=-18446744073709551616": LARGE,
    "bytes=+1-5": WHOLE, "bytes=1-+5": WHOLE, "bytes=0x1-5": WHOLE, "bytes=1.0-5": WHOLE, "bytes=--1": WHOLE, "bytes=a-b": WHOLE,
    # White space, case, other units
    "bytes =0-1": WHOLE, "bytes= 0-1": None, "bytes=0 -1": BLANK, "bytes=0- 1": BLANK, "bytes=0-1 ": None, "BYTES=0-1": None,
    "Bytes=0-1": None, "bits=0-1": WHOLE, "items=0-1": WHOLE, "bytes": WHOLE, "bytes:0-1": WHOLE, "0-1": WHOLE, "": WHOLE, "bytes=": WHOLE,
    # Several
    "bytes=0-1,": WHOLE, "bytes=,0-1": WHOLE, "bytes=0-1,2-3,4-5": WHOLE, "bytes=0-,0-": WHOLE, "bytes=S-,0-1": WHOLE,
    "bytes=" + ",".join(["0-"] * 500): WHOLE,
}


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranges")
    small_image(str(folder / "image"), "ranges", (SIZE,))
    with Registry(str(folder / "registry"), USERS) as running:
        running.push(f"oci:{folder}/image:1", "team/app:1", "alice")
        yield running


@pytest.fixture(scope="module", params=["cache", "storage"])
def servers(request, registry, tmp_path_factory):
    """(address, path) of the webseed and of nginx, and the blob."""
    folder = str(tmp_path_factory.mktemp(request.param))
    row = registry_row(registry, folder)
    cache = {"path": "cache"}
    if request.param == "storage":
        row["storage"], cache = os.path.join(registry.folder, "storage"), None
    with Gate(folder, [row], gateway={"cache": cache}) as gate:
        blob = max(create(gate, registry)["blobs"], key=lambda blob: blob["size"])
        status, _, torrent = get(gate.gateway, blob_path("team/app", blob), registry.basic("alice"))
        assert status == 200
        path = webseed_of(bdecode(torrent)).removeprefix(gate.gateway_url) + blob["digest"]
        file = blob_file(registry, blob)
        with Nginx(os.path.join(folder, "nginx"), f"location = /f {{ alias {file}; }}", http="max_ranges 1000;") as nginx, \
                open(file, "rb") as data:
            yield (gate.gateway, path), (nginx.address, "/f"), data.read()


def ask(server, header):
    address, path = server
    connection = http.client.HTTPConnection(address, timeout=60)
    try:
        connection.request("GET", path, headers={"Range": header})
        answer = connection.getresponse()
        return answer.status, answer.getheader("Content-Range"), answer.read()
    finally:
        connection.close()


def written(text, size):
    return text.replace("S", str(size)).replace("L", str(size - 1))


@pytest.mark.parametrize("text", RANGES, ids=lambda text: text[:40] or "empty")
def test_a_range(servers, text):
    webseed, nginx, data = servers
    ours = ask(webseed, written(text, len(data)))
    theirs = ask(nginx, written(text, len(data)))
    if RANGES[text] is None:
        assert (ours[0], ours[1]) == (theirs[0], theirs[1])
        if ours[0] != 416:
            assert ours[2] == theirs[2]
    elif RANGES[text] in (WHOLE, BLANK):
        assert ours == (200, None, data)
    elif ours[0] == 416:
        assert ours[1] == f"bytes */{len(data)}" and theirs[0] in (200, 416)
    else:
        first, last = (int(n) for n in ours[1].removeprefix("bytes ").partition("/")[0].split("-"))
        assert ours[0] == 206 and ours[2] == data[first:last + 1] and last == len(data) - 1


def test_there_are_enough():
    assert len(RANGES) >= 60
