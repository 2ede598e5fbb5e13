"""Client programs: where they are, and how they are run without touching the user's own files."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
GO_PROGRAMS = PROJECT / ".cache" / "go-bin"
SEARCH = os.pathsep.join([str(GO_PROGRAMS), os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
CLIENT_SECONDS = 180


def find_program(name: str) -> str | None:
    return shutil.which(name, path=SEARCH)


def private_environment(home: Path) -> dict[str, str]:
    """This will describe a user with an empty home: no login, no configuration and no proxy is inherited."""
    kept = {name: os.environ[name] for name in ("LANG", "TZ", "TMPDIR") if name in os.environ}
    folders = {"XDG_CONFIG_HOME": "config", "XDG_CACHE_HOME": "cache", "XDG_DATA_HOME": "share"}
    (home / "docker").mkdir(parents=True, exist_ok=True)
    (home / "docker" / "config.json").write_text("{}")  # podman insists on it when DOCKER_CONFIG is set
    (home / "run").mkdir(mode=0o700, exist_ok=True)
    return {
        **kept,
        "PATH": SEARCH,
        "HOME": str(home),
        "DOCKER_CONFIG": str(home / "docker"),
        "XDG_RUNTIME_DIR": str(home / "run"),
        **{name: str(home / folder) for name, folder in folders.items()},
    }


def podman_storage(folder: Path, program: str = "podman") -> tuple[str, ...]:
    """This will keep podman or buildah to a folder, and to what needs nothing of the kernel."""
    options = (f"--root={folder}/root", f"--runroot={folder}/run", "--storage-driver=vfs")
    if program == "buildah":
        return options
    return (*options, f"--tmpdir={folder}/tmp", "--events-backend=none", "--cgroup-manager=cgroupfs")


@dataclass(frozen=True)
class Client:
    """One program with the arguments that every call of it begins with."""

    program: str
    environ: Mapping[str, str]
    folder: Path
    """where it runs; relative paths of files are below it"""
    arguments: tuple[str, ...] = ()

    def __call__(self, *arguments: object, given: str = "", timeout: float = CLIENT_SECONDS) -> str:
        """This will run the program and return what it wrote to standard output; it must succeed.

        `given` is what it reads from standard input.
        """
        return self.output(*arguments, given=given, timeout=timeout).decode(errors="replace")

    def output(self, *arguments: object, given: str = "", timeout: float = CLIENT_SECONDS) -> bytes:
        """This will do as a call does, for programs that write something else than text."""
        result = self._run(arguments, given, timeout)
        assert result.returncode == 0, describe(result)
        return result.stdout

    def fails(self, *arguments: object, given: str = "", timeout: float = CLIENT_SECONDS) -> str:
        """This will run the program and return all that it wrote; it must not succeed."""
        result = self._run(arguments, given, timeout)
        assert result.returncode != 0, describe(result)
        return (result.stdout + result.stderr).decode(errors="replace")

    def _run(self, arguments: tuple[object, ...], given: str, timeout: float) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run(
            [self.program, *self.arguments, *map(str, arguments)],
            cwd=self.folder,
            env=dict(self.environ),
            input=given.encode(),
            capture_output=True,
            timeout=timeout,
            check=False,
        )


def describe(result: "subprocess.CompletedProcess[bytes]") -> str:
    command = " ".join(map(str, result.args))
    written = (result.stdout + result.stderr).decode(errors="replace")
    return f"{command}\nended with status {result.returncode}\n{written}"
