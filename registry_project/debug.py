"""The debug listener, `http.debug.addr`: metrics, and a health that an operator can switch off.

It is a thread of the main process, so that it answers while the workers are busy or being replaced. It asks for no
login: its address is for operators alone.
"""

import json
import logging
import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from registry_project import metrics
from registry_project.config.http import Debug, parse_listen
from registry_project.metrics_folder import FOLDER_VARIABLE
from registry_project.monitor import DOWN_FLAG, monitor

log = logging.getLogger("lading.debug")

_PATIENCE_SECONDS = 30


class _Handler(BaseHTTPRequestHandler):
    server_version = "lading"
    sys_version = ""
    timeout = _PATIENCE_SECONDS
    metrics_path: str | None = None

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/debug/health":
            problems = monitor().problems()
            self._answer(503 if problems else 200, json.dumps(problems).encode())
        elif path == self.metrics_path:
            self._answer(200, metrics.render(), metrics.CONTENT_TYPE)
        else:
            self._answer(404, b"{}")

    do_HEAD = do_GET  # noqa: N815

    def do_POST(self) -> None:
        flag = Path(os.environ[FOLDER_VARIABLE]) / DOWN_FLAG
        if "Origin" in self.headers:
            # A page in an operator's browser must not be able to do this.
            self._answer(403, b"{}")
        elif self.path == "/debug/health/down":
            flag.touch()
            log.warning("taken out of service by %s through the debug listener", self.client_address[0])
            self._answer(200, b"{}")
        elif self.path == "/debug/health/up":
            flag.unlink(missing_ok=True)
            log.warning("put into service again by %s through the debug listener", self.client_address[0])
            self._answer(200, b"{}")
        else:
            self._answer(404, b"{}")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        log.debug(format, *args)

    def _answer(self, status: int, body: bytes, content_type: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class _Listener(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        log.debug("a debug request failed: %s", sys.exc_info()[1])


@contextmanager
def debug_listener(debug: Debug) -> Iterator[None]:
    """This will listen on `debug.addr` until the block ends; without one it does nothing. Raises OSError."""
    if not debug.addr:
        yield
        return
    listen = parse_listen(debug.addr)
    path = debug.prometheus.path if debug.prometheus.enabled else None
    handler = type("Handler", (_Handler,), {"metrics_path": path})
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    listener = type("Listener", (_Listener,), {"address_family": family})((listen.host, listen.port), handler)
    thread = threading.Thread(target=listener.serve_forever, name="debug-listener", daemon=True)
    thread.start()
    monitor()
    log.info("debug listener on %s", debug.addr)
    try:
        yield
    finally:
        listener.shutdown()
        listener.server_close()
        monitor().stop()
