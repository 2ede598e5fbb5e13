"""The table of roles, as docs/access.md must have it.

`python -m accounts.documentation` writes its rows.
"""

import sys
from collections.abc import Iterator

from accounts.rights import RULES, Place, Role, Rule

_YES = "✓"
_PLACES = {
    Place.REPOSITORY: "In repositories",
    Place.TEAM: "In the team",
    Place.INSTANCE: "In the whole registry",
    Place.ACCOUNT: "With the own account, for everybody who has one",
}


def table() -> Iterator[str]:
    """This will give each row of the table, the names of its columns first."""
    columns = [*(role.value for role in Role), "auditor", "administrator"]
    yield f"| | {' | '.join(columns)} |"
    yield f"|---|{':-:|' * len(columns)}"
    for place, heading in _PLACES.items():
        yield f"| **{heading}** |{' |' * len(columns)}"
        for rule in RULES.values():
            if rule.place is place:
                yield f"| {rule.title} |{''.join(f' {mark} |' for mark in _marks(rule))}"


def _marks(rule: Rule) -> Iterator[str]:
    own = rule.place is Place.ACCOUNT
    for role in Role:
        yield _YES if own or (rule.role is not None and role.includes(rule.role)) else ""
    yield _YES if own or rule.reads else ""
    yield _YES


if __name__ == "__main__":
    sys.stdout.writelines(f"{row}\n" for row in table())
