"""The one gate: from a principal, an action and a name to the right to go on."""

from dataclasses import dataclass

from django.conf import settings

from accounts.models import Team
from accounts.rights import Action, Principal
from oci.errors import NameUnknown, Unsupported
from oci.names import RepositoryName
from repositories.models import Repository

_READING = {"Allow": "GET, HEAD"}


@dataclass(frozen=True, slots=True)
class Access:
    """A right that was granted: what domain functions take instead of a name and a user."""

    name: RepositoryName
    principal: Principal


def authorise(principal: Principal, action: Action, name: RepositoryName) -> Access:
    """Raise Unsupported (405) for what the configuration switches off; costs no query."""
    if action is not Action.PULL and settings.READ_ONLY:
        raise Unsupported({"reason": "the registry is in read-only mode"}, headers=_READING)
    if action is Action.DELETE and not settings.DELETE_ENABLED:
        raise Unsupported(
            {"reason": "deleting is switched off; storage.delete.enabled switches it on"}, headers=_READING
        )
    return Access(name, principal)


def get_repository_id(access: Access) -> int:
    """Raise NameUnknown unless the repository exists."""
    repository_id = _find_id(access.name)
    if repository_id is None:
        raise NameUnknown({"name": access.name.text})
    return repository_id


def obtain_repository_id(access: Access) -> int:
    """The repository to push to, created with its team on the first push."""
    repository_id = _find_id(access.name)
    if repository_id is not None:
        return repository_id
    # Two first pushes may come at once: each inserts or finds what the other inserted.
    Team.objects.bulk_create([Team(slug=access.name.team_slug)], ignore_conflicts=True)
    team = Team.objects.get(slug=access.name.team_slug)
    Repository.objects.bulk_create([Repository(team=team, name=access.name.text)], ignore_conflicts=True)
    return get_repository_id(access)


def _find_id(name: RepositoryName) -> int | None:
    return Repository.objects.filter(name=name.text, deleted_at=None).values_list("id", flat=True).first()
