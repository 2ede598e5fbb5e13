"""docs/audit.md and the code say the same."""

import re
from pathlib import Path

from events.audit_actions import AuditAction
from events.models import AuditEvent

PAGE = (Path(__file__).parents[2] / "docs" / "audit.md").read_text()


def first_column(heading):
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("|")]
    return [word for cell in cells for word in re.findall(r"`([^`]+)`", cell)]


def test_the_page_lists_every_action():
    assert first_column("Actions") == [action.value for action in AuditAction]


def test_the_page_lists_every_field():
    assert first_column("Fields") == [field.name for field in AuditEvent._meta.concrete_fields]


def test_every_outcome_is_explained():
    (row,) = [line for line in PAGE.splitlines() if line.startswith("| `outcome`")]
    assert set(AuditEvent.Outcome.values) <= set(re.findall(r"`([^`]+)`", row))
