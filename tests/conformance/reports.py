"""What a conformance program reported: its junit.xml read into passed, failed and skipped tests."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree


class ReportMissing(Exception):
    """The program wrote no usable report, whatever its exit status was."""


@dataclass(frozen=True)
class Case:
    name: str
    outcome: str
    """passed, failed or skipped"""
    message: str


@dataclass(frozen=True)
class Report:
    cases: Sequence[Case]

    def named(self, outcome: str) -> list[Case]:
        return [case for case in self.cases if case.outcome == outcome]

    @property
    def counts(self) -> tuple[int, int, int]:
        passed, failed, skipped = (len(self.named(outcome)) for outcome in ("passed", "failed", "skipped"))
        return passed, failed, skipped


def read_report(path: Path) -> Report:
    """This will read a junit.xml of the current program or of the Ginkgo suite. Raises ReportMissing."""
    try:
        root = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError) as error:
        raise ReportMissing(f"{path.name}: {error}") from error
    report = Report([_case(element) for element in root.iter("testcase")])
    if not report.named("passed"):
        raise ReportMissing(f"{path.name}: not one test passed, so the program was not really run")
    return report


def _case(element: ElementTree.Element) -> Case:
    # The current program has only the attribute, Ginkgo only the elements.
    status = element.get("status")
    name = element.get("name", "")
    if status is not None:
        outcome = {"passed": "passed", "skipped": "skipped"}.get(status, "failed")
        return Case(name, outcome, element.findtext("system-out") or "")
    for tag, outcome in (("failure", "failed"), ("error", "failed"), ("skipped", "skipped")):
        found = element.find(tag)
        if found is not None:
            return Case(name, outcome, found.text or found.get("message") or "")
    return Case(name, "passed", "")
