"""The words of the audit log. They are never renamed: rows that hold them stay for years."""

from enum import StrEnum


class AuditAction(StrEnum):
    """What was done; docs/audit.md says what each row tells. What stands before a dot is the kind of the target."""

    BLOB_PUSH = "blob.push"
    BLOB_MOUNT = "blob.mount"
    BLOB_DELETE = "blob.delete"
    MANIFEST_PUSH = "manifest.push"
    MANIFEST_DELETE = "manifest.delete"
    TAG_CREATE = "tag.create"
    TAG_MOVE = "tag.move"
    TAG_DELETE = "tag.delete"
    ACCESS = "access"
    SIGN_IN = "sign-in"


def actions_under(prefix: str) -> list[AuditAction]:
    """The actions that begin with a prefix which ends in a dot, such as `tag.`."""
    return [action for action in AuditAction if action.startswith(prefix)]
