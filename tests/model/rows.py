"""What the database and the storage hold, as sets that compare with the shelf's, and their clock."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.apps import apps
from django.db import connection, transaction
from django.db.models import DateTimeField, F, Model

from blobs.storage import BlobStore
from registry_project.database import fetch_all

# What is dated, and the figures of collection, which are not.
_APPS = ("repositories", "blobs")
# What else holds on to them.
_BESIDE = ("gc_collection", "gc_retention")


_MANIFEST = "SELECT repository_id, digest, deleted_at IS NOT NULL FROM repositories_manifest"
_REFERENCE = """
    SELECT u.repository_id, m.digest, b.digest FROM repositories_manifestblob u
    JOIN repositories_manifest m ON m.id = u.manifest_id JOIN blobs_blob b ON b.id = u.blob_id"""
_CHILD = """
    SELECT c.repository_id, p.digest, c.digest, c.child_id IS NOT NULL
    FROM repositories_manifestchild c JOIN repositories_manifest p ON p.id = c.parent_id"""
_TAG = """
    SELECT t.repository_id, t.name, m.digest
    FROM repositories_tag t JOIN repositories_manifest m ON m.id = t.manifest_id"""
_LINK = "SELECT l.repository_id, b.digest FROM blobs_repositoryblob l JOIN blobs_blob b ON b.id = l.blob_id"
_TEAM = """
    SELECT t.slug, b.digest
    FROM blobs_teamblob p JOIN accounts_team t ON t.id = p.team_id JOIN blobs_blob b ON b.id = p.blob_id"""


_NAMES = """
    SELECT 'upload', storage_key FROM blobs_uploadsession WHERE storage_key IS NOT NULL
    UNION ALL SELECT 'blob', storage_key FROM blobs_blob
    UNION ALL SELECT 'deletion', storage_key FROM blobs_storagedeletion"""
_USAGE = """
    SELECT t.slug, (SELECT COALESCE(SUM(u.size), 0) FROM blobs_teamusage u WHERE u.team_id = t.id)
        + (SELECT COALESCE(SUM(d.size), 0) FROM blobs_usagedelta d WHERE d.team_id = t.id),
        (SELECT COALESCE(SUM(b.size), 0) FROM blobs_teamblob p JOIN blobs_blob b ON b.id = p.blob_id
            WHERE p.team_id = t.id)
    FROM accounts_team t"""


def _set(sql: str) -> set[tuple[Any, ...]]:
    found = fetch_all(sql, [])
    # A row that is there twice would be lost in a set.
    assert len(found) == len(set(found)), found
    return set(found)


def repository_ids() -> set[int]:
    return {int(str(pk)) for (pk,) in _set("SELECT id FROM repositories_repository")}


def manifest_rows() -> set[tuple[int, str, bool]]:
    return _set(_MANIFEST)


def reference_rows() -> set[tuple[int, str, str]]:
    return set(fetch_all(_REFERENCE, []))


def child_rows() -> set[tuple[int, str, str, bool]]:
    return _set(_CHILD)


def tag_rows() -> set[tuple[int, str, str]]:
    return _set(_TAG)


def link_rows() -> set[tuple[int, str]]:
    return _set(_LINK)


def blob_rows() -> set[str]:
    return {digest for (digest,) in _set("SELECT digest FROM blobs_blob")}


def team_rows() -> set[tuple[str, str]]:
    return _set(_TEAM)


def upload_rows() -> list[tuple[int, str]]:
    return sorted(fetch_all("SELECT repository_id, completed_digest FROM blobs_uploadsession", []))


def misnamed_keys(store: BlobStore) -> dict[str, list[str]]:
    """Keys with bytes that nothing names or that are named twice, and keys of blobs without bytes."""
    names: dict[str, list[str]] = defaultdict(list)
    for name, key in fetch_all(_NAMES, []):
        names[str(key)].append(str(name))
    stored = {item.key for item in store.objects()}
    return {
        key: names[key]
        for key in stored | names.keys()
        if len(names[key]) != 1 or (names[key] == ["blob"] and key not in stored)
    }


def usage_of_teams() -> dict[str, tuple[int, int]]:
    """What each team is said to take, and what its rows add up to."""
    return {str(slug): (int(str(said)), int(str(counted))) for slug, said, counted in fetch_all(_USAGE, [])}


def _models(*labels: str) -> Iterator[type[Model]]:
    for label in labels:
        yield from apps.get_app_config(label).get_models()


def age(hours: int) -> None:
    """Let everything be so much older: for the registry it is as if its clocks went on."""
    with transaction.atomic():
        for model in _models(*_APPS):
            dates = [field.name for field in model._meta.concrete_fields if isinstance(field, DateTimeField)]
            if dates:
                earlier = {name: F(name) - timedelta(hours=hours) for name in dates}
                model._default_manager.update(**earlier)


def empty() -> None:
    """Take everything out of the tables; the audit log, which refuses that, stays."""
    tables = [model._meta.db_table for model in _models(*_APPS, *_BESIDE)]
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"TRUNCATE {', '.join(tables)}")
        else:
            # Foreign keys are checked at COMMIT.
            for table in tables:
                cursor.execute(f"DELETE FROM {table}")
