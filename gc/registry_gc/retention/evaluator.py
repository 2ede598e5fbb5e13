"""What a run at some moment would do in one repository. Nothing is read but the arguments, and no clock.

docs/retention.md says what the rules mean.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from registry_gc.retention.deciding import Claim, Decision, decide
from registry_gc.retention.facts import ManifestFact, RepositoryFacts, TagFact, fallback_subject, used_at
from registry_gc.retention.graph import Graph, latest_ends
from registry_gc.retention.inheritance import EffectiveRule
from registry_gc.retention.matching import Matcher
from registry_gc.retention.policy import Action, NewestSemver
from registry_gc.retention.spans import FOREVER, Span, newest_spans
from registry_gc.retention.verdicts import Cause, Verdict
from registry_gc.retention.versions import VersionKey, line_of, version_key

# A tag and when it was used last.
_Member = tuple[TagFact, datetime]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A verdict for each tag in the order of the facts, then for the untagged manifests that rules are about.

    `gone` has the digests of all manifests that nothing would keep any longer, children and referrers among them.
    """

    verdicts: list[Verdict]
    gone: frozenset[str]


def evaluate(*, facts: RepositoryFacts, rules: Sequence[EffectiveRule], now: datetime) -> Evaluation:
    """Judge the tags of one repository by the rules that are about it (`effective_policy`)."""
    return _Evaluator(facts, rules, now).run()


class _Evaluator:
    def __init__(self, facts: RepositoryFacts, rules: Sequence[EffectiveRule], now: datetime) -> None:
        self._facts, self._now = facts, now
        self._graph = Graph(facts)
        matchers = [Matcher(entry) for entry in rules]
        self._keepers = [matcher for matcher in matchers if matcher.keeps]
        self._deleters = [matcher for matcher in matchers if not matcher.keeps and matcher.untagged is None]
        self._sweepers = [matcher for matcher in matchers if matcher.untagged is not None]

    def run(self) -> Evaluation:
        followers = self._graph.subjects.keys() | self._graph.orphans
        tags = [(tag, self._used_at(tag)) for tag in self._facts.tags if tag.name not in followers]
        decisions = self._decide_tags(tags)
        decisions |= {tag.name: self._decide_orphan(tag) for tag in self._facts.tags if tag.name in self._graph.orphans}
        untagged = {digest: self._decide_untagged(self._facts.manifests[digest]) for digest in self._graph.untagged}
        roots = [(tag.digest, self._root_end(tag, decisions)) for tag in self._facts.tags if self._is_root(tag)]
        roots += [(digest, decision.until) for digest, decision in untagged.items()]
        self._ends = self._graph.stays_until(latest_ends(roots))
        self._named_by = self._longest_names(decisions)
        verdicts = [self._tag_verdict(tag, decisions.get(tag.name)) for tag in self._facts.tags]
        if self._sweepers:
            verdicts += [self._untagged_verdict(digest, decision) for digest, decision in untagged.items()]
        return Evaluation(verdicts, frozenset(digest for digest, end in self._ends.items() if end <= self._now))

    def _used_at(self, tag: TagFact) -> datetime:
        return used_at(tag.pushed_at, tag.pulled_at, self._facts.manifests.get(tag.digest), self._facts)

    def _is_root(self, tag: TagFact) -> bool:
        return bool(tag.protected) or tag.name not in self._graph.subjects

    def _root_end(self, tag: TagFact, decisions: dict[str, Decision]) -> datetime:
        return FOREVER if tag.protected else decisions[tag.name].until

    # Ordinary tags

    def _decide_tags(self, tags: Sequence[_Member]) -> dict[str, Decision]:
        newest = [self._newest(matcher, tags) if matcher.counts else None for matcher in self._keepers]
        decisions = {}
        for tag, used in tags:
            keeps = []
            for matcher, chosen in zip(self._keepers, newest, strict=True):
                if chosen is not None:
                    keeps += [Claim(matcher.entry, span) for span in chosen.get(tag.name, ())]
                elif matcher.matches(tag.name):
                    keeps.append(Claim(matcher.entry, matcher.span(tag.pushed_at, used)))
            deletes = [
                Claim(matcher.entry, matcher.span(tag.pushed_at, used))
                for matcher in self._deleters
                if matcher.matches(tag.name)
            ]
            decisions[tag.name] = decide(keeps=keeps, deletes=deletes, now=self._now)
        return decisions

    def _newest(self, matcher: Matcher, tags: Sequence[_Member]) -> dict[str, list[Span]]:
        """When each tag is among the newest of a rule: those of one line, or all that match."""
        matching = [(tag, used) for tag, used in tags if matcher.matches(tag.name)]
        condition = matcher.rule.newest_semver
        lines = _version_lines(matching, condition) if condition else [sorted(matching, key=_by_push, reverse=True)]
        count = condition.count if condition else matcher.rule.newest
        chosen = {}
        for members in lines:
            spans = [matcher.span(tag.pushed_at, used) for tag, used in members]
            for place, held in newest_spans(spans, count=count or 0, now=self._now).items():
                chosen[members[place][0].name] = held
        return chosen

    # What has no tag of its own

    def _decide_orphan(self, tag: TagFact) -> Decision:
        """A signature without its subject is as good as untagged."""
        return self._sweep(tag.pushed_at, tag.pushed_at, self._used_at(tag))

    def _decide_untagged(self, manifest: ManifestFact) -> Decision:
        since = max(manifest.pushed_at, manifest.untagged_at or manifest.pushed_at)
        return self._sweep(since, manifest.pushed_at, used_at(manifest.pushed_at, None, manifest, self._facts))

    def _sweep(self, since: datetime, pushed_at: datetime, used: datetime) -> Decision:
        deletes = []
        for matcher in self._sweepers:
            if matcher.untagged is not None:
                start = max(since + matcher.untagged, matcher.span(pushed_at, used).start)
                deletes.append(Claim(matcher.entry, Span(start, FOREVER)))
        return decide(keeps=(), deletes=deletes, now=self._now)

    # Verdicts

    def _longest_names(self, decisions: dict[str, Decision]) -> dict[str, tuple[TagFact, Decision]]:
        """For each manifest the tag that stays the longest, of those that decide for themselves."""
        longest: dict[str, tuple[TagFact, Decision]] = {}
        for tag in self._facts.tags:
            if self._is_root(tag):
                decision = Decision(FOREVER) if tag.protected else decisions[tag.name]
                if tag.digest not in longest or longest[tag.digest][1].until < decision.until:
                    longest[tag.digest] = (tag, decision)
        return longest

    def _tag_verdict(self, tag: TagFact, decision: Decision | None) -> Verdict:
        counts = decision is not None and tag.name not in self._graph.orphans
        if tag.protected:
            detail = f"the tag is protected, {tag.protected}"
            return Verdict(
                self._facts.name, tag.name, tag.digest, Action.KEEP, Cause.PROTECTED, counts=counts, detail=detail
            )
        if decision is None:
            return self._follower_verdict(tag, self._graph.subjects[tag.name])
        detail = ""
        if not counts:
            detail = f"its subject {(fallback_subject(tag.name) or '')[:19]} is not in the repository"
        elif decision.until <= self._now:
            detail = self._staying_manifest(tag)
        return self._verdict(tag.name, tag.digest, decision, counts=counts, detail=detail)

    def _staying_manifest(self, tag: TagFact) -> str:
        if self._ends[tag.digest] <= self._now:
            return ""
        other, decision = self._named_by[tag.digest]
        if decision.until > self._now:
            return f"only the name goes, its manifest stays as tag {other.name}"
        return "only the name goes, its manifest stays with the index or subject that it belongs to"

    def _follower_verdict(self, tag: TagFact, subject: str) -> Verdict:
        end = self._ends[subject]
        other, decision = self._named_by.get(subject, (None, Decision(end)))
        if decision.until != end:  # an index or a subject of its own keeps the subject longer
            other, decision = None, Decision(end)
        detail = f"{subject[:19]} (tag {other.name})" if other else subject[:19]
        return self._verdict(tag.name, tag.digest, decision, cause=Cause.SUBJECT, counts=False, detail=detail)

    def _untagged_verdict(self, digest: str, decision: Decision) -> Verdict:
        detail = "no tag names it, and it is too young to go" if decision.until > self._now else ""
        return self._verdict("", digest, decision, counts=False, detail=detail)

    def _verdict(
        self, tag: str, digest: str, decision: Decision, *, counts: bool, detail: str, cause: Cause | None = None
    ) -> Verdict:
        goes = decision.until <= self._now
        rule = decision.then if goes else decision.keeper
        return Verdict(
            repository=self._facts.name,
            tag=tag,
            digest=digest,
            action=Action.DELETE if goes else Action.KEEP,
            cause=cause or (Cause.RULE if rule else Cause.NO_RULE),
            rule=rule,
            changes_at=None if goes or decision.until == FOREVER else decision.until,
            then=None if goes else decision.then,
            counts=counts,
            detail=detail,
        )


def _by_push(member: _Member) -> tuple[datetime, str]:
    return member[0].pushed_at, member[0].name


def _version_lines(members: Sequence[_Member], condition: NewestSemver) -> Iterator[list[_Member]]:
    lines: dict[tuple[int, ...], list[tuple[VersionKey, _Member]]] = {}
    for member in members:
        key = version_key(member[0].name)
        line = line_of(key, condition) if key else None
        if key and line is not None:
            lines.setdefault(line, []).append((key, member))
    for versions in lines.values():
        versions.sort(key=lambda version: (version[0], _by_push(version[1])), reverse=True)
        yield [member for _, member in versions]
