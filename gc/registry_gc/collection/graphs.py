"""All that keeps some manifests, directly and through others.

It is read a level at a time, so that the number of statements grows with the height of what clients have built and
not with its width, and every manifest once, so that a ring ends.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import cast

from registry_gc.collection.rings import MOST_MEMBERS
from registry_gc.collection.standings import Standing, read_standings
from registry_project.database import any_of, fetch_all
from repositories.models import Manifest, ManifestReview

# As far up as rings are looked for. What is kept by more is known to be kept.
MOST_LEVELS = MOST_KEEPERS = MOST_MEMBERS + 1
MOST_MANIFESTS = 5000


class Link(StrEnum):
    """What keeps a manifest: an index that names it, or the subject that it refers to."""

    INDEX = "index"
    SUBJECT = "subject"


@dataclass(slots=True)
class Graph:
    """Manifests by id with what keeps each, those first that a tag points to; of those in `cut` not all was read."""

    standings: dict[int, Standing] = field(default_factory=dict)
    keepers: dict[int, list[tuple[Link, int]]] = field(default_factory=lambda: defaultdict(list))
    reviews: dict[int, ManifestReview] = field(default_factory=dict)
    cut: set[int] = field(default_factory=set)

    def keepers_of(self, kept: Collection[Standing]) -> list[Standing]:
        """What `rings.read_keepers` reads from the database."""
        found = {keeper for standing in kept for _, keeper in self.keepers[standing.id]}
        return [self.standings[keeper] for keeper in sorted(found)]

    def is_subject(self, keeper: int, *, of: Standing) -> bool:
        return (Link.SUBJECT, keeper) in self.keepers[of.id]


def read_graph(manifest_ids: Iterable[int]) -> Graph:
    graph, frontier = Graph(), set(manifest_ids)
    for level in range(MOST_LEVELS + 1):
        for standing in read_standings(Manifest.objects.filter(pk__in=frontier)):
            graph.standings[standing.id] = standing
        kept = [each for each in frontier if each in graph.standings and graph.standings[each].has_keeper]
        if level == MOST_LEVELS or len(graph.standings) > MOST_MANIFESTS:
            graph.cut.update(kept)
            break
        frontier = _read_links(graph, kept) - set(graph.standings) if kept else set()
        if not frontier:
            break
    for kept_id, links in graph.keepers.items():
        # One that went between two statements keeps nothing.
        graph.keepers[kept_id] = [link for link in links if link[1] in graph.standings]
    reviews = ManifestReview.objects.in_bulk(list(graph.standings))
    graph.reviews = {int(manifest_id): review for manifest_id, review in reviews.items()}
    return graph


def _read_links(graph: Graph, kept: Collection[int]) -> set[int]:
    condition, ids = any_of(sorted(kept))
    indexes = fetch_all(
        "SELECT child_id, parent_id, place FROM (SELECT c.child_id, c.parent_id, ROW_NUMBER() OVER ("
        "PARTITION BY c.child_id ORDER BY CASE WHEN EXISTS"
        " (SELECT 1 FROM repositories_tag t WHERE t.manifest_id = c.parent_id) THEN 0 ELSE 1 END, c.parent_id DESC"
        f") AS place FROM repositories_manifestchild c WHERE c.child_id {condition}) AS numbered"
        f" WHERE place <= {MOST_KEEPERS} ORDER BY child_id, place",
        [ids],
    )
    subjects = fetch_all(
        "SELECT r.id, s.id FROM repositories_manifest r JOIN repositories_manifest s"
        " ON s.repository_id = r.repository_id AND s.digest = r.subject_digest"
        f" WHERE r.id {condition} AND r.subject_digest <> ''",
        [ids],
    )
    for child_id, parent_id, place in cast("list[tuple[int, int, int]]", indexes):
        graph.keepers[child_id].append((Link.INDEX, parent_id))
        if place == MOST_KEEPERS:
            graph.cut.add(child_id)
    for referrer_id, subject_id in cast("list[tuple[int, int]]", subjects):
        graph.keepers[referrer_id].append((Link.SUBJECT, subject_id))
    return {keeper for kept_id in kept for _, keeper in graph.keepers[kept_id]}
