"""Many clients that push the same blob at once."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from tests.factories import digest_of
from tests.live.client import random_bytes
from tests.live.inspection import (
    assert_every_byte_is_named_once,
    rows,
    stored_files,
    wait_until_drained,
)

PUSHES = 64


def test_64_parallel_pushes_of_one_blob_leave_one_object(server, client, name):
    content = random_bytes(300_000)
    digest = digest_of(content)
    together = Barrier(PUSHES)

    def push(number: int) -> int:
        repository = f"{name}-{number % 4}"
        location = client.start_upload(repository)
        if number % 2:
            assert client.patch(location, content[:100_000]).status_code == 202
            rest = content[100_000:]
        else:
            rest = content
        together.wait(60)
        return client.complete(location, digest, rest).status_code

    with ThreadPoolExecutor(PUSHES) as pool:
        statuses = list(pool.map(push, range(PUSHES)))
    assert statuses == [201] * PUSHES
    ((key, size),) = rows(server, "SELECT storage_key, size FROM blobs_blob WHERE digest = %s", digest)
    assert size == len(content)
    wait_until_drained(server)
    files = stored_files(server)
    same = [found for found, path in files.items() if path.stat().st_size == size and path.read_bytes() == content]
    assert same == [key]
    assert_every_byte_is_named_once(server)
    for number in range(4):
        assert client.pull_blob(f"{name}-{number}", digest) == content
