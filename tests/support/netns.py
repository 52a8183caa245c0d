"""Hosts of our own on one machine: network namespaces around a bridge, gone with their maker."""

import contextlib
import ctypes

from .process import Process, run

CLONE_NEWNET = 0x40000000


def _setns(fd):
    # Python has it from 3.12 on.
    if ctypes.CDLL(None, use_errno=True).setns(fd, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


class Host:
    """A network namespace with an IPv4 and an IPv6 address, held by a process that does nothing."""

    def __init__(self, address, address6=None):
        self.address, self.address6 = address, address6
        # The marker is printed by the shell once it is inside the new namespace.
        self.holder = Process(["unshare", "--net", "sh", "-c", "ip link set lo up; echo inside; exec sleep infinity"])
        self.holder.wait_line("inside")

    @property
    def prefix(self):
        """What to put in front of a command line to run it on this host."""
        return ["nsenter", f"--net=/proc/{self.holder.popen.pid}/ns/net"]

    def run(self, argv, **more):
        return run([*self.prefix, *argv], **more)

    @contextlib.contextmanager
    def entered(self):
        """Sockets that this thread makes meanwhile are this host's, and stay so."""
        with open("/proc/thread-self/ns/net", "rb") as before, open(f"/proc/{self.holder.popen.pid}/ns/net", "rb") as here:
            _setns(here.fileno())
            try:
                yield self
            finally:
                _setns(before.fileno())

    def listeners(self):
        """The TCP ports that other hosts reach here, as (address, port) to dial."""
        found = [line.split()[3].rpartition(":") for line in self.run(["ss", "-Htln"]).stdout.splitlines()]
        return sorted({(self.address, int(port)) for host, _, port in found if not host.startswith(("127.", "[::1]"))})

    def limit_uplink(self, rate):
        """What leaves this host goes at `rate` at most, such as 200mbit."""
        self.run(["tc", "qdisc", "replace", "dev", "eth0", "root", "tbf", "rate", rate, "burst", "256kb",
                  "latency", "100ms"])

    def stop(self):
        self.holder.stop()


class Network:
    """Hosts 10.83.0.2 (fd83::2) and up on a switch of their own; nothing else is reached."""

    def __init__(self):
        self.switch = Host(None)
        self.hosts = []
        self.switch.run(["ip", "link", "add", "switch", "type", "bridge"])
        self.switch.run(["ip", "link", "set", "switch", "up"])

    def add(self):
        number = len(self.hosts) + 2
        host = Host(f"10.83.0.{number}", f"fd83::{number}")
        port = f"port{number}"
        self.switch.run(["ip", "link", "add", port, "type", "veth", "peer", "name", "eth0",
                         "netns", str(host.holder.popen.pid)])
        self.switch.run(["ip", "link", "set", port, "master", "switch", "up"])
        host.run(["ip", "addr", "add", host.address + "/24", "dev", "eth0"])
        # Nobody else can have the address: it need not be asked for.
        host.run(["ip", "addr", "add", host.address6 + "/64", "dev", "eth0", "nodad"])
        host.run(["ip", "link", "set", "eth0", "up"])
        self.hosts.append(host)
        return host

    def limit_downlink(self, host, rate):
        """What reaches a host goes at `rate` at most."""
        port = f"port{self.hosts.index(host) + 2}"
        self.switch.run(["tc", "qdisc", "replace", "dev", port, "root", "tbf", "rate", rate, "burst", "256kb",
                         "latency", "100ms"])

    def stop(self):
        for host in [*self.hosts, self.switch]:
            host.stop()

    def __enter__(self):
        return self

    def __exit__(self, *ignored):
        self.stop()
