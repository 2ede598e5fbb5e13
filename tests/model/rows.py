"""What the database and the storage hold, as sets that compare with the shelf's, and their clock."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta

from django.apps import apps
from django.db import connection, transaction
from django.db.models import DateTimeField, F, Model

from accounts.models import Team
from blobs.models import Blob, RepositoryBlob, StorageDeletion, TeamBlob, TeamUsage, UploadSession, UsageDelta
from blobs.storage import BlobStore
from repositories.models import Manifest, ManifestBlob, ManifestChild, Tag

_APPS = ("gc_collection", "repositories", "blobs")


def manifest_rows() -> set[tuple[int, str, bool]]:
    rows = Manifest.objects.values_list("repository_id", "digest", "deleted_at")
    return {(repository, digest, deleted_at is not None) for repository, digest, deleted_at in rows}


def reference_rows() -> set[tuple[int, str, str]]:
    return set(ManifestBlob.objects.values_list("repository_id", "manifest__digest", "blob__digest"))


def child_rows() -> set[tuple[int, str, str, bool]]:
    rows = ManifestChild.objects.values_list("repository_id", "parent__digest", "digest", "child", "child__deleted_at")
    return {
        (repository, parent, digest, child is not None and deleted_at is None)
        for repository, parent, digest, child, deleted_at in rows
    }


def tag_rows() -> set[tuple[int, str, str]]:
    return set(Tag.objects.values_list("repository_id", "name", "manifest__digest"))


def link_rows() -> set[tuple[int, str]]:
    return set(RepositoryBlob.objects.values_list("repository_id", "blob__digest"))


def blob_rows() -> set[str]:
    return set(Blob.objects.values_list("digest", flat=True))


def team_rows() -> set[tuple[str, str]]:
    return set(TeamBlob.objects.values_list("team__slug", "blob__digest"))


def upload_rows() -> list[tuple[int, str]]:
    return sorted(UploadSession.objects.values_list("repository_id", "completed_digest"))


def misnamed_keys(store: BlobStore) -> dict[str, list[str]]:
    """Keys with bytes that nothing names or that are named twice, and keys of blobs without bytes."""
    names: dict[str, list[str]] = defaultdict(list)
    for model in (UploadSession, Blob, StorageDeletion):
        for key in model._default_manager.exclude(storage_key=None).values_list("storage_key", flat=True):
            names[str(key)].append(model.__name__)
    stored = {item.key for item in store.objects()}
    return {
        key: names[key]
        for key in stored | names.keys()
        if len(names[key]) != 1 or (names[key] == ["Blob"] and key not in stored)
    }


def usage_of_teams() -> dict[str, tuple[int, int]]:
    """What each team is said to take, and what its rows add up to."""
    said: dict[int, int] = defaultdict(int)
    counted: dict[int, int] = defaultdict(int)
    for model in (TeamUsage, UsageDelta):
        for team, size in model._default_manager.values_list("team_id", "size"):
            said[team] += size
    for team, size in TeamBlob.objects.values_list("team_id", "blob__size"):
        counted[team] += size
    return {team.slug: (said[team.pk], counted[team.pk]) for team in Team.objects.all()}


def _models() -> Iterator[type[Model]]:
    for label in _APPS:
        yield from apps.get_app_config(label).get_models()


def age(hours: int) -> None:
    """Let everything be so much older: for the registry it is as if its clocks went on."""
    with transaction.atomic():
        for model in _models():
            dates = [field.name for field in model._meta.concrete_fields if isinstance(field, DateTimeField)]
            if dates:
                earlier = {name: F(name) - timedelta(hours=hours) for name in dates}
                model._default_manager.update(**earlier)


def empty() -> None:
    """Take everything out of the tables; the audit log, which refuses that, stays."""
    tables = [model._meta.db_table for model in _models()]
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"TRUNCATE {', '.join(tables)}")
        else:
            # Foreign keys are checked at COMMIT.
            for table in tables:
                cursor.execute(f"DELETE FROM {table}")
