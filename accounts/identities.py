"""Identity tokens of trusted issuers, by which a CI job acts as a robot without a stored secret."""

import base64
import binascii
import json
import logging
from collections.abc import Mapping

from django.conf import settings
from django.db.models import QuerySet

from accounts.issuers import find_key
from accounts.jwt_parsing import TokenInvalid, read_header, verify
from accounts.models import Robot, TrustedIdentity
from accounts.rights import Kind
from accounts.standing import Proof
from events import audit
from events.audit_actions import AuditAction
from oci.errors import ManifestInvalid
from oci.patterns import Glob
from oci.strict_json import parse_object
from registry_project.config.auth import TrustedIssuer
from registry_project.database import writing

log = logging.getLogger("lading.accounts")

MOST_PER_ROBOT = 20
MOST_CLAIMS = 20
_LONGEST_PATTERN = 255
_ALGORITHMS = ("RS256", "ES256")
# What the jobs of strangers on the same issuer may have as well, so that none of these alone tells whose job it is.
_SHARED_CLAIMS = frozenset(
    {
        "aud",
        "base_ref",
        "environment",
        "event_name",
        "head_ref",
        "iss",
        "pipeline_source",
        "ref",
        "ref_path",
        "ref_protected",
        "ref_type",
        "runner_environment",
        "workflow",
    }
)


class IdentityInvalid(ValueError):
    """A rule that cannot be; the message says what is expected."""


def add_identity(*, robot: Robot, issuer: str, claims: Mapping[str, str]) -> TrustedIdentity:
    """Let tokens of an issuer whose claims all match act as a robot. Raises IdentityInvalid."""
    if _find_issuer(issuer) is None:
        raise IdentityInvalid("expected an issuer of auth.lading.issuers, exactly as it is written there")
    _check_claims(claims)
    with writing():
        if TrustedIdentity.objects.filter(robot=robot).count() >= MOST_PER_ROBOT:
            raise IdentityInvalid(f"a robot trusts at most {MOST_PER_ROBOT} identities")
        identity = TrustedIdentity.objects.create(robot=robot, issuer=issuer, claims=dict(claims))
        detail = {"id": identity.pk, "issuer": issuer, "claims": dict(claims)}
        audit.record(action=AuditAction.ROBOT_TRUST, team=robot.team.slug, target=robot.name, detail=detail)
    return identity


def list_identities(*, robot: Robot) -> QuerySet[TrustedIdentity]:
    return TrustedIdentity.objects.filter(robot=robot).order_by("id")


def remove_identity(*, robot: Robot, identity_id: int) -> bool:
    """Whether there was one of the robot; what was obtained by it is good no longer."""
    with writing():
        if not TrustedIdentity.objects.filter(robot=robot, id=identity_id).delete()[0]:
            return False
        detail = {"id": identity_id}
        audit.record(action=AuditAction.ROBOT_DISTRUST, team=robot.team.slug, target=robot.name, detail=detail)
    return True


def is_identity_token(password: str) -> bool:
    """Whether a password may be one; no secret of ours begins with a JSON object in base 64."""
    return password.startswith("ey") and password.count(".") == 2


def find_identity(username: str, token: str) -> Proof | None:
    """The proof that an identity token makes for a robot, `team+name`, or None."""
    try:
        claims = _verified(token)
    except TokenInvalid as error:
        log.info("an identity token was refused: %s", error)
        return None
    team, _, name = username.partition("+")
    trusted = TrustedIdentity.objects.filter(
        issuer=claims["iss"], robot__name=name, robot__team__slug=team, robot__team__deleted_at=None
    )
    for identity_id, robot_id, patterns in trusted.order_by("id").values_list("id", "robot_id", "claims"):
        if matches(patterns, claims):
            return Proof(Kind.IDENTITY_TOKEN, robot_id=robot_id, secret_id=identity_id)
    log.info("an identity token was refused: no identity that the robot trusts has its claims")
    return None


def matches(patterns: Mapping[str, str], claims: Mapping[str, object]) -> bool:
    """Whether a token has every claim of a rule, each as its pattern says; numbers and truth values as in JSON."""
    for name, pattern in patterns.items():
        value = claims.get(name)
        if isinstance(value, bool | int):
            value = json.dumps(value)
        if not isinstance(value, str) or not value.isprintable() or not Glob(pattern).matches(value):
            return False
    return bool(patterns)


def _verified(token: str) -> dict[str, object]:
    header = read_header(token)
    kid = header.get("kid")
    trusted = _find_issuer(_unverified_issuer(token))
    if trusted is None or not isinstance(kid, str) or header.get("alg") not in _ALGORITHMS:
        raise TokenInvalid("it is of no trusted issuer")
    key = find_key(trusted, kid)
    if key is None:
        raise TokenInvalid("its key is not known")
    audience = trusted.audience or settings.LADING_AUTH.service
    claims = verify(
        token,
        key,
        algorithms=_ALGORITHMS,
        issuer=str(trusted.issuer),
        audience=audience,
        required=("sub", "iat"),
    )
    # A token for several could be presented here by any of them.
    if claims["aud"] not in (audience, [audience]) or not claims["sub"]:
        raise TokenInvalid("it is not for this registry alone")
    return claims


def _unverified_issuer(token: str) -> object:
    """What a token says about its issuer; it chooses among the trusted ones, whose keys then decide."""
    payload = token.split(".")[1]
    try:
        return parse_object(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))).get("iss")
    except (binascii.Error, ManifestInvalid) as error:
        raise TokenInvalid("it is not a token") from error


def _find_issuer(issuer: object) -> TrustedIssuer | None:
    return next((trusted for trusted in settings.LADING_AUTH.issuers if trusted.issuer == issuer), None)


def _check_claims(claims: Mapping[str, str]) -> None:
    if not 1 <= len(claims) <= MOST_CLAIMS:
        raise IdentityInvalid(f"expected 1 to {MOST_CLAIMS} claims, each with the pattern of its value")
    for name, pattern in claims.items():
        for text in (name, pattern):
            if not isinstance(text, str) or not 1 <= len(text) <= _LONGEST_PATTERN or not text.isprintable():
                raise IdentityInvalid(f"expected names and patterns of 1 to {_LONGEST_PATTERN} printable characters")
    if not any(name not in _SHARED_CLAIMS and pattern[0] not in "*?" for name, pattern in claims.items()):
        raise IdentityInvalid(
            "expected a claim that tells whose job it is, such as repository or project_path or sub, by a pattern that "
            "does not begin with a wildcard: everybody may have jobs at the same issuer"
        )
