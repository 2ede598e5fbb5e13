"""The one gate: from a caller, an action and a name to the right to go on."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TypeVar

from django.conf import settings
from django.db import DatabaseError, IntegrityError, connection
from django.utils import timezone

from accounts.access import check, check_signed_in, who_asks
from accounts.callers import Caller
from accounts.challenges import CATALOG_SCOPE, INSUFFICIENT_SCOPE, repository_scope
from accounts.models import Team, Visibility
from accounts.rights import RULES, Action, Credential, Principal, Role, decide, role_in
from accounts.standing import KnownRepository
from events import audit
from events.audit_actions import AuditAction
from oci.errors import Denied, NameInvalid, NameUnknown, Unauthorized, Unavailable, Unsupported
from oci.names import RepositoryName
from registry_project.database import fetch_all, key_share, retried, writing
from registry_project.problems import NotFound
from repositories.models import Repository

Pushed = TypeVar("Pushed")

_READING = {"Allow": "GET, HEAD"}
_DELETING = {Action.DELETE, Action.DELETE_REPOSITORY}


@dataclass(frozen=True, slots=True)
class Access:
    """A right that was granted: what domain functions take instead of a name and a user.

    `principal` has the caller's role in the repository; `known` is what the decision was made on.
    """

    name: RepositoryName
    principal: Principal
    credential: Credential
    known: KnownRepository


def authorise(caller: Caller, action: Action, name: RepositoryName) -> Access:
    """Grant a right or raise what the client is to be told; at most one statement.

    Raises Unsupported (405) for what the configuration switches off, Unauthorized (401) where other credentials
    would help, and otherwise Denied (403), or NameUnknown (404) where the caller may not know of the repository.
    """
    check_switched_on(action)
    credential, repositories = caller.look_up([name])
    known = repositories[name.text]
    decision = decide(credential, action, known.target)
    if not decision.allowed:
        error = caller.refusal(credential, decision, action, name, [repository_scope(name, action)])
        # A challenge is how clients learn to sign in, and no refusal yet.
        if not isinstance(error, Unauthorized):
            reason = {"reason": decision.reason}
            audit.record_refusal(action=AuditAction.ACCESS, repository=name, target=action, detail=reason)
        raise error
    role = role_in(credential, known.target) or Role.READER
    return Access(name, Principal(credential.name, role), credential, known)


@contextmanager
def telling_refusals(access: Access, action: Action) -> Iterator[None]:
    """What a rule of the team or its quota refuses to whoever has the right is in the audit log as well.

    Belongs around the whole write, outside of its transactions.
    """
    try:
        yield
    except Denied as error:
        detail = {"reason": error.as_json()["message"]}
        audit.record_refusal(action=AuditAction.ACCESS, repository=access.name, target=action, detail=detail)
        raise


def authorise_repository(caller: Caller, action: Action, name: str) -> tuple[Access, int]:
    """The same gate for the management API, where the repository must exist; its id besides.

    Raises Unauthenticated, Forbidden, Unsupported for what the configuration switches off, and NotFound, also for
    what nothing can be called.
    """
    try:
        parsed = RepositoryName.parse(name)
    except NameInvalid as error:
        who_asks(caller)
        raise NotFound from error
    credential, repositories = caller.look_up([parsed])
    check_signed_in(caller, credential)
    known = repositories[parsed.text]
    check(credential, action, known.target)
    repository_id = known.id or _find_id(parsed)
    if repository_id is None:
        raise NotFound
    check_switched_on(action)
    role = role_in(credential, known.target) or Role.READER
    return Access(parsed, Principal(credential.name, role), credential, known), repository_id


def find_readable(
    caller: Caller, access: Access, names: Collection[RepositoryName], *, asked: RepositoryName | None
) -> RepositoryName | None:
    """The first of the repositories that the caller may pull; one statement for all of them.

    Raises Unauthorized, naming both repositories, where only the bearer token's scopes stand in the way of the one
    that the client `asked` for, which can get a wider token when it is told.
    """
    credential, repositories = caller.look_up(names)
    decisions = {name: decide(credential, Action.PULL, repositories[name.text].target) for name in names}
    for name, decision in decisions.items():
        if decision.allowed:
            return name
    if asked in decisions and decisions[asked].wider and repositories[asked.text].id is not None:
        scopes = [repository_scope(access.name, Action.PUSH), repository_scope(asked, Action.PULL)]
        raise caller.refusal(credential, decisions[asked], Action.PULL, asked, scopes)
    return None


def authorise_entry(caller: Caller) -> None:
    """Let in whoever proved who they are, with whatever token; raises Unauthorized, which tells how to."""
    if caller.is_anonymous and caller.challenge is not None:
        raise caller.challenge.refusal()
    caller.look_up()


def authorise_catalog(caller: Caller) -> Credential:
    """Who asks for the list of repositories; it shows only what they may pull. Raises Unauthorized."""
    credential, _ = caller.look_up()
    scopes = credential.scopes
    narrow = scopes is not None and not scopes.get(("registry", "catalog"), frozenset()) & {"*"}
    if caller.challenge is not None and (narrow or credential.is_anonymous):
        raise caller.challenge.refusal(scopes=[CATALOG_SCOPE], error=INSUFFICIENT_SCOPE if narrow else "")
    return credential


def get_repository_id(access: Access) -> int:
    """Raise NameUnknown unless the repository exists."""
    repository_id = access.known.id or _find_id(access.name)
    if repository_id is None:
        raise NameUnknown({"name": access.name.text})
    return repository_id


def push_into(access: Access, write: Callable[[int], Pushed]) -> Pushed:
    """Run `write`, one transaction, with the repository's id; a repository that it is the first to push to stays
    only if the write is accepted.
    """
    repository_id = access.known.id or _find_id(access.name)
    if repository_id is None:
        return _push_first(access, write)
    try:
        return write(repository_id)
    except (NameUnknown, IntegrityError) as error:
        if _find_id(access.name) == repository_id:
            raise
        # Whether it may be made anew, the right that was granted does not say; the next request asks.
        raise Unavailable({"reason": "the repository went meanwhile"}) from error


@retried
def _push_first(access: Access, write: Callable[[int], Pushed]) -> Pushed:
    with writing():
        return write(obtain_repository_id(access))


@contextmanager
def repository_on_trial(access: Access) -> Iterator[int]:
    """As `push_into`, for a push whose bytes come between its transactions."""
    repository_id = access.known.id or _find_id(access.name)
    if repository_id is not None:
        yield repository_id
        return
    repository_id = obtain_repository_id(access)
    try:
        yield repository_id
    except Exception:
        # Foreign keys refuse it when another push came meanwhile; and a row that stays harms nobody.
        with suppress(DatabaseError), writing(), connection.cursor() as cursor:
            cursor.execute("DELETE FROM repositories_repository WHERE id = %s", [repository_id])
        raise


def obtain_repository_id(access: Access) -> int:
    """The repository to push to, created on the first push; its team as well, where the caller may create teams."""
    repository_id = access.known.id or _find_id(access.name)
    if repository_id is not None:
        return repository_id
    _create_repository(access)
    return get_repository_id(access)


@retried
def _create_repository(access: Access) -> None:
    """Two first pushes may come at once: each inserts or finds what the other inserted.

    Whoever deletes the team counts its repositories under a lock that does not go with ours, so that one of the two
    sees the other. Raises NameUnknown where the team has gone.
    """
    with writing():
        team_id = access.known.team_id or _obtain_team_id(access.name.team_slug)
        held = fetch_all(f"SELECT id FROM accounts_team WHERE id = %s AND deleted_at IS NULL{key_share()}", [team_id])
        if not held:
            raise NameUnknown({"name": access.name.text})
        made = fetch_all(
            "INSERT INTO repositories_repository (team_id, name, visibility, created_at) VALUES (%s, %s, '', %s)"
            " ON CONFLICT DO NOTHING RETURNING id",
            [team_id, access.name.text, connection.ops.adapt_datetimefield_value(timezone.now())],
        )
        if made:
            audit.record(action=AuditAction.REPOSITORY_CREATE, repository=access.name)


def _obtain_team_id(slug: str) -> int:
    made = fetch_all(
        "INSERT INTO accounts_team (slug, visibility, quota_bytes, created_at) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT DO NOTHING RETURNING id",
        [
            slug,
            Visibility.PRIVATE.value,
            settings.TEAM_QUOTA,
            connection.ops.adapt_datetimefield_value(timezone.now()),
        ],
    )
    if made:
        detail = {"visibility": Visibility.PRIVATE.value, "quota_bytes": settings.TEAM_QUOTA}
        audit.record(action=AuditAction.TEAM_CREATE, team=slug, target=slug, detail=detail)
        return int(str(made[0][0]))
    return Team.objects.values_list("pk", flat=True).get(slug=slug, deleted_at=None)


def check_switched_on(action: Action) -> None:
    """Raises Unsupported."""
    if not RULES[action].reads and settings.READ_ONLY:
        raise Unsupported({"reason": "the registry is in read-only mode"}, headers=_READING)
    if action in _DELETING and not settings.DELETE_ENABLED:
        raise Unsupported(
            {"reason": "deleting is switched off; storage.delete.enabled switches it on"}, headers=_READING
        )


def _find_id(name: RepositoryName) -> int | None:
    return Repository.objects.filter(name=name.text, deleted_at=None).values_list("id", flat=True).first()
