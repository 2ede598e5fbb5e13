"""Storing policies, and which of them hold somewhere."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts.models import Team
from blobs.links import lock_repository
from events import audit
from events.audit_actions import AuditAction
from registry_gc.retention.documents import parse_policy
from registry_gc.retention.errors import PolicyChanged
from registry_gc.retention.inheritance import Layer, Level
from registry_gc.retention.models import RetentionPolicy, RetentionPolicyVersion
from registry_gc.retention.policy import Policy
from registry_project.database import any_of, execute, fetch_all, key_share, retried, writing
from registry_project.problems import NotFound
from repositories.models import Repository


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a policy stands: the instance's without a team, a team's without a repository.

    `name` is the team's or repository's.
    """

    team: Team | None = None
    repository_id: int | None = None
    name: str = ""

    @property
    def level(self) -> Level:
        if self.team is None:
            return Level.INSTANCE
        return Level.TEAM if self.repository_id is None else Level.REPOSITORY

    def own(self) -> "QuerySet[RetentionPolicy]":
        if self.repository_id is not None:
            return RetentionPolicy.objects.filter(repository_id=self.repository_id)
        if self.team is not None:
            return RetentionPolicy.objects.filter(team=self.team)
        return RetentionPolicy.objects.filter(level=Level.INSTANCE.value)

    def layer(self, policy: Policy, version: int) -> Layer:
        return Layer(self.level, policy, version, self.name)


INSTANCE = Scope()


def team_scope(team: Team) -> Scope:
    return Scope(team, name=team.slug)


def get_repository_scope(repository_id: int) -> Scope:
    """Raises NotFound."""
    repository = Repository.objects.filter(pk=repository_id, deleted_at=None).select_related("team").first()
    if repository is None:
        raise NotFound
    return Scope(repository.team, repository.pk, repository.name)


def find_policy(scope: Scope) -> RetentionPolicy | None:
    """What stands there, also where it was taken away again (`document` is None then)."""
    return scope.own().first()


def list_versions(scope: Scope) -> "QuerySet[RetentionPolicyVersion]":
    return RetentionPolicyVersion.objects.filter(policy__in=scope.own())


def set_policy(scope: Scope, *, policy: Policy, actor: str, expected: int | None = None) -> None:
    """Let this policy hold from now on; what it says already is no change.

    Raises PolicyChanged where the version is not the `expected` one, and NotFound or NameUnknown where the team or
    repository is no longer there.
    """
    _change(scope, document=policy.document(), actor=actor, expected=expected)


def remove_policy(scope: Scope, *, actor: str, expected: int | None = None) -> None:
    """Let what is inherited hold from now on; raises as `set_policy`."""
    _change(scope, document=None, actor=actor, expected=expected)


@retried
def _change(scope: Scope, *, document: dict[str, Any] | None, actor: str, expected: int | None) -> None:
    with writing():
        _hold(scope)
        stored = scope.own().select_for_update(no_key=True).first()
        if expected is not None and expected != (stored.version if stored else 0):
            raise PolicyChanged
        if document == (stored.document if stored else None):
            return
        now = timezone.now()
        if stored is None:
            # Another that makes it at the same moment breaks a constraint of one of the two, which then comes again.
            team = scope.team if scope.level is Level.TEAM else None
            stored = RetentionPolicy.objects.create(
                level=scope.level.value, team=team, repository_id=scope.repository_id
            )
        stored.document, stored.version = document, stored.version + 1
        stored.updated_at, stored.updated_by = now, actor
        stored.save()
        RetentionPolicyVersion.objects.create(
            policy=stored, version=stored.version, document=document, changed_at=now, changed_by=actor
        )
        _record(scope, stored)


def _hold(scope: Scope) -> None:
    """Keep what the policy belongs to from going until the transaction ends."""
    if scope.repository_id is not None:
        lock_repository(scope.repository_id)
    elif scope.team is not None and not fetch_all(
        f"SELECT id FROM accounts_team WHERE id = %s AND deleted_at IS NULL{key_share()}", [scope.team.pk]
    ):
        raise NotFound


def _record(scope: Scope, stored: RetentionPolicy) -> None:
    action, detail = AuditAction.RETENTION_REMOVE, {"version": stored.version}
    if stored.document is not None:
        action, rules = AuditAction.RETENTION_SET, stored.document["rules"]
        deletes = sum(rule["action"] == "delete" for rule in rules)
        detail |= {"enabled": stored.document["enabled"], "rules": len(rules), "deletes": deletes}
    team = scope.team.slug if scope.team else ""
    audit.record(action=action, team=team, repository=scope.name if scope.repository_id else "", detail=detail)


@dataclass(frozen=True, slots=True)
class Layers:
    """The policies of a team and above it, and those of some of its repositories, by id."""

    shared: tuple[Layer, ...]
    own: dict[int, Layer]

    def of(self, repository_id: int) -> tuple[Layer, ...]:
        own = self.own.get(repository_id)
        return (*self.shared, own) if own else self.shared


def read_layers(scope: Scope, *, repository_ids: Collection[int] = ()) -> Layers:
    """What holds in a scope, by one statement: its own policy and those above it, and those of repositories below."""
    wanted = Q(level=Level.INSTANCE.value)
    if scope.team is not None:
        wanted |= Q(team=scope.team)
    ids = [*repository_ids] if scope.repository_id is None else [scope.repository_id]
    if ids:
        wanted |= Q(repository__in=ids)
    shared, own = [], {}
    rows = RetentionPolicy.objects.filter(wanted, document__isnull=False).order_by("pk")
    for row in rows.select_related("repository").only("team_id", "document", "version", "repository__name"):
        policy = parse_policy(row.document)
        if row.repository is not None:
            own[row.repository.pk] = Layer(Level.REPOSITORY, policy, row.version, row.repository.name)
        elif row.team_id is not None:
            shared.append(Layer(Level.TEAM, policy, row.version, scope.team.slug if scope.team else ""))
        else:
            shared.append(Layer(Level.INSTANCE, policy, row.version))
    return Layers(tuple(shared), own)


def forget_policy(repository_id: int, *, limit: int) -> int:
    """Remove, with the repository, what its policy ever said, at most so many rows; how many there were."""
    versions = RetentionPolicyVersion.objects.filter(policy__repository_id=repository_id)
    ids = list(versions.values_list("pk", flat=True)[:limit])
    condition, wanted = any_of(ids)
    if ids:
        return execute(f"DELETE FROM {RetentionPolicyVersion._meta.db_table} WHERE id {condition}", [wanted])
    return execute(f"DELETE FROM {RetentionPolicy._meta.db_table} WHERE repository_id = %s", [repository_id])
