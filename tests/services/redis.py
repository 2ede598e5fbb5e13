"""A private Redis."""

import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.services.folders import private_folder
from tests.services.processes import ServiceUnavailable, server

REDIS_SOCKET = "redis.sock"


@dataclass(frozen=True)
class RedisServer:
    url: str
    process: "subprocess.Popen[bytes]"
    folder: Path


@contextmanager
def private_redis() -> Iterator[RedisServer]:
    """This will run a Redis server without persistence on a free port until the block ends.

    Raises ServiceUnavailable.
    """
    program = shutil.which("redis-server")
    if program is None:
        raise ServiceUnavailable("redis-server is missing; install it with: apt-get install redis-server")
    with private_folder() as folder:

        def command(port: int) -> list[str]:
            options = {
                "bind": "127.0.0.1",
                "port": port,
                "unixsocket": folder / REDIS_SOCKET,
                "save": "",
                "appendonly": "no",
                "dir": folder,
            }
            return [program, *(part for key, value in options.items() for part in (f"--{key}", str(value)))]

        with server("Redis", command, _redis_answers, folder, None, signal.SIGTERM) as (process, port):
            yield RedisServer(f"redis://127.0.0.1:{port}/0", process, folder)


def _redis_answers(folder: Path, _port: int) -> bool:
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(str(folder / REDIS_SOCKET))
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False
