"""Two requests that write to one upload session."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from tests.factories import digest_of
from tests.live.client import codes, random_bytes
from tests.live.inspection import is_written, session_row, stored_files, wait_until
from tests.raw_http import head

SIZE = 500_000
ROUNDS = 10


def test_a_second_chunk_is_refused_while_the_first_still_arrives(server, client, name):
    content, other = random_bytes(SIZE), random_bytes(SIZE)
    location = client.start_upload(name)
    with client.raw() as connection:
        connection.send(head("PATCH", location, {"Content-Length": str(SIZE)}), content[:1000])
        wait_until(lambda: is_written(server, location), "the first chunk's request began")
        # Its body may stay unread: the connection is not for the next request.
        refused = client.patch(location, other, Connection="close")
        assert refused.status_code == 409
        assert codes(refused) == ["BLOB_UPLOAD_INVALID"]
        assert "Retry-After" in refused.headers
        too_early = client.complete(location, digest_of(content))
        assert too_early.status_code == 409
        connection.send(content[1000:])
        assert connection.read_answer("PATCH").status == 202
    assert client.complete(location, digest_of(content)).status_code == 201
    assert client.pull_blob(name, digest_of(content)) == content


def test_of_two_chunks_at_once_one_is_written(server, client, name):
    for _ in range(ROUNDS):
        contents = [random_bytes(SIZE), random_bytes(SIZE)]
        location = client.start_upload(name)
        together = Barrier(2)

        def patch(content: bytes, location=location, together=together):
            together.wait(30)
            return client.patch(location, content, Content_Range=f"0-{SIZE - 1}", Connection="close")

        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(patch, contents))
        statuses = sorted(answer.status_code for answer in answers)
        assert statuses in ([202, 409], [202, 416])
        for answer in answers:
            if answer.status_code == 409:
                assert codes(answer) == ["BLOB_UPLOAD_INVALID"]
        (winner,) = [content for content, answer in zip(contents, answers, strict=True) if answer.status_code == 202]
        key, offset, _ = session_row(server, location)
        assert offset == SIZE
        assert stored_files(server)[key].read_bytes() == winner
        assert client.complete(location, digest_of(winner)).status_code == 201


def test_a_repeated_completion_succeeds_again(client, name):
    content = random_bytes(1000)
    location = client.start_upload(name)
    for _ in range(3):
        assert client.complete(location, digest_of(content), content).status_code == 201
