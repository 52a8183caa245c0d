"""A clock that a test moves, for programs that it starts: libfaketime, told by a file."""

import glob
import os


def library():
    """Path of Debian's libfaketime, or None."""
    found = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
    return found[0] if found else None


class Clock:
    """`prefix` is put before a command line; the program's time, the monotonic one too, is `ahead` seconds ahead of ours."""

    def __init__(self, folder):
        self.path, self.ahead = os.path.join(folder, "clock"), 0
        self.step(0)
        # It is asked each time: a clock that is read again a second later would move behind a test's back.
        self.prefix = ["env", f"LD_PRELOAD={library()}", f"FAKETIME_TIMESTAMP_FILE={self.path}", "FAKETIME_NO_CACHE=1"]

    def step(self, seconds):
        """Moves it on, for whoever reads it from now on."""
        self.ahead += seconds
        with open(self.path + ".new", "w", encoding="ascii") as f:
            f.write(f"+{self.ahead}\n")
        os.replace(self.path + ".new", self.path)
