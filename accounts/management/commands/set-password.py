"""`lading set-password NAME [--password-stdin]`."""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.management.passwords import add_password_argument, read_password
from accounts.models import User
from accounts.passwords import set_password


class Command(BaseCommand):
    help = "Change a user's password; whoever is signed in with the old one is signed out."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        add_password_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(username=options["name"]).first()
        if user is None:
            raise CommandError(f"there is no user {options['name']}")
        try:
            set_password(user=user, password=read_password(from_stdin=options["password_stdin"]))
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        self.stdout.write(f"The password of {user.username} is changed.")
