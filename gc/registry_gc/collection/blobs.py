"""Collecting blobs: first the rights that nobody uses, then the accounts, at last the blob itself.

Whoever begins to use a blob holds its row FOR KEY SHARE until their link stands. So behind FOR UPDATE everything
that protects it can be seen, by a statement of its own: the one that waited sees what was before.
"""

from datetime import datetime
from typing import cast

from django.conf import settings
from django.db.models import Exists, OuterRef, QuerySet

from blobs.links import discard_bytes
from blobs.models import Blob, RepositoryBlob, TeamBlob, UsageDelta
from registry_gc.collection.reviews import Claim, Outcome, Verdict, acting, hold_review, settle
from registry_project.database import any_of, execute, fetch_all
from repositories.models import ManifestBlob


def collect_blob(claim: Claim) -> Outcome:
    """Take a blob from the repositories and teams that no longer use it, and remove it when none is left.

    Its bytes go to the outbox, to be deleted when downloads that began before have ended.
    """
    with acting():
        # First without a lock: much of what is reviewed is in use, and a push of a popular layer shall not wait.
        if _is_settled(claim):
            return Outcome(Verdict.KEPT)
        blob = Blob.objects.select_for_update().filter(pk=claim.target_id).first()
        if blob is None:
            settle(claim)
            return Outcome(Verdict.GONE)
        if not hold_review(claim):
            return Outcome(Verdict.OVERTAKEN)
        over, next_end = _leases(blob.pk, claim.now)
        _unlink(over)
        _take_from_teams(blob)
        if is_held(blob.pk):
            settle(claim, until=next_end)
            return Outcome(Verdict.KEPT)
        discard_bytes(
            storage_key=blob.storage_key,
            digest=blob.digest,
            size=blob.size,
            not_before=claim.now + settings.GC_LINGER,
        )
        execute("DELETE FROM blobs_blob WHERE id = %s", [blob.pk])
        settle(claim)
    return Outcome(Verdict.COLLECTED, blob.size)


def _is_settled(claim: Claim) -> bool:
    """Settle the review of a blob to which nothing is to be done now; what happens to it next arms another."""
    over, next_end = _leases(claim.target_id, claim.now)
    if over or not is_held(claim.target_id) or teams_without(claim.target_id):
        return False
    settle(claim, until=next_end)
    return True


def unused_links(blob_id: int) -> QuerySet[RepositoryBlob]:
    """The rights to a blob of repositories in which no manifest refers to it: only a lease protects these."""
    uses = ManifestBlob.objects.filter(blob=OuterRef("blob"), repository=OuterRef("repository"))
    return RepositoryBlob.objects.filter(~Exists(uses), blob_id=blob_id)


def is_held(blob_id: int) -> bool:
    """Whether a repository has the blob or a manifest refers to it, a hidden one included."""
    return (
        RepositoryBlob.objects.filter(blob_id=blob_id).exists() or ManifestBlob.objects.filter(blob_id=blob_id).exists()
    )


def _leases(blob_id: int, now: datetime) -> tuple[list[int], datetime | None]:
    """The unused rights whose lease is over, and when the next lease of an unused one ends."""
    leases = dict(unused_links(blob_id).values_list("pk", "leased_until"))
    over = sorted(link_id for link_id, leased_until in leases.items() if leased_until <= now)
    return over, min((leased_until for leased_until in leases.values() if leased_until > now), default=None)


def _unlink(link_ids: list[int]) -> None:
    if link_ids:
        condition, ids = any_of(link_ids)
        execute(f"DELETE FROM blobs_repositoryblob WHERE id {condition}", [ids])


def _take_from_teams(blob: Blob) -> None:
    """Account the blob no longer to teams that have it nowhere."""
    for team_id in teams_without(blob.pk):
        execute("DELETE FROM blobs_teamblob WHERE blob_id = %s AND team_id = %s", [blob.pk, team_id])
        UsageDelta.objects.create(team_id=team_id, size=-blob.size)


def teams_without(blob_id: int) -> list[int]:
    """The teams that pay for a blob which none of their repositories has or refers to, in the order of their ids."""
    holders = " UNION ALL ".join(
        f"SELECT r.team_id FROM {table} u JOIN repositories_repository r ON r.id = u.repository_id WHERE u.blob_id = %s"
        for table in (RepositoryBlob._meta.db_table, ManifestBlob._meta.db_table)
    )
    rows = fetch_all(
        f"SELECT team_id FROM {TeamBlob._meta.db_table} WHERE blob_id = %s AND team_id NOT IN ({holders})"
        " ORDER BY team_id",
        [blob_id, blob_id, blob_id],
    )
    return [cast("int", row[0]) for row in rows]
