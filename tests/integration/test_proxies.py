"""Behind real nginx and haproxy, at Unix sockets and at sockets that were passed: whose address counts."""

import http.client
import os
import signal
import socket
import ssl
import stat
import struct

import pytest
from conftest import USERS, registry_row
from support.announce import announce, announce_target, bdecode, get
from support.certificates import Authority
from support.gate import Gate
from support.process import Process, binary, free_port, run, wait_for
from support.proxies import Haproxy, Nginx

INFOHASH = "ab" * 20
NGINX = ("location / {{ proxy_pass http://{upstream}; proxy_http_version 1.1; proxy_set_header Connection '';"
         " proxy_set_header Host $http_host;"
         " proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }}")
HAPROXY = "backend us\n  mode {mode}\n  server us {upstream} {how}\n"


def peers_of(answer):
    raw = answer[b"peers"]
    return {socket.inet_ntoa(raw[i:i + 4]) for i in range(0, len(raw), 6)}


def assert_clients_are_told_apart(address, gate):
    """Two clients announce through `address`: each is taken for itself, whatever it says."""
    token = gate.token(INFOHASH)
    first = announce(address, INFOHASH, token, port=7001, source="127.0.0.2")
    assert first[b"external ip"] == socket.inet_aton("127.0.0.2")
    second = announce(address, INFOHASH, token, port=7002, source="127.0.0.3", peer_id=b"-XX0001-bbbbbbbbbbbb",
                      headers={"X-Forwarded-For": "192.0.2.66"})
    assert second[b"external ip"] == socket.inet_aton("127.0.0.3")
    assert peers_of(second) == {"127.0.0.2"}


@pytest.fixture
def proxied(tmp_path):
    """A tracker that believes 127.0.0.1 alone, where proxies connect from."""
    with Gate(str(tmp_path / "gate"), tracker={"trusted_proxies": ["127.0.0.1"]}) as running:
        yield running


def test_nginx_forwards(proxied, tmp_path):
    with Nginx(tmp_path / "nginx", NGINX.format(upstream=proxied.tracker)) as nginx:
        assert_clients_are_told_apart(nginx.address, proxied)


def test_haproxy_forwards(proxied, tmp_path):
    with Haproxy(tmp_path / "haproxy", "option forwardfor\n  default_backend us",
                 HAPROXY.format(mode="http", upstream=proxied.tracker, how="")) as haproxy:
        assert_clients_are_told_apart(haproxy.address, proxied)


@pytest.mark.parametrize("how", ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options unique-id,crc32c"])
def test_haproxy_speaks_the_proxy_protocol(proxied, tmp_path, how):
    with Haproxy(tmp_path / "haproxy", "mode tcp\n  unique-id-format %{+X}o%ci\n  default_backend us",
                 HAPROXY.format(mode="tcp", upstream=proxied.tracker, how=how)) as haproxy:
        assert_clients_are_told_apart(haproxy.address, proxied)


def test_two_proxies_in_a_row(proxied, tmp_path):
    """nginx writes the field, haproxy hands the connection on and says it is nginx's: both are believed."""
    with Haproxy(tmp_path / "haproxy", "mode tcp\n  default_backend us",
                 HAPROXY.format(mode="tcp", upstream=proxied.tracker, how="send-proxy-v2")) as haproxy, \
            Nginx(tmp_path / "nginx", NGINX.format(upstream=haproxy.address)) as nginx:
        assert_clients_are_told_apart(nginx.address, proxied)


def test_health_checks_speak_for_the_proxy_itself(proxied, tmp_path):
    with Haproxy(tmp_path / "haproxy", "mode tcp\n  default_backend us",
                 HAPROXY.format(mode="tcp", upstream=proxied.tracker,
                                how="send-proxy-v2 check check-send-proxy inter 50ms")) as haproxy:
        assert_clients_are_told_apart(haproxy.address, proxied)


def test_strangers_are_not_believed(proxied):
    token = proxied.token(INFOHASH)
    answer = announce(proxied.tracker, INFOHASH, token, port=7001, source="127.0.0.9",
                      headers={"X-Forwarded-For": "192.0.2.66"})
    assert answer[b"external ip"] == socket.inet_aton("127.0.0.9")
    host, port = proxied.tracker.rsplit(":", 1)
    for header in (b"PROXY TCP4 192.0.2.66 192.0.2.1 1 2\r\n",
                   b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + socket.inet_aton("192.0.2.66") * 2 + b"\0\x01\0\x02"):
        with socket.create_connection((host, int(port)), timeout=10, source_address=("127.0.0.9", 0)) as s:
            s.sendall(header + b"GET /announce HTTP/1.1\r\nHost: a\r\n\r\n")
            assert s.makefile("rb").read().startswith(b"HTTP/1.1 400 ")


def test_who_is_not_named_may_not_announce(proxied):
    """A proxy that does not say for whom it hands on bytes: what they say of themselves is not believed."""
    host, port = proxied.tracker.rsplit(":", 1)
    target = announce_target(INFOHASH, proxied.token(INFOHASH))
    for header in (b"PROXY UNKNOWN\r\n", b"\r\n\r\n\0\r\nQUIT\n\x21\x31\0\xd8" + bytes(216)):
        with socket.create_connection((host, int(port)), timeout=10) as s:
            s.sendall(header + f"GET {target} HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.66\r\n\r\n".encode()
                      + b"GET /scrape HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            said = s.makefile("rb").read()
        assert said.startswith(b"HTTP/1.1 400 ") and b"token required" in said


def test_a_proxy_that_forwards_nonsense_is_told(proxied):
    status, _, body = get(proxied.tracker, "/announce", {"X-Forwarded-For": "unknown"})
    assert status == 400 and b"X-Forwarded-For" in body


def test_ipv6_and_mapped_addresses(proxied):
    host, port = proxied.tracker.rsplit(":", 1)
    target = announce_target(INFOHASH, proxied.token(INFOHASH))
    ask = f"GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()
    for line, external in (("PROXY TCP6 2001:db8::1 ::1 1 2\r\n", socket.inet_pton(socket.AF_INET6, "2001:db8::1")),
                           ("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", socket.inet_aton("192.0.2.1"))):
        with socket.create_connection((host, int(port)), timeout=10) as s:
            s.sendall(line.encode() + ask)
            body = s.makefile("rb").read().partition(b"\r\n\r\n")[2]
        assert bdecode(body)[b"external ip"] == external


# --- Unix sockets ---

def unix_gate(folder, path, **more):
    return Gate(folder, tracker={"listen": [f"unix:{path}"], "url": "http://tracker.example/announce"}, **more)


def test_nginx_in_front_of_a_unix_socket(tmp_path):
    path = str(tmp_path / "tracker.sock")
    with unix_gate(str(tmp_path / "gate"), path) as gate:
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o660
        with Nginx(tmp_path / "nginx", NGINX.format(upstream=f"unix:{path}:")) as nginx:
            assert_clients_are_told_apart(nginx.address, gate)
        said = run(["curl", "-s", "--unix-socket", path, "-w", "%{http_code}", "http://a/announce"]).stdout
        assert "X-Forwarded-For" in said and said.endswith("400")
    assert not os.path.exists(path)


def test_a_unix_socket_that_was_left_is_replaced_and_one_in_use_is_not(tmp_path):
    path = str(tmp_path / "tracker.sock")
    killed = unix_gate(str(tmp_path / "killed"), path).start()
    killed.process.popen.kill()
    killed.process.wait_end()
    killed.process = None
    assert os.path.exists(path)
    with unix_gate(str(tmp_path / "gate"), path):
        other = unix_gate(str(tmp_path / "other"), path)
        done = run([binary("swarmgated"), "--config", other.config], check=False)
        assert done.returncode == 1 and path in done.stderr and "in use" in done.stderr
        assert run(["curl", "-s", "--unix-socket", path, "http://a/scrape"]).stdout.startswith("d14:failure")


def test_a_unix_socket_is_gone_as_soon_as_the_server_stops(tmp_path):
    """While answers under way are finished, nobody new is kept waiting for what does not come."""
    path = str(tmp_path / "tracker.sock")
    gate = unix_gate(str(tmp_path / "gate"), path).start()
    with socket.socket(socket.AF_UNIX) as held:
        held.connect(path)
        held.settimeout(20)
        held.sendall(b"GET /scrape HTTP/1.1\r\nHost: a\r\n\r\nGET /scrape HTTP/1.1\r\n")
        assert held.recv(4096).startswith(b"HTTP/1.1 200 ")
        gate.process.popen.send_signal(signal.SIGTERM)
        wait_for("the socket to be gone", 20, lambda: not os.path.exists(path))
        held.sendall(b"Host: a\r\n\r\n")
        assert held.recv(4096).startswith(b"HTTP/1.1 200 ")
    gate.stop()


# --- sockets that were passed, as systemd does it ---

def start_with(sockets, gate, names=None):
    """swarmgated with these listening sockets from descriptor 3 on."""
    names = names or ["tracker"] * len(sockets)

    def pass_on():
        for at, s in enumerate(sockets):
            os.dup2(s.fileno(), 50 + at)
        for at in range(len(sockets)):
            os.dup2(50 + at, 3 + at)

    env = {**os.environ, "LISTEN_FDS": str(len(sockets)), "LISTEN_FDNAMES": ":".join(names)}
    # LISTEN_PID is the program's own, which the shell still has.
    process = Process(["sh", "-c", 'LISTEN_PID=$$ exec "$0" "$@"', binary("swarmgated"), "--config", gate.config],
                      env=env, pass_fds=range(3, 3 + len(sockets)), before=pass_on)
    process.wait_line("ready")
    return process


def test_passed_sockets(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as v4, \
            socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as both, \
            socket.socket(socket.AF_UNIX) as local:
        path = str(tmp_path / "s")
        local.bind(path)
        os.chmod(path, 0o660)
        local.listen()
        gate = Gate(str(tmp_path / "gate"), tracker={"listen": ["fd:tracker"], "url": "http://a/announce"})
        token = gate.token(INFOHASH)
        process = start_with([v4, both, local], gate)
        try:
            first = announce(f"127.0.0.1:{v4.getsockname()[1]}", INFOHASH, token, port=7001, source="127.0.0.2")
            assert first[b"external ip"] == socket.inet_aton("127.0.0.2")
            # IPv4 at a socket of both families is IPv4.
            second = announce(f"127.0.0.1:{both.getsockname()[1]}", INFOHASH, token, port=7002, source="127.0.0.3",
                              peer_id=b"-XX0001-bbbbbbbbbbbb")
            assert second[b"external ip"] == socket.inet_aton("127.0.0.3") and peers_of(second) == {"127.0.0.2"}
            sixth = announce(f"[::1]:{both.getsockname()[1]}", INFOHASH, token, port=7003,
                             peer_id=b"-XX0001-cccccccccccc")
            assert sixth[b"external ip"] == socket.inet_pton(socket.AF_INET6, "::1")
            assert run(["curl", "-s", "--unix-socket", path, "http://a/scrape"]).stdout.startswith("d14:failure")
        finally:
            assert process.stop() == 0, process.output()
        assert os.path.exists(path), "who has made a socket removes it"
        # Who connects between two runs is served by the next.
        with socket.create_connection(v4.getsockname(), timeout=10) as waiting:
            waiting.sendall(b"GET /scrape HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            process = start_with([v4], gate)
            assert b"token required" in waiting.makefile("rb").read()
            assert process.stop() == 0, process.output()


def test_a_socket_that_was_not_passed(tmp_path):
    gate = Gate(str(tmp_path / "gate"), tracker={"listen": ["fd:tracker"], "url": "http://a/announce"})
    done = run([binary("swarmgated"), "--config", gate.config], check=False)
    assert done.returncode == 1 and "fd:tracker" in done.stderr and "FileDescriptorName" in done.stderr
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(AssertionError, match="fd:tracker"):
        start_with([other], gate, names=["other"])
    with socket.socket() as deaf, pytest.raises(AssertionError, match="no stream socket that listens"):
        start_with([deaf], gate)


def test_a_unix_socket_for_everybody_is_refused(tmp_path):
    """systemd makes them with mode 0666, and whoever connects is believed."""
    gate = Gate(str(tmp_path / "gate"), tracker={"listen": ["fd:tracker"], "url": "http://a/announce"})
    path = str(tmp_path / "s")
    for name, says in ((path, "SocketMode=0660"), ("\0swarmgate-test-" + path, "has no file")):
        with socket.socket(socket.AF_UNIX) as open_to_all:
            open_to_all.bind(name)
            if name == path:
                os.chmod(path, 0o662)
            open_to_all.listen()
            with pytest.raises(AssertionError, match="fd:tracker: .*" + says):
                start_with([open_to_all], gate)


def test_a_socket_of_another_family(tmp_path):
    """A virtual machine has no address to be told by, and must not pass for a Unix socket's other end."""
    gate = Gate(str(tmp_path / "gate"), tracker={"listen": ["fd:tracker"], "url": "http://a/announce"})
    try:
        foreign = socket.socket(socket.AF_VSOCK)
    except OSError:
        pytest.skip("this kernel has no other stream sockets")
    with foreign, pytest.raises(AssertionError, match="no stream socket that listens"):
        foreign.bind((socket.VMADDR_CID_ANY, socket.VMADDR_PORT_ANY))
        foreign.listen()
        start_with([foreign], gate)


# --- the gateway, and TLS ---

def test_webseed_through_nginx(registry, tmp_path):
    folder = str(tmp_path / "gate")
    os.makedirs(folder)
    address = f"127.0.0.1:{free_port()}"
    with Gate(folder, [registry_row(registry, folder)],
              gateway={"listen": [address], "trusted_proxies": ["127.0.0.1"]}) as gate:
        out = tmp_path / "out"
        gate.tool("torrent", "create", f"docker://{registry.address}/team/app:1", "--output", str(out),
                  "--register", "--config", gate.config, "--registry", "registry.example", "--tls-verify=false",
                  "--authfile", registry.auth_file("alice"))
        blob = next(n for n in sorted(os.listdir(out)) if n.endswith(".torrent"))[: -len(".torrent")]
        digest = blob.replace("sha256-", "sha256:")
        with Nginx(tmp_path / "nginx", NGINX.format(upstream=address)) as nginx:
            status, _, torrent = get(nginx.address, f"/v1/team/app/blobs/{digest}", registry.basic("alice"))
            assert status == 200
            seed = bdecode(torrent)[b"url-list"].decode()
            path = "/webseed/" + seed.partition("/webseed/")[2] + blob
            status, headers, whole = get(nginx.address, path, source="127.0.0.7")
            assert status == 200
            status, headers, part = get(nginx.address, path, {"Range": "bytes=5-9"})
            assert (status, part) == (206, whole[5:10])
            gate.process.wait_line("to 127.0.0.7")
            assert get(nginx.address, f"/v1/team/app/blobs/{digest}")[0] == 401
            assert USERS["alice"] not in gate.process.output()


def test_tls_behind_the_proxy_protocol(tmp_path):
    ca = Authority(str(tmp_path / "ca"))
    leaf = ca.issue("tracker", ["127.0.0.1"])
    with Gate(str(tmp_path / "gate"), tracker={"trusted_proxies": ["127.0.0.1"],
                                               "tls": {"certificate": leaf.cert, "key": leaf.key}}) as gate, \
            Haproxy(tmp_path / "haproxy", "mode tcp\n  default_backend us",
                    HAPROXY.format(mode="tcp", upstream=gate.tracker, how="send-proxy-v2")) as haproxy:
        context = ssl.create_default_context(cafile=ca.cert)
        host, port = haproxy.address.split(":")
        connection = http.client.HTTPSConnection(host, int(port), timeout=10, context=context,
                                                 source_address=("127.0.0.4", 0))
        connection.request("GET", announce_target(INFOHASH, gate.token(INFOHASH)))
        assert bdecode(connection.getresponse().read())[b"external ip"] == socket.inet_aton("127.0.0.4")
        connection.close()
