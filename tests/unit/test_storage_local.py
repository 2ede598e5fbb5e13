"""Local files when the disk refuses, and what is synced before anything is acknowledged."""

import errno
import os
from pathlib import Path

import pytest

from blobs.storage import BytesMissing, KeySealed
from blobs.storage.local import LocalBlobStore
from oci.errors import StorageFull, Unavailable

CONTENT = b"acknowledged"


@pytest.fixture
def store(tmp_path):
    return LocalBlobStore(tmp_path / "root")


@pytest.fixture
def key(store):
    """A key with bytes that were acknowledged."""
    key = store.new_key()
    store.write(key, [CONTENT], offset=0, state={})
    return key


def content(store, key):
    store.seal(key, size=len(CONTENT), state={})
    return b"".join(store.open_range(key, 0, store.size(key)))


def refuse_write_after(monkeypatch, number, after):
    """os.write takes `after` bytes in all, in part writes, and then raises."""
    real, left = os.write, [after]

    def write(descriptor, data):
        if not left[0]:
            raise OSError(number, os.strerror(number))
        taken = real(descriptor, bytes(data[: left[0]]))
        left[0] -= taken
        return taken

    monkeypatch.setattr(os, "write", write)


REFUSALS = [
    (errno.ENOSPC, StorageFull, 507),
    (errno.EDQUOT, StorageFull, 507),
    (errno.EFBIG, StorageFull, 507),
    (errno.EIO, Unavailable, 503),
    (errno.EROFS, Unavailable, 503),
]


@pytest.mark.parametrize(("number", "condition", "status"), REFUSALS)
@pytest.mark.parametrize("after", [0, 1, 70_000])
def test_refused_write_leaves_what_was_acknowledged(store, key, monkeypatch, number, condition, status, after):
    refuse_write_after(monkeypatch, number, after)
    with pytest.raises(condition) as caught:
        store.write(key, [b"x" * 50_000, b"y" * 50_000], offset=len(CONTENT), state={})
    monkeypatch.undo()
    assert caught.value.status == status
    assert str(store._root) not in str(caught.value.detail)
    assert store.size(key) == len(CONTENT)
    assert content(store, key) == CONTENT


def test_upload_goes_on_once_there_is_space(store, key, monkeypatch):
    refuse_write_after(monkeypatch, errno.ENOSPC, 5)
    with pytest.raises(StorageFull):
        store.write(key, [b"and more"], offset=len(CONTENT), state={})
    monkeypatch.undo()
    written = store.write(key, [b"!"], offset=len(CONTENT), state={})
    store.seal(key, size=written.size, state=written.state)
    assert b"".join(store.open_range(key, 0, written.size)) == CONTENT + b"!"


def test_part_writes_are_finished(store, monkeypatch):
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, bytes(data[:7])))
    key = store.new_key()
    written = store.write(key, [b"0123456789" * 10], offset=0, state={})
    monkeypatch.undo()
    store.seal(key, size=written.size, state=written.state)
    assert b"".join(store.open_range(key, 0, 100)) == b"0123456789" * 10


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_failed_sync_is_a_refusal_and_not_repeated(store, key, monkeypatch, number):
    calls = []

    def fsync(_descriptor):
        calls.append(number)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises((StorageFull, Unavailable)):
        store.write(key, [b"more"], offset=len(CONTENT), state={})
    monkeypatch.undo()
    assert len(calls) == 1
    assert store.size(key) == len(CONTENT)


def test_seal_whose_folder_cannot_be_synced_is_a_refusal_and_can_be_repeated(store, key, monkeypatch):
    def fsync(_descriptor):
        raise OSError(errno.EIO, "error")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(Unavailable):
        store.seal(key, size=len(CONTENT), state={})
    monkeypatch.undo()
    assert content(store, key) == CONTENT


def test_bytes_their_name_and_every_new_folder_are_synced(store, tmp_path, monkeypatch):
    synced, real = [], os.fsync

    def fsync(descriptor):
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    key = store.new_key()
    path = tmp_path / "root" / key
    store.write(key, [CONTENT], offset=0, state={})
    assert set(synced) >= {str(tmp_path), str(tmp_path / "root"), str(tmp_path / "root/blobs"), f"{path}.partial"}
    assert synced[-1] == f"{path}.partial"
    synced.clear()
    store.seal(key, size=len(CONTENT), state={})
    assert synced == [str(path.parent)]


def test_sealed_bytes_are_never_written_again(store, key):
    """They may be a blob by now; who still has to write goes on under another key."""
    store.seal(key, size=len(CONTENT), state={})
    for offset in (0, len(CONTENT)):
        with pytest.raises(KeySealed):
            store.write(key, [b"!"], offset=offset, state={})
    assert b"".join(store.open_range(key, 0, len(CONTENT))) == CONTENT


def test_partial_file_beside_sealed_bytes_never_replaces_them(store, key, tmp_path):
    """A writer that came between the sealing's rename and its own look leaves one."""
    store.seal(key, size=len(CONTENT), state={})
    (tmp_path / "root" / f"{key}.partial").write_bytes(b"x" * len(CONTENT))
    store.seal(key, size=len(CONTENT), state={})
    assert b"".join(store.open_range(key, 0, len(CONTENT))) == CONTENT
    store.delete(key)
    assert list(store.objects()) == []


def test_file_cut_short_behind_our_back_raises_at_the_end(store, key, tmp_path):
    store.seal(key, size=len(CONTENT), state={})
    os.truncate(tmp_path / "root" / key, 4)
    stream = store.open_range(key, 0, len(CONTENT))
    assert next(stream) == CONTENT[:4]
    with pytest.raises(BytesMissing):
        next(stream)


def test_unwritable_root_is_found_by_the_check(tmp_path):
    (tmp_path / "root").write_text("a file where a folder should be")
    with pytest.raises(Unavailable):
        LocalBlobStore(tmp_path / "root").check()


@pytest.mark.parametrize("operation", ["open", "delete", "size"])
def test_disk_error_outside_of_writing_is_a_refusal_too(store, key, monkeypatch, operation):
    store.seal(key, size=len(CONTENT), state={})

    def fail(*_args, **_kwargs):
        raise OSError(errno.EIO, "error")

    monkeypatch.setattr(
        {"open": "os.open", "delete": "pathlib.Path.unlink", "size": "pathlib.Path.stat"}[operation], fail
    )
    calls = {
        "open": lambda: store.open_range(key, 0, 1),
        "delete": lambda: store.delete(key),
        "size": lambda: store.size(key),
    }
    with pytest.raises(Unavailable):
        calls[operation]()


def test_files_are_not_for_everybody(store, key, tmp_path):
    store.seal(key, size=len(CONTENT), state={})
    assert (tmp_path / "root" / key).stat().st_mode & 0o007 == 0


def test_leftovers_of_other_programs_are_listed_for_the_check(store, key, tmp_path):
    (tmp_path / "root/blobs/stray").write_bytes(b"stray")
    assert {item.key for item in store.objects()} == {key, "blobs/stray"}


def test_file_ends_where_the_last_write_ended(store, key):
    """Space that an unacknowledged chunk took is free again before the upload is sealed."""
    store.write(key, [b"x" * 1000], offset=len(CONTENT), state={})
    written = store.write(key, [b"!"], offset=len(CONTENT), state={})
    assert store.size(key, state=written.state) == len(CONTENT) + 1
