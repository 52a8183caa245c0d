"""Container images made of files at hand, as an OCI layout."""

import gzip
import hashlib
import io
import json
import os
import tarfile

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


class _Hashed:
    """A file that is written, counted and hashed at once."""

    def __init__(self, path):
        self.file = open(path, "wb")
        self.sha256 = hashlib.sha256()
        self.size = 0

    def write(self, data):
        self.sha256.update(data)
        self.size += len(data)
        return self.file.write(data)

    def flush(self):
        self.file.flush()


class Layer:
    """A gzip'ed layer under way; `add` puts files into it, `size` is what has come out so far."""

    def __init__(self, folder):
        self.path = os.path.join(folder, f"layer-{len(os.listdir(folder))}")
        self.out = _Hashed(self.path)
        self.zip = gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=self.out, mtime=0)
        self.diff = hashlib.sha256()
        self.tar = tarfile.open(mode="w|", fileobj=self, format=tarfile.PAX_FORMAT)

    def write(self, data):
        self.diff.update(data)
        return self.zip.write(data)

    @property
    def size(self):
        return self.out.size

    def add(self, name, content):
        """A file with these bytes, or with those of the file at that path."""
        info = tarfile.TarInfo(name)
        info.mode = 0o644
        if isinstance(content, bytes):
            info.size = len(content)
            self.tar.addfile(info, io.BytesIO(content))
        else:
            with open(content, "rb") as source:
                info.size = os.fstat(source.fileno()).st_size
                self.tar.addfile(info, source)

    def whiteout(self, name):
        """Hides a file of a layer below (OCI image specification, Whiteouts)."""
        folder, base = os.path.split(name)
        self.add(os.path.join(folder, ".wh." + base), b"")

    def close(self):
        self.tar.close()
        self.zip.close()
        self.out.file.close()


def write_layout(folder, layers, tag="1"):
    """Puts layers together as an image in an OCI layout; returns its manifest's digest."""
    blobs = os.path.join(folder, "blobs", "sha256")
    os.makedirs(blobs, exist_ok=True)

    def put(data):
        digest = hashlib.sha256(data).hexdigest()
        with open(os.path.join(blobs, digest), "wb") as f:
            f.write(data)
        return {"digest": "sha256:" + digest, "size": len(data)}

    described = []
    for layer in layers:
        digest = layer.out.sha256.hexdigest()
        os.rename(layer.path, os.path.join(blobs, digest))
        described.append({"mediaType": LAYER, "digest": "sha256:" + digest, "size": layer.size})
    config = put(json.dumps({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + layer.diff.hexdigest() for layer in layers]},
    }).encode())
    manifest = put(json.dumps({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, **config}, "layers": described,
    }).encode())
    write_index(folder, manifest, tag)
    return manifest["digest"]


def write_index(folder, manifest, tag="1"):
    """oci-layout and index.json for one manifest whose blobs are there already."""
    with open(os.path.join(folder, "oci-layout"), "w", encoding="utf-8") as f:
        json.dump({"imageLayoutVersion": "1.0.0"}, f)
    with open(os.path.join(folder, "index.json"), "w", encoding="utf-8") as f:
        json.dump({"schemaVersion": 2, "manifests": [{
            "mediaType": MANIFEST, "digest": manifest["digest"], "size": manifest["size"],
            "annotations": {"org.opencontainers.image.ref.name": tag}}]}, f)


def small_image(folder, seed, sizes=(300_000, 70_000)):
    """An OCI layout with a layer of each size, told apart from others by its seed."""
    os.makedirs(folder, exist_ok=True)
    layers = []
    for number, size in enumerate(sizes):
        layer = Layer(folder)
        block = hashlib.sha256(f"{seed}/{number}".encode()).digest()
        noise = b"".join(hashlib.sha256(block + n.to_bytes(4, "big")).digest() for n in range(size // 32 + 1))
        layer.add(f"data-{number}", noise[:size])
        layer.close()
        layers.append(layer)
    return write_layout(folder, layers)


def machine_image(folder, sizes, roots=("/usr/lib", "/usr/bin")):
    """
    An image of about the given bytes a layer, made of this machine's larger files. Its second layer
    overwrites a file of the first, its last hides one.
    """
    os.makedirs(folder, exist_ok=True)

    def candidates():
        for root in roots:
            for path, folders, names in os.walk(root):
                folders.sort()
                for name in sorted(names):
                    full = os.path.join(path, name)
                    if not os.path.islink(full) and os.path.isfile(full) and os.path.getsize(full) > 100_000:
                        yield full

    files = candidates()
    layers = []
    for number, size in enumerate(sizes):
        layer = Layer(folder)
        if number == 0:
            layer.add("etc/motd", b"the first layer\n")
            layer.add("etc/secret", b"hidden by the last layer\n")
        elif number == 1:
            layer.add("etc/motd", b"the second layer\n")
        if number == len(sizes) - 1:
            layer.whiteout("etc/secret")
        while layer.size < size:
            try:
                path = next(files)
            except StopIteration:
                break
            if os.path.getsize(path) / 2 < size * 1.2 - layer.size:
                layer.add(path.lstrip("/"), path)
        layer.close()
        layers.append(layer)
    return write_layout(folder, layers)
