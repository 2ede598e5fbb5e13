"""Memory for the parts of uploads to an object store: bounded for the process, however many come at once."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache

from django.conf import settings

from oci.errors import Unavailable

# What an upload may hold without asking for room: most blobs of most images need no more.
FREE = 1024 * 1024
# Shorter than the claim on an upload holds without a heartbeat (blobs.claims).
WAIT_SECONDS = 15.0


class Rooms:
    """Room for so many parts in this process.

    Who waits for room holds none, and who holds it waits only for its own client and the store: nobody waits in a
    circle. A wait that takes too long ends as Unavailable.
    """

    def __init__(self, parts: int) -> None:
        self._free = threading.BoundedSemaphore(parts)

    @contextmanager
    def one(self) -> Iterator[None]:
        if not self._free.acquire(timeout=WAIT_SECONDS):
            raise Unavailable({"reason": "too many uploads at once; web.uploadparts is the limit"})
        try:
            yield
        finally:
            self._free.release()


@cache
def get_rooms() -> Rooms:
    return Rooms(settings.UPLOAD_PARTS)


class PartBuffer:
    """Collects the bytes of one part after the other.

    It grows while it is small. Then it has room, gets the size of a part at once and keeps it: of parts that grow and
    are freed one by one, the allocator keeps more than is in use.
    """

    def __init__(self, rooms: Rooms) -> None:
        self.size = 0
        self._content = bytearray()
        self._rooms = rooms
        self._held = ExitStack()
        self._has_room = False

    def __enter__(self) -> "PartBuffer":
        return self

    def __exit__(self, *_: object) -> None:
        self._content = bytearray()
        self._held.close()

    def take(self, chunk: memoryview, capacity: int) -> memoryview:
        """Add what fits into a part of `capacity` bytes; the rest of the chunk."""
        end = min(self.size + len(chunk), capacity)
        taken = end - self.size
        if end > FREE and len(self._content) < capacity:
            self._enlarge(capacity)
        if len(self._content) < end:
            self._content += chunk[:taken]
        else:
            self._content[self.size : end] = chunk[:taken]
        self.size = end
        return chunk[taken:]

    def content(self) -> bytearray:
        """The part so far; good until the next call."""
        del self._content[self.size :]
        return self._content

    def clear(self) -> None:
        self.size = 0

    def _enlarge(self, capacity: int) -> None:
        if not self._has_room:
            self._held.enter_context(self._rooms.one())
            self._has_room = True
        kept = bytes(self._content[: self.size])
        self._content = bytearray()
        self._content = bytearray(capacity)
        self._content[: self.size] = kept
