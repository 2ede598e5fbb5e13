"""Server processes on free ports that end with the process that started them."""

import ctypes
import os
import pwd
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

START_SECONDS = 60
STOP_SECONDS = 20
PORT_TRIES = 5
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None)


class ServiceUnavailable(Exception):
    """A server cannot be started here; the message says what to do."""


@contextmanager
def server(
    name: str,
    command: Callable[[int], list[str]],
    answers: Callable[[Path, int], bool],
    folder: Path,
    user: pwd.struct_passwd | None,
    stop_signal: signal.Signals,
) -> "Iterator[tuple[subprocess.Popen[bytes], int]]":
    """This will start `command(port)` in `folder` as `user` and yield its process and port once it answers.

    Its output goes to the file `log` there. Raises ServiceUnavailable with that output if it never answers.
    """
    log = folder / "log"
    for _ in range(PORT_TRIES):  # between our choice of a port and its use, somebody else may take it
        port = _free_port()
        process = start(command(port), folder, user, stop_signal)
        try:
            if wait_until_ready(process, partial(answers, folder, port)):
                yield process, port
                return
        finally:
            stop(process, stop_signal)
    raise ServiceUnavailable(f"{name} did not start:\n{log.read_text(errors='replace')}")


def start(
    command: list[str], folder: Path, user: pwd.struct_passwd | None, stop_signal: signal.Signals
) -> "subprocess.Popen[bytes]":
    """This will start a server in `folder`, whose output goes to the file `log` there."""
    with (folder / "log").open("wb") as output:
        return subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C in the terminal is for the tests, not for their servers
            preexec_fn=dies_with_parent(stop_signal),
            **run_as(user),
        )


def wait_until_ready(process: "subprocess.Popen[bytes]", answers: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        if answers():
            return True
        time.sleep(0.05)
    return False


def stop(process: "subprocess.Popen[bytes]", stop_signal: signal.Signals) -> None:
    if process.poll() is not None:
        return
    process.send_signal(stop_signal)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run_as(user: pwd.struct_passwd | None) -> dict[str, Any]:
    """This will return Popen's arguments to become `user`, in an environment without the caller's PG…."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    if user is None:
        return {"env": environment}
    return {
        "env": environment | {"HOME": "/", "USER": user.pw_name, "LOGNAME": user.pw_name},
        "user": user.pw_uid,
        "group": user.pw_gid,
        "extra_groups": [],
    }


def dies_with_parent(death_signal: signal.Signals) -> Callable[[], None]:
    """This will return a preexec_fn by which the kernel signals the child when the starting thread ends."""
    parent = os.getpid()

    def in_child() -> None:
        _libc.prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != parent:  # it ended before the kernel was told
            os._exit(1)

    return in_child
