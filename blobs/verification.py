"""Reading stored bytes again: are they still what their digest says?"""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from enum import StrEnum

from blobs.models import Blob
from blobs.storage import BytesMissing, get_store
from oci.digests import Digest, new_hasher
from oci.errors import Unavailable
from registry_project.database import release_connection

# What one request to the storage reads: a connection that is read slowly would be broken off at the other end.
_PIECE, _SMALLEST_PIECE = 8 * 2**20, 64 * 2**10
_PIECE_SECONDS = 10
_WITNESSES = 10


class Damage(StrEnum):
    """What is wrong with stored bytes; the values stand in rows."""

    MISSING = "the storage does not have the bytes"
    WRONG_SIZE = "the storage has another number of bytes"
    WRONG_DIGEST = "the bytes have another digest"


@dataclass
class Pace:
    """Reads at most `rate` bytes per second, None without a limit; `beat` is called between two pieces."""

    rate: int | None = None
    beat: Callable[[], object] = lambda: None
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], object] = time.sleep
    _free_at: float = field(default=0.0, init=False)

    @property
    def piece(self) -> int:
        """How many bytes to read between two pauses."""
        return _PIECE if self.rate is None else max(min(_PIECE, self.rate * _PIECE_SECONDS), _SMALLEST_PIECE)

    def spend(self, size: int) -> None:
        """Wait until `size` bytes more may be read; a quiet time is not saved up."""
        self.beat()
        if self.rate is None:
            return
        now = self.clock()
        if self._free_at > now:
            self.sleep(self._free_at - now)
        self._free_at = max(self._free_at, now) + size / self.rate


UNHURRIED = Pace()


def find_damage(*, storage_key: str, digest: str, size: int, pace: Pace = UNHURRIED) -> Damage | None:
    """Read bytes to the end, a second time before they count as damaged.

    Raises Unavailable and OSError where the storage fails, which says nothing of the bytes.
    """
    release_connection()
    found = _look(storage_key, digest, size, pace)
    # What a network or a memory did to them on the way it will not do twice.
    return found and _look(storage_key, digest, size, pace)


def check_storage_is_there(*, but: int) -> None:
    """Raise Unavailable where the storage has none of the first and the last blobs either: a folder that is not
    mounted, a bucket of another name.
    """
    others = Blob.objects.exclude(pk=but).filter(quarantined_at=None).values_list("storage_key", flat=True)
    keys = [key for order in ("pk", "-pk") for key in others.order_by(order)[:_WITNESSES]]
    release_connection()
    if keys and all(get_store().size(key) is None for key in keys):
        raise Unavailable({"reason": "the storage has no other blob either: is it the right one, and mounted?"})


def _look(storage_key: str, digest: str, size: int, pace: Pace) -> Damage | None:
    stored = get_store().size(storage_key)
    if stored is None:
        return Damage.MISSING
    if stored != size:
        return Damage.WRONG_SIZE
    hasher = new_hasher(Digest.parse(digest).algorithm)
    try:
        for chunk in read_pieces(storage_key, size, pace):
            hasher.update(chunk)
    except BytesMissing:
        return Damage.MISSING
    return None if digest.endswith(f":{hasher.hexdigest()}") else Damage.WRONG_DIGEST


def read_pieces(storage_key: str, size: int, pace: Pace) -> Iterator[bytes]:
    for start in range(0, size, pace.piece):
        stop = min(start + pace.piece, size)
        pace.spend(stop - start)
        with closing(get_store().open_range(storage_key, start, stop)) as stream:
            yield from stream
