"""The world of the matrix (tests/access/reference.py), and what each of its requests is made of."""

import json
import uuid
from dataclasses import dataclass, field, replace

from django.test import Client

from accounts.models import (
    AccessToken,
    Membership,
    RepositoryGrant,
    Team,
    TrustedIdentity,
    User,
)
from blobs.models import UploadSession
from blobs.uploads import UploadOwner, start_upload
from repositories.models import Repository, TagRule
from tests.access import bearer
from tests.access.reference import HOLDERS, NOT_ASKED, REPOSITORIES, Who
from tests.factories import ABSENT, Answer, Registry, digest_of, encode, index_manifest
from tests.people import PASSWORD, make_access_token, make_robot, make_team, make_user

ISSUER = "https://ci.example.org"
CLAIMS = {"repository": "acme/app"}
ROLES = ("reader", "developer", "maintainer", "owner")
LIMITS = {"reading token": "reader", "developing token": "developer", "maintaining token": "maintainer"}
NO_SESSION = str(uuid.UUID(int=7))
HIDDEN_LAYER, LOOSE_BLOB, NEW_BLOB = b"hidden", b"loose", b"new"
NEW_INDEX = encode(index_manifest(annotations={"new": "yes"}))
ABSENT_REFERENCE = {"tag": "nothing", "digest": ABSENT}


class Browser(Registry):
    """Cookies in place of credentials, of which each request gets the same, whatever the one before answered."""

    def __init__(self, username: str, *, csrf: bool) -> None:
        super().__init__()
        self._client = Client(enforce_csrf_checks=True)
        body = json.dumps({"username": username, "password": PASSWORD}).encode()
        answer = super().request("POST", "/api/v1/session", body, Content_Type="application/json")
        assert answer.status == 201, answer
        self._headers = {"Cookie": "; ".join(f"{name}={each.value}" for name, each in self._client.cookies.items())}
        if csrf:
            self._headers["X_Csrftoken"] = answer.json()["csrf_token"]

    def request(self, *arguments, **options) -> Answer:
        return super().request(*arguments, **{**self._headers, **options})


@dataclass
class World:
    """`ids` are those of each team's children, by the name of their parameter."""

    registry: Registry
    ids: dict[str, dict[str, object]] = field(default_factory=dict)
    own_tokens: dict[str, int] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    repositories: dict[str, int] = field(default_factory=dict)


def build_world(registry: Registry) -> World:
    world = World(registry)
    for holder in HOLDERS:
        make_user(holder, is_superuser=holder == "administrator", is_auditor=holder == "auditor")
        make_access_token(User.objects.get(username=holder), name="one of mine")
        world.own_tokens[holder] = AccessToken.objects.get(user__username=holder).pk
    # The last of these can neither leave nor go.
    make_user("second-administrator", is_superuser=True)
    make_user("bystander")
    make_team("acorn", **{role: role for role in ROLES}, second_owner="owner")
    make_team("vault", insider="owner")
    make_team("fairs", insider="owner")
    Team.objects.filter(slug="fairs").update(visibility="public")
    RepositoryGrant.objects.create(
        team=Team.objects.get(slug="acorn"), user=User.objects.get(username="granted"), pattern="ap*", role="developer"
    )
    for number, slug in enumerate(("acorn", "vault")):
        world.ids[slug] = _furnish(Team.objects.get(slug=slug), number)
    world.ids["ghost"] = world.ids["vault"]
    make_access_token(User.objects.get(username="bystander"), name="theirs")
    world.own_tokens["bystander"] = AccessToken.objects.get(name="theirs").pk
    _push_everything(world)
    return world


def _furnish(team: Team, number: int) -> dict[str, object]:
    """One child of each kind; the robot's grants are no grants of the team's."""
    robot, _ = make_robot(team, "furniture")
    member = make_user(f"member-{number}")
    Membership.objects.create(team=team, user=member, role="reader")
    granted = make_user(f"guest-{number}")
    grant = RepositoryGrant.objects.create(team=team, user=granted, pattern="app", role="reader")
    identity = TrustedIdentity.objects.create(robot=robot, issuer=ISSUER, claims=CLAIMS)
    rule = TagRule.objects.create(team=team, repositories="none/such", tags="v*", immutable=True)
    return {
        "username": member.username,
        "grant_id": grant.pk,
        "robot": robot.name,
        "identity_id": identity.pk,
        "rule_id": rule.pk,
        "repository_id": 999_999,
    }


def _push_everything(world: World) -> None:
    pusher = world.registry.signed_in("second-administrator", PASSWORD)
    for name in ("acorn/app", "acorn/web", "acorn/pub", "vault/app", "fairs/app"):
        layer = HIDDEN_LAYER if name == "vault/app" else b"layer"
        world.digests[name] = pusher.push_image("latest", name, layers=[layer]).digest
        pusher.push_blob(LOOSE_BLOB, name)
    Repository.objects.filter(name="acorn/pub").update(visibility="public")
    world.repositories = dict(Repository.objects.values_list("name", "pk"))


def who_comes(table: dict[str, dict[str, str]]) -> list[Who]:
    """Everybody by everything that they can come with, as IN_REPOSITORIES or IN_TEAMS says."""
    return [Who(by, holder) for by, row in table.items() for holder in HOLDERS if row[holder] not in NOT_ASKED]


def client_of(world: World, who: Who) -> Registry:
    """How somebody comes to the registry."""
    registry, name, by = world.registry, who.holder, who.credential
    signed_in = registry.signed_in(name, PASSWORD)
    everything = [f"repository:{each}:pull,push,delete" for each in (*REPOSITORIES, "fairs/app")]
    everything.append("registry:catalog:*")
    match by:
        case "anonymous":
            return registry
        case "anonymous token":
            return bearer.fetch(registry, *everything)
        case "password":
            return signed_in
        case "token endpoint":
            return bearer.fetch(signed_in, *everything)
        case "too narrow":
            return bearer.fetch(signed_in, "repository:acorn/app:pull")
        case "session" | "session, no csrf":
            return Browser(name, csrf=by == "session")
        case "robot" | "robot for ap*" | "robot, endpoint":
            return _robot(world, who, everything)
    user = User.objects.get(username=name)
    administration = by in {"access token", "token for ap*"} and name == "administrator"
    patterns = "acorn/ap*" if by == "token for ap*" else ""
    token = make_access_token(
        user, LIMITS.get(by, "owner"), patterns=patterns, administration=administration, name=f"{who}"
    )
    # Both ways to present it are one.
    return registry.bearing(token) if HOLDERS.index(name) % 2 else registry.signed_in(name, token)


def _robot(world: World, who: Who, scopes: list[str]) -> Registry:
    name = f"{who}".replace(" ", "-").replace(",", "").replace("*", "")
    team = Team.objects.get(slug="acorn")
    _, secret = make_robot(team, name, who.holder, "ap*" if who.credential == "robot for ap*" else "**")
    client = world.registry.signed_in(f"acorn+{name}", secret)
    return bearer.fetch(client, *scopes) if who.credential == "robot, endpoint" else client


def principal_of(who: Who) -> str:
    """What uploads of theirs say."""
    if who.in_repositories == "anon":
        return ""
    if who.credential.startswith("robot"):
        return "acorn+" + f"{who}".replace(" ", "-").replace(",", "").replace("*", "")
    return who.holder


def ask_v2(world: World, client: Registry, who: Who, request: str, repository: str) -> Answer:
    """Send a request of the reference's table V2."""
    method, _, what = request.partition(" ")
    path, body, headers = f"/v2/{repository}", b"", {}
    where, _, how = what.partition(", ")
    if where.startswith("manifest"):
        digest = world.digests.get(repository, ABSENT)
        tag = "nothing" if how == "absent" else "latest"
        reference = digest if where.endswith("digest") else tag
        if method == "PUT":
            body, headers = NEW_INDEX, {"Content_Type": "application/vnd.oci.image.index.v1+json"}
            reference = digest_of(NEW_INDEX) if where.endswith("digest") else "new"
            reference = ABSENT if how == "other digest" else reference
        path += f"/manifests/{reference}"
    elif where == "blob":
        path += f"/blobs/{ABSENT if how == 'absent' else digest_of(LOOSE_BLOB)}"
    elif where == "blob_upload":
        query = {
            "": "",
            "whole": f"?digest={digest_of(NEW_BLOB)}",
            "other digest": f"?digest={ABSENT}",
            "mount": f"?mount={digest_of(b'layer')}&from=fairs/app",
            "mount hidden": f"?mount={digest_of(HIDDEN_LAYER)}&from=vault/app",
            "mount anywhere": f"?mount={digest_of(HIDDEN_LAYER)}",
        }[how]
        path += f"/blobs/uploads/{query}"
        body = NEW_BLOB if how in {"whole", "other digest"} else b""
    elif where == "blob_upload_chunk":
        path += f"/blobs/uploads/{_session(world, repository, '' if how == 'foreign' else principal_of(who))}"
        path += f"?digest={digest_of(NEW_BLOB)}" if method == "PUT" else ""
        body = NEW_BLOB if method in {"PUT", "PATCH"} else b""
    elif where == "tags":
        path += "/tags/list"
    else:
        path += f"/referrers/{world.digests.get(repository, ABSENT)}"
    return client.request(method, path, body, **headers)


def _session(world: World, repository: str, principal: str) -> str:
    """An upload session of somebody's; of nobody's, it is the administrator's who pushed everything."""
    if repository not in world.repositories:
        return NO_SESSION
    owner = UploadOwner(world.repositories[repository], principal or "second-administrator")
    opened = start_upload(owner=owner)
    # The same in each repository, so that their answers can be compared.
    UploadSession.objects.filter(pk=opened.pk).update(id=NO_SESSION)
    return NO_SESSION


POLICY = {"rules": [{"action": "delete", "pushed_before": "30d"}]}
# What makes each write valid, so that nothing but rights can refuse it.
BODIES = {
    "PATCH teams/{team}": {"visibility": "public"},
    "PATCH teams/{team}#quota": {"quota_bytes": 10**9},
    "PUT teams/{team}/members/{username}": {"role": "owner"},
    "POST teams/{team}/grants": {"username": "bystander", "pattern": "new", "role": "reader"},
    "PATCH teams/{team}/grants/{grant_id}": {"role": "owner"},
    "POST teams/{team}/robots": {"name": "new", "role": "reader"},
    "PATCH teams/{team}/robots/{robot}": {"disabled": True},
    "POST teams/{team}/robots/{robot}/rotate": {},
    "POST teams/{team}/robots/{robot}/identities": {"issuer": ISSUER, "claims": CLAIMS},
    "POST teams/{team}/tag-rules": {"tags": "w*", "immutable": True},
    "PUT teams/{team}/retention": POLICY,
    "POST teams/{team}/retention/preview": {},
    "PUT retention": POLICY,
    "PATCH users/{username}": {"email": "new@example.org"},
    "PATCH users/{username}#self": {"email": "new@example.org"},
    "POST users": {"username": "newcomer", "password": "a much longer horse"},
    "POST teams": {"name": "newer"},
    "POST session": {"username": "bystander", "password": PASSWORD},
    "PATCH users/me": {"email": "new@example.org"},
    "PUT users/me/password": {"old_password": PASSWORD, "password": "a much longer horse"},
    "POST users/me/tokens": {"name": "new"},
    "POST users/me/tokens#administration": {"name": "new", "administration": True},
}
QUERIES = {
    "GET access/explain?team={team}": "&principal=bystander&action=team.read",
    "GET access/explain?repository={team}/app": "&principal=bystander&action=pull",
    "GET access/explain": "?action=users.read",
    "GET access/explain#another": "?action=users.read&principal=bystander",
}


def ask_repository(world: World, client: Registry, request: str, name: str) -> Answer:
    """Send a request of the reference's table of the management API's repositories."""
    method, path = request.split(maxsplit=1)
    digest = world.digests.get(name, world.digests["acorn/app"])
    body = {
        "PATCH repositories/{name}": {"visibility": "private"},
        "PATCH repositories/{name}/-/tags/{tag}": {"expires_at": None},
        "POST repositories/{name}/-/tags/{tag}/restore": {"digest": digest},
        "POST repositories/{name}/-/tags/delete": {"tags": ["latest"]},
        "PUT repositories/{name}/-/retention": POLICY,
        "POST repositories/{name}/-/retention/preview": {},
    }.get(request)
    content = b"" if body is None else json.dumps(body).encode()
    address = path.format(name=name, tag="latest", digest=digest)
    return client.request(method, f"/api/v1/{address}", content, Content_Type="application/json" if content else "")


def ask_api(client: Registry, request: str, **values: object) -> Answer:
    """Send a request of one of the reference's other tables."""
    method, path = request.split(maxsplit=1)
    path = path.partition("#")[0].format(**values) + QUERIES.get(request, "")
    fields = BODIES.get(request)
    body = b"" if fields is None else json.dumps(fields).encode()
    return client.request(method, f"/api/v1/{path}", body, Content_Type="application/json" if body else "")


def anonymise(answer: Answer, *names: str) -> Answer:
    """The answer without the names of what it is about, to be compared with that about something else."""
    body, headers = answer.body, dict(answer.headers)
    for name in sorted(names, key=len, reverse=True):
        body = body.replace(name.encode(), b"NAME")
        headers = {key: value.replace(name, "NAME") for key, value in headers.items()}
    return replace(answer, body=body, headers=headers)
