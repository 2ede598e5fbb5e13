"""`lading migrate`: Django's own, beside servers that keep on writing."""

import logging
import time
from typing import Any

from django.core.management.commands.migrate import Command as DjangoMigrate
from django.db import OperationalError

from registry_project.database import lost_against_others

log = logging.getLogger("lading.migrations")

_ATTEMPTS = 20
_PAUSE_SECONDS = 0.5


class Command(DjangoMigrate):
    """Begins again where others held what a migration wanted: each is one transaction, and those that are done stay."""

    def handle(self, *args: Any, **options: Any) -> None:
        for remaining in reversed(range(_ATTEMPTS)):
            try:
                super().handle(*args, **options)
            except OperationalError as error:
                if not remaining or not lost_against_others(error):
                    raise
                log.warning("a migration waits for its turn: %s", str(error).splitlines()[0])
            else:
                return
            time.sleep(_PAUSE_SECONDS)
