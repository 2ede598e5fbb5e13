"""What the registry asks of a storage for blobs."""

import secrets
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from oci.errors import OCIError

READ_SIZE = 256 * 1024


class BytesMissing(OCIError):
    """The storage lost bytes that the database names, or an upload's bytes end before its offset."""

    code, status, message = "UNKNOWN", 500, "the registry has lost the bytes of this content"


class WriterBusy(Exception):
    """Another writer holds the key."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """A key that the storage holds; `size` in bytes. `complete` is False while an upload writes to it."""

    key: str
    size: int
    complete: bool


class BlobStore(ABC):
    """Bytes under keys. A key is written by one upload, sealed, and then never changed.

    Every method raises `oci.errors.StorageFull` (507) or `oci.errors.Unavailable` (503) where the storage refuses.
    """

    @staticmethod
    def new_key() -> str:
        """A key that no other upload can have; it says nothing of the content."""
        name = secrets.token_hex(16)
        return f"blobs/{name[:2]}/{name}"

    @abstractmethod
    def write(self, key: str, chunks: Iterable[bytes], *, offset: int) -> int:
        """Write `chunks` from `offset` on and return the new size, once all of it is durable.

        Whatever lay behind `offset` is dropped: it was never acknowledged. Raises BytesMissing when fewer than
        `offset` bytes are there and WriterBusy while another writer is at it. When the storage refuses, the bytes
        up to `offset` stay as they were.
        """

    @abstractmethod
    def seal(self, key: str) -> None:
        """Make the key's bytes complete, durably. Sealing twice is harmless."""

    @abstractmethod
    def open_range(self, key: str, start: int, stop: int) -> Iterator[bytes]:
        """Open bytes `start` to `stop` (exclusive) at once, and read them in pieces; raises BytesMissing."""

    @abstractmethod
    def read_unsealed(self, key: str) -> Iterator[bytes]:
        """Read what an upload has written so far, to hash it again."""

    @abstractmethod
    def signed_url(self, key: str, *, lifetime: timedelta) -> str | None:
        """An address from which a client may fetch the key by itself; None where the storage has none."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Delete the key, sealed or not. That it is gone already is success."""

    @abstractmethod
    def size(self, key: str) -> int | None:
        """The size of a key in bytes, sealed or not; None when there is none."""

    @abstractmethod
    def objects(self) -> Iterator[StoredObject]:
        """List everything that is stored, in any order."""

    @abstractmethod
    def check(self) -> None:
        """Raise unless the storage can be read and written."""
