"""Conditions of blobs that clients are told about."""

from django.template.defaultfilters import filesizeformat

from oci.errors import Denied


class QuotaExceeded(Denied):
    """A team has no room for what is pushed; sizes in bytes, `size` 0 where it is not known."""

    message = "the quota of the team is exhausted"

    def __init__(self, *, team: str, used: int, quota_bytes: int, size: int) -> None:
        free = max(quota_bytes - used, 0)
        wanted = f"; this needs {_readable(size)}" if size else ""
        reason = (
            f"team {team} uses {_readable(used)} of {_readable(quota_bytes)}, so {_readable(free)} are free{wanted}."
            " Delete tags or ask an administrator for more"
        )
        super().__init__(
            {"reason": reason, "team": team, "used_bytes": used, "quota_bytes": quota_bytes, "free_bytes": free}
        )


def _readable(size: int) -> str:
    return filesizeformat(size).replace("\xa0", " ")
