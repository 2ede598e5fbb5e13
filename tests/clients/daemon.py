"""A private docker daemon, and the containerd that it runs, with sockets and folders of their own."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from socket import AF_UNIX, socket

from tests.clients.programs import private_environment
from tests.services.processes import dies_with_parent

START_SECONDS = 60
STOP_SECONDS = 60


class DaemonFailed(Exception):
    """The daemon does not start here; the message ends with the last lines of its log."""


@dataclass(frozen=True)
class Daemon:
    docker: str
    """what `docker --host` takes"""
    containerd: str
    """what `ctr --address` takes"""


@contextmanager
def docker_daemon(program: str, folder: Path) -> Iterator[Daemon]:
    """This will run dockerd without any network of its own until the block ends. Raises DaemonFailed.

    Its storage driver copies whole layers (vfs): slow and large, but it needs nothing from the kernel.
    """
    if os.geteuid() != 0:
        raise DaemonFailed("it needs root")
    folder.mkdir()
    (folder / "daemon.json").write_text("{}")  # not the machine's own configuration
    address = folder / "docker.sock"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                program,
                f"--config-file={folder}/daemon.json",
                "--iptables=false",
                "--bridge=none",
                "--storage-driver=vfs",
                f"--data-root={folder}/root",
                f"--exec-root={folder}/exec",
                f"--pidfile={folder}/pid",
                f"--host=unix://{address}",
            ],
            cwd=folder,
            env=private_environment(folder / "home"),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=dies_with_parent(signal.SIGTERM),
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(address):
            if process.poll() is not None or time.monotonic() > deadline:
                raise DaemonFailed(" ".join((folder / "log").read_text(errors="replace").splitlines()[-3:]))
            time.sleep(0.2)
        yield Daemon(f"unix://{address}", f"{folder}/exec/containerd/containerd.sock")
    finally:
        _stop(process)


class _UnixConnection(HTTPConnection):
    def __init__(self, address: Path) -> None:
        super().__init__("docker", timeout=10)
        self.address = str(address)

    def connect(self) -> None:
        self.sock = socket(AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.address)


def _answers(address: Path) -> bool:
    connection = _UnixConnection(address)
    try:
        connection.request("GET", "/_ping")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _stop(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is not None:
        return
    process.terminate()  # it ends its containerd
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
