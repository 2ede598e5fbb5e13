"""How long manifests stay: what keeps an index keeps its children, and what keeps a subject its referrers."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from registry_gc.retention.facts import RepositoryFacts, TagFact, fallback_subject
from registry_gc.retention.spans import FOREVER


class Graph:
    """Who keeps whom in a repository, and which tags follow a subject instead of counting as tags."""

    def __init__(self, facts: RepositoryFacts) -> None:
        self._present = set(facts.manifests)
        self._present.update(tag.digest for tag in facts.tags)
        self._kept_by: dict[str, list[str]] = {}
        self._has_keeper: set[str] = set()
        for manifest in facts.manifests.values():
            for child in manifest.children:
                self._keeps(manifest.digest, child)
            if manifest.subject:
                self._keeps(manifest.subject, manifest.digest)
        self.subjects: dict[str, str] = {}
        self.orphans: set[str] = set()
        for tag in facts.tags:
            self._follow(tag, facts)
        tagged = {tag.digest for tag in facts.tags}
        self.untagged = [
            digest for digest in facts.manifests if digest not in tagged and digest not in self._has_keeper
        ]

    def _keeps(self, keeper: str, kept: str) -> None:
        if keeper in self._present and kept in self._present and keeper != kept:
            self._kept_by.setdefault(keeper, []).append(kept)
            self._has_keeper.add(kept)

    def _follow(self, tag: TagFact, facts: RepositoryFacts) -> None:
        subject = fallback_subject(tag.name)
        if subject is not None:
            if subject in self._present and subject != tag.digest:
                self.subjects[tag.name] = subject
                self._keeps(subject, tag.digest)
            else:
                self.orphans.add(tag.name)
            return
        manifest = facts.manifests.get(tag.digest)
        # An index whose subject is in it keeps the subject; it cannot follow what follows it.
        if manifest and manifest.subject in self._present and manifest.subject not in manifest.children:
            self.subjects[tag.name] = manifest.subject

    def below(self, digest: str) -> set[str]:
        """The manifest and all that it keeps, directly and through others."""
        found, pending = {digest}, [digest]
        while pending:
            new = set(self._kept_by.get(pending.pop(), ())) - found
            found |= new
            pending.extend(new)
        return found

    def links(self) -> Iterator[tuple[str, str]]:
        """Each keeper with what it keeps."""
        return ((keeper, kept) for keeper, below in self._kept_by.items() for kept in below)

    def stays_until(self, roots: Mapping[str, datetime]) -> dict[str, datetime]:
        """The end of each manifest, by the ends of those that something else than manifests keeps."""
        ends = self._spread(roots)
        # Manifests that only keep each other: no rule decides about them, so they stay.
        rings = [digest for digest in self._present if digest not in ends]
        return self._spread({**roots, **dict.fromkeys(rings, FOREVER)}) if rings else ends

    def _spread(self, roots: Mapping[str, datetime]) -> dict[str, datetime]:
        ends: dict[str, datetime] = {}
        # The last end first, so that whoever comes first to a manifest brings its own end.
        for root, end in sorted(roots.items(), key=lambda item: item[1], reverse=True):
            pending = [root]
            while pending:
                digest = pending.pop()
                if digest not in ends:
                    ends[digest] = end
                    pending.extend(self._kept_by.get(digest, ()))
        return ends


def latest_ends(ends: Iterable[tuple[str, datetime]]) -> dict[str, datetime]:
    latest: dict[str, datetime] = {}
    for digest, end in ends:
        if digest not in latest or latest[digest] < end:
            latest[digest] = end
    return latest
