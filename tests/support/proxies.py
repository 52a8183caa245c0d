"""nginx and haproxy as processes of ours: own configuration and folder, free ports on loopback, no daemon."""

import asyncio
import contextlib
import os
import socket

from .process import Process, free_port, wait_for

NGINX = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log info;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  client_header_buffer_size 64k;
  large_client_header_buffers 4 64k;
  client_header_timeout 5s;
  client_body_timeout 5s;
  keepalive_timeout 5s;
  {http}
  server {{
    listen {address} {listen};
    {server}
  }}
}}
"""

HAPROXY = """
global
  nbthread 1
  tune.bufsize 131072
defaults
  mode http
  timeout connect 5s
  timeout server {patience}
  timeout client {patience}
  timeout http-request {patience}
  timeout http-keep-alive {patience}
frontend front
  bind {address} {bind}
  {frontend}
{more}
"""


def connects(address):
    """Whether somebody listens at host:port."""
    host, port = address.rsplit(":", 1)
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
        return True
    except ConnectionRefusedError:
        return False


class _Proxy:
    """Started by `with`; `address` is host:port. It runs as whoever started it."""

    def __init__(self, folder, template, **blocks):
        self.folder = str(folder)
        self.address = f"127.0.0.1:{free_port()}"
        self.config = os.path.join(self.folder, "proxy.conf")
        self.process = None
        os.makedirs(self.folder, exist_ok=True)
        with open(self.config, "w", encoding="utf-8") as f:
            f.write(template.format(folder=self.folder, address=self.address, **blocks))

    def argv(self):
        raise NotImplementedError

    def start(self):
        self.process = Process(self.argv())

        def listening():
            assert self.process.popen.poll() is None, self.process.output()
            return connects(self.address)

        wait_for(f"{type(self).__name__} at {self.address}", 10, listening)
        return self

    def stop(self):
        if self.process is not None:
            process, self.process = self.process, None
            process.stop()

    def __enter__(self):
        return self.start()

    def __exit__(self, *ignored):
        self.stop()


class Nginx(_Proxy):
    """`server` and `http` are directives for those blocks; `listen` goes behind the address (`ssl`, `proxy_protocol`)."""

    def __init__(self, folder, server, http="", listen=""):
        super().__init__(folder, NGINX, server=server, http=http, listen=listen)

    def argv(self):
        return ["nginx", "-p", self.folder, "-e", os.path.join(self.folder, "error.log"), "-c", self.config]


class Haproxy(_Proxy):
    """
    `frontend` is lines of the frontend, `more` whole sections; `bind` goes behind the address (`ssl`,
    `accept-proxy`); `patience` is how long it waits for a client.
    """

    def __init__(self, folder, frontend, more="", bind="", patience="5s"):
        super().__init__(folder, HAPROXY, frontend=frontend, more=more, bind=bind, patience=patience)

    def argv(self):
        return ["haproxy", "-db", "-q", "-f", self.config]


class Tap:
    """
    Stands between a proxy and `upstream` (host:port) inside a running event loop, and keeps what went each way:
    `connections` is a list of (sent, answered), two bytearrays each.
    """

    def __init__(self, upstream):
        self._upstream = upstream.rsplit(":", 1)
        self._tasks = set()
        self.connections = []
        self.address = None

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self.address = "127.0.0.1:%d" % self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *ignored):
        """Waits until all that was connected has closed."""
        self._server.close()
        await asyncio.wait_for(asyncio.gather(*self._tasks), 20)

    async def _relay(self, reader, writer):
        self._tasks.add(asyncio.current_task())
        sent, answered = bytearray(), bytearray()
        self.connections.append((sent, answered))
        up_reader, up_writer = await asyncio.open_connection(self._upstream[0], int(self._upstream[1]))
        # When the proxy has ended its half, what is still answered to it is of interest.
        await asyncio.gather(self._copy(reader, up_writer, sent, up_writer.write_eof),
                             self._copy(up_reader, writer, answered, writer.close))
        up_writer.close()

    @staticmethod
    async def _copy(reader, writer, kept, end):
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                kept += data
                writer.write(data)
                await writer.drain()
        with contextlib.suppress(OSError):
            end()
