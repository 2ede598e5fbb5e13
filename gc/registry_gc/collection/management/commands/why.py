"""`lading why DIGEST`: what keeps a blob or a manifest."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from django.template.defaultfilters import filesizeformat

from accounts.rights import EVERYONE
from oci.digests import Digest
from oci.errors import DigestInvalid
from registry_gc.collection.chains import Chain, Reason
from registry_gc.collection.serializers import WhySerializer
from registry_gc.collection.why import Kept, State, Why, explain_everywhere, targets_of

_STATES = {
    State.FOREVER: "it stays until somebody lets go of it",
    State.KEPT: "it stays until {until} at least",
    State.WAITING: "nothing keeps it; its review is due at {until}",
    State.DUE: "nothing keeps it; it can go now",
    State.GONE: "it is gone, and its bytes wait in the outbox",
}
_ENDS = {
    Reason.TAG: "tag {tag}",
    Reason.HISTORY: "can be restored to tag {tag}",
    Reason.UNTAGGED: "without a tag, for gc.untagged",
    Reason.DELETED: "deleted by its digest, for trash.keep",
    Reason.LEASE: "pushed, and waits for its manifest",
    Reason.RING: "which stands above already",
    Reason.NOTHING: "nothing keeps it",
    Reason.MORE: "and further",
}


class Command(BaseCommand):
    help = "Tell what keeps a blob or a manifest, in all repositories, and when it can go."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("digest", help="sha256:…")
        parser.add_argument("--json", action="store_true", help="as the management API answers")
        parser.add_argument("--limit", type=int, default=100, help="most repositories to tell of (100)")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            why = _find(Digest.parse(options["digest"]), max(options["limit"], 1))
        except DigestInvalid as error:
            raise CommandError(f"{options['digest']} is no digest, such as sha256:… in full") from error
        except DatabaseError as error:
            raise CommandError(f"the database cannot be used; has `lading migrate` run? {error}") from error
        if options["json"]:
            self.stdout.write(json.dumps(WhySerializer(why).data, indent=2))
            return
        for line in _tree(why):
            self.stdout.write(line)


def _find(digest: Digest, limit: int) -> Why:
    for target in targets_of(EVERYONE, digest):
        why = explain_everywhere(target, limit=limit)
        if why.is_there:
            return why
    raise CommandError(f"nothing here has the digest {digest}")


def _tree(why: Why) -> Iterator[str]:
    size = f", {filesizeformat(why.target.size)}".replace("\xa0", " ") if why.target.size is not None else ""
    state = _STATES[why.state].format(until=_moment(why.can_go_at))
    yield f"{why.target.kind.value} {why.target.digest}{size}: {state}"
    for kept in why.repositories:
        yield from _branch(kept)
    for deletion in why.deletions:
        error = f" (attempt {deletion.attempts} failed: {deletion.last_error})" if deletion.attempts else ""
        yield f"  {deletion.size} bytes in the outbox are deleted from {_moment(deletion.not_before)} on{error}"
    if not why.complete:
        yield "  There is more that keeps it than this."


def _branch(kept: Kept) -> Iterator[str]:
    trash = f", deleted, restorable until {_moment(kept.restorable_until)}" if kept.restorable_until else ""
    yield f"  {kept.repository.name}{trash}"
    for chain in kept.chains:
        yield "    " + "".join(f"← {step.relation} {_short(step.digest)} " for step in chain.steps) + _end(chain)


def _end(chain: Chain) -> str:
    text = _ENDS[chain.reason].format(tag=chain.tag)
    if chain.tags > 1:
        text += f" and {chain.tags - 1} more"
    if chain.reason is Reason.NOTHING:
        return f"← {text}" + (f", review at {_moment(chain.until)}" if chain.until else "")
    endless = " for ever" if chain.reason in {Reason.TAG, Reason.UNTAGGED} else ""
    return f"← {text}" + (f" until {_moment(chain.until)}" if chain.until else endless)


def _short(digest: str) -> str:
    algorithm, _, encoded = digest.partition(":")
    return f"{algorithm}:{encoded[:12]}"


def _moment(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC" if moment else ""
