"""`lading notifications [retry|drop NAME]`."""

from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from events.queues import QueueStatus, drop_parked, list_queues, retry_parked


class Command(BaseCommand):
    help = "Show the queue of each notification endpoint; put parked events back into it, or forget them."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action")
        retry = actions.add_parser("retry", help="put an endpoint's parked events back into its queue")
        retry.add_argument("name")
        drop = actions.add_parser("drop", help="forget an endpoint's parked events")
        drop.add_argument("name")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["action"] == "retry":
            self.stdout.write(f"{retry_parked(options['name'])} events wait again for {options['name']}")
        elif options["action"] == "drop":
            self.stdout.write(f"{drop_parked(options['name'])} events for {options['name']} are forgotten")
        elif not (queues := list_queues()):
            self.stdout.write("No notification endpoint is configured, and no event waits.")
        else:
            now = timezone.now()
            for queue in queues:
                self.stdout.write("\n".join(_lines(queue, now)))


def _lines(queue: QueueStatus, now: datetime) -> list[str]:
    oldest = f", the oldest for {_age(now - queue.oldest_at)}" if queue.oldest_at else ""
    lines = [
        f"{queue.name} ({queue.where or 'not configured'})",
        f"  waiting: {queue.waiting}{oldest}",
        f"  parked: {queue.parked}",
    ]
    if queue.failures:
        lines.append(f"  failing: {queue.failures} times in a row")
        if queue.next_attempt_at and queue.next_attempt_at > now:
            lines.append(f"  next attempt: in {_age(queue.next_attempt_at - now)}")
    if queue.last_error and queue.failed_at:
        lines.append(f"  last error: {queue.last_error}, {_age(now - queue.failed_at)} ago")
    if queue.delivered_at:
        lines.append(f"  last delivered: {_age(now - queue.delivered_at)} ago")
    return lines


def _age(span: Any) -> str:
    return str(span).partition(".")[0]
