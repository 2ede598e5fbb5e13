"""Looking at a server that is at rest: by plain HTTP, in its tables and at its objects."""

import json
import time
from collections.abc import Callable, Iterable

import psycopg

from tests.soak.content import digest_of
from tests.soak.sighting import Pulled, Sighting, StoredBlob
from tests.soak.wire import Answer, Wire

# What a tag leads to: down to the children, and to what names it as its subject.
_REACHABLE = """
    WITH RECURSIVE reached(id) AS (
        SELECT t.manifest_id FROM repositories_tag t JOIN repositories_repository r ON r.id = t.repository_id
        WHERE r.deleted_at IS NULL
        UNION
        SELECT next.id FROM reached JOIN repositories_manifest here ON here.id = reached.id CROSS JOIN LATERAL (
            SELECT child_id AS id FROM repositories_manifestchild WHERE parent_id = here.id AND child_id IS NOT NULL
            UNION ALL
            SELECT id FROM repositories_manifest
            WHERE repository_id = here.repository_id AND subject_digest = here.digest
        ) next
    )"""
_UNREACHABLE = f"""{_REACHABLE}
    SELECT r.name || '@' || m.digest
    FROM repositories_manifest m JOIN repositories_repository r ON r.id = m.repository_id
    WHERE m.id NOT IN (SELECT id FROM reached)"""
_UNREFERENCED = """
    SELECT digest FROM blobs_blob b WHERE NOT EXISTS (SELECT FROM repositories_manifestblob WHERE blob_id = b.id)"""
_USAGE = """
    SELECT t.slug,
        COALESCE((SELECT size FROM blobs_teamusage WHERE team_id = t.id), 0)
            + COALESCE((SELECT SUM(size) FROM blobs_usagedelta WHERE team_id = t.id), 0),
        COALESCE((SELECT SUM(size) FROM blobs_blob WHERE id IN (
            SELECT l.blob_id FROM blobs_repositoryblob l JOIN repositories_repository r ON r.id = l.repository_id
            WHERE r.team_id = t.id)), 0)
    FROM accounts_team t"""


class Visitor:
    """Asks for tags and everything below them, each digest of a repository once."""

    def __init__(self, host: str, sighting: Sighting) -> None:
        self._wire, self._seen = Wire(host), sighting
        self._asked: set[tuple[str, str]] = set()

    def visit(self, names: Iterable[tuple[str, str]], subjects: Iterable[tuple[str, str]]) -> None:
        self._seen.begun = time.monotonic()
        for repository, tag in names:
            answer = self._ask(f"/v2/{repository}/manifests/{tag}")
            if answer.status == 200:
                self._seen.tags[repository, tag] = digest_of(answer.body)
                self._below(repository, tag, digest_of(answer.body))
            elif answer.status != 404:
                self._seen.pulls.append(Pulled(repository, tag, "the tag", answer.status, ""))
        for repository, subject in subjects:
            answer = self._ask(f"/v2/{repository}/referrers/{subject}")
            if answer.status == 200:
                listed = json.loads(answer.body)["manifests"]
                self._seen.referrers[repository, subject] = [entry["digest"] for entry in listed]
        self._seen.ended = time.monotonic()
        self._wire.close()

    def _below(self, repository: str, tag: str, digest: str, *, child: bool = False) -> None:
        answer = self._pull("manifests", repository, tag, digest, child=child)
        if answer is None or answer.status != 200:
            return
        manifest = json.loads(answer.body)
        for entry in manifest.get("manifests", []):
            self._below(repository, tag, entry["digest"], child=True)
        for entry in [*filter(None, [manifest.get("config")]), *manifest.get("layers", [])]:
            self._pull("blobs", repository, tag, entry["digest"])

    def _pull(self, what: str, repository: str, tag: str, digest: str, *, child: bool = False) -> Answer | None:
        if (repository, digest) in self._asked:
            return None
        self._asked.add((repository, digest))
        answer = self._ask(f"/v2/{repository}/{what}/{digest}")
        found = digest_of(answer.body) if answer.status == 200 else ""
        self._seen.pulls.append(Pulled(repository, tag, digest, answer.status, found, child))
        return answer

    def _ask(self, path: str) -> Answer:
        for _ in range(5):
            answer = self._wire.send("GET", path)
            if answer is not None:
                return answer
        return Answer(0, {}, b"")


def look_at_rows(url: str, sighting: Sighting) -> None:
    with psycopg.connect(url) as connection:

        def texts(statement: str) -> list[str]:
            return [str(row[0]) for row in connection.execute(statement.encode())]

        blobs = connection.execute("SELECT storage_key, digest, size FROM blobs_blob")
        sighting.blobs = [StoredBlob(*row) for row in blobs]
        sighting.uploads = texts("SELECT storage_key FROM blobs_uploadsession WHERE storage_key IS NOT NULL")
        sighting.outbox = texts("SELECT storage_key FROM blobs_storagedeletion")
        sighting.unreachable_manifests = texts(_UNREACHABLE)
        sighting.unreferenced_blobs = texts(_UNREFERENCED)
        sighting.usage = {row[0]: (int(row[1]), int(row[2])) for row in connection.execute(_USAGE.encode())}
        total = texts("SELECT COALESCE(SUM(bytes), 0) FROM gc_collection_collectionrun WHERE kind = 'blob'")
        sighting.collected_bytes = int(total[0])


def look_at_objects(objects: dict[str, Callable[[], bytes]], parts: list[str], sighting: Sighting) -> None:
    for key, read in objects.items():
        stored = read()
        sighting.objects[key] = (len(stored), digest_of(stored))
    sighting.parts = parts
