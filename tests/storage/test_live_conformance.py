"""The OCI conformance programs against a Lading that stores in an object store, with redirects off and on."""

import os

import pytest

from tests.conformance.__main__ import RUNS, execute
from tests.conformance.programs import ProgramUnavailable
from tests.conformance.skips import find_reason
from tests.live.inspection import assert_check_finds_nothing

# An object store answers a range that ends before it begins with the whole object, as RFC 9110 allows.
IGNORED_RANGE = "/range 500-0"


def comes_from_the_store(test):
    """Whether all that is missing is a header of the registry's, which no object store sends."""
    return test.message.strip() == "registry did not return a Docker-Content-Digest header"


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", RUNS)
def test_conformance_on_object_stores(object_live, name, tmp_path, monkeypatch):
    try:
        run = RUNS[name]()
    except ProgramUnavailable as problem:
        pytest.skip(f"the conformance program cannot be had: {problem}")
    monkeypatch.delenv("REGISTRY_STORAGE", raising=False)
    assert "OCI_REGISTRY" not in os.environ
    report, status = execute(run, object_live, tmp_path / "report")
    failed = [test for test in report.named("failed") if not (object_live.redirects and comes_from_the_store(test))]
    assert [test.name for test in failed] == []
    assert status == 0 or object_live.redirects
    assert report.counts[0] > 10
    skipped = [test for test in report.named("skipped") if find_reason(run.name, test) is None]
    assert [test.name for test in skipped if not (object_live.redirects and test.name.endswith(IGNORED_RANGE))] == []
    assert_check_finds_nothing(object_live)
