"""Reading the audit log: pages for people, a stream for exports."""

import base64
import binascii
import struct
from collections.abc import Collection, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import reduce
from itertools import product
from operator import or_

from django.db import transaction
from django.db.models import Q, QuerySet

from events.audit_actions import actions_under
from events.models import AuditEvent
from registry_project.database import is_postgresql, planned_for_values

PAGE = 50
# Each branch is planned over every partition.
_MOST_BRANCHES = 16
_EXPORT_BATCH = 2000
_NEWEST_FIRST = ("-occurred_at", "-id")
_POSITION = struct.Struct(">qq")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class CursorInvalid(ValueError):
    """The cursor is none that a page gave out."""


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Events, newest first, and the cursor of the page behind them; None at the end."""

    events: list[AuditEvent]
    next_cursor: str | None


def search(
    *,
    teams: Collection[str] | Mapping[str, datetime] | None = None,
    actor: str = "",
    action: str = "",
    repository: str = "",
    since: datetime | None = None,
    until: datetime | None = None,
    cursor: str = "",
    limit: int = PAGE,
) -> AuditPage:
    """One page, in one statement. Filters match exactly; an `action` that ends in a dot stands for all under it.

    `teams` None is every team and the instance, an empty collection nobody; a mapping says from when on each team
    counts, because a name may have been another team's before. `since` is the first moment that counts,
    `until` the first that does not. Raises CursorInvalid.
    """
    after = _parse_cursor(cursor) if cursor else None
    actions = _actions(action)
    if _match_nothing(teams, actions, actor, repository):
        return AuditPage([], None)
    common = _matching(actor=actor, repository=repository, since=since, until=until)
    if after is not None:
        # The moment alone bounds the scan of the index, on both databases; the pair decides.
        common = common.filter(occurred_at__lte=after[0]).filter(pk__lt=after)
    newest = _newest(common, _branches(teams, actions, narrow=bool(actor or repository)), limit + 1)
    with planned_for_values():
        rows = list(newest)
    shown = rows[:limit]
    return AuditPage(shown, _cursor_behind(shown[-1]) if len(rows) > limit else None)


def export(
    *,
    teams: Collection[str] | None = None,
    actor: str = "",
    action: str = "",
    repository: str = "",
    since: datetime | None = None,
    until: datetime | None = None,
) -> Iterator[AuditEvent]:
    """Every matching event, oldest first, through a cursor of the server: memory does not grow with them."""
    actions = _actions(action)
    if _match_nothing(teams, actions, actor, repository):
        return
    events = _matching(actor=actor, repository=repository, since=since, until=until)
    events = events.filter(_any_team(teams), _any_action(actions)).order_by("occurred_at", "id")
    # Without a transaction PostgreSQL would write the whole result down first. SQLite's would be a writer's.
    with transaction.atomic() if is_postgresql() else nullcontext():
        yield from events.iterator(chunk_size=_EXPORT_BATCH)


def _matching(*, actor: str, repository: str, since: datetime | None, until: datetime | None) -> QuerySet[AuditEvent]:
    events = AuditEvent.objects.all()
    if actor:
        events = events.filter(actor=actor)
    if repository:
        events = events.filter(repository=repository)
    if since is not None:
        events = events.filter(occurred_at__gte=since)
    if until is not None:
        events = events.filter(occurred_at__lt=until)
    return events


def _match_nothing(teams: Collection[str] | None, actions: list[str] | None, *texts: str) -> bool:
    if (teams is not None and not teams) or actions == []:
        return True
    # PostgreSQL does not even take it as a question.
    return any("\0" in text for text in (*texts, *(teams or ()), *(actions or ())))


def _actions(action: str) -> list[str] | None:
    if not action:
        return None
    return [str(word) for word in actions_under(action)] if action.endswith(".") else [action]


def _any_team(teams: Collection[str] | None) -> Q:
    if isinstance(teams, Mapping):
        return reduce(or_, (_team(slug, teams) for slug in sorted(teams)))
    return Q() if teams is None else Q(team__in=sorted(set(teams)))


def _team(slug: str, teams: Collection[str] | None) -> Q:
    return Q(team=slug, occurred_at__gte=teams[slug]) if isinstance(teams, Mapping) else Q(team=slug)


def _any_action(actions: Collection[str] | None) -> Q:
    return Q() if actions is None else Q(action__in=actions)


def _branches(teams: Collection[str] | None, actions: Collection[str] | None, *, narrow: bool) -> list[Q]:
    """Conditions that exclude each other, of one value each where there are few: one index is in order only then."""
    team_set = [None] if teams is None else sorted(set(teams))
    action_set = [None] if actions is None else sorted(actions)
    if narrow or len(team_set) * len(action_set) > _MOST_BRANCHES:
        return [_any_team(teams) & _any_action(actions)]
    return [
        (Q() if team is None else _team(team, teams)) & (Q() if action is None else Q(action=action))
        for team, action in product(team_set, action_set)
    ]


def _newest(common: QuerySet[AuditEvent], branches: list[Q], limit: int) -> QuerySet[AuditEvent]:
    pages = [common.filter(branch) for branch in branches]
    if len(pages) > 1 and is_postgresql():
        # SQLite merges branches in the order of an index and stops at the limit; PostgreSQL must be told for each.
        pages = [page.order_by(*_NEWEST_FIRST)[:limit] for page in pages]
    first, *others = pages
    merged = first.union(*others, all=True) if others else first
    return merged.order_by(*_NEWEST_FIRST)[:limit]


def _cursor_behind(event: AuditEvent) -> str:
    micros = (event.occurred_at - _EPOCH) // timedelta(microseconds=1)
    return base64.urlsafe_b64encode(_POSITION.pack(micros, event.id)).decode().rstrip("=")


def _parse_cursor(cursor: str) -> tuple[datetime, int]:
    try:
        micros, event_id = _POSITION.unpack(base64.b64decode(f"{cursor}==", altchars=b"-_", validate=True))
        return _EPOCH + timedelta(microseconds=micros), event_id
    except (binascii.Error, struct.error, ValueError, OverflowError) as error:
        raise CursorInvalid("the cursor is none that this list gave out") from error
