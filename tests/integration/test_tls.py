"""TLS in the listeners of tracker and gateway, as OpenSSL, curl and Python speak it, and certificates that change."""

import hashlib
import json
import os
import socket
import ssl
import threading

import pytest
from conftest import registry_row
from support.announce import announce_target, bdecode, failure, query
from support.certificates import Authority
from support.gate import Gate
from support.image import small_image
from support.process import binary, run
from support.tls import Wire, ask, connect, get, s_client, serial, split, trusting

INFOHASH = "cd" * 20
CONNECTIONS = 200
LARGE = 24 << 20  # more than sockets hold on the way
SPOKEN = {f"ECDHE-{kind}-{how}" for kind in ("ECDSA", "RSA")
          for how in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")}


def tls_of(leaf):
    return {"tls": {"certificate": leaf.cert, "key": leaf.key}}


class Secure:
    """A Gate that speaks TLS in both roles: the tracker shows an EC certificate of an intermediate CA, the gateway an RSA one."""

    def __init__(self, folder, registry, name, large=0):
        self.ca = Authority(os.path.join(folder, "ca"))
        self.below = Authority(os.path.join(folder, "ca"), "below", parent=self.ca)
        self.leaf, self.rsa = self.below.server("tracker"), self.ca.server("gateway", key="rsa")
        self.context = trusting(self.ca)
        os.makedirs(os.path.join(folder, "gate"))
        self.gate = Gate(os.path.join(folder, "gate"), [registry_row(registry, os.path.join(folder, "gate"))],
                         tracker=tls_of(self.leaf), gateway=tls_of(self.rsa))
        if large:
            layout = os.path.join(folder, "image")
            small_image(layout, name, (large,))
            registry.push(f"oci:{layout}:1", name + ":1", "alice")
        self.registry, self.name = registry, name

    def __enter__(self):
        self.gate.start()
        return self

    def __exit__(self, *ignored):
        self.gate.stop()

    def announce(self, connection, token, infohash=INFOHASH, **params):
        """The answer over a connection that is kept."""
        status, _, body = ask(connection, announce_target(infohash, token, **params))
        assert status == 200
        answer = bdecode(body)
        assert failure(answer) is None, answer
        return answer

    def torrent(self):
        """The largest layer, its metainfo from the gateway, and the path of its webseed."""
        done = self.gate.tool("torrent", "create", f"docker://{self.registry.address}/{self.name}:1", "--register", "--json",
                              "--config", self.gate.config, "--authfile", self.registry.auth_file("alice"))
        layer = max(json.loads(done.stdout)["blobs"], key=lambda blob: blob["size"])
        status, _, body = get(self.gate.gateway, f"/v1/{self.name}/blobs/{layer['digest']}", self.context, self.registry.basic("alice"))
        assert status == 200
        metainfo = bdecode(body)
        url = metainfo[b"url-list"]
        url = (url[0] if isinstance(url, list) else url).decode()
        assert url.startswith(f"https://{self.gate.gateway}/webseed/")
        return layer, metainfo, url + layer["digest"].replace(":", "-")


@pytest.fixture(scope="module")
def secure(registry, tmp_path_factory):
    with Secure(str(tmp_path_factory.mktemp("secure")), registry, "team/app") as running:
        yield running


@pytest.fixture
def own(registry, tmp_path):
    """One whose certificates may be changed, with a large layer behind it."""
    with Secure(str(tmp_path), registry, "team/large", LARGE) as running:
        yield running


# --- what is spoken ---

@pytest.mark.parametrize("version,spoken", [("tls1", False), ("tls1_1", False), ("tls1_2", True), ("tls1_3", True)])
def test_versions(secure, version, spoken):
    for address in (secure.gate.tracker, secure.gate.gateway):
        status, said = s_client(address, secure.ca, f"-{version}", "-cipher", "DEFAULT@SECLEVEL=0")
        if spoken:
            assert status == 0 and "Verify return code: 0 (ok)" in said and "HTTP/1.1 404" in said
            assert "Compression: NONE" in said and "No client certificate CA names sent" in said
            assert "Server Temp Key: X25519" in said
        else:
            assert status != 0 and "alert protocol version" in said and "HTTP/1.1" not in said


@pytest.mark.parametrize("role,kind", [("tracker", "ECDSA"), ("gateway", "RSA")])
def test_ciphers(secure, role, kind):
    """Every one that OpenSSL's client can speak is offered alone."""
    names = run(["openssl", "ciphers", "-s", "-tls1_2", "ALL:COMPLEMENTOFALL:@SECLEVEL=0"]).stdout.strip().split(":")
    assert len(names) > 50
    through = set()
    for name in names:
        context = trusting(secure.ca, maximum_version=ssl.TLSVersion.TLSv1_2)
        context.set_ciphers(name + ":@SECLEVEL=0")
        try:
            with socket.create_connection(split(getattr(secure.gate, role)), timeout=30) as plain, \
                    context.wrap_socket(plain, server_hostname="localhost") as s:
                through.add(s.cipher()[0])
        except ssl.SSLError:
            pass
    assert through == {name for name in SPOKEN if kind in name}


def test_the_client_chooses_among_them(secure):
    for order in ("TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"):
        said = s_client(secure.gate.tracker, secure.ca, "-tls1_3", "-ciphersuites", order)[1]
        assert f"Cipher is {order.split(':')[0]}" in said
    for groups, got in (("P-384:X25519", "ECDH, secp384r1"), ("P-521:P-256", "ECDH, prime256v1")):
        assert f"Server Temp Key: {got}" in s_client(secure.gate.tracker, secure.ca, "-groups", groups)[1]
    assert "alert handshake failure" in s_client(secure.gate.tracker, secure.ca, "-groups", "P-521")[1]


def test_protocols(secure):
    address = secure.gate.gateway
    for offered in ("http/1.1", "h2,http/1.1"):
        status, said = s_client(address, secure.ca, "-alpn", offered)
        assert status == 0 and "ALPN protocol: http/1.1" in said and "HTTP/1.1 404" in said
    assert "No ALPN negotiated" in s_client(address, secure.ca)[1]
    status, said = s_client(address, secure.ca, "-alpn", "h2")
    assert status != 0 and "alert no application protocol" in said
    for how in ("--http2", "--http1.1", "--http1.0", "--no-alpn"):
        done = run(["curl", "-sS", how, "--cacert", secure.ca.cert, "-o", "/dev/null", "-w", "%{http_code} %{http_version}",
                    f"https://{address}/nowhere"])
        assert done.stdout == "404 1.1", how


@pytest.mark.parametrize("version", ["tls1_2", "tls1_3"])
def test_sessions_are_resumed(secure, tmp_path, version):
    session = str(tmp_path / "session")
    status, said = s_client(secure.gate.tracker, secure.ca, f"-{version}", "-sess_out", session)
    assert status == 0 and "New, TLSv1." in said
    for _ in range(4):  # whatever loop they come to
        status, said = s_client(secure.gate.tracker, secure.ca, f"-{version}", "-sess_in", session, "-sess_out", session)
        assert status == 0 and "Reused, TLSv1." in said and "HTTP/1.1 404" in said
    said = s_client(secure.gate.gateway, secure.ca, f"-{version}", "-sess_in", session)[1]
    assert "New, TLSv1." in said, "the roles do not share sessions"
    if version == "tls1_2":
        assert s_client(secure.gate.tracker, secure.ca, "-tls1_2", "-reconnect")[1].count("Reused, TLSv1.2") == 5
        assert "TLS session ticket" not in said
    assert "Max Early Data: 0" in said or version == "tls1_2"


def test_there_is_no_renegotiation(secure):
    """`R` on a line of its own is s_client's command for it."""
    address = secure.gate.tracker
    done = run(["openssl", "s_client", "-connect", address, "-CAfile", secure.ca.cert, "-tls1_2"], input="R\n", check=False)
    assert "RENEGOTIATING" in done.stdout + done.stderr and "no renegotiation" in done.stdout + done.stderr


# --- what the roles serve over it ---

def test_announce_scrape_torrent_and_webseed_by_curl(secure, tmp_path):
    layer, metainfo, webseed = secure.torrent()
    token = metainfo[b"announce"].decode().split("?jwt=")[1]
    base = f"https://{secure.gate.tracker}"
    assert metainfo[b"announce"].decode().startswith(base + "/announce?jwt=")
    out = str(tmp_path / "out")

    def curl(url, *more):
        return run(["curl", "-sS", "--cacert", secure.ca.cert, "-o", out, "-w", "%{http_code}", *more, url]).stdout

    def read():
        with open(out, "rb") as f:
            return f.read()

    assert curl(base + announce_target(layer["infohash"], token)) == "200" and failure(bdecode(read())) is None
    scrape = query([("jwt", token), ("info_hash", bytes.fromhex(layer["infohash"]))])
    assert curl(f"{base}/scrape?{scrape}") == "200" and bdecode(read())[b"files"][bytes.fromhex(layer["infohash"])][b"incomplete"] == 1
    for version in ("--tlsv1.3", "--tls-max=1.2"):
        assert curl(webseed, *version.split("=")) == "200"
        assert "sha256:" + hashlib.sha256(read()).hexdigest() == layer["digest"]
    whole = read()
    assert curl(webseed, "-r", "100-299999") == "206" and read() == whole[100:300000]
    assert curl(webseed, "-I") == "200"
    stranger = run(["curl", "-sS", "-o", out, webseed], check=False)
    assert stranger.returncode == 60, stranger.stderr


def test_a_kept_connection(secure):
    token = secure.gate.token(INFOHASH)
    connection = connect(secure.gate.tracker, secure.context)
    for port in range(7000, 7020):
        secure.announce(connection, token, port=port)
    with Wire(secure.gate.tracker, secure.context) as wire:
        wire.handshake()
        one = f"GET {announce_target(INFOHASH, token)} HTTP/1.1\r\nHost: a\r\n"
        wire.write((one + "\r\n").encode() * 9 + (one + "Connection: close\r\n\r\n").encode())
        assert wire.read_all().count(b"8:interval") == 10, "pipelined"
    connection.close()


def test_ipv6(tmp_path):
    ca = Authority(str(tmp_path / "ca"))
    with Gate(str(tmp_path / "gate"), host="::1", tracker=tls_of(ca.server())) as gate:
        status, _, body = get(gate.tracker, announce_target(INFOHASH, gate.token(INFOHASH)), trusting(ca))
        assert status == 200 and bdecode(body)[b"external ip"] == socket.inet_pton(socket.AF_INET6, "::1")


def test_many_connections(secure):
    token = secure.gate.token(INFOHASH)
    many = [connect(secure.gate.tracker, secure.context) for _ in range(CONNECTIONS)]
    for _ in range(2):
        for port, connection in enumerate(many, 10000):
            answer = secure.announce(connection, token, port=port)
    assert answer[b"complete"] + answer[b"incomplete"] >= CONNECTIONS
    for connection in many:
        connection.close()


# --- how it begins and ends ---

def test_plain_http_is_told(secure):
    for address in (secure.gate.tracker, secure.gate.gateway):
        with socket.create_connection(split(address), timeout=30) as s:
            s.sendall(b"GET /announce HTTP/1.1\r\nHost: a\r\n\r\n")
            got = s.makefile("rb").read()
        assert got.startswith(b"HTTP/1.1 400 ") and b"https://" in got
    secure.gate.process.wait_line("http request")


@pytest.mark.parametrize("garbage", [b"\x13BitTorrent protocol" + bytes(48), os.urandom(4096), b"\x16\x03\x01\xff\xff" + bytes(99),
                                     b"SSH-2.0-OpenSSH_9.2p1\r\n"], ids=["bittorrent", "random", "long", "ssh"])
def test_garbage_is_cut(secure, garbage):
    with socket.create_connection(split(secure.gate.tracker), timeout=30) as s:
        s.sendall(garbage)
        s.shutdown(socket.SHUT_WR)
        try:
            assert len(s.makefile("rb").read()) <= 7, "an alert at most"
        except ConnectionResetError:
            pass


def test_a_slow_handshake(secure):
    """A byte at a time, while others are served."""
    token = secure.gate.token(INFOHASH)
    other = connect(secure.gate.tracker, secure.context)
    with Wire(secure.gate.tracker, secure.context) as wire:
        wire.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def dribble(data):
            for i in range(len(data)):
                wire.socket.sendall(data[i:i + 1])
                if i % 100 == 0:
                    secure.announce(other, token)

        wire.handshake(dribble)
        wire.tls.write(f"GET {announce_target(INFOHASH, token)} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        dribble(wire.pending())
        assert b"8:interval" in wire.read_all()
    other.close()


def test_handshakes_that_never_end_are_cut(secure):
    """Nothing, half a ClientHello, one that dribbles on, and a whole handshake without a request."""
    token = secure.gate.token(INFOHASH)
    other = connect(secure.gate.tracker, secure.context)
    wires = [Wire(secure.gate.tracker, secure.context) for _ in range(4)]
    hellos = []
    for wire in wires[1:3]:
        with pytest.raises(ssl.SSLWantReadError):
            wire.tls.do_handshake()
        hellos.append(wire.pending())
    wires[1].socket.sendall(hellos[0][:200])
    wires[3].handshake()
    ended = threading.Event()

    def dribble():
        for i in range(len(hellos[1]) - 1):
            try:
                wires[2].socket.sendall(hellos[1][i:i + 1])
            except OSError:
                return
            if ended.wait(0.2):
                return

    thread = threading.Thread(target=dribble)
    thread.start()
    try:
        for wire in wires:
            secure.announce(other, token)
            try:
                wire.socket.settimeout(60)
                while wire.socket.recv(65536):
                    pass
            except ConnectionResetError:
                pass
    finally:
        ended.set()
        thread.join()
    secure.announce(other, token)
    for wire in wires:
        wire.socket.close()


@pytest.mark.parametrize("says_so", [True, False], ids=["close_notify", "FIN alone"])
def test_half_closed(own, says_so):
    """Who sends no more still gets the whole of a large answer, and its end is said."""
    layer, _, webseed = own.torrent()
    path = webseed.split(own.gate.gateway)[1]
    with Wire(own.gate.gateway, own.context) as wire:
        wire.handshake()
        wire.write(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        if says_so:
            with pytest.raises(ssl.SSLWantReadError):
                wire.tls.unwrap()
            wire.socket.sendall(wire.pending())
        wire.socket.shutdown(socket.SHUT_WR)
        head, _, body = wire.read_all().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ") and len(body) == layer["size"]
    assert "sha256:" + hashlib.sha256(body).hexdigest() == layer["digest"]


def test_a_reader_that_goes_away(own):
    """In the middle of an answer, with a reset: others are served, and the process ends well."""
    _, _, webseed = own.torrent()
    path = webseed.split(own.gate.gateway)[1]
    for _ in range(20):
        with Wire(own.gate.gateway, own.context) as wire:
            wire.handshake()
            wire.write(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            assert wire.socket.recv(1000)
            wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    status, headers, _ = get(own.gate.gateway, path, own.context, method="HEAD")
    assert status == 200 and int(headers["Content-Length"]) > LARGE


# --- certificates ---

def test_a_new_certificate_cuts_nobody(own):
    layer, metainfo, webseed = own.torrent()
    token = metainfo[b"announce"].decode().split("?jwt=")[1]
    kept = connect(own.gate.tracker, own.context)
    own.announce(kept, token, layer["infohash"])
    old = own.leaf.serial, own.rsa.serial
    assert (serial(own.gate.tracker, own.context), serial(own.gate.gateway, own.context)) == old
    with socket.socket() as plain:
        plain.settimeout(60)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        plain.connect(split(own.gate.gateway))
        with own.context.wrap_socket(plain, server_hostname="127.0.0.1") as download:
            download.sendall(f"GET {webseed.split(own.gate.gateway)[1]} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
            got = download.recv(65536)  # under way, and then the reader waits
            for round_ in range(3):
                new = own.below.server("tracker").serial, own.ca.server("gateway", key="rsa").serial
                assert not set(new) & set(old)
                own.gate.reload("reloaded the certificates")
                for _ in range(8):  # whatever loop they come to
                    assert (serial(own.gate.tracker, own.context), serial(own.gate.gateway, own.context)) == new
                own.announce(kept, token, layer["infohash"])
                old = new
            rest = download.makefile("rb").read()
    assert int(kept.sock.getpeercert()["serialNumber"], 16) == own.leaf.serial
    body = (got + rest).partition(b"\r\n\r\n")[2]
    assert "sha256:" + hashlib.sha256(body).hexdigest() == layer["digest"]
    kept.close()


def _garbage(leaf, _):
    with open(leaf.cert, "w", encoding="utf-8") as f:
        f.write("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")


def _foreign_key(leaf, ca):
    os.replace(ca.server("other").key, leaf.key)


BAD = [
    (_garbage, ".crt: a certificate cannot be read"),
    (lambda leaf, _: open(leaf.cert, "w").close(), ".crt: holds no certificate in PEM"),
    (lambda leaf, _: os.remove(leaf.cert), ".crt: No such file or directory"),
    (lambda leaf, _: os.remove(leaf.key), ".key: No such file or directory"),
    (lambda leaf, _: os.chmod(leaf.key, 0o644), ".key: others than its owner may use this private key (mode 0644): chmod 600"),
    (_foreign_key, ".key: the private key is not that of the first certificate"),
]


@pytest.mark.parametrize("role", ["tracker", "gateway"])
def test_a_bad_certificate_changes_nothing_and_is_told(own, role):
    def shown():
        return {"tracker": serial(own.gate.tracker, own.context), "gateway": serial(own.gate.gateway, own.context)}

    def issue():
        return {"tracker": own.below.server("tracker"), "gateway": own.ca.server("gateway", key="rsa")}

    before = shown()
    for spoil, says in BAD:
        spoil(issue()[role], own.ca)  # the other's is new and good: all or nothing
        own.gate.reload("reloading changed nothing: ")
        line = next(line for line in reversed(own.gate.process.lines) if "reloading changed nothing: " in line)
        assert role + says in line and "swarmgated.yaml:" in line and f": {role}.tls: " in line
        assert shown() == before
        checked = run([binary("swarmgated"), "--config", own.gate.config, "--check-config"], check=False)
        assert checked.returncode == 2 and role + says in checked.stderr and checked.stderr.count("\n") == 1
    good = issue()
    own.gate.reload("reloaded the certificates")
    assert shown() == {name: leaf.serial for name, leaf in good.items()}


def test_a_certificate_that_has_run_out_is_told(own):
    own.below.expired("tracker")
    own.gate.reload("reloaded the certificates")
    assert any("tracker.crt: the certificate has run out" in line for line in own.gate.process.lines)
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        serial(own.gate.tracker, own.context)
    own.below.server("tracker")
    own.gate.reload("reloaded the certificates")
    serial(own.gate.tracker, own.context)


def test_a_chain_that_has_run_out_is_told_as_such(own):
    """One behind a certificate that is good, as after a CA has changed its own."""
    leaf, lapsed = own.ca.server("tracker", folder=own.below.folder), own.ca.expired("lapsed")
    with open(leaf.cert, "ab") as chain, open(lapsed.cert, "rb") as more:
        chain.write(more.read())
    own.gate.reload("reloaded the certificates")
    assert any("tracker.crt: a certificate of its chain has run out" in line for line in own.gate.process.lines)
    assert not any("the certificate has run out" in line for line in own.gate.process.lines)
    assert serial(own.gate.tracker, own.context) == leaf.serial
