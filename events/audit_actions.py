"""The words of the audit log. They are never renamed: rows that hold them stay for years."""

from enum import StrEnum


class AuditAction(StrEnum):
    """What was done; docs/audit.md says what each row tells. What stands before a dot is the kind of the target."""

    BLOB_PUSH = "blob.push"
    BLOB_MOUNT = "blob.mount"
    BLOB_DELETE = "blob.delete"
    BLOB_QUARANTINE = "blob.quarantine"
    BLOB_HEAL = "blob.heal"
    MANIFEST_PUSH = "manifest.push"
    MANIFEST_DELETE = "manifest.delete"
    TAG_CREATE = "tag.create"
    TAG_MOVE = "tag.move"
    TAG_DELETE = "tag.delete"
    TAG_EXPIRE = "tag.expire"
    TAG_RESTORE = "tag.restore"
    TAG_UPDATE = "tag.update"
    TRASH_PURGE = "trash.purge"
    REPOSITORY_CREATE = "repository.create"
    REPOSITORY_UPDATE = "repository.update"
    REPOSITORY_DELETE = "repository.delete"
    REPOSITORY_RESTORE = "repository.restore"
    REPOSITORY_PURGE = "repository.purge"
    USER_CREATE = "user.create"
    USER_UPDATE = "user.update"
    USER_DELETE = "user.delete"
    USER_SIGN_OUT = "user.sign-out"
    TOKEN_CREATE = "token.create"  # noqa: S105 - a word, no secret
    TOKEN_DELETE = "token.delete"  # noqa: S105
    TEAM_CREATE = "team.create"
    TEAM_UPDATE = "team.update"
    TEAM_DELETE = "team.delete"
    MEMBER_PUT = "member.put"
    MEMBER_REMOVE = "member.remove"
    GRANT_CREATE = "grant.create"
    GRANT_UPDATE = "grant.update"
    GRANT_DELETE = "grant.delete"
    ROBOT_CREATE = "robot.create"
    ROBOT_UPDATE = "robot.update"
    ROBOT_ROTATE = "robot.rotate"
    ROBOT_DELETE = "robot.delete"
    ROBOT_TRUST = "robot.trust"
    ROBOT_DISTRUST = "robot.distrust"
    TAG_RULE_CREATE = "tag-rule.create"
    TAG_RULE_DELETE = "tag-rule.delete"
    RETENTION_SET = "retention.set"
    RETENTION_REMOVE = "retention.remove"
    KEY_ROTATE = "key.rotate"
    KEY_REVOKE = "key.revoke"
    COLLECTION_PAUSE = "collection.pause"
    COLLECTION_RESUME = "collection.resume"
    ACCESS = "access"
    SIGN_IN = "sign-in"
    SIGN_OUT = "sign-out"


def actions_under(prefix: str) -> list[AuditAction]:
    """The actions that begin with a prefix which ends in a dot, such as `tag.`."""
    return [action for action in AuditAction if action.startswith(prefix)]
