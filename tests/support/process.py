"""Processes that end with their maker, and waiting for what happens instead of sleeping."""

import contextlib
import ctypes
import errno
import itertools
import os
import signal
import socket
import subprocess
import threading
import time

PR_SET_PDEATHSIG = 1


def _die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


# Below those that the system gives to connections, which would take a port before its server does. Runs side by side
# begin far from each other.
_PORTS = range(10240, 32768)
_numbers = itertools.count(os.getpid() * 7919)


def free_port(host="127.0.0.1"):
    """A TCP port that nobody listens on now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    while True:
        port = _PORTS[next(_numbers) % len(_PORTS)]
        with socket.socket(family, socket.SOCK_STREAM) as s:
            try:
                s.bind((host, port))
                return port
            except OSError as e:
                if e.errno != errno.EADDRINUSE:
                    raise


def wait_for(what, seconds, probe, every=0.05):
    """Asks probe() until it gives something true, and returns that; AssertionError names `what`."""
    end = time.monotonic() + seconds
    while True:
        got = probe()
        if got:
            return got
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not seen within {seconds} s")
        time.sleep(every)


def run(argv, **more):
    """Runs to the end, output captured as text; fails loudly unless check=False."""
    check = more.pop("check", True)
    more.setdefault("timeout", 120)
    done = subprocess.run([str(a) for a in argv], stdin=more.pop("stdin", subprocess.DEVNULL) if "input" not in more else None,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, argv))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done


class Process:
    """A program in the background whose output lines can be awaited; `before` is called in it at its start."""

    def __init__(self, argv, before=None, **more):
        self.argv = [str(a) for a in argv]
        self.lines = []
        self._seen = threading.Condition()
        self._eof = False

        def prepare():
            _die_with_parent()
            if before is not None:
                before()

        self.popen = subprocess.Popen(self.argv, stdin=more.pop("stdin", subprocess.DEVNULL), stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, text=True, errors="replace",
                                      preexec_fn=prepare, **more)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.popen.stdout:
            with self._seen:
                self.lines.append(line.rstrip("\n"))
                self._seen.notify_all()
        with self._seen:
            self._eof = True
            self._seen.notify_all()

    def wait_line(self, text, seconds=20):
        """The first line that holds `text`; AssertionError with all output when it does not come."""
        def found():
            return next((line for line in self.lines if text in line), None)

        with self._seen:
            self._seen.wait_for(lambda: found() or self._eof, seconds)
            line = found()
        if line is None:
            raise AssertionError(f"{self.argv[0]}: no {text!r} in its output:\n" + "\n".join(self.lines))
        return line

    def wait_end(self, seconds=20):
        """Exit status, once it ends by itself and all its output is read."""
        status = self.popen.wait(seconds)
        self._reader.join(seconds)
        return status

    def tell(self, line):
        """Writes a line to it, where it was made with stdin=subprocess.PIPE."""
        self.popen.stdin.write(line + "\n")
        self.popen.stdin.flush()

    def output(self):
        return "\n".join(self.lines)

    def stop(self, sig=signal.SIGTERM, seconds=10):
        """Asks it to end, kills it when it does not, and returns the exit status."""
        if self.popen.poll() is None:
            self.popen.send_signal(sig)
            try:
                self.popen.wait(seconds)
            except subprocess.TimeoutExpired:
                self.popen.kill()
        status = self.popen.wait()
        self._reader.join(5)
        self.popen.stdout.close()
        if self.popen.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self.popen.stdin.close()
        return status

    def __enter__(self):
        return self

    def __exit__(self, *ignored):
        self.stop()


def binary(name):
    """One of ours, from $SWARMGATE_BIN or build/bin."""
    top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    return os.path.join(os.environ.get("SWARMGATE_BIN", os.path.join(top, "build", "bin")), name)
