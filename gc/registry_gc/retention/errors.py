"""What can be wrong with a change of a policy."""

from registry_gc.retention.documents import PolicyInvalid
from registry_project.problems import BadRequest, Problem


class PolicyChanged(Problem):
    slug, status, title = "policy-changed", 412, "The policy has changed meanwhile"
    default_detail = "Somebody has changed the policy; read it again."


def as_bad_request(error: PolicyInvalid, *, prefix: str = "") -> BadRequest:
    """Each finding under the field that it is about, `rules.0.tags` where it is nested."""
    fields: dict[str, list[str]] = {}
    for finding in error.findings:
        path = finding.path.replace("[", ".").replace("]", "")
        fields.setdefault(f"{prefix}{path}".strip(".") or "body", []).append(str(finding))
    first = str(error.findings[0])
    more = f", and {len(error.findings) - 1} more" if len(error.findings) > 1 else ""
    return BadRequest(f"The policy is not valid: {first}{more}.", fields=fields)
