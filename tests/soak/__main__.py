"""`python -m tests.soak --seconds 300 --seed 7` runs the soak and ends with 1 where a promise was broken."""

import argparse
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.live_server import PROJECT
from tests.services import ServiceUnavailable
from tests.soak.breakage import Breaker
from tests.soak.checker import RECOVERY_SECONDS, check, missing_successes
from tests.soak.installation import KEEP_SECONDS, Installation, installation
from tests.soak.journal import Operation, read_journals
from tests.soak.looking import Visitor, look_at_objects, look_at_rows
from tests.soak.registers import Registers
from tests.soak.report import print_report
from tests.soak.sighting import Sighting

CLIENTS = 4
CLIENTS_END_SECONDS = 90
REST_SECONDS = 60
VARIANTS = {"files": "celery", "s3": "embedded"}
_MOUNTED = "LADING_SOAK_MOUNTED"


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=float(os.environ.get("SOAK_SECONDS", "300")))
    parser.add_argument("--seed", type=int, default=int(os.environ.get("SOAK_SEED") or secrets.randbelow(10**6)))
    parser.add_argument("--storage", choices=VARIANTS, help="only this one; without it, one after the other")
    parser.add_argument("--worker", choices=["embedded", "celery"])
    parser.add_argument("--recovery", type=float, default=RECOVERY_SECONDS, help="longest that a recovery may take")
    options = parser.parse_args(arguments)
    _take_own_mounts(arguments)
    # So that whoever is told to end ends its servers.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    storages = [options.storage] if options.storage else list(VARIANTS)
    broken = 0
    for storage in storages:
        worker = options.worker or VARIANTS[storage]
        seconds = options.seconds / len(storages)
        print(f"soak: {storage}, {worker} worker, {seconds:.0f} s, seed {options.seed}", flush=True)
        try:
            broken += soak(
                storage=storage, worker=worker, seconds=seconds, seed=options.seed, recovery=options.recovery
            )
        except ServiceUnavailable as problem:
            print(f"soak: {storage} cannot be tried here: {problem}")
            broken += 1
    return 1 if broken else 0


def soak(*, storage: str, worker: str, seconds: float, seed: int, recovery: float) -> int:
    """Run one variant; how many promises were broken."""
    mounted = storage == "files" and bool(os.environ.get(_MOUNTED))
    if storage == "files" and not mounted:
        print("  no mount namespace of our own here: the disk is neither filled nor made read-only")
    with (
        installation(storage=storage, worker=worker, mounted=mounted) as installed,
        tempfile.TemporaryDirectory(prefix="lading-soak-journals-") as journals,
    ):
        until = time.monotonic() + seconds
        paths = [Path(journals, f"client-{number}.jsonl") for number in range(CLIENTS)]
        clients = [_start_client(installed, seed, number, path, until) for number, path in enumerate(paths)]
        breaker = Breaker(installed, seed)
        try:
            breaker.run(until)
            for client in clients:
                client.wait(CLIENTS_END_SECONDS)
        finally:
            for client in clients:
                client.kill()
                client.wait()
        operations = read_journals(paths)
        settle(installed)
        seen = look(installed, operations)
        violations = check(operations, breaker.faults, seen, recovery_seconds=recovery)
        missing = missing_successes(operations)
        crashed = [f"client {number} ended by itself" for number, client in enumerate(clients) if client.returncode]
        print_report(operations, breaker.faults, seen, violations, [*missing, *crashed])
        if violations or missing or crashed:
            kept = Path(tempfile.mkdtemp(prefix="lading-soak-failed-"))
            for path in [*paths, *installed.folder.glob("*.log")]:
                shutil.copy(path, kept)
            print(f"  journals and logs are in {kept}")
        return len(violations) + len(missing) + len(crashed)


def settle(installed: Installation) -> None:
    """Let everything that may end come to its end: open uploads, the trash, two rounds of collection, deletions."""
    time.sleep(KEEP_SECONDS + 0.5)
    deadline = time.monotonic() + REST_SECONDS
    while installed.count("blobs_uploadsession", "storage_key IS NOT NULL") and time.monotonic() < deadline:
        installed.let_time_pass()
        time.sleep(0.5)
    for _ in range(2):
        done = installed.collect()
        if done.returncode:
            print(f"  garbage-collect: {done.stdout}{done.stderr}")
    while installed.count("blobs_storagedeletion") and time.monotonic() < deadline:
        installed.let_time_pass()
        time.sleep(0.5)


def look(installed: Installation, operations: list[Operation]) -> Sighting:
    seen = Sighting()
    subjects = sorted({(each.repository, each.subject) for each in operations if each.subject})
    Visitor(installed.server.host, seen).visit(Registers(operations).names, subjects)
    look_at_rows(installed.database_url, seen)
    look_at_objects(installed.objects(), installed.parts(), seen)
    return seen


def _start_client(
    installed: Installation, seed: int, number: int, path: Path, until: float
) -> "subprocess.Popen[bytes]":
    options = {"host": installed.server.host, "seed": seed, "number": number, "journal": str(path), "until": until}
    command = [sys.executable, "-m", "tests.soak.client", json.dumps(options)]
    return subprocess.Popen(command, cwd=PROJECT, stdin=subprocess.DEVNULL)


def _take_own_mounts(arguments: Sequence[str]) -> None:
    """Go on in a mount namespace of our own, in which a small disk can be filled, where that is allowed."""
    if os.environ.get(_MOUNTED) or os.geteuid() != 0 or shutil.which("unshare") is None:
        return
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        return
    os.environ[_MOUNTED] = "yes"
    os.execvp("unshare", ["unshare", "-m", sys.executable, "-m", "tests.soak", *arguments])


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
