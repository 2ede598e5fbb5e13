"""Which conformance programs there are, how each is built, and what it is told.

The suite of release v1.1.1 cannot be had from every module proxy; then the newest older release of the same
suite stands in for it. It has the workflows Pull, Push, Content Discovery and Content Management, but not the
referrers, which the current program covers.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
CACHE = PROJECT / ".cache"
MODULE = "github.com/opencontainers/distribution-spec/conformance"
CURRENT_VERSION = "v0.0.0-20260831232431-97274622c111"
RELEASE_VERSION = "v0.0.0-20250123160558-a139cc423184"
OLDER_VERSION = "v0.0.0-20230516164017-7fcdf80f3c8b"
GO_SECONDS = 1200


class ProgramUnavailable(Exception):
    """A program cannot be built here; the message says what Go said."""


@dataclass(frozen=True)
class Run:
    """One program with one configuration. `title` is what the table calls it.

    With `username` the registry has accounts, and the program signs in.
    """

    name: str
    title: str
    command: tuple[str, ...]
    environ: Mapping[str, str]
    notes: tuple[str, ...] = ()
    username: str = ""


def current_run(name: str, version: str | None, *, username: str = "") -> Run:
    """This will build the current program; `version` is what it tests against, None its default."""
    folder = CACHE / "go-bin"
    _go(["install", f"{MODULE}@{CURRENT_VERSION}"], cwd=PROJECT, GOBIN=str(folder))
    program = folder / MODULE.rpartition("/")[2]
    environ = {"OCI_VERSION": version} if version else {}
    return Run(name, f"current, {name}", (str(program),), environ, username=username)


def release_run() -> Run:
    """This will build the suite of release v1.1.1, or of the newest older release that can be had."""
    environ = {
        "OCI_TEST_PULL": "1",
        "OCI_TEST_PUSH": "1",
        "OCI_TEST_CONTENT_DISCOVERY": "1",
        "OCI_TEST_CONTENT_MANAGEMENT": "1",
        "OCI_AUTOMATIC_CROSSMOUNT": "1",
        "OCI_DELETE_MANIFEST_BEFORE_BLOBS": "1",
    }
    arguments = ("-test.count=1",)
    try:
        program = _build_suite(RELEASE_VERSION)
        return Run("release", "release v1.1.1", (str(program), *arguments), environ)
    except ProgramUnavailable as problem:
        reason = str(problem).strip().splitlines()
        program = _build_suite(OLDER_VERSION)
        notes = (
            f"The suite of release v1.1.1 ({RELEASE_VERSION}) could not be had, so its older release",
            f"{OLDER_VERSION} ran, which has no referrers workflow. Go said:",
            *(f"  {line}" for line in reason[-2:]),
        )
        return Run("release", "release, May 2023", (str(program), *arguments), environ, notes)


def _build_suite(version: str) -> Path:
    """The suite is a package of tests, so it is compiled from a module that only requires it."""
    folder = CACHE / "conformance" / version
    program = folder / "suite.test"
    if program.exists():
        return program
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "go.mod").write_text("module conformance.invalid/suite\n\ngo 1.24\n")
    _go(["get", "-t", f"{MODULE}@{version}"], cwd=folder)
    # Compiled under another name first: a build that was interrupted must not look complete.
    _go(["test", "-c", "-o", "suite.new", MODULE], cwd=folder)
    return (folder / "suite.new").rename(program)


def _go(arguments: list[str], *, cwd: Path, **environ: str) -> None:
    try:
        result = subprocess.run(
            [go_program(), *arguments],
            cwd=cwd,
            env={**os.environ, **environ},
            capture_output=True,
            text=True,
            check=False,
            timeout=GO_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ProgramUnavailable(str(error)) from error
    if result.returncode != 0:
        raise ProgramUnavailable(result.stderr or result.stdout)


def go_program() -> str:
    """This will return a Go of at least 1.24. Raises ProgramUnavailable."""
    helper = PROJECT / "scripts" / "ensure-go"
    if not helper.exists():
        return "go"
    result = subprocess.run([helper], stdout=subprocess.PIPE, text=True, check=False, timeout=GO_SECONDS)
    if result.returncode != 0:
        raise ProgramUnavailable(f"{helper.name} found no Go and could not install one")
    return result.stdout.strip().splitlines()[-1]
