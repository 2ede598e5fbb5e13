"""Manifests that only keep each other.

An index keeps its children and a subject its referrers; so a referrer that is an index with its own subject in it is
kept by what it keeps. Looking one step up, as collection does everywhere else, would keep both for ever.
"""

from collections.abc import Callable, Collection

from registry_gc.collection.reviews import Claim
from registry_gc.collection.standings import Rules, Standing, read_standings
from repositories.models import Manifest, ManifestChild

# What is kept by more than this is taken for kept: rings that clients make have two members.
MOST_MEMBERS = 32

# What keeps some manifests directly.
ReadKeepers = Callable[[Collection[Standing]], list[Standing]]


def read_keepers(kept: Collection[Standing]) -> list[Standing]:
    return read_standings(Manifest.objects.filter(pk__in=_keepers(kept)))


def find_ring(manifest: Standing, *, claim: Claim, rules: Rules, read: ReadKeepers = read_keepers) -> list[int]:
    """All that keeps a manifest, where it is among it itself and nothing else keeps any of it; else nothing."""
    members: dict[int, Standing] = {}
    frontier: Collection[Standing] = [manifest]
    while frontier:
        keepers = {keeper.id: keeper for keeper in read(frontier)}
        if len(members) + len(keepers) > MOST_MEMBERS:
            return []
        for keeper in keepers.values():
            # The reason belongs to the claimed manifest alone.
            reason = claim.reason if keeper.id == claim.target_id else ""
            if keeper.kept_until(now=claim.now, reason=reason, rules=rules) is not None:
                return []
        frontier = [keeper for keeper in keepers.values() if keeper.id not in members]
        members |= keepers
    return sorted(members) if manifest.id in members else []


def _keepers(kept: Collection[Standing]) -> set[int]:
    # What was deleted is kept by nothing but its history.
    living = [standing for standing in kept if standing.deleted_at is None]
    parents = ManifestChild.objects.filter(child__in=[standing.id for standing in living])
    found = set(parents.values_list("parent_id", flat=True)[: MOST_MEMBERS + 1])
    for standing in living:
        if standing.has_subject:
            subjects = Manifest.objects.filter(repository=standing.repository_id, digest=standing.subject_digest)
            found.update(subjects.values_list("pk", flat=True))
    return found
