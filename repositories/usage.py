"""What a team stores, told apart: what would come back if it went, and what it shares with others."""

from dataclasses import dataclass

from django.db import connection
from django.utils import timezone

from blobs.usage import usage_of
from registry_project.database import fetch_all


@dataclass(frozen=True, slots=True)
class TeamFigures:
    """Sizes in bytes. `logical_bytes` counts a blob once for each repository, `physical_bytes` once for the team.

    `exclusive_bytes` are held by no other team, `shared_bytes` by others too; together they are the physical ones.
    `trash_bytes` are held only by tags that can still be restored. `quota_bytes` None is unlimited.
    """

    logical_bytes: int
    physical_bytes: int
    exclusive_bytes: int
    shared_bytes: int
    trash_bytes: int
    quota_bytes: int | None


_LOGICAL = """
    SELECT SUM(b.size) FROM blobs_repositoryblob l
    JOIN repositories_repository r ON r.id = l.repository_id JOIN blobs_blob b ON b.id = l.blob_id
    WHERE r.team_id = %s AND r.deleted_at IS NULL"""
_EXCLUSIVE = """
    SELECT SUM(b.size) FROM blobs_teamblob t JOIN blobs_blob b ON b.id = t.blob_id
    WHERE t.team_id = %s
        AND NOT EXISTS (SELECT 1 FROM blobs_teamblob o WHERE o.blob_id = t.blob_id AND o.team_id <> t.team_id)"""
# Manifests that a tag reaches are live, those that only restorable history reaches, or that a deleted repository
# holds which can be restored, are in the trash.
_TRASH = """
    WITH RECURSIVE held AS (SELECT id FROM repositories_repository WHERE team_id = %s),
    live(id) AS (
        SELECT manifest_id FROM repositories_tag
        WHERE repository_id IN (SELECT id FROM repositories_repository WHERE team_id = %s AND deleted_at IS NULL)
        UNION
        SELECT c.child_id FROM repositories_manifestchild c JOIN live ON live.id = c.parent_id
        WHERE c.child_id IS NOT NULL
    ),
    trash(id) AS (
        SELECT manifest_id FROM repositories_taghistory
        WHERE repository_id IN (SELECT id FROM held) AND restorable_until > %s
            AND manifest_id NOT IN (SELECT id FROM live)
        UNION
        SELECT m.id FROM repositories_manifest m JOIN repositories_repository r ON r.id = m.repository_id
        WHERE r.team_id = %s AND r.deleted_at IS NOT NULL AND r.purged_at IS NULL
        UNION
        SELECT c.child_id FROM repositories_manifestchild c JOIN trash ON trash.id = c.parent_id
        WHERE c.child_id IS NOT NULL AND c.child_id NOT IN (SELECT id FROM live)
    )
    SELECT SUM(b.size) FROM blobs_blob b
    WHERE b.id IN (SELECT blob_id FROM repositories_manifestblob WHERE manifest_id IN (SELECT id FROM trash))
        AND b.id NOT IN (
            SELECT blob_id FROM repositories_manifestblob
            WHERE repository_id IN (SELECT id FROM held) AND manifest_id NOT IN (SELECT id FROM trash)
        )"""


def figures_of(*, team_id: int, quota_bytes: int | None) -> TeamFigures:
    """What a team stores at this moment; the parts are reports and cost more than the sum, which pushes ask for."""
    physical = usage_of(team_id)
    exclusive = min(_sum(_EXCLUSIVE, team_id), physical)
    now = connection.ops.adapt_datetimefield_value(timezone.now())
    return TeamFigures(
        logical_bytes=_sum(_LOGICAL, team_id),
        physical_bytes=physical,
        exclusive_bytes=exclusive,
        shared_bytes=physical - exclusive,
        trash_bytes=_sum(_TRASH, team_id, team_id, now, team_id),
        quota_bytes=quota_bytes,
    )


def _sum(sql: str, *parameters: object) -> int:
    return int(str(fetch_all(sql, parameters)[0][0] or 0))
