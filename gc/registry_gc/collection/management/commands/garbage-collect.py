"""`lading garbage-collect [config.yml]`, with the options of Distribution's command."""

import sys
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import click
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from django.template.defaultfilters import filesizeformat

from blobs.deletions import drain_storage_deletions
from blobs.models import StorageDeletion
from registry_gc.collection.figures import Tally
from registry_gc.collection.models import Kind
from registry_gc.collection.pausing import find_pause, pause_collection, resume_collection
from registry_gc.collection.preview import preview_run
from registry_gc.collection.progress import queue_of
from registry_gc.collection.rounds import Totals, run_until_idle
from registry_gc.collection.standings import Rules
from registry_gc.collection.sweep import sweep_all
from registry_project.database import database_now


class Command(BaseCommand):
    help = "Collect garbage now, as the background work does all the time; exits with 1 where something failed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("configuration", nargs="?", help="config.yml; REGISTRY_CONFIGURATION_PATH is another way")
        parser.add_argument("-d", "--dry-run", action="store_true", help="list what would go, and change nothing")
        parser.add_argument(
            "-m",
            "--delete-untagged",
            action="store_true",
            help="collect manifests that have been untagged for gc.grace, whatever gc.untagged says",
        )
        parser.add_argument(
            "--now",
            action="store_true",
            help="look at everything that waits for its date; leases and what can be restored stay",
        )
        parser.add_argument("-q", "--quiet", action="store_true", help="say nothing but mistakes")
        state = parser.add_mutually_exclusive_group()
        state.add_argument("--pause", action="store_true", help="let collection rest on all hosts")
        state.add_argument("--resume", action="store_true", help="end the rest")

    def handle(self, *args: Any, **options: Any) -> None:
        self._quiet = bool(options["quiet"])
        try:
            self._handle(options)
        except DatabaseError as error:
            raise CommandError(f"the database cannot be used; has `lading migrate` run? {error}") from error

    def _handle(self, options: dict[str, Any]) -> None:
        if options["pause"]:
            pause_collection(actor="command line")
            return self._say("Collection rests, on all hosts, until `lading garbage-collect --resume`.")
        if options["resume"]:
            resume_collection()
            return self._say("Collection goes on.")
        rules = Rules.configured()
        undated = set(Kind) if options["now"] else set()
        if options["delete_untagged"]:
            grace: timedelta = settings.GC_GRACE
            # A manifest that was just pushed may be about to be named by an index.
            rules = replace(rules, untagged=grace if rules.untagged is None else min(grace, rules.untagged))
            undated.add(Kind.MANIFEST)
        if options["dry_run"]:
            return self._preview(rules, undated)
        if pause := find_pause():
            raise CommandError(
                f"collection rests since {_moment(pause.paused_at)}; `lading garbage-collect --resume` ends that"
            )
        return self._collect(rules, undated)

    def _preview(self, rules: Rules, undated: set[Kind]) -> None:
        count, size = dict.fromkeys(Kind, 0), 0
        for candidate in preview_run(rules=rules, undated=undated):
            count[candidate.kind] += 1
            size += candidate.size if candidate.kind is Kind.BLOB else 0
            name = f"{candidate.repository}@{candidate.digest}" if candidate.repository else candidate.digest
            self._say(f"{candidate.kind.value} {name} {candidate.size}")
        self._say(
            f"{count[Kind.MANIFEST]} manifests and {count[Kind.BLOB]} blobs of {_human(size)} would go;"
            " nothing was changed."
        )

    def _collect(self, rules: Rules, undated: set[Kind]) -> None:
        sweep_all(rules=rules)
        shown = Totals()
        with self._bar(undated) as bar:

            def progress(kind: Kind, tally: Tally) -> None:
                shown.add(kind, tally)
                bar.label = _line(shown)
                # What goes leaves more to look at.
                bar.length = max(bar.length or 0, bar.pos + tally.reviewed)
                bar.update(tally.reviewed)

            totals = run_until_idle(rules=rules, undated=undated, progress=progress)
            while drained := drain_storage_deletions():
                bar.label = f"{_line(totals)}; {drained} objects deleted"
                bar.render_progress()
        self._say(f"{_line(totals)}.")
        later = StorageDeletion.objects.order_by("-not_before").values_list("not_before", flat=True).first()
        if later is not None:
            self._say(f"Bytes in the outbox are deleted until {_moment(later)}, for downloads that began before.")
        if postponed := sum(tally.postponed for tally in totals.by_kind.values()):
            raise CommandError(f"{postponed} could not be reviewed and are tried again later; the log says why")

    def _bar(self, undated: set[Kind]) -> Any:
        """A bar on the terminal, where there is one, over the reviews that are known by now."""
        queues = {kind: queue_of(kind, now=database_now()) for kind in Kind}
        length = sum(queue.waiting if kind in undated else queue.due for kind, queue in queues.items())
        hidden = self._quiet or not sys.stderr.isatty()
        return click.progressbar(length=length, show_pos=True, file=sys.stderr, hidden=hidden)

    def _say(self, text: str) -> None:
        if not self._quiet:
            self.stdout.write(text)


def _line(totals: Totals) -> str:
    manifests, blobs = totals.by_kind[Kind.MANIFEST], totals.by_kind[Kind.BLOB]
    return (
        f"{manifests.reviewed + blobs.reviewed} reviewed: {manifests.collected} manifests and {blobs.collected} blobs"
        f" of {_human(blobs.size)} collected"
    )


def _human(size: int) -> str:
    return filesizeformat(size).replace("\xa0", " ")


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
