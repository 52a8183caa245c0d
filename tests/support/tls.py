"""Clients over TLS: http.client with a CA, openssl s_client, and a connection whose bytes are in the test's hands."""

import http.client
import socket
import ssl
import subprocess


def split(address):
    """(host, port) of `host:port` or `[v6]:port`."""
    host, port = address.rsplit(":", 1)
    return host.strip("[]"), int(port)


def trusting(ca, **more):
    """A context that trusts `ca`, an Authority, and takes no end without a close_notify; `more` are attributes of it."""
    context = ssl.create_default_context(cafile=ca.cert)
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    for name, value in more.items():
        setattr(context, name, value)
    return context


def connect(address, context):
    return http.client.HTTPSConnection(*split(address), timeout=30, context=context)


def ask(connection, target, headers=None, method="GET"):
    """(status, headers, body) over a connection that is kept."""
    connection.request(method, target, headers=headers or {})
    answer = connection.getresponse()
    return answer.status, answer.headers, answer.read()


def get(address, target, context, headers=None, method="GET"):
    """As support.announce.get()."""
    connection = connect(address, context)
    try:
        return ask(connection, target, headers, method)
    finally:
        connection.close()


def serial(address, context):
    """Of the certificate that a new connection is shown."""
    with socket.create_connection(split(address), timeout=30) as plain, \
            context.wrap_socket(plain, server_hostname=split(address)[0]) as s:
        return int(s.getpeercert()["serialNumber"], 16)


def s_client(address, ca, *argv, request="GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"):
    """What `openssl s_client` says of a connection over which `request` goes: status and all its output."""
    done = subprocess.run(["openssl", "s_client", "-connect", address, "-CAfile", ca.cert, "-verify_return_error", "-ign_eof", *argv],
                          input=request.encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    return done.returncode, done.stdout.decode(errors="replace")


class Wire:
    """A client whose ciphertext goes over the socket when the test says so."""

    def __init__(self, address, context, **more):
        self.socket = socket.create_connection(split(address), timeout=60)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname=split(address)[0], **more)

    def __enter__(self):
        return self

    def __exit__(self, *ignored):
        self.socket.close()

    def pending(self):
        """Ciphertext to be sent, taken out."""
        return self.outgoing.read()

    def run(self, step, send):
        """Calls `step` until it has what it needs, `send` with what is to go out, and reads in between."""
        while True:
            done = True
            try:
                got = step()
            except ssl.SSLWantReadError:
                done = False
            out = self.pending()
            if out:  # a socket that is half closed takes not even nothing
                send(out)
            if done:
                return got
            data = self.socket.recv(65536)
            if data:
                self.incoming.write(data)
            else:
                self.incoming.write_eof()

    def handshake(self, send=None):
        self.run(self.tls.do_handshake, send or self.socket.sendall)

    def write(self, data):
        self.tls.write(data)
        self.socket.sendall(self.pending())

    def read_all(self):
        """To the close_notify of the other end; ssl.SSLEOFError when it ends without."""
        parts = []
        while True:
            try:
                part = self.run(lambda: self.tls.read(65536), self.socket.sendall)
            except ssl.SSLZeroReturnError:
                part = b""
            if not part:
                return b"".join(parts)
            parts.append(part)
