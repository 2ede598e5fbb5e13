"""`lading check`: Django's system checks, then what is stored: the database against the storage, and its rows."""

import json
import sys
from collections import Counter
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.core.management.commands.check import Command as SystemCheck
from django.db import DatabaseError

from blobs.integrity import Finding
from oci.errors import OCIError
from registry_gc.collection.integrity import Repair, Result, check_everything, repair
from registry_project.config.values import parse_duration

# 2 is a command line that cannot be understood.
_LEFT, _ALL_REPAIRED = 1, 3


class Command(SystemCheck):
    help = (
        "Check the configuration, and that the database and the storage agree. Exits with 0 when nothing is wrong, with"
        " 1 when something is and stays so, with 3 when all of it was repaired."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--system-only", action="store_true", help="leave the database and the storage alone")
        parser.add_argument("--repair", action="store_true", help="put right what is wrong; without it nothing changes")
        parser.add_argument("--read", action="store_true", help="read every blob, and compare it with its digest")
        parser.add_argument(
            "--older-than",
            default="24h",
            metavar="AGE",
            help="how old bytes are that nothing names before they count, such as 24h, the default",
        )
        parser.add_argument("--json", action="store_true", help="write JSON lines, the last of them the summary")

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["json"]:
            super().handle(*args, **options)
        if options["system_only"] or args or options["tags"] or options["list_tags"]:
            return
        try:
            older_than = parse_duration(options["older_than"])
        except ValueError as error:
            raise CommandError(f"--older-than: {error}") from error
        found, results = Counter[str](), Counter[str]()
        try:
            for finding in check_everything(older_than=older_than, digests=options["read"]):
                done = repair(finding) if options["repair"] else Repair(Result.LEFT)
                if done.result is Result.GONE:
                    continue
                found[finding.problem.slug] += 1
                results[done.result.value] += 1
                self._tell(finding, done, as_json=options["json"])
        except DatabaseError as error:
            raise CommandError(f"the database cannot be read; has `lading migrate` run? {error}") from error
        except (OCIError, OSError) as error:
            raise CommandError(f"the storage cannot be listed: {error}") from error
        self._sum_up(found, results, as_json=options["json"])
        remaining = found.total() - results[Result.REPAIRED.value]
        if found:
            sys.exit(_LEFT if remaining else _ALL_REPAIRED)

    def _tell(self, finding: Finding, done: Repair, *, as_json: bool) -> None:
        if as_json:
            row = {
                "problem": finding.problem.slug,
                "about": finding.storage_key,
                "detail": finding.detail,
                "result": done.result.value,
                "action": done.action,
            }
            self.stdout.write(json.dumps(row))
        else:
            self.stdout.write(f"{finding}{f' → {done.result.value}: {done.action}' if done.action else ''}")

    def _sum_up(self, found: Counter[str], results: Counter[str], *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps({"found": dict(found), "results": dict(results)}))
        elif not found:
            self.stdout.write(self.style.SUCCESS("The database and the storage agree."))
        else:
            kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(found.items()))
            outcomes = ", ".join(f"{count} {result}" for result, count in sorted(results.items()))
            self.stderr.write(f"{found.total()} disagreement(s): {kinds} ({outcomes})")
