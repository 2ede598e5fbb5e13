"""The faults fit the code: `make mutants` says whether the tests notice them."""

import ast

import pytest

from tests.mutants.faults import FAULTS
from tests.mutants.tree import ROOT, with_fault


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_fits_the_code(fault):
    for path, text in with_fault(ROOT, fault).items():
        ast.parse(text)
        assert text != (ROOT / path).read_text()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_tests_of_a_fault_exist(fault):
    for test in fault.tests:
        path, _, name = test.partition("::")
        assert f"def {name}" in (ROOT / path).read_text()


def test_names_are_unique():
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
