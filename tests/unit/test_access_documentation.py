"""docs/access.md has the table of roles that the code decides by, and configurations that are accepted."""

import re
from pathlib import Path
from textwrap import dedent

import pytest
import yaml

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
from registry_project.config import load_configuration

PAGE = (Path(__file__).parents[2] / "docs" / "access.md").read_text()
TARGETS = {
    Place.REPOSITORY: RepositoryTarget("acme/app", "acme"),
    Place.TEAM: TeamTarget("acme"),
    Place.INSTANCE: InstanceTarget(),
}

_BLOCK = re.compile(r"^ *```yaml\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
YAML = [yaml.safe_load(dedent(block)) for block in _BLOCK.findall(PAGE)]
CONFIGURATIONS = [document for document in YAML if set(document) <= {"auth", "http", "limits", "web"}]


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


@pytest.mark.parametrize("document", CONFIGURATIONS, ids=lambda document: "-".join(document))
def test_a_configuration_of_the_page_is_accepted(document, tmp_path):
    file = tmp_path / "config.yml"
    file.write_text(yaml.safe_dump({"version": 0.1, **document}))
    assert load_configuration(file, {}).warnings == ()


def test_the_page_has_a_configuration_for_each_way_in():
    ways = {kind for document in CONFIGURATIONS for kind in document.get("auth", {})}
    lading = {key for document in CONFIGURATIONS for key in document.get("auth", {}).get("lading", {})}
    assert ways == {"lading", "htpasswd", "token"}
    assert {"oidc", "ldap", "issuers"} <= lading


def test_the_other_documents_of_the_page_are_for_whom_it_says():
    others = [document for document in YAML if document not in CONFIGURATIONS]
    assert [sorted(map(str, document)) for document in others] == [
        ["True", "jobs", "name", "permissions"],  # GitHub's `on`, as YAML 1.1 reads it
        ["push"],
        ["spec"],
    ]
