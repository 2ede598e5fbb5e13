"""When rules hold: from which moment until which, which goes beyond it."""

import heapq
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

ALWAYS = datetime.min.replace(tzinfo=UTC)
FOREVER = datetime.max.replace(tzinfo=UTC)


class Span(NamedTuple):
    start: datetime
    end: datetime

    def holds(self, moment: datetime) -> bool:
        return self.start <= moment < self.end


UNLIMITED = Span(ALWAYS, FOREVER)


def newest_spans(spans: Sequence[Span], *, count: int, now: datetime) -> dict[int, list[Span]]:
    """When each member is among the `count` first of those whose own span holds then, from `now` on.

    Members are told by their place in `spans`, where the newest comes first.
    """
    if all(span.end == FOREVER and span.start <= now for span in spans):
        return {place: [UNLIMITED] for place in range(min(count, len(spans)))}
    race = _Race(count)
    for moment, comes, place in _events(spans, now):
        if comes:
            race.enter(place, moment)
        else:
            race.leave(place, moment)
    return race.finish()


def _events(spans: Sequence[Span], now: datetime) -> list[tuple[datetime, bool, int]]:
    events = []
    for place, span in enumerate(spans):
        if span.end > now and span.start < span.end:
            events.append((max(span.start, now), True, place))
            if span.end < FOREVER:
                events.append((span.end, False, place))
    return sorted(events)


class _Race:
    """Who is among the first while members come and go, each once. Entries of the heaps that are over are skipped."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._active: set[int] = set()
        self._since: dict[int, datetime] = {}
        self._last: list[int] = []  # of those in, negative: the last one first
        self._waiting: list[int] = []
        self._spans: dict[int, list[Span]] = {}

    def enter(self, place: int, moment: datetime) -> None:
        self._active.add(place)
        if len(self._since) < self._count:
            self._take_in(place, moment)
            return
        while -self._last[0] not in self._since:
            heapq.heappop(self._last)
        if place < -self._last[0]:
            last = -heapq.heappop(self._last)
            self._put_out(last, moment)
            heapq.heappush(self._waiting, last)
            self._take_in(place, moment)
        else:
            heapq.heappush(self._waiting, place)

    def leave(self, place: int, moment: datetime) -> None:
        self._active.discard(place)
        if place not in self._since:
            return
        self._put_out(place, moment)
        while self._waiting:
            following = heapq.heappop(self._waiting)
            if following in self._active:
                self._take_in(following, moment)
                return

    def finish(self) -> dict[int, list[Span]]:
        for place in list(self._since):
            self._put_out(place, FOREVER)
        return self._spans

    def _take_in(self, place: int, moment: datetime) -> None:
        self._since[place] = moment
        heapq.heappush(self._last, -place)

    def _put_out(self, place: int, moment: datetime) -> None:
        since = self._since.pop(place)
        if since < moment:
            self._spans.setdefault(place, []).append(Span(since, moment))
