"""Announce and scrape as a client does, over a connection of its own, with the answer read."""

import http.client
import urllib.parse


def bdecode(data):
    """A strict little bencode reader; integers, bytes, lists, dictionaries with bytes as keys."""
    value, end = _decode(data, 0)
    assert end == len(data), f"bytes behind the value: {data[end:]!r}"
    return value


def _decode(data, at):
    kind = data[at:at + 1]
    if kind == b"i":
        end = data.index(b"e", at)
        return int(data[at + 1:end]), end + 1
    if kind in (b"l", b"d"):
        items, at = [], at + 1
        while data[at:at + 1] != b"e":
            item, at = _decode(data, at)
            items.append(item)
        if kind == b"l":
            return items, at + 1
        keys = items[::2]
        assert keys == sorted(set(keys)), f"keys out of order or doubled: {keys}"
        return dict(zip(keys, items[1::2])), at + 1
    colon = data.index(b":", at)
    end = colon + 1 + int(data[at:colon])
    assert end <= len(data)
    return data[colon + 1:end], end


def get(address, target, headers=None, method="GET", source=None, context=None, body=None):
    """(status, headers, body) of one request; over TLS with a context of ssl."""
    more = {"timeout": 10, "source_address": (source, 0) if source else None}
    connection = (http.client.HTTPSConnection(address, context=context, **more) if context else
                  http.client.HTTPConnection(address, **more))
    try:
        connection.request(method, target, body=body, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def query(pairs):
    """A query string of (name, value) pairs, values as bytes or text."""
    return "&".join(f"{name}={urllib.parse.quote(value if isinstance(value, bytes) else str(value), safe='')}"
                    for name, value in pairs)


def announce_target(infohash, token=None, **params):
    """Path and query of an announce; `params` are laid over a usual one, None takes one out."""
    usual = {"info_hash": bytes.fromhex(infohash)[:20], "peer_id": b"-XX0001-abcdefghijkl", "port": 6881,
             "uploaded": 0, "downloaded": 0, "left": 1000, "compact": 1}
    usual.update(params)
    pairs = [("jwt", token)] if token is not None else []
    pairs += [(name, value) for name, value in usual.items() if value is not None]
    return "/announce?" + query(pairs)


def announce(address, infohash, token=None, headers=None, source=None, **params):
    """The answer's dictionary to announce_target()."""
    status, got, body = get(address, announce_target(infohash, token, **params), headers, source=source)
    assert status == 200, (status, body)
    assert got["Content-Type"].startswith("text/plain")
    return bdecode(body)


def scrape(address, infohashes, token=None, headers=None, context=None):
    pairs = [("jwt", token)] if token is not None else []
    pairs += [("info_hash", bytes.fromhex(infohash)[:20]) for infohash in infohashes]
    status, _, body = get(address, "/scrape?" + query(pairs), headers, context=context)
    assert status == 200, (status, body)
    return bdecode(body)


def failure(answer):
    """The failure reason as text, or None."""
    reason = answer.get(b"failure reason")
    return None if reason is None else reason.decode()
