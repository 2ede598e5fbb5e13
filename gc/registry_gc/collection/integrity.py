"""All that can be wrong in what is stored, and what puts it right: `lading check`."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from django.conf import settings

from blobs.integrity import Finding, Problem, check_integrity
from blobs.models import Blob, UploadSession
from blobs.repairs import end_damaged_upload, name_once, settle_unnamed
from blobs.usage import correct_usage
from oci.errors import OCIError
from registry_gc.collection.models import Kind
from registry_gc.collection.reviews import REVIEWS
from registry_gc.collection.standings import FOREVER, Rules, read_standings
from registry_gc.collection.sweep import list_suspects
from registry_project.database import database_now, writing
from registry_project.reviews import arm_reviews
from repositories.integrity import bring_home, check_rows, give_right, restore_payload
from repositories.models import Manifest
from repositories.quarantine import Outcome, examine_blob


class Result(StrEnum):
    REPAIRED = "repaired"
    # What is damaged is given to nobody, but is not right either.
    CONTAINED = "contained"
    LEFT = "left"
    # Somebody else was faster, or it has been right all along.
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Repair:
    """What came of repairing a finding, and what was done, in words."""

    result: Result
    action: str = ""


def check_everything(*, older_than: timedelta = timedelta(), digests: bool = False) -> Iterator[Finding]:
    """Yield what is wrong; what is repaired between two findings is not found again."""
    yield from check_integrity(older_than=older_than, digests=digests)
    yield from check_rows()
    yield from _missing_reviews()


def repair(finding: Finding) -> Repair:
    """Put right what was found, as far as that is possible."""
    try:
        return _REPAIRS[finding.problem](finding)
    except (OCIError, OSError) as error:
        return Repair(Result.LEFT, f"the storage failed: {error}")


def _missing_reviews() -> Iterator[Finding]:
    rules = Rules.configured()
    for manifest_ids in list_suspects(Kind.MANIFEST, rules=rules):
        for standing in read_standings(Manifest.objects.filter(pk__in=manifest_ids)):
            # A sweep suspects as well what may be part of a ring.
            end = standing.kept_until(now=database_now(), reason="", rules=rules)
            if not standing.has_keeper and end != FOREVER:
                yield _no_review(Kind.MANIFEST, standing.id, standing.digest)
    for blob_ids in list_suspects(Kind.BLOB, rules=rules):
        for blob_id, digest in Blob.objects.filter(pk__in=blob_ids).order_by("pk").values_list("pk", "digest"):
            yield _no_review(Kind.BLOB, blob_id, digest)


def _no_review(kind: Kind, target_id: int, digest: str) -> Finding:
    return Finding(Problem.NO_REVIEW, digest, f"{kind.value} {target_id}", target=(kind, target_id))


def _arm(finding: Finding) -> Repair:
    kind, target_id = finding.target
    with writing():
        due = database_now() + settings.GC_GRACE
        arm_reviews(REVIEWS[kind], [target_id], review_after=due, reason="checked")
    return Repair(Result.REPAIRED, f"collection looks at it on {due:%Y-%m-%d %H:%M} UTC")


def _repair_bytes(finding: Finding) -> Repair:
    if isinstance(finding.target, UploadSession):
        return _done(end_damaged_upload(finding.target.pk, offset=finding.target.offset))
    blob = Blob.objects.filter(pk=finding.target.pk).first()
    if blob is None:
        return Repair(Result.GONE)
    return _OUTCOMES[examine_blob(blob)]


_OUTCOMES = {
    Outcome.VERIFIED: Repair(Result.GONE, "its bytes are right"),
    Outcome.RELEASED: Repair(Result.REPAIRED, "its bytes are right again, and it has left quarantine"),
    Outcome.HEALED: Repair(Result.REPAIRED, "a copy of its bytes was found"),
    Outcome.QUARANTINED: Repair(Result.CONTAINED, "it is in quarantine until it is pushed again"),
    Outcome.KEPT: Repair(Result.CONTAINED, "it stays in quarantine until it is pushed again"),
    Outcome.GONE: Repair(Result.GONE),
}


def _done(action: str | None) -> Repair:
    return Repair(Result.REPAIRED, action) if action else Repair(Result.GONE)


def _done_or_left(action: str | None, otherwise: str) -> Repair:
    return Repair(Result.REPAIRED, action) if action else Repair(Result.LEFT, otherwise)


_REPAIRS: dict[Problem, Callable[[Finding], Repair]] = {
    Problem.UNNAMED: lambda finding: _done(settle_unnamed(finding.target)),
    Problem.MISSING: _repair_bytes,
    Problem.WRONG_SIZE: _repair_bytes,
    Problem.WRONG_DIGEST: _repair_bytes,
    Problem.UNREADABLE: _repair_bytes,
    Problem.QUARANTINED: _repair_bytes,
    Problem.NAMED_TWICE: lambda finding: _done(name_once(finding.storage_key)),
    Problem.USAGE: lambda finding: Repair(Result.REPAIRED, f"corrected by {correct_usage(finding.target.pk)} bytes"),
    Problem.PAYLOAD: lambda finding: _done_or_left(
        restore_payload(finding.target), "no other repository has it: delete it and push it again"
    ),
    Problem.NO_RIGHT: lambda finding: _done(give_right(finding.target)),
    Problem.FOREIGN_TAG: lambda finding: _done_or_left(
        bring_home(finding.target), "its repository has no such manifest: push the tag again, or delete it"
    ),
    Problem.NO_REVIEW: _arm,
}
