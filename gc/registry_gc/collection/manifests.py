"""Collecting manifests.

Whoever begins to refer to a manifest, by a tag, an index or history, holds its row FOR KEY SHARE until the reference
stands. So behind FOR UPDATE everything that keeps it can be seen, by a statement of its own. No row is removed through
the ORM, which would take away from what it had read before whatever refers to it: what was missed must fail.
"""

from collections.abc import Collection
from itertools import groupby

from django.conf import settings
from django.db import connection

from blobs.models import BlobReview
from registry_gc.collection.reviews import LEASE, Claim, Outcome, Verdict, acting, hold_review, settle
from registry_gc.collection.rings import find_ring
from registry_gc.collection.standings import FOREVER, SUBJECT_COLLECTED, Rules, Standing, read_standings
from registry_project.database import any_of, execute, fetch_all
from registry_project.reviews import arm_reviews
from repositories.models import Manifest, ManifestReview

_PARENT_COLLECTED = "parent-collected"


def collect_manifest(claim: Claim, rules: Rules) -> Outcome:
    """Remove a manifest that nothing keeps, and arm the reviews of what it kept."""
    with acting():
        # First without a lock, for most of what is reviewed stays and is in use. Whatever takes a keeper away from now
        # on counts the review's version up, and then there is nothing to settle.
        outcome = _settle_kept(_read([claim.target_id]), claim, rules)
        if outcome is not None:
            return outcome
        held = _hold([claim.target_id])
        if not hold_review(claim):
            return Outcome(Verdict.OVERTAKEN)
        outcome = _settle_kept(held, claim, rules)
        if outcome is not None:
            return outcome
        ring = find_ring(held[0], claim=claim, rules=rules) if held[0].has_keeper else []
        if not ring:
            _remove(held, claim)
            settle(claim)
            return Outcome(Verdict.COLLECTED, held[0].size)
    return _collect_ring(ring, claim, rules)


def _settle_kept(found: list[Standing], claim: Claim, rules: Rules) -> Outcome | None:
    """Settle the review of a manifest that is gone or that something keeps; None where it is garbage."""
    if not found:
        settle(claim)
        return Outcome(Verdict.GONE)
    end = found[0].kept_until(now=claim.now, reason=claim.reason, rules=rules)
    if end is not None:
        settle(claim, until=None if end is FOREVER else end)
        return Outcome(Verdict.KEPT)
    if found[0].has_keeper and not find_ring(found[0], claim=claim, rules=rules):
        # Its parents and its subject arm its review when they go.
        settle(claim)
        return Outcome(Verdict.KEPT)
    return None


def _collect_ring(members: Collection[int], claim: Claim, rules: Rules) -> Outcome:
    """Remove manifests that only each other keep, as a referrer does that is an index with its subject in it."""
    with acting():
        # In a transaction of its own, for locks are taken in the order of ids, and the claimed one was held first.
        held = _hold(members)
        if not hold_review(claim):
            return Outcome(Verdict.OVERTAKEN)
        first = next((standing for standing in held if standing.id == claim.target_id), None)
        # With all of them held, nobody can refer to any of them any more.
        if first is None or set(find_ring(first, claim=claim, rules=rules)) != set(members):
            settle(claim, until=claim.now + LEASE)
            return Outcome(Verdict.KEPT)
        _remove(held, claim)
        settle(claim)
    return Outcome(Verdict.COLLECTED, sum(standing.size for standing in held))


def _hold(manifest_ids: Collection[int]) -> list[Standing]:
    manifests = Manifest.objects.filter(pk__in=manifest_ids)
    list(manifests.select_for_update().order_by("pk").values_list("pk", flat=True))
    # In a statement of its own: the one that waited for the lock does not see what its holder wrote.
    return _read(manifest_ids)


def _read(manifest_ids: Collection[int]) -> list[Standing]:
    return read_standings(Manifest.objects.filter(pk__in=manifest_ids))


def _remove(held: list[Standing], claim: Claim) -> None:
    ids = {standing.id for standing in held}
    condition, gone = any_of(sorted(ids))
    blobs = fetch_all(f"DELETE FROM repositories_manifestblob WHERE manifest_id {condition} RETURNING blob_id", [gone])
    children = fetch_all(
        f"DELETE FROM repositories_manifestchild WHERE parent_id {condition} RETURNING child_id", [gone]
    )
    if any(standing.has_parent for standing in held):
        # A manifest that was deleted by its digest may be in an index that stays. It waits for it again.
        execute(f"UPDATE repositories_manifestchild SET child_id = NULL WHERE child_id {condition}", [gone])
    if any(standing.restorable_until for standing in held):
        moment = connection.ops.adapt_datetimefield_value(claim.now)
        execute(
            f"DELETE FROM repositories_taghistory WHERE manifest_id {condition} AND restorable_until <= %s",
            [gone, moment],
        )
    reasons = _reasons_below(held, {int(str(child)) for (child,) in children if child is not None})
    execute(f"DELETE FROM repositories_manifest WHERE id {condition}", [gone])
    _arm_manifests({target: reason for target, reason in reasons.items() if target not in ids}, claim)
    arm_reviews(
        BlobReview,
        {int(str(blob_id)) for (blob_id,) in blobs},
        review_after=claim.now + settings.GC_GRACE,
        reason="dereferenced",
    )


def _reasons_below(held: list[Standing], children: set[int]) -> dict[int, str]:
    """What was kept by manifests that go, and why it is to be reviewed."""
    reasons = dict.fromkeys(children, _PARENT_COLLECTED)
    for standing in held:
        if standing.purged_at is not None:
            # All of its repository is under review already, perhaps by a worker that waits for what we hold.
            return {}
        referrers = Manifest.objects.filter(repository=standing.repository_id, subject_digest=standing.digest)
        reasons |= dict.fromkeys(referrers.values_list("pk", flat=True), SUBJECT_COLLECTED)
    return reasons


def _arm_manifests(reasons: dict[int, str], claim: Claim) -> None:
    # All in the order of their ids, whatever their reasons: two collections may arm the same ones.
    for reason, targets in groupby(sorted(reasons), key=reasons.__getitem__):
        arm_reviews(ManifestReview, targets, review_after=claim.now + settings.GC_GRACE, reason=reason)
