"""`lading audit [--since … --until … --team … --actor … --action … --repository …]`."""

import json
import os
import sys
from argparse import ArgumentTypeError
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from events.audit import as_json
from events.audit_queries import export
from registry_project.config.values import parse_duration


class Command(BaseCommand):
    help = "Write the audit log to standard output, oldest first, one JSON object a line."

    def add_arguments(self, parser: CommandParser) -> None:
        moment = "a date, a time with its zone (UTC without one), or how long ago, such as 7d"
        parser.add_argument("--since", type=_moment, help=f"first moment: {moment}")
        parser.add_argument("--until", type=_moment, help="first moment that is left out, written alike")
        parser.add_argument("--team", action="append", dest="teams", help="one team; may be repeated; '' the instance")
        parser.add_argument("--actor", default="", help="who did it")
        parser.add_argument("--action", default="", help="what was done, such as tag.delete, or tag. for all of tags")
        parser.add_argument("--repository", default="", help="where")

    def handle(self, *args: Any, **options: Any) -> None:
        filters = {name: options[name] for name in ("teams", "actor", "action", "repository", "since", "until")}
        try:
            for event in export(**filters):
                self.stdout.write(json.dumps(as_json(event), ensure_ascii=False))
            self.stdout.flush()
        except BrokenPipeError:
            # Whoever reads has enough, as `head` does; Python would complain when it closes the pipe.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _moment(text: str) -> datetime:
    try:
        if moment := parse_datetime(text):
            return moment if timezone.is_aware(moment) else moment.replace(tzinfo=UTC)
        return timezone.now() - parse_duration(text)
    except (ValueError, OverflowError) as error:
        raise ArgumentTypeError(f"{text!r} is no date, time or duration") from error
