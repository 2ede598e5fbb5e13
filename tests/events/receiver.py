"""A server that takes posts, and can be away for a while."""

import socket
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Receiver:
    """Listens on one port whenever it is up; `requests` are (path, headers, body) in the order of arrival.

    `answer` is called with a request's path and gives status and headers. `connections` counts what was accepted.
    """

    def __init__(self, answer=lambda path: (200, {}), *, tls=None):
        self.requests = []
        self.connections = 0
        self._answer = answer
        self._tls = tls
        self._open = set()
        self._server = None
        self.port = 0
        self.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def url(self):
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/"

    def start(self):
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                outer.connections += 1
                outer._open.add(self.request)
                super().setup()

            def do_POST(self):
                length = int(self.headers.get("Content-Length", 0))
                body = self.rfile.read(length)
                if len(body) < length:
                    # Whoever sent it was killed before the end.
                    self.close_connection = True
                    return
                outer.requests.append((self.path, dict(self.headers), body))
                status, headers, *content = outer._answer(self.path)
                self.send_response(status)
                sent = content[0] if content else b""
                for name, value in {"Content-Length": str(len(sent)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                with suppress(OSError):
                    self.wfile.write(sent)

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False
            request_queue_size = 50

            def handle_error(self, *_):
                pass

            def shutdown_request(self, request):
                outer._open.discard(request)
                super().shutdown_request(request)

        self._server = Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        if self._tls:
            self._server.socket = self._tls.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self):
        """Close the port and every open connection, as a crash does."""
        if self._server is None:
            return
        self._server.shutdown()
        self._server.server_close()
        self._server = None
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
