"""One request to each operation of the management API that succeeds, in an order in which each can."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.people import PASSWORD

ADMIN, OWNER, ANONYMOUS, TRAVELLER = "admin", "alice", "", "traveller"
TRAVELLERS = {"username": TRAVELLER}
ISSUER = "https://ci.example.org"
NEW_PASSWORD = "a much longer horse"
# The body `{"digest": …}` of what an earlier step kept.
KEPT_DIGEST = object()


@dataclass
class Step:
    """`keep` names what of the answer later steps need: a field (`results.0.id` where it is nested), and the parameter
    that it becomes.
    """

    operation: str
    body: Any = None
    query: Mapping[str, Any] = field(default_factory=dict)
    keep: tuple[str, str] | None = None
    who: str = ADMIN
    path: Mapping[str, Any] = field(default_factory=dict)


def journey() -> Iterator[Step]:
    yield Step("getSchema", who=ANONYMOUS)
    yield Step("getRoles", who=ANONYMOUS)
    yield Step("postUsers", {"username": TRAVELLER, "password": PASSWORD})
    yield Step("getUsers", query={"search": "trav", "sort": "-created", "limit": 1})
    yield Step("getQuarantine", query={"sort": "quarantined", "limit": 1})
    yield from _teams()
    yield from _accounts()
    yield from _repositories()
    yield from _collection()


def _teams() -> Iterator[Step]:
    yield Step("postTeams", {"name": "journey", "visibility": "public", "quota_bytes": 10**9}, keep=("name", "team"))
    for operation in ("getTeams", "getTeam", "getTeamUsage"):
        yield Step(operation)
    yield Step("patchTeam", {"visibility": "private", "quota_bytes": None})
    yield Step("putMember", {"role": "owner"}, path={"username": OWNER})
    yield Step("getMembers", who=OWNER)
    yield Step("getMember", path={"username": OWNER}, who=OWNER)
    yield Step(
        "postGrants", {"username": TRAVELLER, "pattern": "app*", "role": "reader"}, keep=("id", "grant_id"), who=OWNER
    )
    yield Step("getGrants", query={"username": TRAVELLER}, who=OWNER)
    yield Step("patchGrant", {"role": "developer"}, who=OWNER)
    yield Step("deleteGrant", who=OWNER)
    yield Step("postRobots", {"name": "ci", "role": "developer", "repositories": ["app", "lib-*"]}, who=OWNER)
    yield Step("getRobots", who=OWNER)
    robot = {"robot": "ci"}
    yield Step("getRobot", path=robot, who=OWNER)
    yield Step("patchRobot", {"disabled": False, "description": "builds"}, path=robot, who=OWNER)
    yield Step("postRobotRotate", {"overlap": "1h"}, path=robot, who=OWNER)
    claims = {"repository": "acme/app"}
    yield Step(
        "postRobotIdentities",
        {"issuer": ISSUER, "claims": claims},
        path=robot,
        keep=("id", "identity_id"),
        who=OWNER,
    )
    yield Step("getRobotIdentities", path=robot, who=OWNER)
    yield Step("deleteRobotIdentity", path=robot, who=OWNER)
    yield Step("deleteRobot", path=robot, who=OWNER)
    yield Step("postTagRules", {"tags": "v*", "immutable": True, "role": None}, keep=("id", "rule_id"), who=OWNER)
    yield Step("getTagRules", who=OWNER)
    yield Step("deleteTagRule", who=OWNER)
    yield from _retention("Team", OWNER)
    yield Step("getExplanation", query={"action": "pull", "repository": "journey/app", "principal": OWNER})
    yield Step("getAudit", query={"team": "journey", "limit": 200}, who=OWNER)
    yield Step("deleteMember", path={"username": OWNER}, who=OWNER)
    yield Step("deleteTeam")


def _accounts() -> Iterator[Step]:
    """Those of the traveller, who is no more in the end."""
    yield Step("getAccount", who=TRAVELLER)
    yield Step("patchAccount", {"email": "traveller@example.org"}, who=TRAVELLER)
    for name in ("one", "two"):
        body = {"name": name, "role": "reader", "repositories": ["alice/*"], "expires_at": None}
        yield Step("postAccountTokens", body, keep=("id", "token_id"), who=TRAVELLER)
        yield Step("getAccountTokens", who=TRAVELLER)
        yield Step("getUserTokens", path=TRAVELLERS)
        yield Step("deleteAccountToken", who=TRAVELLER) if name == "one" else Step("deleteUserToken", path=TRAVELLERS)
    yield Step("postSession", {"username": TRAVELLER, "password": PASSWORD}, who=ANONYMOUS)
    yield Step("getSession", who=TRAVELLER)
    yield Step("deleteSession", who=TRAVELLER)
    yield Step("postAccountSignOut", who=TRAVELLER)
    yield Step("putAccountPassword", {"old_password": PASSWORD, "password": NEW_PASSWORD}, who=TRAVELLER)
    yield Step("getUser", path=TRAVELLERS)
    yield Step("patchUser", {"auditor": True, "active": True}, path=TRAVELLERS)
    yield Step("postUserSignOut", path=TRAVELLERS)
    yield Step("deleteUser", path=TRAVELLERS)


def _repositories() -> Iterator[Step]:
    """About an image that is there already, with the tags `latest` and `old`."""
    app: dict[str, Any] = {"name": "alice/app"}
    old = {**app, "tag": "old"}
    yield Step("getRepositories", query={"team": "alice", "search": "app", "sort": "-name"})
    yield Step("getRepository", path=app)
    yield Step("patchRepository", {"visibility": "private"}, path=app)
    yield Step("getRepositoryTags", query={"search": "o", "sort": "-pushed"}, path=app)
    yield Step("getRepositoryTag", path=old, keep=("digest", "digest"))
    yield Step("patchRepositoryTag", {"expires_at": None}, path=old)
    yield Step("getRepositoryManifest", path=app)
    yield Step("getBlobWhy", query={"limit": 5})
    yield from _retention("Repository", ADMIN, app)
    yield Step("deleteRepositoryTag", path=old)
    yield Step("getTagHistory", path=old)
    yield Step("getRepositoryTrash", path=app)
    yield Step("postTagRestore", KEPT_DIGEST, path=old)
    yield Step("postRepositoryTagsDelete", {"tags": ["old"], "preview": True}, path=app)
    yield Step("deleteRepositoryTrash", path=app)
    yield Step("deleteRepository", path=app)
    yield Step("getTeamTrash", path={"team": "alice"}, keep=("results.0.id", "repository_id"))
    yield Step("postTeamTrashRestore", {}, path={"team": "alice"})
    yield Step("deleteRepository", path=app)
    yield Step("deleteTeamTrashRepository", path={"team": "alice"})


def _retention(where: str, who: str, path: Mapping[str, Any] | None = None) -> Iterator[Step]:
    policy = {"rules": [{"action": "delete", "tags": "pr-*", "pushed_before": "7d"}]}
    yield Step(f"put{where}Retention", policy, path=path or {}, who=who)
    yield Step(f"get{where}Retention", path=path or {}, who=who)
    yield Step(f"get{where}RetentionVersions", query={"limit": 1}, path=path or {}, who=who)
    if where:
        yield Step(f"post{where}RetentionPreview", {"policy": policy}, query={"limit": 1}, path=path or {}, who=who)
    yield Step(f"delete{where}Retention", path=path or {}, who=who)


def _collection() -> Iterator[Step]:
    yield Step("postCollectionPause")
    yield Step("getCollection")
    yield Step("postCollectionResume")
    yield from _retention("", ADMIN)
