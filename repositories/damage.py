"""Whom damaged blobs hit: up from a blob by its manifests and their indexes to the tags."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from blobs.models import TeamBlob
from registry_project.database import any_of, fetch_all

# How many tags of a blob are named, and how many teams; the others are only counted.
MOST_NAMED = 100


@dataclass(frozen=True, slots=True)
class HitTag:
    """A tag whose image cannot be pulled as a whole."""

    team: str
    repository: str
    tag: str

    def __str__(self) -> str:
        return f"{self.repository}:{self.tag}"


@dataclass(frozen=True, slots=True)
class Hits:
    """The first tags by name and how many there are; the teams that have the blob, tagged or not."""

    tags: Sequence[HitTag] = ()
    tag_count: int = 0
    teams: Sequence[str] = ()

    def __str__(self) -> str:
        tags = ", ".join(map(str, self.tags)) or "none"
        more = self.tag_count - len(self.tags)
        return f"tags {tags}{f' and {more} more' if more else ''}; teams {', '.join(self.teams) or 'none'}"


# UNION drops what was found before, so that indexes that name each other end it as well.
_TAGS = """
    WITH RECURSIVE users (blob_id, manifest_id) AS (
        SELECT blob_id, manifest_id FROM repositories_manifestblob WHERE blob_id {condition}
        UNION
        SELECT u.blob_id, c.parent_id FROM repositories_manifestchild c JOIN users u ON c.child_id = u.manifest_id
    ), hits AS (
        SELECT u.blob_id, s.slug, r.name AS repository, t.name AS tag,
            ROW_NUMBER() OVER (PARTITION BY u.blob_id ORDER BY r.name, t.name) AS place,
            COUNT(*) OVER (PARTITION BY u.blob_id) AS total
        FROM users u JOIN repositories_tag t ON t.manifest_id = u.manifest_id
        JOIN repositories_repository r ON r.id = t.repository_id JOIN accounts_team s ON s.id = r.team_id
        WHERE r.deleted_at IS NULL
    ) SELECT blob_id, slug, repository, tag, total FROM hits WHERE place <= %s ORDER BY blob_id, place
"""


def find_hits(blob_ids: Collection[int], *, most: int = MOST_NAMED) -> dict[int, Hits]:
    """What each of the blobs takes along; two statements, however many there are."""
    condition, ids = any_of(sorted(blob_ids))
    tags: dict[int, list[HitTag]] = {blob_id: [] for blob_id in blob_ids}
    counts = dict.fromkeys(blob_ids, 0)
    rows = cast("list[tuple[int, str, str, str, int]]", fetch_all(_TAGS.format(condition=condition), [ids, most]))
    for blob_id, team, repository, tag, total in rows:
        tags[blob_id].append(HitTag(team, repository, tag))
        counts[blob_id] = total
    teams = _teams(blob_ids)
    return {blob_id: Hits(tags[blob_id], counts[blob_id], teams[blob_id][:most]) for blob_id in blob_ids}


def _teams(blob_ids: Collection[int]) -> dict[int, list[str]]:
    teams: dict[int, list[str]] = {blob_id: [] for blob_id in blob_ids}
    holders = TeamBlob.objects.filter(blob__in=blob_ids).order_by("team__slug")
    for blob_id, slug in holders.values_list("blob_id", "team__slug"):
        teams[blob_id].append(slug)
    return teams


def by_team(tags: Sequence[HitTag]) -> Iterator[tuple[str, list[HitTag]]]:
    for team in sorted({hit.team for hit in tags}):
        yield team, [hit for hit in tags if hit.team == team]
