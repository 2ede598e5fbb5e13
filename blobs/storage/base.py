"""What the registry asks of a storage for blobs."""

import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

from oci.errors import OCIError

READ_SIZE = 256 * 1024
# What a backend has to know to go on with an upload; JSON, kept in the upload's row beside its offset.
State = Mapping[str, Any]


class BytesMissing(OCIError):
    """The storage lost bytes that the database names, or an upload's bytes end before its offset."""

    code, status, message = "UNKNOWN", 500, "the registry has lost the bytes of this content"


class WriterBusy(Exception):
    """Another writer holds the key."""


class KeySealed(Exception):
    """The key takes no more bytes: they have to go to another one, behind a copy of what is acknowledged here.

    `pending` is what the refused call had taken from its chunks.
    """

    def __init__(self, pending: Sequence[bytes] = ()) -> None:
        super().__init__()
        self.pending = pending


@dataclass(frozen=True, slots=True)
class Written:
    """What is durable after a write: the size in bytes from the key's beginning, and the state to go on with."""

    size: int
    state: State


@dataclass(frozen=True, slots=True)
class StoredObject:
    """A key that the storage holds; `size` in bytes. `complete` is False while an upload writes to it.

    `changed_at` is when it was last written, by the storage's clock, where that is known.
    """

    key: str
    size: int
    complete: bool
    changed_at: datetime | None = None


class ByteStream(Iterator[bytes]):
    """Pieces of stored bytes. Whoever does not read them to the end closes it."""

    def __iter__(self) -> "ByteStream":
        return self

    @abstractmethod
    def close(self) -> None: ...


class BlobStore(ABC):
    """Bytes under keys. A key is written by one upload, sealed, and then never changed.

    Every method raises `oci.errors.StorageFull` (507) or `oci.errors.Unavailable` (503) where the storage refuses.
    `driver` is the name in the configuration. `redirect`, when it is set, makes the addresses of `signed_url`.
    `prefix` is what the storage puts before each key.
    """

    driver: ClassVar[str]
    redirect: Callable[[str, timedelta], str] | None = None
    prefix = ""

    @staticmethod
    def new_key() -> str:
        """A key that no other upload can have; it says nothing of the content."""
        name = secrets.token_hex(16)
        return f"blobs/{name[:2]}/{name}"

    @abstractmethod
    def write(
        self,
        key: str,
        chunks: Iterable[bytes],
        *,
        offset: int,
        state: State,
        is_last: Callable[[], bool] | None = None,
    ) -> Written:
        """Write `chunks` from `offset` on and return once all of it is durable.

        `state` is what the write that ended at `offset` returned, empty for the first. `is_last` is asked after the
        last chunk: when it says that nothing will follow, a backend may put the end where nothing can be appended.
        Whatever lay behind `offset` is dropped: it was never acknowledged. Raises BytesMissing when fewer than
        `offset` bytes are there, WriterBusy while another writer is at it, and KeySealed. When the storage refuses,
        the bytes up to `offset` stay as they were.
        """

    @abstractmethod
    def seal(self, key: str, *, size: int, state: State) -> bool:
        """Make the key's `size` bytes complete, durably; sealing twice is harmless, and never changes what is sealed.

        False when so many bytes are there but the storage cannot tell whether they are those that were written, as
        after a lost answer: then their digest has to be verified. Raises BytesMissing, also for a key that is sealed
        with another size, and WriterBusy while another writer is at it.
        """

    @abstractmethod
    def open_range(self, key: str, start: int, stop: int) -> ByteStream:
        """Open bytes `start` to `stop` (exclusive) at once, and read them in pieces; raises BytesMissing."""

    def signed_url(self, key: str, *, lifetime: timedelta) -> str | None:
        """An address from which a client may fetch the key by itself; None where the storage has none."""
        return self.redirect(key, lifetime) if self.redirect else None

    @abstractmethod
    def delete(self, key: str) -> None:
        """Delete the key, sealed or not, with all that belongs to it. That it is gone already is success."""

    def delete_many(self, keys: Sequence[str]) -> dict[str, Exception]:
        """Delete keys, in few requests where the storage can; what went wrong with those that could not be."""
        failures: dict[str, Exception] = {}
        for key in keys:
            try:
                self.delete(key)
            except Exception as error:  # noqa: BLE001 - whatever it is, the other keys must be tried
                failures[key] = error
        return failures

    @abstractmethod
    def size(self, key: str, *, state: State | None = None) -> int | None:
        """The size of a key in bytes, sealed or not; None when there is none.

        `state` is that of an upload, without which a backend may not know how far it is.
        """

    @abstractmethod
    def objects(self) -> Iterator[StoredObject]:
        """List everything that is stored, in any order."""

    @abstractmethod
    def check(self) -> None:
        """Raise unless the storage can be read and written."""
