"""`python -m tests.services [options] -- command …` runs the command beside servers of its own."""

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from types import FrameType

from tests.services import ServiceUnavailable, private_folder, private_postgres, private_redis
from tests.services.processes import dies_with_parent


class _Command:
    """Runs the command and passes signals on to it; before it, a signal ends this process."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.stopping = False  # then no signal may interrupt the clean-up, which is short
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)

    def run(self, command: Sequence[str], environment: dict[str, str]) -> int:
        try:
            self.process = subprocess.Popen(command, env=environment, preexec_fn=dies_with_parent(signal.SIGTERM))
        except OSError as error:
            print(f"tests.services: cannot run {command[0]}: {error.strerror}", file=sys.stderr)
            return 127
        status = self.process.wait()
        self.stopping = True
        return status if status >= 0 else 128 - status

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self.process is not None and self.process.returncode is None:
            # A terminal sends Ctrl-C to the command itself; twice would interrupt its own clean-up.
            if number != signal.SIGINT or not sys.stdin.isatty():
                self.process.send_signal(number)
        elif not self.stopping:
            self.stopping = True
            raise SystemExit(128 + number)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.services", description="Run a command beside servers of its own."
    )
    parser.add_argument("--no-postgres", action="store_true", help="start no PostgreSQL")
    parser.add_argument("--no-redis", action="store_true", help="start no Redis")
    parser.add_argument("--sqlite", action="store_true", help="an empty SQLite file instead of PostgreSQL")
    parser.add_argument("--durable", action="store_true", help="leave PostgreSQL's fsync on")
    parser.add_argument("command", nargs="+", help="what to run, after --")
    options = parser.parse_args(arguments)
    command = _Command()
    environment = dict(os.environ)
    try:
        with ExitStack() as stack:
            if options.sqlite:
                folder = stack.enter_context(private_folder())
                environment["REGISTRY_DATABASE_URL"] = f"sqlite:///{folder / 'lading.sqlite3'}"
                environment.pop("LADING_TEST_POSTGRES_URL", None)
            elif not options.no_postgres:
                postgres = stack.enter_context(private_postgres(durable=options.durable))
                environment["LADING_TEST_POSTGRES_URL"] = postgres.url
                environment["REGISTRY_DATABASE_URL"] = postgres.create_database("lading")
            if not options.no_redis:
                environment["LADING_TEST_REDIS_URL"] = stack.enter_context(private_redis()).url
            return command.run(options.command, environment)
    except ServiceUnavailable as problem:
        print(f"tests.services: {problem}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
