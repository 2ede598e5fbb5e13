"""Run every conformance program on every database and judge the reports: `python -m tests.conformance`."""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.access.live_people import run_in
from tests.conformance.programs import PROJECT, ProgramUnavailable, Run, current_run, release_run
from tests.conformance.reports import Report, ReportMissing, read_report
from tests.conformance.skips import find_reason
from tests.live_server import POSTGRES_VARIABLE, LiveServer, ServerFailed, live_server
from tests.services import ServiceUnavailable, private_postgres

REPORTS = PROJECT / "build" / "conformance"
RUN_SECONDS = 900
MESSAGE_LINES = 12
RUNS: dict[str, Callable[[], Run]] = {
    "default": lambda: current_run("default", None),
    "dev": lambda: current_run("dev", "dev"),
    "release": release_run,
    # The same with accounts: everything that these may do must go as it goes without.
    "maintainer": lambda: current_run("maintainer", None, username="mallory"),
    "administrator": lambda: current_run("administrator", None, username="admin"),
}
DATABASES = ("postgres", "sqlite")
_PASSWORD = "conformance of accounts"
_CAST = f"""
from accounts.models import Membership, Team, User
mallory = User.objects.create_user("mallory", password="{_PASSWORD}")
Membership.objects.create(team=Team.objects.create(slug="conformance"), user=mallory, role="maintainer")
"""


class Summary:
    """The table, the totals and everything that speaks against a clean run."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str, str, str, str]] = [("run", "database", "passed", "failed", "skipped")]
        self.totals = [0, 0, 0]
        self.problems: list[str] = []

    def add(self, run: Run, database: str, report: Report) -> None:
        passed, failed, skipped = report.counts
        self.rows.append((run.title, database, str(passed), str(failed), str(skipped)))
        self.totals = [total + count for total, count in zip(self.totals, report.counts, strict=True)]
        for test in report.named("failed"):
            message = test.message.strip().splitlines()[:MESSAGE_LINES]
            print(f"FAILED {test.name}", *(f"    {line}" for line in message), sep="\n")
        for test in report.named("skipped"):
            reason = find_reason(run.name, test)
            print(f"skipped {test.name}\n    {reason or 'UNEXPLAINED: ' + test.message.strip()}")
            if reason is None:
                self.problems.append(f"{run.title} on {database}: unexplained skip: {test.name}")
        if failed:
            self.problems.append(f"{run.title} on {database}: {failed} failed")

    def close(self) -> int:
        print()
        widths = [max(len(row[column]) for row in self.rows) for column in range(5)]
        for row in self.rows:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        for problem in self.problems:
            print(f"conformance: {problem}")
        print("{} passed, {} failed, {} skipped".format(*self.totals))
        return 1 if self.problems else 0


def execute(run: Run, server: LiveServer, folder: Path) -> tuple[Report, int]:
    """This will run one program and return its report and its exit status. Raises ReportMissing."""
    shutil.rmtree(folder, ignore_errors=True)  # an old report must not pass for a new one
    folder.mkdir(parents=True)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OCI_")}
    repository = f"conformance/{run.name}"
    environ = {
        **inherited,
        "OCI_REGISTRY": server.host,
        "OCI_TLS": "disabled",
        "OCI_REPO1": f"{repository}-1",
        "OCI_REPO2": f"{repository}-2",
        "OCI_RESULTS_DIR": str(folder),
        "OCI_ROOT_URL": server.url,
        "OCI_NAMESPACE": f"{repository}-1",
        "OCI_CROSSMOUNT_NAMESPACE": f"{repository}-2",
        "OCI_REPORT_DIR": str(folder),
        **({"OCI_USERNAME": run.username, "OCI_PASSWORD": _PASSWORD} if run.username else {}),
        **run.environ,
    }
    with (folder / "output.log").open("wb") as output:
        try:
            status = subprocess.run(
                run.command,
                cwd=folder,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=RUN_SECONDS,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired as error:
            raise ReportMissing(f"the program ran longer than {RUN_SECONDS} seconds") from error
    return read_report(folder / "junit.xml"), status


def judge(runs: Sequence[Run], database: str, summary: Summary) -> None:
    """This will run programs against one server, with accounts if the programs sign in."""
    accounts = any(run.username for run in runs)
    name = f"{database}-accounts" if accounts else database
    environ = {"REGISTRY_AUTH": "lading", "REGISTRY_ADMIN_PASSWORD": _PASSWORD} if accounts else {}
    with live_server(database="sqlite" if database == "sqlite" else "postgres", environ=environ) as server:
        try:
            if accounts:
                run_in(server, _CAST)
            for run in runs:
                print(f"\n== {run.title} on {database}", *run.notes, sep="\n", flush=True)
                folder = REPORTS / f"{database}-{run.name}"
                try:
                    report, status = execute(run, server, folder)
                except ReportMissing as problem:
                    summary.problems.append(f"{run.title} on {database}: {problem}")
                    summary.rows.append((run.title, database, "-", "-", "-"))
                    continue
                summary.add(run, database, report)
                if status and not report.named("failed"):
                    summary.problems.append(f"{run.title} on {database}: exit status {status}")
        finally:
            shutil.copyfile(server.log_path, REPORTS / f"{name}-server.log")


@contextmanager
def postgres_for(databases: Sequence[str]) -> Iterator[None]:
    """This will make sure that there is a PostgreSQL to make databases on, if one of them needs it."""
    if "postgres" not in databases or os.environ.get(POSTGRES_VARIABLE):
        yield
        return
    with private_postgres() as postgres:
        os.environ[POSTGRES_VARIABLE] = postgres.url
        try:
            yield
        finally:
            del os.environ[POSTGRES_VARIABLE]


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("--database", action="append", choices=DATABASES, help="default: both")
    parser.add_argument("--run", action="append", choices=tuple(RUNS), help="default: all")
    options = parser.parse_args(arguments)
    databases = options.database or DATABASES
    summary = Summary()
    REPORTS.mkdir(parents=True, exist_ok=True)
    try:
        runs = [RUNS[name]() for name in options.run or RUNS]
        with postgres_for(databases):
            for database in databases:
                for signed_in in (False, True):
                    chosen = [run for run in runs if bool(run.username) is signed_in]
                    if chosen:
                        judge(chosen, database, summary)
    except (ProgramUnavailable, ServiceUnavailable, ServerFailed) as problem:
        summary.problems.append(str(problem))
    return summary.close()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
