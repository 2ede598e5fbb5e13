"""`lading create-user NAME [--administrator] [--auditor] [--password-stdin]`."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from accounts.management.passwords import add_password_argument, command_error, read_password
from accounts.users import create_user
from registry_project.problems import Problem


class Command(BaseCommand):
    help = "Create a user, who signs in with a password."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--administrator", action="store_true", help="may do everything")
        parser.add_argument("--auditor", action="store_true", help="may read everything")
        add_password_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            user = create_user(
                username=options["name"],
                password=read_password(from_stdin=options["password_stdin"]),
                administrator=options["administrator"],
                auditor=options["auditor"],
            )
        except Problem as problem:
            raise command_error(problem) from problem
        self.stdout.write(f"{user.username} can sign in.")
