"""Debian's nginx with the configuration of deploy/nginx before servers of the test, and a Lading for it."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlsplit

from tests.live_server import PROJECT, free_port

CONFIGURATION = PROJECT / "deploy" / "nginx"
START_SECONDS = 30


class Proxy:
    """One nginx. `ports` are its servers; `data` is the folder that Lading stores in."""

    def __init__(self, folder: Path, data: Path, ports: Sequence[int], *, tls: bool = False) -> None:
        self.folder, self.data, self.tls = folder, data, tls
        self.ports, self.down = list(ports), set[int]()
        self.port, self.tls_port = free_port(), free_port()
        # What tests.live.client.Client asks of a server.
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def program(self) -> str:
        return shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin") or "nginx"

    def start(self) -> None:
        self._configure()
        if self.tls:
            self._make_certificate()
        with (self.folder / "nginx.log").open("ab") as log:
            command = [*self._command(), "-g", "daemon off;" + (" user root;" if os.geteuid() == 0 else "")]
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.05)

    def take_out(self, port: int) -> None:
        """This will send no new request to the server on `port`."""
        self.down.add(port)
        self.reload()

    def put_back(self, port: int) -> None:
        self.down.discard(port)
        self.reload()

    def reload(self) -> None:
        before = self._workers()
        self._configure()
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + START_SECONDS
        # Old workers take no new connection once new ones are there; those with transfers live on.
        while not self._workers() - before:
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.02)
        time.sleep(0.5)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(10)
            self.process.kill()
            self.process.wait()

    def log(self) -> str:
        return "".join((self.folder / name).read_text() for name in ("nginx.log", "access.log", "error.log"))

    def _command(self) -> list[str]:
        return [self.program, "-p", str(self.folder), "-c", str(self.folder / "nginx.conf"), "-e", "error.log"]

    def _configure(self) -> None:
        """The files as they stand in deploy/nginx, with this machine's ports and folders."""
        lines = "".join(
            f"server 127.0.0.1:{port} max_fails=1 fail_timeout=2s{' down' if port in self.down else ''};\n"
            for port in self.ports
        )
        changes = {
            r"/tmp/": f"{self.folder}/",
            r"/dev/stdout": f"{self.folder}/access.log",
            r"error_log stderr": f"error_log {self.folder}/error.log",
            r"server web:5000[^\n]*\n": lines,
            r"listen 8080": f"listen 127.0.0.1:{self.port}",
            r"listen 8443": f"listen 127.0.0.1:{self.tls_port}",
            r"/var/lib/registry/": f"{self.data}/",
            r"/etc/nginx/tls/": f"{self.folder}/",
        }
        if self.tls:
            changes[r"\n}\s*\Z"] = "\n    include tls.conf;\n}\n"
        for path in CONFIGURATION.glob("*.conf"):
            text = path.read_text()
            for pattern, replacement in changes.items():
                if path.name == "nginx.conf" or not pattern.endswith(r"\Z"):
                    text = re.sub(pattern, replacement.replace("\\", r"\\"), text)
            (self.folder / path.name).write_text(text)

    def _make_certificate(self) -> None:
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
                *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
                *("-keyout", str(self.folder / "tls.key"), "-out", str(self.folder / "tls.crt")),
            ],
            check=True,
            capture_output=True,
        )

    def _workers(self) -> set[str]:
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return set(children.read_text().split())

    def _answers(self) -> bool:
        connection = HTTPConnection("127.0.0.1", urlsplit(self.url).port or 0, timeout=5)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()
