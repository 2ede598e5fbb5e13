"""People whom another system signs in, OpenID Connect or LDAP: their accounts here, and what their groups give them."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from allauth.socialaccount.models import SocialAccount

from accounts.models import Membership, Team, User
from accounts.models.users import RESERVED_USERNAMES, USERNAME_MAX_LENGTH
from accounts.rights import Role
from events import audit
from events.audit_actions import AuditAction
from registry_project.database import retried, writing

_MOST_NAMESAKES = 50
_EMAIL_MAX_LENGTH = 254
_FALLBACK_NAME = "user"


class GroupRules(Protocol):
    """What a provider's configuration says about groups; a membership is `team:role`."""

    @property
    def groups(self) -> Mapping[str, Sequence[str]]: ...
    @property
    def administrators(self) -> Sequence[str]: ...
    @property
    def auditors(self) -> Sequence[str]: ...


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody whom `provider` vouches for. `uid` is theirs for ever; `username` is a wish."""

    provider: str
    uid: str
    username: str
    email: str = ""
    groups: frozenset[str] = frozenset()


class PersonRefused(Exception):
    """The message says why, for the log."""

    def __init__(self, reason: str, *, username: str) -> None:
        super().__init__(reason)
        self.username = username


@retried
def admit(*, person: Person, rules: GroupRules) -> User:
    """The account of a person, made at the first sign-in; raises PersonRefused.

    Their groups are theirs as of now: what the provider's groups gave before and give no longer is gone. Nobody is
    linked to an account that exists because a name or an e-mail address is the same: whoever can choose those at the
    provider would get it. Who is disabled here stays so.
    """
    with writing():
        account = SocialAccount.objects.select_related("user").filter(provider=person.provider, uid=person.uid).first()
        user: User = account.user if account else _create(person)
        if not user.is_active:
            raise PersonRefused(f"{user.username} is disabled", username=user.username)
        _replace_groups(user, person, rules)
        return user


def is_of_provider(user_id: int, provider: str) -> bool:
    """Whether a provider vouches for a user."""
    return bool(SocialAccount.objects.filter(user_id=user_id, provider=provider).exists())


def normalise_username(wish: str) -> str:
    """A name that the pattern of user names allows: `Åsa.Öberg@example.org` becomes `asa.oberg`."""
    plain = unicodedata.normalize("NFKD", wish.partition("@")[0])
    plain = "".join(character for character in plain if not unicodedata.combining(character)).lower()
    # Between two parts stands one separator.
    name = re.sub(r"[^a-z0-9]*([._-])[^a-z0-9]*|[^a-z0-9]+", lambda match: match[1] or "-", plain).strip("._-")
    return name[: USERNAME_MAX_LENGTH - 3].rstrip("._-") or _FALLBACK_NAME


def _create(person: Person) -> User:
    user = User(username=_free_name(normalise_username(person.username)))
    user.set_unusable_password()
    user.save(force_insert=True)
    SocialAccount.objects.create(provider=person.provider, uid=person.uid, user=user)
    audit.record(action=AuditAction.USER_CREATE, target=user.username, detail={"by": person.provider})
    return user


def _free_name(name: str) -> str:
    names = [name, *(f"{name}-{number}" for number in range(2, _MOST_NAMESAKES))]
    taken = set(User.objects.filter(username__in=names).values_list("username", flat=True))
    free = next((candidate for candidate in names if candidate not in taken | RESERVED_USERNAMES), None)
    if free is None:
        raise PersonRefused(f"too many accounts are called {name}", username=name)
    return free


def _replace_groups(user: User, person: Person, rules: GroupRules) -> None:
    before = {"administrator": user.is_superuser, "auditor": user.is_auditor}
    if rules.administrators:
        user.is_superuser = not person.groups.isdisjoint(rules.administrators)
    if rules.auditors:
        user.is_auditor = not person.groups.isdisjoint(rules.auditors)
    if "@" in person.email and len(person.email) <= _EMAIL_MAX_LENGTH and person.email.isprintable():
        user.email = person.email
    user.save(update_fields=["is_superuser", "is_auditor", "email"])
    after = {"administrator": user.is_superuser, "auditor": user.is_auditor}
    if after != before:
        detail = {**after, "by": person.provider}
        audit.record(action=AuditAction.USER_UPDATE, target=user.username, detail=detail)
    _replace_memberships(user, person.provider, _roles(person.groups, rules))


def _replace_memberships(user: User, provider: str, roles: Mapping[str, Role]) -> None:
    held = {
        membership.team_id: membership
        for membership in Membership.objects.filter(user=user, provider=provider).select_related("team")
    }
    teams = Team.objects.filter(slug__in=roles, deleted_at=None)
    wanted = {team.pk: team for team in teams}
    for team_id, membership in held.items():
        if team_id not in wanted:
            membership.delete()
            _record(AuditAction.MEMBER_REMOVE, user, membership.team, before=membership.role, by=provider)
    for team_id, team in wanted.items():
        role, before = roles[team.slug].value, held[team_id].role if team_id in held else None
        if role != before:
            Membership.objects.update_or_create(team=team, user=user, provider=provider, defaults={"role": role})
            _record(AuditAction.MEMBER_PUT, user, team, role=role, before=before, by=provider)


def _record(action: AuditAction, user: User, team: Team, **detail: str | None) -> None:
    audit.record(action=action, team=team.slug, target=user.username, detail=detail)


def _roles(groups: frozenset[str], rules: GroupRules) -> dict[str, Role]:
    """The highest role in each team that some group gives."""
    roles: dict[str, Role] = {}
    for group, memberships in rules.groups.items():
        if group not in groups:
            continue
        for membership in memberships:
            slug, _, name = membership.rpartition(":")
            role = Role(name)
            if slug not in roles or role.includes(roles[slug]):
                roles[slug] = role
    return roles
