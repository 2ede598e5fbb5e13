"""What every storage for blobs has to do. Another backend is one more entry in BACKENDS."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import chain, repeat

import pytest

from blobs.storage import BytesMissing, KeySealed, WriterBusy
from blobs.storage.base import READ_SIZE
from blobs.storage.local import LocalBlobStore
from tests.object_stores import make_object_store

BACKENDS = {
    "local": lambda request: LocalBlobStore(request.getfixturevalue("tmp_path") / "root"),
    "s3": lambda request: make_object_store(request.getfixturevalue("s3_service")),
    "gcs": lambda request: make_object_store(request.getfixturevalue("gcs_service")),
    "azure": lambda request: make_object_store(request.getfixturevalue("azure_service")),
}
CONTENT = bytes(range(256)) * 1000


@pytest.fixture(params=BACKENDS)
def store(request):
    return BACKENDS[request.param](request)


@pytest.fixture
def local_only(store):
    """For what only files promise; object stores say in docs/storage.md what they do instead."""
    if not isinstance(store, LocalBlobStore):
        pytest.skip("an object store keeps no writer out and shows small uploads before they are sealed")


@pytest.fixture
def key(store):
    return store.new_key()


class Upload:
    """Writes as upload sessions do: what one write returned goes into the next, and sealed keys are left."""

    def __init__(self, store, key):
        self.store, self.key = store, key
        self.size, self.state = 0, {}

    def write(self, *chunks, offset=None):
        return self.feed(iter(chunks), offset)

    def feed(self, chunks, offset=None):
        start = self.size if offset is None else offset
        try:
            written = self.store.write(self.key, chunks, offset=start, state=self.state)
        except KeySealed as sealed:
            kept = self.store.open_range(self.key, 0, start)
            key = self.store.new_key()
            written = self.store.write(key, chain(kept, sealed.pending, chunks), offset=0, state={})
            self.key = key
        self.size, self.state = written.size, written.state
        return self

    def seal(self):
        self.store.seal(self.key, size=self.size, state=self.state)
        return self

    @property
    def row(self):
        """What the database keeps of it."""
        return self.key, self.size, self.state

    @row.setter
    def row(self, values):
        self.key, self.size, self.state = values


@pytest.fixture
def upload(store, key):
    return Upload(store, key)


def read(store, key, start=0, stop=None):
    return b"".join(store.open_range(key, start, store.size(key) if stop is None else stop))


def listed(store):
    return {item.key: (item.size, item.complete) for item in store.objects()}


def test_what_is_written_and_sealed_can_be_read(store, upload):
    assert upload.write(CONTENT[:7], CONTENT[7:]).size == len(CONTENT)
    upload.seal()
    assert (read(store, upload.key), store.size(upload.key)) == (CONTENT, len(CONTENT))


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_chunks_may_be_any_bytes(store, upload, kind):
    upload.write(kind(b"abc")).seal()
    assert read(store, upload.key) == b"abc"


def test_appends_behind_the_offset(store, upload):
    for start in range(0, 1000, 100):
        assert upload.write(CONTENT[start : start + 100]).size == start + 100
    upload.seal()
    assert read(store, upload.key) == CONTENT[:1000]


def test_drops_what_lay_behind_the_offset(store, upload):
    upload.write(b"acknowledged")
    row = upload.row
    upload.write(b"never acknowledged and long")
    upload.row = row
    upload.write(b"!").seal()
    assert read(store, upload.key) == b"acknowledged!"


def test_begins_again_at_zero(store, upload):
    upload.write(b"first try, and longer")
    upload.state, upload.size = {}, 0
    upload.write(b"second").seal()
    assert read(store, upload.key) == b"second"


def test_seal_leaves_out_what_was_never_acknowledged(store, upload):
    upload.write(b"acknowledged")
    row = upload.row
    upload.write(b" and not")
    upload.row = row
    upload.seal()
    assert (store.size(upload.key), read(store, upload.key)) == (12, b"acknowledged")


def test_empty_content_is_content(store, upload):
    assert upload.write().size == 0
    upload.seal()
    assert (store.size(upload.key), read(store, upload.key)) == (0, b"")
    assert listed(store) == {upload.key: (0, True)}


def test_empty_chunks_change_nothing(store, upload):
    upload.write(b"", b"a", b"", b"b").write(b"").seal()
    assert read(store, upload.key) == b"ab"


def test_offset_behind_the_end_is_refused(store, upload):
    upload.write(b"abc")
    with pytest.raises(BytesMissing):
        upload.write(b"d", offset=4)
    assert upload.write(b"d").size == 4


def test_sealing_nothing_is_refused(store, upload):
    with pytest.raises(BytesMissing):
        upload.seal()
    assert listed(store) == {}


def test_sealing_more_than_is_there_is_refused(store, upload):
    upload.write(b"abc")
    upload.size = 4
    with pytest.raises(BytesMissing):
        upload.seal()


def test_sealing_twice_is_harmless(store, upload):
    upload.write(b"abc").seal()
    upload.seal()
    assert read(store, upload.key) == b"abc"


@pytest.mark.parametrize("size", [0, 3, len(CONTENT) - 1, len(CONTENT) + 1])
def test_what_is_sealed_with_another_size_is_refused_and_stays(store, upload, size):
    upload.write(CONTENT).seal()
    with pytest.raises(BytesMissing):
        store.seal(upload.key, size=size, state=upload.state)
    assert read(store, upload.key) == CONTENT
    assert listed(store) == {upload.key: (len(CONTENT), True)}


def test_session_that_missed_its_end_cannot_cut_what_was_sealed(store, upload):
    """The request that wrote the end sealed it too, and then its transaction failed: the row knows only the first."""
    upload.write(*repeat(CONTENT, 24))
    row = upload.row
    upload.write(*repeat(CONTENT, 24)).seal()
    sealed = upload.key
    upload.row = row
    with pytest.raises(BytesMissing):
        upload.seal()
    assert (upload.key, read(store, sealed)) == (sealed, CONTENT * 48)


def test_sealing_after_the_bytes_are_gone_is_refused(store, upload):
    upload.write(b"abc").seal()
    store.delete(upload.key)
    with pytest.raises(BytesMissing):
        upload.seal()


@pytest.mark.parametrize(("start", "stop"), [(0, 0), (0, 1), (5, 6), (0, 256_000), (255_999, 256_000), (100, 200_100)])
def test_reads_exactly_the_range(store, upload, start, stop):
    upload.write(CONTENT).seal()
    assert read(store, upload.key, start, stop) == CONTENT[start:stop]


def test_reads_in_pieces_that_memory_does_not_notice(store, upload):
    upload.write(*repeat(CONTENT, 8)).seal()
    pieces = list(store.open_range(upload.key, 0, len(CONTENT) * 8))
    assert max(map(len, pieces)) <= READ_SIZE * 4
    assert b"".join(pieces) == CONTENT * 8


def test_range_behind_the_end_raises_where_the_bytes_stop(store, upload):
    upload.write(b"abc").seal()
    with pytest.raises(BytesMissing):
        read(store, upload.key, 0, 10)


def test_reading_what_is_not_there_raises_before_the_first_piece(store, key):
    with pytest.raises(BytesMissing):
        store.open_range(key, 0, 1)


@pytest.mark.usefixtures("local_only")
def test_reading_what_is_not_sealed_raises(store, upload):
    upload.write(b"abc")
    with pytest.raises(BytesMissing):
        store.open_range(upload.key, 0, 3)


def test_answer_that_is_given_up_can_be_closed(store, upload):
    upload.write(*repeat(CONTENT, 8)).seal()
    stream = store.open_range(upload.key, 0, len(CONTENT) * 8)
    first = next(iter(stream))
    assert first
    assert (CONTENT * 8).startswith(first)
    stream.close()
    stream.close()


def test_deleted_while_it_is_read(store, upload):
    upload.write(b"abc").seal()
    stream = store.open_range(upload.key, 0, 3)
    store.delete(upload.key)
    # Whole or broken, but never something else.
    try:
        assert b"".join(stream) == b"abc"
    except BytesMissing:
        pass
    finally:
        stream.close()


@pytest.mark.parametrize("sealed", [True, False])
def test_delete_takes_all_away(store, upload, sealed):
    upload.write(b"abc")
    if sealed:
        upload.seal()
    store.delete(upload.key)
    assert store.size(upload.key) is None
    assert listed(store) == {}
    store.delete(upload.key)


def test_delete_of_what_never_was_is_success(store, key):
    store.delete(key)


def test_size_of_an_upload_and_of_nothing(store, upload):
    assert store.size(upload.key) is None
    upload.write(b"abc")
    assert store.size(upload.key, state=upload.state) == 3


@pytest.mark.usefixtures("local_only")
def test_lists_what_is_complete_and_what_is_not(store):
    done, open_ = Upload(store, store.new_key()).write(b"abc").seal(), Upload(store, store.new_key()).write(b"de")
    found = listed(store)
    assert found[done.key] == (3, True)
    assert found[open_.key][1] is False
    assert len(found) == 2


def test_lists_nothing_before_anything_was_written(store):
    assert listed(store) == {}


def test_lists_many(store):
    keys = {Upload(store, store.new_key()).write(b"x").seal().key for _ in range(50)}
    assert set(listed(store)) == keys


@pytest.mark.usefixtures("local_only")
def test_two_writers_of_one_key_do_not_mix(store, key):
    refused = []

    def chunks():
        yield b"one"
        try:
            store.write(key, [b"INTRUDER"], offset=0, state={})
        except WriterBusy as error:
            refused.append(error)
        yield b"two"

    written = store.write(key, chunks(), offset=0, state={})
    assert len(refused) == 1
    store.seal(key, size=written.size, state=written.state)
    assert read(store, key) == b"onetwo"


@pytest.mark.usefixtures("local_only")
def test_nothing_is_sealed_under_a_writer(store, key):
    sealed = []

    def chunks():
        for chunk in (b"t", b"wo"):
            with suppress(WriterBusy):
                store.seal(key, size=3, state={})
                sealed.append(chunk)
            yield chunk

    store.write(key, [b"one"], offset=0, state={})
    store.write(key, chunks(), offset=3, state={})
    assert sealed == []
    store.seal(key, size=6, state={})
    assert read(store, key) == b"onetwo"


def test_writer_that_is_done_or_failed_leaves_the_key_to_the_next(store, upload):
    def broken():
        yield b"x" * 100
        raise ZeroDivisionError

    upload.write(b"abc")
    with pytest.raises(ZeroDivisionError):
        upload.feed(broken())
    upload.write(b"def").seal()
    assert read(store, upload.key) == b"abcdef"


def test_writers_of_different_keys_do_not_disturb_each_other(store):
    barrier = threading.Barrier(16)

    def work(number):
        content = bytes([number]) * 50_000
        own = Upload(store, store.new_key())
        barrier.wait(30)
        for start in range(0, 50_000, 10_000):
            own.write(content[start : start + 10_000])
        return own.seal().key, content

    with ThreadPoolExecutor(16) as pool:
        results = dict(pool.map(work, range(16)))
    assert {key: read(store, key) for key in results} == results
    assert len(results) == 16


def test_content_larger_than_any_buffer(store, upload):
    pieces = [bytes([number]) * 300_000 for number in range(60)]
    assert upload.write(*pieces[:30]).write(*pieces[30:]).size == 18_000_000
    upload.seal()
    stream = store.open_range(upload.key, 0, 18_000_000)
    assert b"".join(stream) == b"".join(pieces)


@pytest.mark.parametrize("key", ["../outside", "blobs/../../outside", "/etc/lading-test", "..", "blobs/x/../../.."])
def test_key_that_leaves_the_root_is_refused(store, key):
    for call in (
        lambda: store.write(key, [b"x"], offset=0, state={}),
        lambda: store.seal(key, size=1, state={}),
        lambda: store.open_range(key, 0, 1),
        lambda: store.delete(key),
        lambda: store.size(key),
    ):
        with pytest.raises(ValueError, match="leaves the root"):
            call()


def test_new_keys_never_repeat(store):
    assert len({store.new_key() for _ in range(1000)}) == 1000


def test_check_of_a_storage_that_works(store):
    store.check()
    assert listed(store) == {}


def test_content_comes_in_one_pass(store, key):
    """The chunks are an iterator that is read once, to its end."""
    source = chain([b"a"], iter([b"b", b"c"]))
    store.write(key, source, offset=0, state={})
    assert next(source, None) is None


def test_lists_tell_when_an_object_was_written(store, upload):
    before = datetime.now(UTC) - timedelta(seconds=5)
    upload.write(CONTENT)
    (unsealed,) = {item.changed_at for item in store.objects()}
    upload.seal()
    (sealed,) = {item.changed_at for item in store.objects()}
    for moment in (unsealed, sealed):
        assert before < moment < datetime.now(UTC) + timedelta(seconds=5)
