"""`lading set-password NAME [--password-stdin]`."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from accounts.management.passwords import add_password_argument, command_error, read_password
from accounts.users import change_user, get_user
from registry_project.problems import Problem


class Command(BaseCommand):
    help = "Change a user's password; whoever is signed in with the old one is signed out."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        add_password_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            user = get_user(options["name"])
            change_user(user_id=user.pk, password=read_password(from_stdin=options["password_stdin"]))
        except Problem as problem:
            raise command_error(problem) from problem
        self.stdout.write(f"The password of {user.username} is changed.")
