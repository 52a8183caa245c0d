"""Secrets that are marked, and the search for them wherever they should not be."""

import base64
import os
import threading
import urllib.parse

SHORTEST = 12  # bytes of a secret: what is shorter may be found by chance


def forms(secret):
    """{name: bytes} that `secret` may be written as: what is found of base64 does not hang on what stands before and behind."""
    found = {"plain": secret, "hex": secret.hex().encode(), "HEX": secret.hex().upper().encode(),
             "%": urllib.parse.quote_from_bytes(secret, safe="").encode(), "all %": b"".join(b"%%%02x" % byte for byte in secret),
             "all % in capitals": b"".join(b"%%%02X" % byte for byte in secret)}
    for before in range(3):
        text = base64.b64encode(bytes(before) + secret)
        # Without the characters that the neighbours have a part in.
        inner = text[(0, 2, 3)[before]:len(text) - (0 if len(text.rstrip(b"=")) % 4 == 0 else 4)]
        found[f"base64 {before}"] = inner
        found[f"base64url {before}"] = inner.translate(bytes.maketrans(b"+/", b"-_"))
    return found


class Canaries:
    """What must not be found; `made` counts them."""

    def __init__(self):
        self.made, self._forms = 0, {}

    def add(self, name, secret):
        """Returns `secret`, text or bytes."""
        data = secret.encode() if isinstance(secret, str) else secret
        assert len(data) >= SHORTEST, name
        self.made += 1
        for form, text in forms(data).items():
            self._forms.setdefault(text, f"{name} ({form})")
        return secret

    def password(self, name):
        """One that is new, with characters that are written otherwise in a URL and in JSON."""
        return self.add(name, f'canary:"{name}"/+%&é {os.urandom(8).hex()}')

    def token(self, name, token):
        """A JWT whole, and its signature, which makes it one; or another kind of token."""
        token = self.add(name, token)
        if token.count(".") == 2:
            signature = token.split(".")[2]
            self.add(name + ", signature", signature)
            self.add(name + ", signature's bytes", base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4)))
        return token

    def find(self, place, data):
        """[text] that says what was found in `data`."""
        data = data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data
        return [f"{name} in {place}: …{data[max(0, at - 80):at + 20]!r}…"
                for text, name in self._forms.items() if (at := data.find(text)) >= 0]


class ProcessList:
    """Looks again and again at the command lines and the environments of all processes under this one."""

    def __init__(self):
        self.seen = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self):
        while not self._over.is_set():
            self.look()
            self._over.wait(0.002)

    def look(self):
        ours = {os.getpid()}
        for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
            try:
                with open(f"/proc/{pid}/stat", "rb") as f:
                    parent = int(f.read().rpartition(b")")[2].split()[1])
                if parent not in ours:
                    continue
                ours.add(pid)
                for name in ("cmdline", "environ"):
                    with open(f"/proc/{pid}/{name}", "rb") as f:
                        self.seen.setdefault(f"{name} of a process", set()).add(f.read())
            except (OSError, ValueError):
                pass  # it has ended, or is not ours to look at

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *ignored):
        self._over.set()
        self._thread.join()
