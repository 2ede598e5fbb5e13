"""Power cuts, as far as a process can feel them: kill -9 of everything in the middle of pushes."""

import json
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event, Lock

import httpx
import pytest

from tests.factories import digest_of
from tests.live.client import Client, image_payload, in_pieces
from tests.live.conftest import QUICK
from tests.live.inspection import assert_check_finds_nothing, wait_until
from tests.live_server import live_server

SEED = 20_240_229
ROUNDS = 8
PUSHERS = 4
LARGEST = 500_000


@dataclass
class Journal:
    """What the registry said it had stored, from the mouth of those who heard it."""

    blobs: set[tuple[str, str]] = field(default_factory=set)
    manifests: set[tuple[str, str]] = field(default_factory=set)
    tags: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    acknowledged: int = 0
    lock: Lock = field(default_factory=Lock)

    def blob(self, name: str, digest: str) -> None:
        with self.lock:
            self.blobs.add((name, digest))
            self.acknowledged += 1

    def manifest(self, name: str, digest: str) -> None:
        with self.lock:
            self.manifests.add((name, digest))
            self.acknowledged += 1

    def attempt_tag(self, name: str, tag: str, digest: str) -> None:
        """From now on until the answer, the tag may be either."""
        with self.lock:
            self.tags.setdefault((name, tag), set()).add(digest)

    def settle_tag(self, name: str, tag: str, digest: str) -> None:
        with self.lock:
            self.tags[name, tag] = {digest}


def push_until_the_end(client: Client, journal: Journal, name: str, choice: random.Random, ended: Event) -> None:
    while not ended.is_set():
        try:
            push_image(client, journal, name, choice)
        except (httpx.TransportError, AssertionError):
            # What was cut off is unknown; an answer that is no success must come from a dying server.
            assert ended.wait(10), "the registry failed while it was alive"


def push_image(client: Client, journal: Journal, name: str, choice: random.Random) -> None:
    layers = [choice.randbytes(choice.randrange(1, LARGEST)) for _ in range(choice.randrange(1, 4))]
    for content in (b"{}", *layers):
        digest = push_blob(client, name, content, choice)
        journal.blob(name, digest)
    payload = image_payload(*layers)
    digest, tag = digest_of(payload), f"v{choice.randrange(3)}"
    journal.attempt_tag(name, tag, digest)
    answer = client.put_manifest(name, tag, payload)
    assert answer.status_code == 201, answer.text
    journal.manifest(name, digest)
    journal.settle_tag(name, tag, digest)


def push_blob(client: Client, name: str, content: bytes, choice: random.Random) -> str:
    digest = digest_of(content)
    form = choice.randrange(4)
    if form == 0:
        answer = client.request("POST", f"{name}/blobs/uploads/", params={"digest": digest}, content=content)
    else:
        location, middle = client.start_upload(name), len(content) // 2
        if form == 1:
            answer = client.complete(location, digest, content)
        elif form == 2:
            assert client.patch(location, in_pieces(content)).status_code == 202
            answer = client.complete(location, digest)
        else:
            assert client.patch(location, content[:middle]).status_code == 202
            answer = client.complete(location, digest, content[middle:])
    assert answer.status_code == 201, answer.text
    return digest


def assert_everything_is_there(client: Client, journal: Journal) -> None:
    for name, digest in journal.blobs:
        assert digest_of(client.pull_blob(name, digest)) == digest
    for name, digest in journal.manifests:
        answer = client.request("GET", f"{name}/manifests/{digest}")
        assert answer.status_code == 200, (name, digest)
        assert digest_of(answer.content) == digest
        for layer in json.loads(answer.content)["layers"]:
            assert client.has_blob(name, layer["digest"])
    for (name, tag), possible in journal.tags.items():
        answer = client.request("HEAD", f"{name}/manifests/{tag}")
        if answer.status_code == 404:
            assert not any((name, digest) in journal.manifests for digest in possible)
        else:
            assert answer.headers["Docker-Content-Digest"] in possible


@pytest.mark.timeout(600)
def test_what_was_acknowledged_survives_kill_9(database, name):
    choice = random.Random(SEED)
    journal = Journal()
    with live_server(database=database, environ=QUICK) as server:
        for round_number in range(ROUNDS):
            ended = Event()
            with Client(server) as client, ThreadPoolExecutor(PUSHERS) as pool:
                pushers = [
                    pool.submit(
                        push_until_the_end, client, journal, f"{name}-{pusher}", random.Random(choice.random()), ended
                    )
                    for pusher in range(PUSHERS)
                ]
                goal = journal.acknowledged + choice.randrange(1, 40)
                # Others go on pushing: what is cut off differs each time.
                wait_until(lambda goal=goal: journal.acknowledged >= goal, "pushes are acknowledged")
                server.kill()
                ended.set()
                for pusher in pushers:
                    pusher.result()
            server.start()
            if round_number in {ROUNDS // 2, ROUNDS - 1}:
                assert_check_finds_nothing(server)
        with Client(server) as client:
            assert_everything_is_there(client, journal)
    assert len(journal.manifests) > 0
