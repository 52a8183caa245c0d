"""containerd as kubelet asks it: pulls over its CRI plugin (Kubernetes' runtime.v1, of which a pull takes two messages)."""

import grpc

from .process import Process, wait_for
from .registry_clients import CONTAINERD, WITHOUT, Containerd, Outcome

CRI = """
[plugins."io.containerd.grpc.v1.cri"]
disable_tcp_service = true
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "native"
discard_unpacked_layers = {discards}
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{folder}/cni/bin"
conf_dir = "{folder}/cni"
[plugins."io.containerd.grpc.v1.cri".registry]
config_path = "{hosts}"
"""


def field(number, value):
    """A field of bytes, text or a message that is put together already (Protocol Buffers, wire type 2)."""
    data = value.encode() if isinstance(value, str) else value
    size, length = len(data), b""
    while size > 127:
        length += bytes([size & 127 | 128])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + data


class CriContainerd(Containerd):
    """`hosts` is its folder of hosts.toml, which kubelet's containerd takes from its configuration alone."""

    hosts = None
    discards = False  # layers, once they are unpacked

    def start(self):
        config = self.path("config.toml")
        disabled = ", ".join(f'"{name}"' for name in WITHOUT if not name.endswith(".cri"))
        with open(config, "w", encoding="utf-8") as f:
            f.write(CONTAINERD.format(folder=self.folder, disabled=disabled)
                    + CRI.format(folder=self.folder, hosts=self.hosts, discards=str(self.discards).lower()))
        self.process = Process([*self.prefix, "containerd", "--config", config])
        self.process.wait_line("successfully booted")
        wait_for("CRI", 60, self.is_ready)  # it refuses all for a while after that

    def call(self, method, request):
        with grpc.insecure_channel(f"unix:{self.path('sock')}") as channel:
            channel.unary_unary("/runtime.v1.ImageService/" + method)(request, timeout=120, wait_for_ready=True)

    def is_ready(self):
        try:
            self.call("ListImages", b"")
        except grpc.RpcError:
            return False
        return True

    def ctr(self, *argv, check=False):
        return super().ctr("-n", "k8s.io", *argv, check=check)

    def content(self):
        """The digests of what is in its store of content."""
        return set(self.ctr("content", "list", "-q", check=True).stdout.split())

    def fetch(self, image, user=None, password=None):
        """Pulls an image and leaves it there."""
        # PullImageRequest: the image's name, and the credentials of the pod's secret.
        request = field(1, field(1, image)) + (field(2, field(1, user) + field(2, password)) if user else b"")
        self.call("PullImage", request)
        listed = self.ctr("images", "list", f"name=={image}", check=True).stdout
        return Outcome(False, listed, listed.splitlines()[1].split()[2])

    def remove(self):
        """Removes all images."""
        self.ctr("images", "remove", "--sync", *self.ctr("images", "list", "-q", check=True).stdout.split(), check=True)

    def pull(self, image, user=None, password=None):
        got = self.fetch(image, user, password)
        self.remove()
        return got
