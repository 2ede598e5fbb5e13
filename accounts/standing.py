"""What somebody holds at this moment, and the facts of the repositories they ask for: one statement for both.

Nothing of it is cached: a right that was taken away is gone at the next request, on every server.
"""

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast

from django.db import connection
from django.utils import timezone

from accounts.rights import Credential, Grant, Kind, Limit, RepositoryTarget, Role, Scopes
from oci.names import RepositoryName
from oci.patterns import Glob
from registry_project.database import fetch_all

# Tables of the app above this one, for a statement that the hot paths need in one piece.
_REPOSITORIES = "repositories_repository"
_ACTIVE, _ADMINISTRATOR, _AUDITOR = 1, 2, 4
_FINGERPRINT_LENGTH = 32
_NEVER = datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Proof:
    """What was presented and found genuine: that it is still good, `load_standing` asks the database.

    `password` is the stored hash that matched, `password_mark` its fingerprint. `secret_id` is that of the access
    token, the robot's secret or the trusted identity.
    `issued_at`, `kid` and `scopes` are those of a bearer token, which stands for one of the others, or for nobody
    (Kind.ANONYMOUS). A refresh token has `issued_at` alone; a session's is its sign-in.
    """

    kind: Kind
    user_id: int | None = None
    robot_id: int | None = None
    secret_id: int | None = None
    password: str | None = None
    issued_at: datetime | None = None
    password_mark: str | None = None
    kid: str = ""
    scopes: Scopes | None = None


@dataclass(frozen=True, slots=True)
class KnownRepository:
    """A repository as rights see it; `id` None where there is none of the name.

    `replaced` tells that a bearer token names it that was issued before an earlier repository of the name ended.
    """

    target: RepositoryTarget
    id: int | None = None
    team_id: int | None = None
    quota_bytes: int | None = None
    replaced: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """`credential` is None when the proof is good no longer. `repositories` has every name that was asked for."""

    credential: Credential | None
    repositories: dict[str, KnownRepository]


Row = tuple[str, str, str, str, int, int]
Part = tuple[str, list[object]]

# Each selects what it is, three texts and two numbers.
_USER = f"""
    SELECT 'holder', username, password, '',
        CASE WHEN is_active THEN {_ACTIVE} ELSE 0 END + CASE WHEN is_superuser THEN {_ADMINISTRATOR} ELSE 0 END
        + CASE WHEN is_auditor THEN {_AUDITOR} ELSE 0 END, CASE WHEN revoked_before > %s THEN 1 ELSE 0 END
    FROM accounts_user WHERE id = %s"""
_MEMBERSHIPS = """
    SELECT 'grant', t.slug, m.role, '', 0, 0
    FROM accounts_membership m JOIN accounts_team t ON t.id = m.team_id
    WHERE m.user_id = %s AND t.deleted_at IS NULL"""
_GRANTS = """
    SELECT 'grant', t.slug, g.role, g.pattern, 0, 0
    FROM accounts_repositorygrant g JOIN accounts_team t ON t.id = g.team_id
    WHERE t.deleted_at IS NULL"""
_USER_GRANTS = f"{_GRANTS} AND g.user_id = %s"
_ROBOT_GRANTS = f"{_GRANTS} AND g.robot_id = %s"
_LIMIT = """
    SELECT 'limit', role, patterns, '', CASE WHEN administration THEN 1 ELSE 0 END, 0
    FROM accounts_accesstoken WHERE id = %s AND user_id = %s AND (expires_at IS NULL OR expires_at > %s)"""
_ROBOT = f"""
    SELECT 'holder', t.slug, r.name, '', {_ACTIVE}, 0
    FROM accounts_robot r JOIN accounts_team t ON t.id = r.team_id
    WHERE r.id = %s AND r.disabled_at IS NULL AND (r.expires_at IS NULL OR r.expires_at > %s)
        AND t.deleted_at IS NULL"""
_PROVEN = """
    SELECT 'secret', '', '', '', 0, 0
    FROM accounts_robotsecret WHERE id = %s AND robot_id = %s AND (expires_at IS NULL OR expires_at > %s)"""
_TRUSTED_IDENTITY = """
    SELECT 'secret', '', '', '', 0, 0 FROM accounts_trustedidentity WHERE id = %s AND robot_id = %s"""
_SIGNING_KEY = """
    SELECT 'key', kid, '', '', 0, 0 FROM accounts_signingkey WHERE kid = %s AND (ends_at IS NULL OR ends_at > %s)"""
_REPOSITORY = f"""
    SELECT 'repository', r.name, CASE WHEN r.visibility = '' THEN t.visibility ELSE r.visibility END, '', r.id, t.id
    FROM {_REPOSITORIES} r JOIN accounts_team t ON t.id = r.team_id"""
_TEAM = "SELECT 'team', slug, '', COALESCE(CAST(quota_bytes AS varchar(20)), ''), id, 0 FROM accounts_team"
_ENDED = f"SELECT 'replaced', name, '', '', 0, 0 FROM {_REPOSITORIES}"


def load_standing(proof: Proof | None, names: Collection[RepositoryName] = ()) -> Standing:
    """Look up a proof, None for anonymous, and repositories by name; one statement."""
    parts = [*(_holder(proof) if proof else ()), *(_repositories(names, proof) if names else ())]
    rows: list[Row] = []
    if parts:
        sql = " UNION ALL ".join(part for part, _ in parts)
        rows = cast("list[Row]", fetch_all(sql, [value for _, values in parts for value in values]))
    credential = Credential(Kind.ANONYMOUS) if proof is None else _credential(proof, rows)
    return Standing(credential, _known(names, rows))


def fingerprint(stored: str) -> str:
    """Tells one stored hash of a password from another, and nothing else: the hash's salt is secret."""
    return hashlib.sha256(stored.encode()).hexdigest()[:_FINGERPRINT_LENGTH]


def _holder(proof: Proof) -> Iterator[Part]:
    now = _moment(timezone.now())
    if proof.user_id is not None:
        # Without a moment of its own it was proved just now, whatever the clock of the server that revoked says.
        yield _USER, [_moment(proof.issued_at or _NEVER), proof.user_id]
        yield _MEMBERSHIPS, [proof.user_id]
        yield _USER_GRANTS, [proof.user_id]
        if proof.kind is Kind.ACCESS_TOKEN:
            yield _LIMIT, [proof.secret_id, proof.user_id, now]
    elif proof.robot_id is not None:
        yield _ROBOT, [proof.robot_id, now]
        yield _ROBOT_GRANTS, [proof.robot_id]
        if proof.kind is Kind.ROBOT_SECRET:
            yield _PROVEN, [proof.secret_id, proof.robot_id, now]
        else:
            yield _TRUSTED_IDENTITY, [proof.secret_id, proof.robot_id]
    if proof.kid:
        yield _SIGNING_KEY, [proof.kid, now]


def _repositories(names: Collection[RepositoryName], proof: Proof | None) -> Iterator[Part]:
    texts = sorted({name.text for name in names})
    slugs = sorted({name.team_slug for name in names})
    named, in_teams = _places(texts), _places(slugs)
    yield f"{_REPOSITORY} WHERE r.name IN ({named}) AND r.deleted_at IS NULL", [*texts]
    yield f"{_TEAM} WHERE slug IN ({in_teams}) AND deleted_at IS NULL", [*slugs]
    if proof is not None and proof.issued_at is not None and proof.scopes is not None:
        # Of other repositories the token says nothing, and its holder may not learn that there was one.
        granted = [text for text in texts if ("repository", text) in proof.scopes]
        if granted:
            condition = f"name IN ({_places(granted)}) AND deleted_at >= %s"
            yield f"{_ENDED} WHERE {condition}", [*granted, _moment(proof.issued_at)]


def _credential(proof: Proof, rows: Collection[Row]) -> Credential | None:
    kinds = {row[0] for row in rows}
    if proof.kid and "key" not in kinds:
        return None
    if proof.kind is Kind.ANONYMOUS:
        return Credential(Kind.ANONYMOUS, scopes=proof.scopes)
    holder = next((row for row in rows if row[0] == "holder"), None)
    if holder is None or not holder[4] & _ACTIVE:
        return None
    is_robot = proof.robot_id is not None
    if is_robot and "secret" not in kinds:
        return None
    if not is_robot and (holder[5] or not _is_password(proof, holder[2])):
        return None
    limits = [row for row in rows if row[0] == "limit"]
    if proof.kind is Kind.ACCESS_TOKEN and not limits:
        return None
    return Credential(
        kind=proof.kind,
        name=f"{holder[1]}+{holder[2]}" if is_robot else holder[1],
        administrator=bool(holder[4] & _ADMINISTRATOR),
        auditor=bool(holder[4] & _AUDITOR),
        grants=tuple(
            Grant(row[1], Role(row[2]), Glob(row[3]) if row[3] else None) for row in rows if row[0] == "grant"
        ),
        limit=_limit(limits[0]) if limits else None,
        scopes=proof.scopes,
        proof=str(proof.kind) if proof.secret_id is None else f"{proof.kind} {proof.secret_id}",
        user_id=proof.user_id,
        robot_id=proof.robot_id,
    )


def _is_password(proof: Proof, stored: str) -> bool:
    """Whether the password that was presented is still the user's; any other secret is not asked."""
    return proof.password in (None, stored) and proof.password_mark in (None, fingerprint(stored))


def _limit(row: Row) -> Limit:
    return Limit(Role(row[1]), bool(row[4]), tuple(Glob(pattern) for pattern in row[2].split("\n") if pattern))


def _known(names: Collection[RepositoryName], rows: Collection[Row]) -> dict[str, KnownRepository]:
    found = {row[1]: row for row in rows if row[0] == "repository"}
    teams = {row[1]: row for row in rows if row[0] == "team"}
    replaced = {row[1] for row in rows if row[0] == "replaced"}
    known = {}
    for name in names:
        text, slug = name.text, name.team_slug
        row = found.get(text)
        target = RepositoryTarget(text, slug, public=bool(row and row[2] == "public"), team_exists=slug in teams)
        team = teams.get(slug)
        quota = int(team[3]) if team and team[3] else None
        known[text] = KnownRepository(
            target, row[4] if row else None, team[4] if team else None, quota, text in replaced
        )
    return known


def _places(values: Collection[object]) -> str:
    return ", ".join(["%s"] * len(values))


def _moment(moment: datetime) -> object:
    return connection.ops.adapt_datetimefield_value(moment)
