"""Old and new code work on one schema: a release only adds to what the one before it uses."""

import re

import pytest
from django.db import connection, models
from django.db.migrations import Migration, operations
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.state import ProjectState
from django.db.models import Q

from tests.live_server import PROJECT
from tests.upgrade.contractions import contractions

OURS = {"accounts", "blobs", "events", "repositories", "gc_collection", "gc_retention"}
# Exceptions, with the reason why no running server can be hurt.
PERMITTED = {
    ("events", "0002_audit_log"): "older than the first release",
    ("accounts", "0002_rights"): "older than the first release",
    ("accounts", "0003_secrets_expiry"): "older than the first release",
    ("repositories", "0002_tag_pointed"): "older than the first release",
    ("repositories", "0009_repository_purged"): "older than the first release",
}


def own_migrations():
    """Each with the state before it, in the order in which they are applied."""
    loader = MigrationExecutor(connection).loader
    state, seen = ProjectState(), set()
    for leaf in loader.graph.leaf_nodes():
        for key in loader.graph.forwards_plan(leaf):
            if key in seen:
                continue
            seen.add(key)
            migration = loader.get_migration(*key)
            if key[0] in OURS:
                yield key, migration, state
            state = migration.mutate_state(state, preserve=False)


@pytest.mark.django_db
def test_no_migration_takes_away_what_the_previous_release_uses():
    # The first migrations of an app make its tables, which nobody knows before.
    found = {
        key: [*contractions(migration, state)]
        for key, migration, state in own_migrations()
        if not migration.initial and key not in PERMITTED
    }
    assert {key: reasons for key, reasons in found.items() if reasons} == {}
    assert ("blobs", "0003_uploadsession_storage_state") in found


@pytest.mark.django_db
def test_no_exception_is_left_over():
    needed = {key for key, migration, state in own_migrations() if any(contractions(migration, state))}
    assert set(PERMITTED) <= needed


def test_statements_name_their_columns():
    """PostgreSQL refuses a prepared `SELECT *` as soon as a later release has added a column."""
    folders = ("accounts", "blobs", "events", "gc", "oci", "registry_project", "repositories", "console")
    for path in (path for folder in folders for path in (PROJECT / folder).rglob("*.py")):
        assert not re.search(r"(SELECT|RETURNING)\s+(\w+\.)?\*", path.read_text()), path


BOAT = operations.CreateModel(
    "Boat",
    [
        ("id", models.BigAutoField(primary_key=True)),
        ("name", models.CharField(max_length=20)),
        ("owner", models.CharField(max_length=20, null=True)),
        ("length", models.IntegerField(db_default=0)),
    ],
)
NAMED = models.UniqueConstraint(fields=["name"], name="boat_name")


def judged(*changes):
    state = ProjectState()
    BOAT.state_forwards("harbour", state)
    migration = Migration("0002", "harbour")
    migration.operations = list(changes)
    before = state.clone()
    reasons = [*contractions(migration, state)]
    assert state == before
    return reasons


def altered(name, field):
    return operations.AlterField("boat", name, field)


def added(field):
    return operations.AddField("boat", "more", field)


@pytest.mark.parametrize(
    "change",
    [
        operations.RemoveField("boat", "name"),
        operations.RenameField("boat", "name", "title"),
        operations.DeleteModel("Boat"),
        operations.RenameModel("Boat", "Ship"),
        operations.AlterModelTable("Boat", "ships"),
        operations.RunSQL("SELECT 1"),
        operations.RunPython(operations.RunPython.noop),
        operations.AddConstraint("boat", NAMED),
        operations.AddConstraint("boat", models.CheckConstraint(condition=Q(length__gt=0), name="long")),
        operations.AlterUniqueTogether("boat", {("name", "owner")}),
        added(models.IntegerField(default=0)),
        added(models.CharField(max_length=5, null=True, unique=True)),
        altered("name", models.CharField(max_length=10)),
        altered("name", models.TextField()),
        altered("name", models.CharField(max_length=20, unique=True)),
        altered("owner", models.CharField(max_length=20)),
        altered("length", models.IntegerField()),
        operations.SeparateDatabaseAndState(database_operations=[operations.RemoveField("boat", "name")]),
    ],
    ids=lambda change: change.describe(),
)
def test_refuses(change):
    assert len(judged(change)) == 1


@pytest.mark.parametrize(
    "change",
    [
        added(models.IntegerField(null=True)),
        added(models.IntegerField(db_default=0)),
        added(models.ManyToManyField("self")),
        altered("name", models.CharField(max_length=30)),
        altered("name", models.CharField(max_length=20, null=True)),
        altered("length", models.IntegerField(null=True)),
        operations.AddIndex("boat", models.Index(fields=["name"], name="boat_name")),
        operations.SeparateDatabaseAndState(state_operations=[operations.RemoveField("boat", "name")]),
    ],
    ids=lambda change: change.describe(),
)
def test_allows(change):
    assert judged(change) == []


def test_one_transaction_changes_one_table():
    state = ProjectState()
    for name in ("Boat", "Ship"):
        operations.CreateModel(name, [("id", models.BigAutoField(primary_key=True))]).state_forwards("harbour", state)
    migration = Migration("0002", "harbour")
    migration.operations = [operations.AddField(name, "x", models.IntegerField(null=True)) for name in ("boat", "ship")]
    (reason,) = contractions(migration, state)
    assert "boat, ship" in reason


def test_a_new_table_may_be_anything():
    ship = operations.CreateModel("Ship", [("id", models.BigAutoField(primary_key=True))])
    assert (
        judged(
            ship,
            operations.AddField("ship", "name", models.CharField(max_length=20)),
            operations.AddConstraint("ship", models.UniqueConstraint(fields=["name"], name="ship_name")),
        )
        == []
    )
