"""
Blobs out of the page cache: a server's CPU time by the byte, of the gateway's webseed against nginx with sendfile and
one worker, and docker-registry. The webseed sends from its cache, which has the blob from that registry; nginx from a
file that was written in one go, and once more from the cache's own file, for how a file was written says how its pages
lie in memory, and that is a good part of what it costs to send.
"""

import hashlib
import http.client
import os
import shutil
import statistics
import sys

from support.announce import bdecode, get
from support.certificates import Authority
from support.gate import Gate
from support.process import Process, binary, free_port, run, wait_for
from support.registry import Registry

ROUNDS = 5
SIZE = 256 << 20
CONNECTIONS = 16
RANGES = {"whole": 0, "16 MiB": 16 << 20, "1 MiB": 1 << 20}
BYTES = {"plain": 4 << 30, "TLS 1.3": 1 << 30}  # at least: each connection asks once

NGINX = """
daemon off;
master_process off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr crit;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  open_file_cache max=16;
  keepalive_requests 1000000;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  server {{
    listen 127.0.0.1:{port} {tls};
    root {folder};
    {certificate}
  }}
}}
"""


def pinned(core):
    """The client gets the last core, the server the first."""
    return ["taskset", "-c", str(sorted(os.sched_getaffinity(0))[core])]


def cpu_seconds(pid):
    """User and system time of all its threads, finer than the ticks of /proc/PID/stat."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as f:
            total += int(f.read().split()[0])
    return total / 1e9


class Contender:
    def __init__(self, name, port, argv, target="/f"):
        self.name, self.port, self.argv, self.target = name, port, argv, target
        self.costs, self.ratios = [], []

    def measure(self, how, size):
        """CPU seconds a GiB of a new process that has sent the blob once."""
        with Process([*pinned(0), *self.argv]) as server:
            load = [*pinned(-1), bench_program("rangeload"), "-p", self.port, "-u", self.target, "-f", SIZE,
                    *(["-s"] if how != "plain" else [])]
            once = ["-c", 1, "-r", 0, "-n", 1]
            wait_for("a server that answers", 10, lambda: run([*load, *once], check=False).returncode == 0)
            before = cpu_seconds(server.popen.pid)
            many = ["-c", CONNECTIONS, "-r", size, "-n", BYTES[how]]
            figures = dict(field.split("=") for field in run([*load, *many]).stdout.split())
            spent = cpu_seconds(server.popen.pid) - before
        if figures["failures"] != "0":
            sys.exit(f"bench: {self.name} failed to answer, so its cost says nothing")
        self.costs.append(spent / int(figures["bytes"]) * (1 << 30))
        return self.costs[-1]

    def row(self, how, what):
        ratio = f"{statistics.median(self.ratios):.2f}" if self.ratios else "1"
        print(f"| {how} | {what} | {self.name} | {statistics.median(self.costs):.3f} | {ratio} |", flush=True)


def bench_program(name):
    return os.path.join(os.path.dirname(binary("")), "..", "bench", name)


def nginx(folder, certificate, name="nginx", target="/f"):
    port = free_port()
    path = os.path.join(folder, f"nginx{port}.conf")
    with open(path, "w", encoding="utf-8") as f:
        f.write(NGINX.format(
            folder=folder, port=port, tls="ssl" if certificate else "",
            certificate=f"ssl_certificate {certificate.cert}; ssl_certificate_key {certificate.key}; ssl_protocols TLSv1.3;"
            if certificate else ""))
    return Contender(name, port, ["nginx", "-e", "stderr", "-p", folder, "-c", path], target)


def nginx_of_cache(folder, digest):
    return nginx(folder, None, "nginx, the cache's file", "/plain/cache/sha256/" + digest.removeprefix("sha256:"))


def upload(registry, path):
    """Puts the file into the repository `team/app`, and returns its digest."""
    with open(path, "rb") as f:
        data = f.read()
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    connection = http.client.HTTPConnection(registry.address)
    connection.request("POST", "/v2/team/app/blobs/uploads/")
    answer = connection.getresponse()
    answer.read()
    place = answer.getheader("Location").partition("/v2/")[2]
    connection.request("PUT", f"/v2/{place}&digest={digest}", data, {"Content-Type": "application/octet-stream"})
    assert connection.getresponse().status == 201
    connection.close()
    return digest


def webseed_path(gate, digest):
    status, _, torrent = get(gate.gateway, f"/v1/team/app/blobs/{digest}", {})
    while status == 202:
        status, _, torrent = get(gate.gateway, f"/v1/team/app/blobs/{digest}", {})
    return bdecode(torrent)[b"url-list"].decode().removeprefix(gate.gateway_url) + digest


def ours(folder, registry, digest, certificate):
    """The path holds a token that is good for longer than the run."""
    place = os.path.join(folder, "tls" if certificate else "plain")
    row = {"name": "registry.example", "url": registry.url}
    sections = {"gateway": {"cache": {"path": "cache"}}, "auth": {"ttl": {"webseed": "24h"}}, "log": {"level": "info"}}
    with Gate(place, [row], **sections) as gate:
        target = webseed_path(gate, digest)
    if certificate:
        sections["gateway"]["tls"] = {"certificate": certificate.cert, "key": certificate.key}
        gate = Gate(place, [row], **sections)
    return Contender("swarmgated", int(gate.gateway.rpartition(":")[2]),
                     [binary("swarmgated"), "--config", gate.config], target)


def distribution(folder, registry, digest, certificate):
    """Debian's docker-registry, another process of the same storage."""
    other = Registry(os.path.join(folder, "other-tls" if certificate else "other"), None, tls=certificate)
    os.symlink(os.path.join(registry.folder, "storage"), os.path.join(other.folder, "storage"))
    return Contender("docker-registry", int(other.address.rpartition(":")[2]),
                     ["docker-registry", "serve", other.config], f"/v2/team/app/blobs/{digest}")


def compare(floor, contenders, how, what):
    for _ in range(ROUNDS):
        for contender in contenders:
            theirs = floor.measure(how, RANGES[what])
            contender.ratios.append(theirs / contender.measure(how, RANGES[what]))
    for contender in [floor, *contenders]:
        contender.row(how, what)
        contender.costs, contender.ratios = [], []


def webseed(folder):
    if not shutil.which("nginx"):
        print("\nWebseed: left out, for there is no nginx", file=sys.stderr)
        return
    run(["cmake", "--build", os.path.join(os.path.dirname(binary("")), ".."), "--target", "rangeload"])
    path = os.path.join(folder, "f")
    with open(path, "wb") as f:
        for _ in range(SIZE >> 20):
            f.write(os.urandom(1 << 20))
    certificate = Authority(folder).issue("127.0.0.1")
    print(f"\nA blob of {SIZE >> 20} MiB in the page cache, {CONNECTIONS} connections that are kept, {ROUNDS} rounds\n")
    print("| how | ranges | server | CPU s a GiB | bytes a CPU second, × nginx |\n| --- | --- | --- | --- | --- |")
    with Registry(os.path.join(folder, "registry"), None) as registry:
        digest = upload(registry, path)
        for how in BYTES:
            tls = certificate if how != "plain" else None
            contenders = [ours(folder, registry, digest, tls), distribution(folder, registry, digest, tls)]
            if not tls:  # which costs far more than pages do
                contenders.append(nginx_of_cache(folder, digest))
            for what in RANGES:
                compare(nginx(folder, tls), contenders, how, what)
