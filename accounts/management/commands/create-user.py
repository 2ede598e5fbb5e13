"""`lading create-user NAME [--administrator] [--auditor] [--password-stdin]`."""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.administrators import create_account
from accounts.management.passwords import add_password_argument, read_password


class Command(BaseCommand):
    help = "Create a user, who signs in with a password."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--administrator", action="store_true", help="may do everything")
        parser.add_argument("--auditor", action="store_true", help="may read everything")
        add_password_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            user = create_account(
                username=options["name"],
                password=read_password(from_stdin=options["password_stdin"]),
                administrator=options["administrator"],
                auditor=options["auditor"],
            )
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        self.stdout.write(f"{user.username} can sign in.")
