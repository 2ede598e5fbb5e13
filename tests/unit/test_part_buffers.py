"""Memory for parts: what goes in comes out, and no more of it than was allowed."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blobs.storage import part_buffers
from blobs.storage.part_buffers import FREE, PartBuffer, Rooms
from oci.errors import Unavailable

CAPACITY = 3 * FREE
PIECE = bytes(range(256)) * (FREE // 256)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(part_buffers, "WAIT_SECONDS", 0.01)


def fill(part, content, capacity=CAPACITY):
    """The parts that became full."""
    full, rest = [], memoryview(content)
    while rest:
        rest = part.take(rest, capacity)
        if part.size == capacity:
            full.append(bytes(part.content()))
            part.clear()
    return full


@given(st.lists(st.integers(0, 2 * CAPACITY), max_size=8), st.integers(0, 255))
def test_parts_are_the_content_cut_at_their_capacity(sizes, seed):
    content, parts = bytearray(), []
    with PartBuffer(Rooms(1)) as part:
        for number, size in enumerate(sizes):
            chunk = bytes([(seed + number) % 256]) * size
            content += chunk
            parts += fill(part, chunk)
        parts.append(bytes(part.content()))
    assert b"".join(parts) == content
    assert {len(full) for full in parts[:-1]} <= {CAPACITY}


def test_part_grows_into_a_larger_one_between_two():
    with PartBuffer(Rooms(1)) as part:
        assert fill(part, PIECE * 3) == [PIECE * 3]
        assert fill(part, PIECE * 6, 2 * CAPACITY) == [PIECE * 6]
        fill(part, b"end", 2 * CAPACITY)
        assert part.content() == b"end"


def test_small_content_needs_no_room():
    rooms = Rooms(1)
    with rooms.one(), PartBuffer(rooms) as part:
        fill(part, PIECE)
        with pytest.raises(Unavailable) as caught:
            fill(part, b"one byte more")
        assert (caught.value.status, caught.value.headers["Retry-After"]) == (503, "5")
        assert part.content() == PIECE


def break_off(rooms):
    with PartBuffer(rooms) as part:
        fill(part, PIECE * 4)
        raise ZeroDivisionError


def test_room_is_free_again_after_the_part_whether_it_went_well_or_not():
    rooms = Rooms(1)
    for _ in range(3):
        with PartBuffer(rooms) as part:
            fill(part, PIECE * 2)
        with pytest.raises(ZeroDivisionError):
            break_off(rooms)


def test_there_are_never_more_parts_than_rooms_and_everybody_gets_one(monkeypatch):
    monkeypatch.setattr(part_buffers, "WAIT_SECONDS", 60)
    rooms, lock, held, most = Rooms(3), threading.Lock(), [], []

    def upload():
        with PartBuffer(rooms) as part:
            fill(part, PIECE * 2)
            with lock:
                held.append(part)
                most.append(len(held))
            threading.Event().wait(0.005)
            with lock:
                held.remove(part)

    threads = [threading.Thread(target=upload) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(most) == 20
    assert max(most) <= 3
