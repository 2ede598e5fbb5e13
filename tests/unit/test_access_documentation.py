"""docs/access.md has the table of roles that the code decides by."""

from pathlib import Path

from accounts.documentation import table
from accounts.rights import (
    RULES,
    Credential,
    Grant,
    InstanceTarget,
    Kind,
    Place,
    RepositoryTarget,
    Role,
    TeamTarget,
    decide,
)

PAGE = (Path(__file__).parents[2] / "docs" / "access.md").read_text()
TARGETS = {
    Place.REPOSITORY: RepositoryTarget("acme/app", "acme"),
    Place.TEAM: TeamTarget("acme"),
    Place.INSTANCE: InstanceTarget(),
}


def test_the_page_has_the_table():
    assert "\n".join(table()) in PAGE, "write it with python -m accounts.documentation"


def test_the_table_is_what_is_decided():
    holders = [Credential(Kind.PASSWORD, "bob", grants=(Grant("acme", role),)) for role in Role]
    holders += [
        Credential(Kind.PASSWORD, "audrey", auditor=True),
        Credential(Kind.PASSWORD, "admin", administrator=True),
    ]
    rows = {row.split(" | ")[0].strip("| "): row.count("✓") for row in table()}
    for action, rule in RULES.items():
        if rule.place is not Place.ACCOUNT:
            allowed = [decide(holder, action, TARGETS[rule.place]).allowed for holder in holders]
            assert rows[rule.title] == sum(allowed), action
