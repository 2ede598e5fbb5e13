"""Every condition has a code and a status that clients know, and a line in docs/errors.md."""

import importlib
import json
import pkgutil
import re
from pathlib import Path

import pytest

import accounts
import blobs
import oci
import repositories
from oci.errors import OCIError
from oci.views import render_error

# distribution-spec, "Error Codes".
SPECIFIED = {
    "BLOB_UNKNOWN": {404},
    "BLOB_UPLOAD_INVALID": {400, 409, 416},
    "BLOB_UPLOAD_UNKNOWN": {404},
    "DIGEST_INVALID": {400},
    "MANIFEST_BLOB_UNKNOWN": {404},
    "MANIFEST_INVALID": {400, 413},
    "MANIFEST_UNKNOWN": {404},
    "NAME_INVALID": {400},
    "NAME_UNKNOWN": {404},
    "SIZE_INVALID": {400},
    "UNAUTHORIZED": {401},
    "DENIED": {403},
    "UNSUPPORTED": {400, 404, 405, 501},
    "TOOMANYREQUESTS": {429},
}
# Codes that Distribution added and that clients know from there.
EXTRA = {
    "PAGINATION_NUMBER_INVALID": {400},
    "RANGE_INVALID": {416},
    "TAG_INVALID": {400},
    "UNAVAILABLE": {503, 507},
    "UNKNOWN": {500},
}
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "errors.md"


def conditions():
    for package in (oci, accounts, blobs, repositories):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if ".migrations" not in module.name:
                importlib.import_module(module.name)
    found, pending = set(), [OCIError]
    while pending:
        condition = pending.pop()
        found.add(condition)
        pending += condition.__subclasses__()
    return sorted(found, key=lambda condition: condition.__name__)


def documented():
    """(code, status, condition) of each row of the table."""
    rows = [line.split("|") for line in DOCUMENT.read_text().splitlines() if line.startswith("| `")]
    return {
        (code, int(row[2]), name)
        for row in rows
        for code in re.findall(r"`([^`]+)`", row[1])
        for name in re.findall(r"`([^`]+)`", row[3])
    }


@pytest.mark.parametrize("condition", conditions(), ids=lambda condition: condition.__name__)
def test_condition(condition):
    assert condition.status in (SPECIFIED | EXTRA)[condition.code]
    assert re.fullmatch(r"[A-Z_]+", condition.code)
    assert condition.message
    assert condition.message[0].islower()
    assert (condition.code, condition.status, condition.__name__) in documented()


def test_document_lists_nothing_that_is_not_there():
    real = {(condition.code, condition.status, condition.__name__) for condition in conditions()}
    assert documented() == real


def test_rows_are_complete():
    for line in DOCUMENT.read_text().splitlines():
        if line.startswith("| `"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            assert len(cells) == 5, line
            assert all(cells), line


@pytest.mark.parametrize("detail", [None, "text", {"a": 1}, [{"digest": "x"}]])
def test_envelope(detail):
    response = render_error(OCIError(detail, headers={"X-More": "1"}))
    assert (response.status_code, response["Content-Type"], response["X-More"]) == (500, "application/json", "1")
    assert json.loads(response.content) == {
        "errors": [{"code": "UNKNOWN", "message": OCIError.message, "detail": detail}]
    }
