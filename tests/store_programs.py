"""Programs that stand in for object stores: built or installed by name, once, and run on the loopback address."""

import fcntl
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from tests.live_server import PROJECT
from tests.services.processes import ServiceUnavailable, dies_with_parent

BUILD_SECONDS = 1500
START_SECONDS = 60
_CACHE = PROJECT / ".cache"


def go_program(module: str, version: str) -> Path:
    """This will build a program of the Go module proxy. Raises ServiceUnavailable."""
    folder, name = _CACHE / "go-bin", module.rpartition("/")[2]
    program, stamp = folder / name, folder / f".{name}-{version}"
    with _alone(f"{name}.lock"):
        if program.exists() and stamp.exists():
            return program
        go = subprocess.run([PROJECT / "scripts" / "ensure-go"], stdout=subprocess.PIPE, text=True, check=False)
        if go.returncode != 0:
            raise ServiceUnavailable(f"there is no Go to build {name} with")
        folder.mkdir(parents=True, exist_ok=True)
        _run([go.stdout.strip().splitlines()[-1], "install", f"{module}@{version}"], {"GOBIN": str(folder)})
        stamp.touch()
    return program


def npm_program(package: str, version: str, program: str) -> Path:
    """This will install a program of npm's registry, without running the scripts of its packages."""
    folder = _CACHE / f"npm-{package}-{version}"
    with _alone(f"{package}.lock"):
        if not folder.exists():
            npm = shutil.which("npm")
            if npm is None:
                raise ServiceUnavailable(f"there is no npm to install {package} with; apt-get install npm")
            new = folder.with_name(f"{folder.name}.new")
            shutil.rmtree(new, ignore_errors=True)
            new.mkdir(parents=True)
            options = ["--prefix", new, "--no-audit", "--no-fund", "--ignore-scripts", "--omit=dev"]
            _run([npm, "install", *options, f"{package}@{version}"], {})
            new.rename(folder)
    return folder / "node_modules" / ".bin" / program


@contextmanager
def running(
    command: Sequence[str | Path], *, port: int, folder: Path, environ: Mapping[str, str] | None = None
) -> Iterator[int]:
    """This will run a server in `folder` until the block ends, and give its process id. Raises ServiceUnavailable."""
    log_path = folder / "output.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            list(map(str, command)),
            env={**os.environ, **(environ or {})},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            preexec_fn=dies_with_parent(signal.SIGKILL),
        )
    try:
        _wait(process, port, log_path)
        yield process.pid
    finally:
        process.kill()
        process.wait()


@contextmanager
def _alone(name: str) -> Iterator[None]:
    _CACHE.mkdir(exist_ok=True)
    with (_CACHE / name).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _run(command: Sequence[str | Path], environ: Mapping[str, str]) -> None:
    name = Path(command[-1]).name
    try:
        done = subprocess.run(
            list(map(str, command)),
            env={**os.environ, **environ},
            capture_output=True,
            text=True,
            check=False,
            timeout=BUILD_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServiceUnavailable(f"{name} cannot be had: {error}") from error
    if done.returncode != 0:
        raise ServiceUnavailable(f"{name} cannot be had: {done.stderr.strip()[-500:]}")


def _wait(process: "subprocess.Popen[bytes]", port: int, log_path: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        connection = HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/")
            connection.getresponse().read()
        except (OSError, HTTPException):
            time.sleep(0.05)
        else:
            return
        finally:
            connection.close()
    raise ServiceUnavailable(f"{log_path.parent.name} did not start: {log_path.read_text(errors='replace')[-500:]}")
