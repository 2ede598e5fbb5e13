"""Comparing the database with the storage, in both directions (the first invariant).

Both change while they are compared, so each finding is looked at again before it is reported. Memory is bounded by
the batch: neither side is ever held whole, and no statement lasts from one batch to the next.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from itertools import islice
from typing import Any, TypeVar

from django.db.models import Model, QuerySet
from django.utils import timezone

from accounts.models import Team
from blobs.models import Blob, StorageDeletion, UploadSession
from blobs.storage import StoredObject, get_store
from blobs.usage import usage_beside_recount
from blobs.verification import Damage, find_damage
from oci.errors import OCIError
from registry_project.database import any_of, fetch_all

_BATCH = 1000
_NAMING: tuple[type[Model], ...] = (UploadSession, Blob, StorageDeletion)
Row = TypeVar("Row", bound=Model)


class Problem(StrEnum):
    """What can be wrong; the values are what people read, the names what programs do."""

    UNNAMED = "unnamed: nothing in the database knows these bytes"
    MISSING = "missing: the database names bytes that the storage does not have"
    WRONG_SIZE = "wrong size: the storage has another number of bytes than the database says"
    WRONG_DIGEST = "wrong digest: the storage has other bytes than the database says"
    UNREADABLE = "unreadable: the storage failed, which says nothing of the bytes"
    QUARANTINED = "in quarantine: the bytes are damaged, and nobody can pull them until they are pushed again"
    NAMED_TWICE = "named twice: more than one row claims these bytes"
    USAGE = "usage: the account of a team is not what its blobs come to"
    PAYLOAD = "payload: a manifest is not what its digest says"
    NO_RIGHT = "no right: a manifest refers to a blob that its repository does not have"
    FOREIGN_TAG = "foreign tag: it points to a manifest of another repository"
    NO_REVIEW = "no review: garbage that no collection would look at"

    @property
    def slug(self) -> str:
        return self.name.lower().replace("_", "-")


@dataclass(frozen=True, slots=True)
class Finding:
    """`storage_key` names bytes, or else what the problem is about; `target` is the row, or the stored object."""

    problem: Problem
    storage_key: str
    detail: str = ""
    target: Any = None

    def __str__(self) -> str:
        return f"{self.storage_key}: {self.problem}{f' ({self.detail})' if self.detail else ''}"


def check_integrity(*, older_than: timedelta = timedelta(), digests: bool = False) -> Iterator[Finding]:
    """Yield what breaks "every stored byte is named by exactly one upload, blob or deletion", and wrong accounts.

    Unnamed bytes count once they are `older_than`; with `digests` all blobs are read. Damaged bytes come before
    unnamed ones, among which their copies may be.
    """
    yield from _damaged_blobs(digests)
    yield from _damaged_uploads()
    yield from _unnamed_objects(older_than)
    yield from _named_twice()
    yield from _wrong_usage()


def in_batches(rows: QuerySet[Row]) -> Iterator[list[Row]]:
    """Rows in the order of their keys, some at a time, each in a statement of its own."""
    batch = list(rows.order_by("pk")[:_BATCH])
    while batch:
        yield batch
        batch = list(rows.filter(pk__gt=batch[-1].pk).order_by("pk")[:_BATCH])


def is_named(storage_key: str) -> bool:
    return bool(_named([storage_key]))


def _unnamed_objects(older_than: timedelta) -> Iterator[Finding]:
    oldest = timezone.now() - older_than
    objects = (item for item in get_store().objects() if item.changed_at is None or item.changed_at <= oldest)
    while batch := list(islice(objects, _BATCH)):
        for item in _without_name(batch):
            # Deleted since it was listed, and then its row: only what is still there counts.
            if get_store().size(item.key) is not None:
                yield Finding(Problem.UNNAMED, item.key, f"{item.size} bytes", target=item)


def _without_name(objects: Iterable[StoredObject]) -> list[StoredObject]:
    left = {item.key: item for item in objects}
    for key in _named(list(left)):
        left.pop(key, None)
    return list(left.values())


def _named(keys: list[str]) -> list[str]:
    """Which of the keys have a name. One statement: between two a name may move from the last table to the first."""
    condition, parameter = any_of(keys)
    tables = [f"SELECT storage_key FROM {model._meta.db_table} WHERE storage_key {condition}" for model in _NAMING]
    return [str(key) for (key,) in fetch_all(" UNION ALL ".join(tables), [parameter] * len(tables))]


def _damaged_blobs(digests: bool) -> Iterator[Finding]:
    for batch in in_batches(Blob.objects.all()):
        for blob in batch:
            try:
                finding = _check_blob(blob, digests)
            except (OCIError, OSError) as error:
                finding = Finding(Problem.UNREADABLE, blob.storage_key, f"{blob.digest}: {error}", target=blob)
            if finding and Blob.objects.filter(pk=blob.pk, storage_key=blob.storage_key).exists():
                yield finding


def _check_blob(blob: Blob, digests: bool) -> Finding | None:
    if blob.quarantined_at is not None:
        detail = f"{blob.digest}, {blob.size} bytes, since {blob.quarantined_at:%Y-%m-%d}: {blob.quarantine_reason}"
        return Finding(Problem.QUARANTINED, blob.storage_key, detail, target=blob)
    size = get_store().size(blob.storage_key)
    if size != blob.size:
        return _size_finding(blob.storage_key, blob.size, size, blob.digest, blob)
    if digests and find_damage(storage_key=blob.storage_key, digest=blob.digest, size=size) is Damage.WRONG_DIGEST:
        return Finding(Problem.WRONG_DIGEST, blob.storage_key, f"{blob.digest}, {size} bytes", target=blob)
    return None


def _damaged_uploads() -> Iterator[Finding]:
    for batch in in_batches(UploadSession.objects.filter(storage_key__isnull=False, offset__gt=0)):
        for upload in batch:
            size = get_store().size(upload.storage_key or "", state=upload.storage_state)
            # More than the offset is a chunk on its way, or one that was never acknowledged.
            if (size or 0) < upload.offset and _is_unchanged(upload):
                yield _size_finding(upload.storage_key or "", upload.offset, size, f"upload {upload.pk}", upload)


def _is_unchanged(upload: UploadSession) -> bool:
    return UploadSession.objects.filter(pk=upload.pk, storage_key=upload.storage_key, offset=upload.offset).exists()


def _size_finding(key: str, expected: int, actual: int | None, owner: str, target: Model) -> Finding:
    if actual is None:
        return Finding(Problem.MISSING, key, f"{owner}, {expected} bytes", target)
    return Finding(Problem.WRONG_SIZE, key, f"{owner}, {actual} instead of {expected} bytes", target)


def _named_twice() -> Iterator[Finding]:
    # Each table has the key unique, so only pairs of tables can disagree.
    for first, second in ((UploadSession, Blob), (UploadSession, StorageDeletion), (Blob, StorageDeletion)):
        both: QuerySet[Model] = second._default_manager.filter(
            storage_key__in=first._default_manager.filter(storage_key__isnull=False).values("storage_key")
        )
        for batch in in_batches(both):
            for row in batch:
                key = row.storage_key  # type: ignore[attr-defined]
                yield Finding(Problem.NAMED_TWICE, key, f"{first.__name__} and {second.__name__}", target=row)


def _wrong_usage() -> Iterator[Finding]:
    for batch in in_batches(Team.objects.all()):
        for team in batch:
            used, counted = usage_beside_recount(team.pk)
            if used != counted:
                detail = f"{used} bytes are accounted, its blobs have {counted}"
                yield Finding(Problem.USAGE, team.slug, detail, target=team)
