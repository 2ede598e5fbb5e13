from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.conformance.__main__ import Summary, execute
from tests.conformance.programs import Run
from tests.conformance.reports import Case, Report, ReportMissing, read_report

CURRENT = """<testsuites><testsuite>
<testcase name="Suite/push" status="passed"/>
<testcase name="Suite/pull" status="failure"><system-out>expected 200, got 500</system-out></testcase>
<testcase name="Suite/stop" status="error"/>
<testcase name="Suite/sha256 blobs/post cancel/blob-post-cancel" status="skipped"/>
</testsuite></testsuites>"""

GINKGO = """<testsuite>
<testcase name="Push works"><system-out>a log</system-out></testcase>
<testcase name="Pull works"><failure type="Failure">404 is not 200</failure></testcase>
<testcase name="Setup"><skipped>you have skipped this test.</skipped></testcase>
</testsuite>"""


def write(folder: Path, text: str) -> Path:
    path = folder / "junit.xml"
    path.write_text(text)
    return path


def test_reads_the_current_program(tmp_path):
    report = read_report(write(tmp_path, CURRENT))
    assert report.counts == (1, 2, 1)
    assert report.named("failed")[0] == Case("Suite/pull", "failed", "expected 200, got 500")


def test_reads_the_ginkgo_suite(tmp_path):
    report = read_report(write(tmp_path, GINKGO))
    assert report.counts == (1, 1, 1)
    assert report.named("failed")[0].message == "404 is not 200"


@pytest.mark.parametrize(
    "text", ["", "<testsuites/>", '<testsuites><testcase name="a" status="skipped"/></testsuites>']
)
def test_refuses_a_report_in_which_nothing_passed(tmp_path, text):
    with pytest.raises(ReportMissing):
        read_report(write(tmp_path, text))


def test_refuses_a_report_that_was_not_written(tmp_path):
    with pytest.raises(ReportMissing):
        read_report(tmp_path / "junit.xml")


def close(capsys, *cases: Case, run: str = "default") -> tuple[int, str]:
    summary = Summary()
    summary.add(Run(run, run, (), {}), "sqlite", Report(cases))
    status = summary.close()
    return status, capsys.readouterr().out


PASSED = Case("Suite/push", "passed", "")
CANCEL = Case("Suite/sha256 blobs/post cancel/blob-post-cancel", "skipped", "")


def test_a_clean_run_ends_with_the_totals(capsys):
    status, output = close(capsys, PASSED, CANCEL)
    assert status == 0
    assert "the dev run has it" in output
    assert output.splitlines()[-1] == "1 passed, 0 failed, 1 skipped"


def test_a_failure_fails_the_run(capsys):
    status, output = close(capsys, PASSED, Case("Suite/pull", "failed", "expected 200"))
    assert status == 1
    assert "FAILED Suite/pull\n    expected 200" in output
    assert output.splitlines()[-1] == "1 passed, 1 failed, 0 skipped"


def test_an_unexplained_skip_fails_the_run(capsys):
    status, output = close(capsys, PASSED, CANCEL, run="dev")
    assert status == 1
    assert "unexplained skip" in output


SERVER = SimpleNamespace(host="127.0.0.1:1", url="http://127.0.0.1:1")


def test_a_program_that_writes_no_report_did_not_run_even_if_it_exits_with_zero(tmp_path):
    folder = tmp_path / "reports"
    folder.mkdir()
    write(folder, CURRENT)  # the report of an earlier run
    with pytest.raises(ReportMissing):
        execute(Run("default", "default", ("true",), {}), SERVER, folder)


def test_the_report_and_the_status_of_a_program_are_returned(tmp_path):
    script = f"echo '{GINKGO}' > junit.xml; echo $OCI_REGISTRY $OCI_VERSION; exit 3"
    run = Run("dev", "dev", ("sh", "-c", script), {"OCI_VERSION": "dev"})
    report, status = execute(run, SERVER, tmp_path / "reports")
    assert (report.counts, status) == ((1, 1, 1), 3)
    assert (tmp_path / "reports" / "output.log").read_text() == "127.0.0.1:1 dev\n"
