"""The database itself refuses what would break an invariant; Python's checks are kindness."""

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from accounts.models import Team
from blobs.models import Blob, RepositoryBlob, StorageDeletion, TeamBlob, TeamUsage, UploadSession, UsageDelta
from repositories.models import Manifest, ManifestBlob, ManifestChild, Repository, Tag, TagHistory

MODELS = [
    Team,
    Repository,
    Manifest,
    Blob,
    RepositoryBlob,
    ManifestBlob,
    ManifestChild,
    Tag,
    TagHistory,
    UploadSession,
    StorageDeletion,
    TeamBlob,
    UsageDelta,
    TeamUsage,
]
NOBODY = 10**9
PAST = "2020-01-01T00:00:00Z"


class Rows:
    """One row of each kind; `insert` makes another by plain SQL, with some columns changed."""

    def __init__(self):
        now = timezone.now()
        self.team = Team.objects.create(slug="alice")
        self.repository = Repository.objects.create(team=self.team, name="alice/app")
        self.blob = Blob.objects.create(digest="sha256:" + "a" * 64, size=1, storage_key="blobs/a")
        self.link = RepositoryBlob.objects.create(repository=self.repository, blob=self.blob, leased_until=now)
        self.manifest = Manifest.objects.create(
            repository=self.repository, digest="sha256:" + "b" * 64, media_type="x", payload=b"{}", size=2
        )
        self.other = Manifest.objects.create(
            repository=self.repository, digest="sha256:" + "c" * 64, media_type="x", payload=b"{}", size=2
        )
        self.reference = ManifestBlob.objects.create(
            manifest=self.manifest, blob=self.blob, repository=self.repository, role="layer"
        )
        self.child = ManifestChild.objects.create(
            parent=self.manifest, child=self.other, repository=self.repository, digest=self.other.digest
        )
        self.tag = Tag.objects.create(repository=self.repository, name="latest", manifest=self.manifest)
        self.history = TagHistory.objects.create(
            repository=self.repository,
            name="latest",
            manifest=self.manifest,
            started_at=now,
            ended_at=now,
            restorable_until=now,
        )
        self.upload = UploadSession.objects.create(repository=self.repository, storage_key="blobs/u", expires_at=now)
        self.deletion = StorageDeletion.objects.create(storage_key="blobs/d", not_before=now)
        self.team_blob = TeamBlob.objects.create(team=self.team, blob=self.blob)
        self.delta = UsageDelta.objects.create(team=self.team, size=1)
        self.usage = TeamUsage.objects.create(team=self.team, size=1)

    def insert(self, row, **changed):
        table, fields = row._meta.db_table, row._meta.concrete_fields
        values = {}
        for field in fields:
            if field.primary_key and field.auto_created:
                continue
            values[field.column] = field.get_db_prep_save(getattr(row, field.attname), connection)
        if row._meta.pk.column not in changed and row._meta.pk.column in values and row._meta.pk.name == "id":
            values[row._meta.pk.column] = field_value(row._meta.pk, NEW_ID)
        values |= changed
        columns = ", ".join(f'"{column}"' for column in values)
        with connection.cursor() as cursor:
            cursor.execute(
                f"INSERT INTO {table} ({columns}) VALUES ({', '.join(['%s'] * len(values))})", list(values.values())
            )


NEW_ID = "11111111-2222-4333-8444-555555555555"


def field_value(field, value):
    return field.get_db_prep_save(value, connection)


@pytest.fixture
def rows(transactional_db):
    return Rows()


FRESH = {
    "team": {"slug": "bob"},
    "repository": {"name": "alice/new"},
    "blob": {"digest": "sha256:" + "d" * 64, "storage_key": "blobs/new"},
    "manifest": {"digest": "sha256:" + "d" * 64},
    "reference": {"role": "config"},
    "child": {"digest": "sha256:" + "d" * 64},
    "tag": {"name": "new"},
    "history": {},
    "upload": {"storage_key": "blobs/new"},
    "deletion": {"storage_key": "blobs/new"},
    "delta": {},
}


@pytest.mark.parametrize("kind", FRESH)
def test_a_row_that_breaks_nothing_goes_in(rows, kind):
    rows.insert(getattr(rows, kind), **FRESH[kind])


REFUSED = [
    # Unique.
    ("team", {}),
    ("repository", {}),
    ("blob", {"storage_key": "blobs/new"}),
    ("blob", {"digest": "sha256:" + "d" * 64}),
    ("link", {}),
    ("manifest", {}),
    ("reference", {}),
    ("child", {}),
    ("tag", {}),
    ("upload", {}),
    ("deletion", {}),
    ("team_blob", {}),
    ("usage", {}),
    # Checks.
    ("team", {"slug": "bob", "visibility": "secret"}),
    ("team", {"slug": "bob", "quota_bytes": -1}),
    ("repository", {"name": "alice/new", "visibility": "secret"}),
    ("blob", FRESH["blob"] | {"size": -1}),
    ("manifest", FRESH["manifest"] | {"size": -1}),
    ("reference", {"role": "other"}),
    ("history", {"ended_at": PAST}),
    ("upload", FRESH["upload"] | {"offset": -1}),
    ("upload", FRESH["upload"] | {"completed_digest": "sha256:" + "a" * 64}),
    ("upload", {"storage_key": None}),
    # Foreign keys.
    ("repository", {"name": "alice/new", "team_id": NOBODY}),
    ("link", {"blob_id": NOBODY}),
    ("link", {"repository_id": NOBODY}),
    ("manifest", FRESH["manifest"] | {"repository_id": NOBODY}),
    ("reference", {"manifest_id": NOBODY}),
    ("reference", {"blob_id": NOBODY}),
    ("reference", {"role": "config", "repository_id": NOBODY}),
    ("child", FRESH["child"] | {"parent_id": NOBODY}),
    ("child", FRESH["child"] | {"child_id": NOBODY}),
    ("tag", {"name": "new", "manifest_id": NOBODY}),
    ("tag", {"name": "new", "repository_id": NOBODY}),
    ("history", {"manifest_id": NOBODY}),
    ("history", {"repository_id": NOBODY}),
    ("upload", FRESH["upload"] | {"repository_id": NOBODY}),
    ("team_blob", {"team_id": NOBODY}),
    ("team_blob", {"blob_id": NOBODY}),
    ("delta", {"team_id": NOBODY}),
    # Nothing may be missing that the code relies on.
    ("blob", FRESH["blob"] | {"size": None}),
    ("manifest", FRESH["manifest"] | {"payload": None}),
    ("tag", {"name": "new", "manifest_id": None}),
    ("link", {"leased_until": None}),
    ("deletion", FRESH["deletion"] | {"not_before": None}),
]


@pytest.mark.parametrize(("kind", "changed"), REFUSED)
def test_database_refuses_a_row(rows, kind, changed):
    # Foreign keys are checked when the transaction ends.
    with pytest.raises(IntegrityError), transaction.atomic():
        rows.insert(getattr(rows, kind), **changed)


def test_database_refuses_an_index_that_holds_itself(rows):
    with pytest.raises(IntegrityError), transaction.atomic():
        rows.insert(rows.child, digest=rows.manifest.digest, child_id=rows.manifest.pk)


PROTECTED = ["team", "repository", "blob", "manifest", "other"]


@pytest.mark.parametrize("kind", PROTECTED)
def test_database_refuses_to_remove_what_something_refers_to(rows, kind):
    row = getattr(rows, kind)
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {row._meta.db_table} WHERE {row._meta.pk.column} = %s", [row.pk])
    assert type(row).objects.filter(pk=row.pk).exists()


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_no_foreign_key_cascades(model, db):
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT confdeltype, condeferred FROM pg_constraint WHERE contype = 'f' AND conrelid = %s::regclass",
                [model._meta.db_table],
            )
            rules = cursor.fetchall()
        assert {rule for rule, _ in rules} <= {"a", b"a"}
    else:
        with connection.cursor() as cursor:
            cursor.execute(f"PRAGMA foreign_key_list({model._meta.db_table})")
            rules = cursor.fetchall()
        assert {rule[6] for rule in rules} <= {"NO ACTION"}
    assert len(rules) == sum(field.many_to_one or field.one_to_one or False for field in model._meta.concrete_fields)


def test_name_of_a_deleted_repository_is_free_again(rows):
    Repository.objects.update(deleted_at=timezone.now())
    rows.insert(Repository(team=rows.team, name="alice/app"))
    rows.repository.refresh_from_db()
    rows.insert(rows.repository)
    assert Repository.objects.filter(name="alice/app").count() == 3


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("accounts_team", "slug"),
        ("repositories_repository", "name"),
        ("repositories_tag", "name"),
        ("repositories_taghistory", "name"),
        ("repositories_manifest", "digest"),
        ("repositories_manifest", "subject_digest"),
        ("repositories_manifestchild", "digest"),
        ("blobs_blob", "digest"),
        ("blobs_blob", "storage_key"),
        ("blobs_uploadsession", "storage_key"),
        ("blobs_storagedeletion", "storage_key"),
    ],
)
def test_names_and_digests_compare_by_bytes(db, table, column):
    if connection.vendor != "postgresql":
        pytest.skip("SQLite compares by bytes unless told otherwise")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT collation_name FROM information_schema.columns WHERE table_name = %s AND column_name = %s",
            [table, column],
        )
        assert cursor.fetchall() == [("C",)]
