"""`lading serve [config.yml]`."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from registry_project.config import ConfigurationError
from registry_project.server import serve


class Command(BaseCommand):
    help = "Serve the registry: migrate, then answer requests and do the background work until SIGTERM."
    # The server reports what is wrong with the configuration itself.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("configuration", nargs="?", help="config.yml; REGISTRY_CONFIGURATION_PATH is another way")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            serve(settings.CONFIGURATION, announce=self.stdout.write)
        except ConfigurationError as error:
            raise CommandError(str(error)) from error
