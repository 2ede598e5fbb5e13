"""What a team's blobs take, each counted once, and whether there is room for more.

A push appends a row for each blob that is new to its team and updates nothing, so that pushes of one team do not queue
up behind a counter. A worker adds the rows up; what it has not seen yet is added when reading, so the figure is
always exact.
"""

from django.db.models import Sum

from blobs.errors import QuotaExceeded
from blobs.models import TeamBlob, TeamUsage, UsageDelta
from registry_project.database import fetch_all, retried, writing

# Only near the quota do pushes of a team wait for each other: within a tenth of it, or a gibibyte where that is more,
# and where so many at once, each as large, could pass it together before one of them comes near.
_NEAR = 10
_LEAST_NEAR = 2**30
_AT_ONCE = 100

_USAGE = (
    "SELECT COALESCE((SELECT size FROM blobs_teamusage WHERE team_id = %s), 0)"
    " + COALESCE((SELECT SUM(size) FROM blobs_usagedelta WHERE team_id = %s), 0)"
)


def usage_of(team_id: int) -> int:
    """A team's deduplicated bytes; one statement, so that a roll-up is seen whole or not at all."""
    return int(str(fetch_all(_USAGE, [team_id, team_id])[0][0]))


def check_room(*, team_id: int | None, team: str, quota_bytes: int | None, size: int) -> None:
    """Raise QuotaExceeded when a team that is about to add `size` bytes has no room; 0 stands for unknown.

    Without a quota it asks nothing.
    """
    if team_id is None or quota_bytes is None:
        return
    used = usage_of(team_id)
    if used + max(size, 1) > quota_bytes:
        raise QuotaExceeded(team=team, used=used, quota_bytes=quota_bytes, size=size)


def check_not_over(*, team_id: int, team: str, quota_bytes: int | None) -> None:
    """Raise QuotaExceeded when a team has more than its quota, as after the quota was lowered."""
    if quota_bytes is not None and (used := usage_of(team_id)) > quota_bytes:
        raise QuotaExceeded(team=team, used=used, quota_bytes=quota_bytes, size=0)


def hold_room(*, team_id: int, team: str, quota_bytes: int, size: int) -> None:
    """Raise QuotaExceeded when the `size` bytes that this transaction has just added are too many.

    Belongs behind the row that adds them and before reviews, by the lock order.
    """
    used = usage_of(team_id)
    near = max(quota_bytes // _NEAR, _LEAST_NEAR, size * _AT_ONCE)
    if quota_bytes - near < used <= quota_bytes:
        # Each of two pushes may fit alone and not together: near the quota they see each other's rows.
        _lock_usage(team_id)
        used = usage_of(team_id)
    if used > quota_bytes:
        raise QuotaExceeded(team=team, used=used - size, quota_bytes=quota_bytes, size=size)


def roll_up_usage() -> int:
    """Add the rows of every team up; how many there were."""
    teams = list(UsageDelta.objects.order_by("team_id").values_list("team_id", flat=True).distinct())
    return sum(_roll_up(team_id) for team_id in teams)


@retried
def _roll_up(team_id: int) -> int:
    with writing():
        usage = _lock_usage(team_id)
        # Rows that others commit meanwhile are not among these and stay for the next time.
        deltas = dict(UsageDelta.objects.filter(team_id=team_id).values_list("id", "size"))
        UsageDelta.objects.filter(id__in=list(deltas)).delete()
        usage.size += sum(deltas.values())
        usage.save(update_fields=["size"])
    return len(deltas)


def _lock_usage(team_id: int) -> TeamUsage:
    TeamUsage.objects.bulk_create([TeamUsage(team_id=team_id)], ignore_conflicts=True)
    return TeamUsage.objects.select_for_update().get(team_id=team_id)


def recount(team_id: int) -> int:
    """What `usage_of` must give, from the blobs themselves."""
    return int(TeamBlob.objects.filter(team_id=team_id).aggregate(total=Sum("blob__size"))["total"] or 0)


def usage_beside_recount(team_id: int) -> tuple[int, int]:
    """What `usage_of` and `recount` give, at one moment."""
    counted = (
        "SELECT COALESCE(SUM(b.size), 0) FROM blobs_teamblob t JOIN blobs_blob b ON b.id = t.blob_id"
        " WHERE t.team_id = %s"
    )
    used, exact = fetch_all(f"SELECT ({_USAGE}), ({counted})", [team_id] * 3)[0]
    return int(str(used)), int(str(exact))


@retried
def correct_usage(team_id: int) -> int:
    """Make the account of a team what its blobs come to; by how many bytes it was wrong.

    Beside pushes, which append rows and look at no counter.
    """
    with writing():
        # Two who correct it at once would do so twice.
        _lock_usage(team_id)
        used, exact = usage_beside_recount(team_id)
        UsageDelta.objects.create(team_id=team_id, size=exact - used)
    return exact - used
