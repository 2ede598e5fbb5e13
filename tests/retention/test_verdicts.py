"""Sentences, brakes, and when the newest change."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry_gc.retention.brakes import brakes
from registry_gc.retention.spans import ALWAYS, FOREVER, Span, newest_spans
from tests.retention.builders import NOW, fallback, judge, manifest, tag

OLD = {"action": "delete", "name": "old", "pushed_before": "30d"}
BY_OLD = "rule 1 'old' of team alpha's policy v1"


def reason(rules, tags, manifests=()):
    return judge(rules, tags, manifests).verdicts[0].reason


DELETED = f"Deleted by {BY_OLD}: pushed more than 30d ago; no keep rule holds"


def test_says_that_nothing_is_about_a_tag():
    assert reason([], [tag("a", "1d")]) == "Kept: no delete rule matches."


def test_says_when_a_tag_will_go():
    goes = f"Goes on 2026-09-30 unless something changes, by {BY_OLD}."
    assert reason([OLD], [tag("a", "1d")]) == f"Kept: no delete rule matches yet. {goes}"


def test_says_what_deletes():
    assert reason([OLD], [tag("a", "40d")]) == f"{DELETED}."


def test_says_that_only_the_name_goes():
    sibling = [tag("a", "40d"), tag("b", "1d", of="a")]
    assert reason([OLD], sibling) == f"{DELETED}; only the name goes, its manifest stays as tag b."
    child = reason([OLD], [tag("a", "40d"), tag("b", "1d")], [manifest("b", children=["a"]), manifest("a")])
    assert child == f"{DELETED}; only the name goes, its manifest stays with the index or subject that it belongs to."


def test_says_what_protects():
    told = reason([OLD], [tag("a", "40d", protected="by a tag rule")])
    assert told == "Kept: the tag is protected, by a tag rule."


def test_says_what_keeps_and_until_when():
    recent = {"action": "keep", "name": "recent", "tags": ["b-*", "c"], "pulled_within": "90d"}
    kept = "Kept by rule 2 'recent' of team alpha's policy v1: matches b-* or c, pushed or pulled within 90d."
    goes = f"Goes on 2026-10-21 unless something changes, by {BY_OLD}."
    assert reason([OLD, recent], [tag("c", "40d")]) == f"{kept} {goes}"


def test_says_why_of_what_follows():
    tags = [tag(fallback("x", ".sig"), "1d"), tag("x", "40d")]
    assert reason([OLD], tags).endswith(f"(tag x), which is deleted by {BY_OLD}.")
    assert "Stays with its subject sha256:" in reason([], tags)
    assert reason([], tags[:1]).endswith("is not in the repository.")


@pytest.mark.parametrize(
    ("old", "young", "percent", "expected"),
    [
        (5, 5, 50, []),
        (6, 5, 50, ["alpha/app would lose 6 of its 11 tags, more than 50 %"]),
        (1, 99, 0, ["alpha/app would lose 1 of its 100 tags, more than 0 %"]),
        (0, 3, 0, []),
        (0, 0, 0, []),
        (9, 1, 100, []),
        (3, 0, 100, ["alpha/app would lose all of its 3 tags"]),
        (1, 0, 100, ["alpha/app would lose its last tag"]),
    ],
)
def test_brakes(old, young, percent, expected):
    tags = [tag(f"o{n}", "40d") for n in range(old)] + [tag(f"y{n}", "1d") for n in range(young)]
    tags += [tag(fallback(name, ".sig"), "1d") for name in ("y0", "o0", "gone")]
    assert [str(brake) for brake in brakes(judge([OLD], tags).verdicts, brake_percent=percent)] == expected


def test_a_signature_stays_as_long_as_the_last_name_of_its_image():
    tags = [tag("a", "20d"), tag("b", "5d", of="a"), tag("c", "10d", of="a"), tag(fallback("a", ".sig"), "1d")]
    first, last, _, signature = judge([OLD], tags).verdicts
    assert signature.changes_at == last.changes_at > first.changes_at
    assert "(tag b)" in signature.reason


def test_a_signature_of_a_child_stays_as_long_as_the_longest_index():
    tags = [tag("x", "20d"), tag("y", "5d"), tag(fallback("child", ".sig"), "1d")]
    manifests = [manifest("x", children=["child"]), manifest("y", children=["child"]), manifest("child")]
    _, last, signature = judge([OLD], tags, manifests).verdicts
    assert signature.changes_at == last.changes_at


moments = st.integers(-3, 12).map(lambda hours: NOW + timedelta(hours=hours))
spans = st.builds(Span, moments | st.just(ALWAYS), moments | st.just(FOREVER))


@given(st.lists(spans, max_size=8), st.integers(1, 3))
def test_the_newest_at_every_moment(members, count):
    held = newest_spans(members, count=count, now=NOW)
    for hour in range(14):
        moment = NOW + timedelta(hours=hour)
        first = [place for place, span in enumerate(members) if span.holds(moment)][:count]
        assert first == sorted(place for place, own in held.items() if any(span.holds(moment) for span in own))


def test_the_next_moves_up_when_one_of_the_newest_leaves():
    day = timedelta(days=1)
    spans = [Span(ALWAYS, NOW + day), Span(NOW + 3 * day, FOREVER), Span(ALWAYS, FOREVER), Span(ALWAYS, NOW + 9 * day)]
    assert newest_spans(spans, count=2, now=NOW) == {
        0: [Span(NOW, NOW + day)],
        1: [Span(NOW + 3 * day, FOREVER)],
        2: [Span(NOW, FOREVER)],
        3: [Span(NOW + day, NOW + 3 * day)],
    }
