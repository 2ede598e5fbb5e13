"""Deleting a whole repository, bringing it back, and changing its settings.

A deleted repository keeps everything it holds for `trash.keep`, under a name that is free at once. Nothing is armed for
its manifests, of which there may be many: collection finds it by `deleted_at`. When the time is over, or somebody does
not want to wait for that, `purged_at` is set: from then on nothing brings it back, and collection takes it apart.
"""

from datetime import datetime

from django.conf import settings
from django.db.models import BigIntegerField, F, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce
from django.utils import timezone

from accounts.models import Team
from accounts.rights import Principal
from blobs.models import RepositoryBlob
from events import announcements, audit
from events.audit_actions import AuditAction
from oci.names import RepositoryName
from registry_project.database import fetch_all, for_update, key_share, retried, writing
from registry_project.problems import BadRequest, NotFound
from repositories.errors import RepositoryTaken
from repositories.models import Repository, Tag
from repositories.tag_rules import TagRules


@retried
def change_repository(*, repository_id: int, visibility: str) -> None:
    """Set who may see it, empty for as the team's; raises NotFound."""
    with writing():
        repository = Repository.objects.select_for_update(no_key=True).filter(pk=repository_id, deleted_at=None).first()
        if repository is None:
            raise NotFound
        repository.visibility = visibility
        repository.save(update_fields=["visibility"])
        detail = {"visibility": visibility or None}
        audit.record(action=AuditAction.REPOSITORY_UPDATE, repository=repository.name, detail=detail)


@retried
def delete_repository(*, repository_id: int, principal: Principal) -> datetime:
    """Put a repository into the trash as it is; until when it can be restored.

    Raises NotFound, and TagImmutable or TagReserved where it holds a tag that the principal must not delete.
    """
    with writing():
        # FOR UPDATE: whoever writes into it has finished before, or finds it gone.
        if not fetch_all(
            f"SELECT id FROM repositories_repository WHERE id = %s AND deleted_at IS NULL{for_update()}",
            [repository_id],
        ):
            raise NotFound
        now = timezone.now()
        repository = Repository.objects.get(pk=repository_id)
        _check_tags(repository, principal)
        Repository.objects.filter(pk=repository_id).update(deleted_at=now)
        audit.record(action=AuditAction.REPOSITORY_DELETE, repository=repository.name, detail={"id": repository_id})
        announcements.repository_deleted(name=repository.name, principal=principal.name)
    return now + settings.TRASH_KEEP


def _check_tags(repository: Repository, principal: Principal) -> None:
    rules = TagRules.load(team_id=repository.team_id, repository=RepositoryName(repository.name))
    if rules.exist:
        for name in Tag.objects.filter(repository=repository).values_list("name", flat=True).iterator():
            rules.check_delete(name, principal)


def list_deleted(team: Team, *, now: datetime) -> "QuerySet[Repository]":
    """Repositories that can be restored, with `size_bytes`, each of their blobs counted once."""
    held = (
        RepositoryBlob.objects.filter(repository=OuterRef("pk"))
        .values("repository")
        .annotate(size=Sum("blob__size"))
        .values("size")
    )
    return (
        _restorable(now)
        .filter(team=team)
        .annotate(
            size_bytes=Coalesce(Subquery(held), 0, output_field=BigIntegerField()),
            restorable_until=F("deleted_at") + settings.TRASH_KEEP,
        )
    )


def _restorable(now: datetime) -> "QuerySet[Repository]":
    return Repository.objects.filter(deleted_at__gt=now - settings.TRASH_KEEP, purged_at=None)


def get_deleted(team: Team, repository_id: int) -> Repository:
    """Raises NotFound."""
    repository = list_deleted(team, now=timezone.now()).filter(pk=repository_id).select_related("team").first()
    if repository is None:
        raise NotFound("The team's trash has no such repository.")
    return repository


def get_ended(team: Team, repository_id: int) -> Repository:
    """As `get_deleted`, where it need not be restorable any more: whoever purges it again is told the same again."""
    repository = Repository.objects.filter(team=team, pk=repository_id, deleted_at__isnull=False)
    if (found := repository.select_related("team").first()) is None:
        raise NotFound("The team's trash has no such repository.")
    return found


@retried
def purge_repository(*, repository_id: int) -> None:
    """Let go of a deleted repository before its time; collection may take it from now on, and nothing brings it back.

    Doing it again changes nothing. Raises NotFound.
    """
    with writing():
        if not fetch_all(
            f"SELECT id FROM repositories_repository WHERE id = %s AND deleted_at IS NOT NULL{for_update()}",
            [repository_id],
        ):
            raise NotFound
        # In a statement of its own: one that waited for a restore, or for collection, does not see what that did.
        deleted = Repository.objects.filter(pk=repository_id, deleted_at__isnull=False)
        repository = deleted.first()
        if repository is None:
            raise NotFound
        if deleted.filter(purged_at=None).update(purged_at=timezone.now()):
            audit.record(action=AuditAction.REPOSITORY_PURGE, repository=repository.name, detail={"id": repository_id})


@retried
def restore_repository(*, repository_id: int, name: RepositoryName) -> None:
    """Bring a deleted repository back, whole, under its own name or another of its team.

    Raises NotFound, BadRequest for the name of another team, and RepositoryTaken.
    """
    with writing():
        team_id = Repository.objects.filter(pk=repository_id).values_list("team_id", flat=True).first()
        # As a first push does: the team is not deleted meanwhile.
        teams = fetch_all(
            f"SELECT slug FROM accounts_team WHERE id = %s AND deleted_at IS NULL{key_share()}", [team_id]
        )
        held = fetch_all(f"SELECT id FROM repositories_repository WHERE id = %s{for_update()}", [repository_id])
        if not teams or not held:
            raise NotFound
        deleted = _restorable(timezone.now()).filter(pk=repository_id)
        repository = deleted.first()
        if repository is None:
            raise NotFound
        if name.team_slug != teams[0][0]:
            raise BadRequest("The name is another team's.", fields={"name": [f"Use a name of team {teams[0][0]}."]})
        # The constraint decides, this is for kinder words: who loses against a push comes here again.
        if Repository.objects.filter(name=name.text, deleted_at=None).exists():
            raise RepositoryTaken(f"There is a repository {name} again; restore this one under another name.")
        before = {} if repository.name == name.text else {"before": repository.name}
        deleted.update(deleted_at=None, name=name.text)
        audit.record(action=AuditAction.REPOSITORY_RESTORE, repository=name, detail={"id": repository_id, **before})
