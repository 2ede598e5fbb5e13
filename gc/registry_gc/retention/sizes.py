"""Bytes that come back when manifests go: of blobs that nothing else in the registry refers to.

All of it is asked for many manifests at a time. A blob goes when there are no more references to it than those of the
manifests that go; to know that, no more of them are counted than these and one.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from registry_project.database import any_of, fetch_all

BATCH = 5_000

_COUNTS = "SELECT blob_id, COUNT(*) FROM repositories_manifestblob WHERE manifest_id {chosen} GROUP BY blob_id"
_USES = "SELECT manifest_id, blob_id FROM repositories_manifestblob WHERE manifest_id {chosen}"
_ALL_USES = """
    SELECT b.id, b.size, (SELECT COUNT(*) FROM (
        SELECT 1 FROM repositories_manifestblob u WHERE u.blob_id = b.id LIMIT {most}) AS counted)
    FROM blobs_blob b WHERE b.id {chosen}"""


@dataclass(frozen=True, slots=True)
class Freed:
    """`freed` bytes come back, `shared` stay because something else refers to the same blobs."""

    freed: int = 0
    shared: int = 0


def freed_together(manifest_ids: Collection[int]) -> Freed:
    """What comes back when all of the manifests go, each blob counted once; two statements for each 5,000."""
    uses: Counter[int] = Counter()
    for some in _in_batches(sorted(manifest_ids)):
        chosen, ids = any_of(some)
        uses.update(dict(cast("list[tuple[int, int]]", fetch_all(_COUNTS.format(chosen=chosen), [ids]))))
    freed = shared = 0
    for _, size, goes in _sizes(uses):
        if goes:
            freed += size
        else:
            shared += size
    return Freed(freed, shared)


def freed_alone(sets: Sequence[Collection[int]]) -> list[int]:
    """What each of the sets of manifests would free if it went alone; two statements for all."""
    going = sorted({manifest_id for each in sets for manifest_id in each})
    users: Mapping[int, list[int]] = defaultdict(list)
    used: Mapping[int, set[int]] = defaultdict(set)
    for some in _in_batches(going):
        chosen, ids = any_of(some)
        for manifest_id, blob_id in cast("list[tuple[int, int]]", fetch_all(_USES.format(chosen=chosen), [ids])):
            users[blob_id].append(manifest_id)
            used[manifest_id].add(blob_id)
    # What a manifest outside of all sets uses, no set frees; of the rest the users are all here.
    uses = {blob_id: len(found) for blob_id, found in users.items()}
    sizes = {blob_id: size for blob_id, size, goes in _sizes(uses) if goes}
    return [_freed(set(each), users, used, sizes) for each in sets]


def _freed(
    going: set[int], users: Mapping[int, list[int]], used: Mapping[int, set[int]], sizes: Mapping[int, int]
) -> int:
    blobs = {blob_id for manifest_id in going for blob_id in used.get(manifest_id, ())}
    return sum(sizes[blob_id] for blob_id in blobs if blob_id in sizes and going.issuperset(users[blob_id]))


def _sizes(uses: Mapping[int, int]) -> Iterator[tuple[int, int, bool]]:
    """Each blob with its size, and whether it has no other uses than these."""
    # Those with as many uses together, so that for none much more is counted than has to be.
    for some in _in_batches(sorted(uses, key=lambda blob_id: uses[blob_id])):
        chosen, ids = any_of(some)
        sql = _ALL_USES.format(chosen=chosen, most=uses[some[-1]] + 1)
        for blob_id, size, count in cast("list[tuple[int, int, int]]", fetch_all(sql, [ids])):
            yield blob_id, size, count == uses[blob_id]


def _in_batches(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    return (ids[start : start + BATCH] for start in range(0, len(ids), BATCH))
