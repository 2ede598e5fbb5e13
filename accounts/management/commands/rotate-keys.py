"""`lading rotate-keys [--revoke]`."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from accounts.keys import revoke_keys, rotate_keys


class Command(BaseCommand):
    help = "Sign bearer tokens with a new key from now on."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--revoke", action="store_true", help="end the old keys, and with them every bearer token, at once"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        if options["revoke"]:
            self.stdout.write(f"Key {revoke_keys(now=now)} signs now; every older bearer token is dead.")
        else:
            self.stdout.write(
                f"Key {rotate_keys(now=now)} signs from now on; older bearer tokens expire in their time."
            )
