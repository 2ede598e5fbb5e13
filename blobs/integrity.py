"""Comparing the database with the storage, in both directions (the first invariant).

Both change while they are compared, so each finding is looked at again before it is reported. Memory is bounded by
the batch: neither side is ever held whole.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

from django.db.models import Model, QuerySet

from blobs.models import Blob, StorageDeletion, UploadSession
from blobs.storage import StoredObject, get_store

_BATCH = 1000
_NAMING: tuple[type[Model], ...] = (UploadSession, Blob, StorageDeletion)


class Problem(StrEnum):
    UNNAMED = "unnamed: nothing in the database knows these bytes"
    MISSING = "missing: the database names bytes that the storage does not have"
    WRONG_SIZE = "wrong size: the storage has another number of bytes than the database says"
    NAMED_TWICE = "named twice: more than one row claims these bytes"


@dataclass(frozen=True, slots=True)
class Finding:
    problem: Problem
    storage_key: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.storage_key}: {self.problem}{f' ({self.detail})' if self.detail else ''}"


def check_integrity() -> Iterator[Finding]:
    """Yield what breaks "every stored byte is named by exactly one upload, blob or deletion"."""
    yield from _unnamed_objects()
    yield from _missing_bytes()
    yield from _named_twice()


def _unnamed_objects() -> Iterator[Finding]:
    objects = get_store().objects()
    while batch := list(islice(objects, _BATCH)):
        unnamed = _without_name(batch)
        # Listed before its row was there, or deleted since with its row: only what is still there counts.
        still_there = [item for item in unnamed if get_store().size(item.key) is not None]
        for item in _without_name(still_there):
            yield Finding(Problem.UNNAMED, item.key, f"{item.size} bytes")


def _without_name(objects: Iterable[StoredObject]) -> list[StoredObject]:
    left = {item.key: item for item in objects}
    for model in _NAMING:
        if left:
            named = model._default_manager.filter(storage_key__in=list(left))
            for key in named.values_list("storage_key", flat=True):
                left.pop(key, None)
    return list(left.values())


def _missing_bytes() -> Iterator[Finding]:
    for blob in Blob.objects.order_by("id").iterator(chunk_size=_BATCH):
        size = get_store().size(blob.storage_key)
        if size == blob.size:
            continue
        if Blob.objects.filter(pk=blob.pk, storage_key=blob.storage_key).exists():
            yield _size_finding(blob.storage_key, blob.size, size, blob.digest)
    for upload in UploadSession.objects.filter(storage_key__isnull=False, offset__gt=0).iterator(chunk_size=_BATCH):
        size = get_store().size(upload.storage_key or "", state=upload.storage_state)
        # More than the offset is a chunk on its way, or one that was never acknowledged.
        if (size or 0) < upload.offset and _is_unchanged(upload):
            yield _size_finding(upload.storage_key or "", upload.offset, size, f"upload {upload.pk}")


def _is_unchanged(upload: UploadSession) -> bool:
    return UploadSession.objects.filter(pk=upload.pk, storage_key=upload.storage_key, offset=upload.offset).exists()


def _size_finding(key: str, expected: int, actual: int | None, owner: str) -> Finding:
    if actual is None:
        return Finding(Problem.MISSING, key, f"{owner}, {expected} bytes")
    return Finding(Problem.WRONG_SIZE, key, f"{owner}, {actual} instead of {expected} bytes")


def _named_twice() -> Iterator[Finding]:
    # Each table has the key unique, so only pairs of tables can disagree.
    for first, second in ((UploadSession, Blob), (UploadSession, StorageDeletion), (Blob, StorageDeletion)):
        both: QuerySet[Model] = second._default_manager.filter(
            storage_key__in=first._default_manager.filter(storage_key__isnull=False).values("storage_key")
        )
        for key in both.values_list("storage_key", flat=True).iterator(chunk_size=_BATCH):
            yield Finding(Problem.NAMED_TWICE, key, f"{first.__name__} and {second.__name__}")
