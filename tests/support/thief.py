"""
A thief: he knows a torrent's infohash and where its peers listen, and dials them himself. Whether the tracker would
have told him does not matter then: what he gets is up to the peers.
"""

import collections
import contextlib
import hashlib
import secrets
import socket
import ssl
import struct

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

from .swarm_tls import HELLO, tls_context

# How `swarmgate` cuts blobs of up to 512 MiB, and what clients ask each other for at once.
PIECE = 256 * 1024
BLOCK = 16 * 1024
WINDOW = 64
CHOKE, UNCHOKE, INTERESTED, REQUEST, PIECE_MESSAGE = 0, 1, 2, 6, 7
# A peer that is asked looks every ten seconds or so at whom it serves.
PATIENCE = 25


def _read(connection, size):
    """That many bytes; EOFError when fewer come."""
    got = b""
    while len(got) < size:
        more = connection.recv(size - len(got))
        if not more:
            raise EOFError
        got = got + more if got else more
    return got


class Obfuscated:
    """A connection by message stream encryption, as its dialler has it, RC4 all through."""

    PRIME = int("FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DDEF9519B3CD3A4"
                "31B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A63A36210000000000090563", 16)

    def __init__(self, plain, infohash):
        self._plain, wanted = plain, bytes.fromhex(infohash)
        own = secrets.randbits(160)
        plain.sendall(pow(2, own, self.PRIME).to_bytes(96, "big"))
        shared = pow(int.from_bytes(_read(plain, 96), "big"), own, self.PRIME).to_bytes(96, "big")
        self._out, self._in = (self._cipher(name + shared + wanted) for name in (b"keyA", b"keyB"))
        which = int.from_bytes(self._hash(b"req2" + wanted), "big") ^ int.from_bytes(self._hash(b"req3" + shared), "big")
        plain.sendall(self._hash(b"req1" + shared) + which.to_bytes(20, "big")
                      + self._out.update(bytes(8) + struct.pack(">IHH", 2, 0, 0)))
        mark, seen = self._in.update(bytes(8)), b""
        while not seen.endswith(mark):
            if len(seen) > 512 + len(mark):
                raise ConnectionError("the peer knows no such torrent")
            seen += _read(plain, 1)
        _, padding = struct.unpack(">IH", self.recv_whole(6))
        self.recv_whole(padding)

    @staticmethod
    def _hash(data):
        return hashlib.sha1(data).digest()

    def _cipher(self, secret):
        cipher = Cipher(algorithms.ARC4(self._hash(secret)), mode=None).encryptor()
        cipher.update(bytes(1024))
        return cipher

    def recv_whole(self, size):
        return self._in.update(_read(self._plain, size))

    def recv(self, size):
        return self._in.update(self._plain.recv(size))

    def sendall(self, data):
        self._plain.sendall(self._out.update(data))

    def close(self):
        self._plain.close()


class Loot:
    """What has come of a blob, of which all is asked for."""

    def __init__(self, blob):
        self.blob, self.size = blob, 0
        self._data = bytearray(blob["size"])
        self._wanted = collections.deque(range(0, blob["size"], BLOCK))
        self._asked = set()

    def take(self, connection, infohash):
        """Speaks the protocol of BEP 3 until all is there, or the connection's own end."""
        connection.sendall(HELLO + bytes(8) + bytes.fromhex(infohash) + b"-TH0001-" + secrets.token_hex(6).encode())
        if not _read(connection, len(HELLO) + 48).startswith(HELLO):
            return
        connection.sendall(struct.pack(">IB", 1, INTERESTED))
        choked = True
        while self.size < self.blob["size"]:
            message = _read(connection, int.from_bytes(_read(connection, 4), "big"))
            kind = message[0] if message else None
            if kind in (CHOKE, UNCHOKE):
                choked = kind == CHOKE
                self._wanted.extend(self._asked)
                self._asked.clear()
            elif kind == PIECE_MESSAGE:
                self._put(*struct.unpack(">II", message[1:9]), message[9:])
            if not choked:
                self._ask(connection)

    def _put(self, piece, offset, data):
        at = piece * PIECE + offset
        if at in self._asked:
            self._asked.remove(at)
            self._data[at:at + len(data)] = data
            self.size += len(data)

    def _ask(self, connection):
        requests = b""
        while self._wanted and len(self._asked) < WINDOW:
            at = self._wanted.popleft()
            self._asked.add(at)
            requests += struct.pack(">IBIII", 13, REQUEST, at // PIECE, at % PIECE, min(BLOCK, self.blob["size"] - at))
        if requests:
            connection.sendall(requests)

    def is_the_blob(self):
        return "sha256:" + hashlib.sha256(self._data).hexdigest() == self.blob["digest"]


class Thief:
    """Dials from `host`, a Host of netns.py, peers of the torrent `infohash`, which is of `blob` (its `digest` and `size`)."""

    def __init__(self, host, infohash, blob):
        self.host, self.infohash, self.blob = host, infohash, blob

    def plainly(self, address):
        return self._dial(address, lambda plain: plain)

    def obfuscated(self, address):
        return self._dial(address, lambda plain: Obfuscated(plain, self.infohash))

    def by_tls(self, address, certificate):
        """`certificate` has paths `cert` and `key`, or is None."""
        context = tls_context(ssl.PROTOCOL_TLS_CLIENT, certificate)
        return self._dial(address, lambda plain: context.wrap_socket(plain, server_hostname=self.infohash))

    def _dial(self, address, wrap):
        """Bytes of the blob that came."""
        loot = Loot(self.blob)
        # A peer that does not like him closes, with or without a word; one that says nothing is waited for.
        with contextlib.suppress(OSError, EOFError), self.host.entered(), socket.create_connection(address, PATIENCE) as plain:
            with contextlib.closing(wrap(plain)) as connection:
                loot.take(connection, self.infohash)
        assert loot.size < self.blob["size"] or loot.is_the_blob(), f"{address} sent something else"
        return loot.size
