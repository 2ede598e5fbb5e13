"""`lading check`: Django's system checks, then the database against the storage."""

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.core.management.commands.check import Command as SystemCheck
from django.db import DatabaseError

from blobs.integrity import check_integrity


class Command(SystemCheck):
    help = "Check the configuration, and that the database and the storage agree; exits with 1 when they do not."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--system-only", action="store_true", help="leave the database and the storage alone")

    def handle(self, *args: Any, **options: Any) -> None:
        super().handle(*args, **options)
        if options["system_only"] or args or options["tags"] or options["list_tags"]:
            return
        count = 0
        try:
            for finding in check_integrity():
                count += 1
                self.stdout.write(str(finding))
        except DatabaseError as error:
            raise CommandError(f"the database cannot be read; has `lading migrate` run? {error}") from error
        if count:
            raise CommandError(f"{count} disagreement(s) between the database and the storage")
        self.stdout.write(self.style.SUCCESS("The database and the storage agree."))
