"""What in a migration the code of the release before it could not live with (docs/operations.md)."""

from collections.abc import Iterator

from django.db import models
from django.db.migrations import Migration, operations
from django.db.migrations.state import ProjectState
from django.db.models import NOT_PROVIDED

# Reads, writes or names what is gone afterwards.
_REMOVING = (
    operations.RemoveField,
    operations.RenameField,
    operations.DeleteModel,
    operations.RenameModel,
    operations.AlterModelTable,
)
_UNREADABLE = (operations.RunPython, operations.RunSQL)
# Neither takes anything away, nor demands anything.
_HARMLESS = (
    operations.CreateModel,
    operations.AlterModelOptions,
    operations.AlterModelManagers,
    operations.AlterModelTableComment,
    operations.AddIndex,
    operations.RemoveIndex,
    operations.RenameIndex,
    operations.RemoveConstraint,
)


def contractions(migration: Migration, before: ProjectState) -> Iterator[str]:
    """What is wrong, an operation each; `before` is the state that the migration is applied to, and stays as it is."""
    state = before.clone()
    new, used = set[str](), set[str]()
    for operation in migration.operations:
        yield from _judge(operation, state, migration.app_label, new)
        operation.state_forwards(migration.app_label, state)
        if isinstance(operation, operations.CreateModel):
            new.add(operation.name_lower)
        elif table := getattr(operation, "model_name_lower", ""):
            used.add(table)
    if len(used - new) > 1 and migration.atomic:
        yield f"{', '.join(sorted(used - new))}: one transaction that locks several tables deadlocks with pushes"


def _judge(operation: operations.base.Operation, state: ProjectState, app: str, new: set[str]) -> Iterator[str]:
    what = operation.describe()
    if isinstance(operation, operations.SeparateDatabaseAndState):
        # Code that stops using a column tells the state first; only the database is shared.
        for part in operation.database_operations:
            yield from _judge(part, state, app, new)
    elif isinstance(operation, _REMOVING):
        yield f"{what}: the previous release still uses it"
    elif isinstance(operation, _UNREADABLE):
        yield f"{what}: nobody can tell what it does"
    elif getattr(operation, "model_name_lower", getattr(operation, "name_lower", "")) in new:
        return  # The previous release does not know the table.
    elif isinstance(operation, operations.AddField):
        if _is_demanded(operation.field):
            yield f"{what}: the previous release inserts rows without it; give it db_default or null"
    elif isinstance(operation, operations.AlterField):
        old = state.models[app, operation.model_name_lower].fields[operation.name_lower]
        yield from (f"{what}: {reason}" for reason in _narrowed(old, operation.field))
    elif not isinstance(operation, _HARMLESS):
        yield f"{what}: the previous release may break it"


def _is_demanded(field: models.Field) -> bool:
    given = field.null or field.db_default is not NOT_PROVIDED or field.generated or field.many_to_many
    return not given or field.unique


def _narrowed(old: models.Field, new: models.Field) -> Iterator[str]:
    if old.get_internal_type() != new.get_internal_type():
        yield "it changes its type"
    if old.null and not new.null:
        yield "the previous release writes NULL"
    if new.unique and not old.unique:
        yield "the previous release writes duplicates"
    if old.db_default is not NOT_PROVIDED and new.db_default is NOT_PROVIDED and not new.null:
        yield "the previous release relies on the database's default"
    if (new.max_length or 0) and (old.max_length is None or new.max_length < old.max_length):
        yield "the previous release writes longer values"
