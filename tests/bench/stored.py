"""A large registry as rows alone, made by the database itself: images of five blobs each, of which some are garbage."""

from dataclasses import dataclass

import psycopg

BLOBS_PER_MANIFEST = 5
MANIFESTS_PER_REPOSITORY = 100
_TEAMS = 50
_BATCH = 20_000  # manifests

# Foreign keys hold by construction, and to check them would take longer than to write the rows.
_WITHOUT_CHECKS = "SET session_replication_role = replica"
_LONG_AGO = "now() - interval '60 days'"

_TEAM = f"""
INSERT INTO accounts_team (id, slug, visibility, created_at)
SELECT 1000 + n, 'stored-' || n, 'private', {_LONG_AGO} FROM generate_series(0, {_TEAMS - 1}) AS n
ON CONFLICT DO NOTHING
"""
_REPOSITORIES = f"""
INSERT INTO repositories_repository (id, team_id, name, visibility, created_at)
SELECT 1000 + n, 1000 + n %% {_TEAMS}, 'stored-' || n %% {_TEAMS} || '/app-' || n, '', {_LONG_AGO}
FROM generate_series(%(first)s / {MANIFESTS_PER_REPOSITORY}, (%(last)s - 1) / {MANIFESTS_PER_REPOSITORY}) AS n
ON CONFLICT DO NOTHING
"""
_ROWS = f"""
WITH made AS (
    SELECT m, 1000 + m / {MANIFESTS_PER_REPOSITORY} AS repository_id,
        1000 + (m / {MANIFESTS_PER_REPOSITORY}) %% {_TEAMS} AS team_id
    FROM generate_series(%(first)s, %(last)s - 1) AS m
), kept AS (
    SELECT * FROM made WHERE NOT m = ANY(%(gone)s)
), manifests AS (
    INSERT INTO repositories_manifest (id, repository_id, digest, media_type, payload, size, total_size, artifact_type,
        config_digest, config_media_type, subject_digest, annotations, pushed_at, pushed_by)
    SELECT 1000 + m, repository_id, 'sha256:' || md5('m' || m) || md5('n' || m),
        'application/vnd.oci.image.manifest.v1+json', convert_to(repeat('x', 1200), 'UTF8'), 1200, 5000000, '',
        'sha256:' || md5('b' || m * {BLOBS_PER_MANIFEST}) || md5('c' || m * {BLOBS_PER_MANIFEST}),
        'application/vnd.oci.image.config.v1+json', '', '{{}}', {_LONG_AGO}, ''
    FROM kept
), tags AS (
    INSERT INTO repositories_tag (repository_id, name, manifest_id, pushed_at, pushed_by, pointed_at, pointed_by)
    SELECT repository_id, 'v' || m, 1000 + m, {_LONG_AGO}, '', {_LONG_AGO}, ''
    FROM kept WHERE NOT m = ANY(%(garbage)s)
), reviews AS (
    INSERT INTO repositories_manifestreview (manifest_id, review_after, attempts, reason, version)
    SELECT 1000 + m, {_LONG_AGO}, 0, 'untagged', 1 FROM made WHERE m = ANY(%(garbage)s)
), parts AS (
    SELECT made.*, b, 1000 + m * {BLOBS_PER_MANIFEST} + b AS blob_id
    FROM made, generate_series(0, {BLOBS_PER_MANIFEST - 1}) AS b
), blobs AS (
    INSERT INTO blobs_blob (id, digest, size, storage_key, created_at)
    SELECT blob_id, 'sha256:' || md5('b' || blob_id - 1000) || md5('c' || blob_id - 1000), 1000000,
        'stored/' || blob_id, {_LONG_AGO} FROM parts
), rights AS (
    INSERT INTO blobs_repositoryblob (repository_id, blob_id, leased_until)
    SELECT repository_id, blob_id, {_LONG_AGO} FROM parts
), accounts AS (
    INSERT INTO blobs_teamblob (team_id, blob_id) SELECT team_id, blob_id FROM parts
), unused AS (
    INSERT INTO blobs_blobreview (blob_id, review_after, attempts, reason, version)
    SELECT blob_id, {_LONG_AGO}, 0, 'dereferenced', 1 FROM parts WHERE m = ANY(%(gone)s)
)
INSERT INTO repositories_manifestblob (manifest_id, blob_id, repository_id, role)
SELECT 1000 + m, blob_id, repository_id, CASE WHEN b = 0 THEN 'config' ELSE 'layer' END
FROM parts WHERE NOT m = ANY(%(gone)s)
"""
_TABLES = (
    "accounts_team",
    "repositories_repository",
    "repositories_manifest",
    "blobs_blob",
)


@dataclass(frozen=True)
class Stored:
    """Images from number `first` to `last` - 1; spread over them, `garbage` are untagged and `gone` are blobs alone."""

    first: int
    last: int
    garbage: int
    gone: int = 0

    def spread(self) -> tuple[list[int], list[int]]:
        """The numbers of the untagged and of the gone ones."""
        step = (self.last - self.first) // (self.garbage + self.gone)
        chosen = [self.first + step * number for number in range(self.garbage + self.gone)]
        return chosen[: self.garbage], chosen[self.garbage :]


def store(connection: psycopg.Connection[tuple[object, ...]], stored: Stored) -> None:
    """This will write the rows of a registry; `connection` is a superuser's, in autocommit mode."""
    chosen = dict(zip(("garbage", "gone"), stored.spread(), strict=True))
    connection.execute(_WITHOUT_CHECKS)
    connection.execute("SET statement_timeout = 0")
    connection.execute(_TEAM)
    for first in range(stored.first, stored.last, _BATCH):
        last = min(first + _BATCH, stored.last)
        among = {name: [one for one in numbers if first <= one < last] for name, numbers in chosen.items()}
        values = {"first": first, "last": last, **among}
        connection.execute(_REPOSITORIES, values)
        connection.execute(_ROWS, values)
    for table in _TABLES:
        connection.execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM {table}))")
    connection.execute("SET session_replication_role = origin")
    connection.execute("VACUUM ANALYZE")
    connection.execute("CHECKPOINT")
