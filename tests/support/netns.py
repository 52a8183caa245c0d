"""Hosts of our own on one machine: network namespaces around a bridge, gone with their maker."""

from .process import Process, run


class Host:
    """A network namespace with one address, held by a process that does nothing."""

    def __init__(self, address):
        self.address = address
        # The marker is printed by the shell once it is inside the new namespace.
        self.holder = Process(["unshare", "--net", "sh", "-c", "ip link set lo up; echo inside; exec sleep infinity"])
        self.holder.wait_line("inside")

    @property
    def prefix(self):
        """What to put in front of a command line to run it on this host."""
        return ["nsenter", f"--net=/proc/{self.holder.popen.pid}/ns/net"]

    def run(self, argv, **more):
        return run([*self.prefix, *argv], **more)

    def limit_uplink(self, rate):
        """What leaves this host goes at `rate` at most, such as 200mbit."""
        self.run(["tc", "qdisc", "replace", "dev", "eth0", "root", "tbf", "rate", rate, "burst", "256kb",
                  "latency", "100ms"])

    def stop(self):
        self.holder.stop()


class Network:
    """Hosts 10.83.0.2 and up on a switch of their own; nothing else is reached."""

    def __init__(self):
        self.switch = Host(None)
        self.hosts = []
        self.switch.run(["ip", "link", "add", "switch", "type", "bridge"])
        self.switch.run(["ip", "link", "set", "switch", "up"])

    def add(self):
        host = Host(f"10.83.0.{len(self.hosts) + 2}")
        port = f"port{len(self.hosts) + 2}"
        self.switch.run(["ip", "link", "add", port, "type", "veth", "peer", "name", "eth0",
                         "netns", str(host.holder.popen.pid)])
        self.switch.run(["ip", "link", "set", port, "master", "switch", "up"])
        host.run(["ip", "addr", "add", host.address + "/24", "dev", "eth0"])
        host.run(["ip", "link", "set", "eth0", "up"])
        self.hosts.append(host)
        return host

    def stop(self):
        for host in [*self.hosts, self.switch]:
            host.stop()

    def __enter__(self):
        return self

    def __exit__(self, *ignored):
        self.stop()
