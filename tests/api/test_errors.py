"""Everything that goes wrong leaves as OCI JSON with the right status."""

import pytest
from django.db import DataError, InterfaceError, OperationalError, connection

from oci.errors import StorageFull
from registry_project.database import LostRace
from tests.factories import ABSENT, NAME, image_manifest

SESSION = "00000000-0000-4000-8000-000000000000"
ROUTES = {
    "/v2/": {"GET", "HEAD"},
    "/v2/_catalog": {"GET", "HEAD"},
    f"/v2/{NAME}/tags/list": {"GET", "HEAD"},
    f"/v2/{NAME}/manifests/latest": {"GET", "HEAD", "PUT", "DELETE"},
    f"/v2/{NAME}/manifests/{ABSENT}": {"GET", "HEAD", "PUT", "DELETE"},
    f"/v2/{NAME}/blobs/{ABSENT}": {"GET", "HEAD", "DELETE"},
    f"/v2/{NAME}/blobs/uploads/": {"POST"},
    f"/v2/{NAME}/blobs/uploads/{SESSION}": {"GET", "HEAD", "PATCH", "PUT", "DELETE"},
    f"/v2/{NAME}/referrers/{ABSENT}": {"GET", "HEAD"},
}
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"}


@pytest.mark.parametrize(
    ("path", "method"), [(path, method) for path, allowed in ROUTES.items() for method in sorted(METHODS - allowed)]
)
def test_method_that_an_end_does_not_have_is_405_and_tells_which_it_has(registry, path, method):
    answer = registry.request(method, path)
    assert answer.status == 405
    assert set(answer.headers["Allow"].split(", ")) == ROUTES[path]
    assert method == "HEAD" or answer.codes == ["UNSUPPORTED"]


@pytest.mark.parametrize(
    "path",
    [
        "/v2/x",
        "/v2/alice/app",
        "/v2/alice/app/",
        "/v2/alice/app/manifests",
        "/v2/alice/app/manifests/",
        "/v2/alice/app/blobs/",
        "/v2/alice/app/tags",
        "/v2/alice/app/tags/list/",
        "/v2/_catalog/",
        "/v2/_catalog%0A",
        "/v2/alice/app/tags/list%0A",
        "/v2/%0A",
        "/v2/manifests/latest",
        "/v2//",
        "/v2/alice/app/manifests/a/b",
        "/v2/alice/app/blobs/uploads/a/b",
        "/v2/alice%0Aapp/tags/list",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_unrouted_path_is_404(registry, path, method, db):
    answer = registry.request(method, path)
    assert (answer.status, answer.codes) == (404, ["UNSUPPORTED"])
    assert answer.headers["Docker-Distribution-Api-Version"] == "registry/2.0"


@pytest.mark.parametrize("path", ["/v1/", "/v3/", "/v2x", "/v2x/", "/v2.0/", "/v2-/x", "/nothing", "/favicon.ico"])
def test_path_outside_the_protocol_is_a_plain_404(registry, path):
    answer = registry.get(path)
    assert (answer.status, answer.headers["Content-Type"]) == (404, "text/plain; charset=utf-8")
    assert "Docker-Distribution-Api-Version" not in answer.headers


@pytest.mark.parametrize(
    "path",
    [
        "/v2/../../etc/passwd",
        "/v2/%2e%2e/%2e%2e/etc/passwd/manifests/latest",
        "/v2/..%2f..%2fetc/manifests/latest",
        "/v2/%252e%252e/x/manifests/latest",
        "/v2/a/..;/b/manifests/latest",
        "/v2/a%00/manifests/latest",
        "/v2/./a/manifests/latest",
        f"/v2/{NAME}/blobs/sha256:%2e%2e",
        f"/v2/{NAME}/blobs/..%2F..%2Fetc",
        f"/v2/{NAME}/blobs/uploads/%2e%2e",
        f"/v2/{NAME}/manifests/%2e%2e",
    ],
)
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_paths_that_climb_find_nothing_and_leave_no_file(registry, store, tmp_path, path, method, db):
    before = sorted(tmp_path.rglob("*"))
    answer = registry.request(method, path, b"x" if method == "PUT" else b"")
    assert answer.status in {400, 404, 405}
    assert answer.codes
    assert sorted(tmp_path.rglob("*")) == before


CALLS = [
    ("GET", "/v2/_catalog", "repositories.api.views.list_readable_names"),
    ("GET", f"/v2/{NAME}/tags/list", "repositories.api.views.get_repository_id"),
    ("GET", f"/v2/{NAME}/manifests/latest", "repositories.api.views.get_manifest"),
    ("HEAD", f"/v2/{NAME}/manifests/latest", "repositories.api.views.get_manifest"),
    ("PUT", f"/v2/{NAME}/manifests/latest", "repositories.api.views.put_manifest"),
    ("DELETE", f"/v2/{NAME}/manifests/latest", "repositories.api.views.delete_tag"),
    ("GET", f"/v2/{NAME}/referrers/{ABSENT}", "repositories.api.views.list_referrers"),
    ("GET", f"/v2/{NAME}/blobs/{ABSENT}", "blobs.api.views.get_blob"),
    ("HEAD", f"/v2/{NAME}/blobs/{ABSENT}", "blobs.api.views.get_offered_blob"),
    ("DELETE", f"/v2/{NAME}/blobs/{ABSENT}", "blobs.api.views.unlink_blob"),
    ("POST", f"/v2/{NAME}/blobs/uploads/", "blobs.uploads.start_upload"),
    ("GET", f"/v2/{NAME}/blobs/uploads/{SESSION}", "blobs.uploads.get_upload"),
    ("PATCH", f"/v2/{NAME}/blobs/uploads/{SESSION}", "blobs.uploads.append_chunk"),
    ("PUT", f"/v2/{NAME}/blobs/uploads/{SESSION}?digest={ABSENT}", "blobs.uploads.complete_upload"),
    ("DELETE", f"/v2/{NAME}/blobs/uploads/{SESSION}", "blobs.uploads.cancel_upload"),
]


def refusal(message, **attributes):
    """A database's error as Django raises it, with the driver's own below."""
    error = OperationalError(message)
    error.__cause__ = type("DriverError", (Exception,), attributes)(message)
    return error


@pytest.mark.django_db
@pytest.mark.parametrize(("method", "path", "function"), CALLS)
@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (ZeroDivisionError("secret detail"), 500, "UNKNOWN"),
        (DataError("secret detail"), 500, "UNKNOWN"),
        (OperationalError("secret detail"), 503, "UNAVAILABLE"),
        (InterfaceError("secret detail"), 503, "UNAVAILABLE"),
        (refusal("secret detail", sqlstate="53100"), 507, "UNAVAILABLE"),
        (refusal("secret detail", sqlite_errorname="SQLITE_FULL"), 507, "UNAVAILABLE"),
        (refusal("secret detail", sqlstate="57P01"), 503, "UNAVAILABLE"),
        (StorageFull(), 507, "UNAVAILABLE"),
    ],
    ids=["crash", "data", "operational", "interface", "pg-full", "sqlite-full", "shutdown", "storage-full"],
)
def test_what_fails_inside_is_told_in_the_same_envelope(
    registry, monkeypatch, caplog, method, path, function, error, status, code
):
    registry.push_image()

    def fail(*_args, **_kwargs):
        raise error

    monkeypatch.setattr(function, fail)
    answer = registry.request(method, path, b"{}" if method in {"PUT", "PATCH"} else b"")
    assert answer.status == status
    assert b"secret" not in answer.body
    assert method == "HEAD" or answer.codes == [code]
    assert ("Retry-After" in answer.headers) == (status == 503)
    if status == 500:
        assert any(record.exc_info and record.exc_info[1] is error for record in caplog.records)


@pytest.mark.django_db(transaction=True)
def test_database_that_is_gone_is_503(registry, monkeypatch):
    registry.push_image()

    def refuse(*_args, **_kwargs):
        raise OperationalError("connection refused")

    connection.close()
    monkeypatch.setattr(connection, "ensure_connection", refuse)
    monkeypatch.setattr(connection, "cursor", refuse)
    for method, path in [
        ("GET", "/v2/_catalog"),
        ("GET", f"/v2/{NAME}/manifests/latest"),
        ("POST", f"/v2/{NAME}/blobs/uploads/"),
    ]:
        answer = registry.request(method, path)
        assert (answer.status, answer.codes, answer.headers["Retry-After"]) == (503, ["UNAVAILABLE"], "5")
    assert registry.get("/v2/").status == 200


def test_crash_before_any_view_is_still_json(registry, monkeypatch):
    def fail(*_args, **_kwargs):
        raise ZeroDivisionError

    monkeypatch.setattr("repositories.api.views.BaseView.dispatch", fail)
    registry._client.raise_request_exception = False
    answer = registry.get("/v2/")
    assert (answer.status, answer.codes) == (500, ["UNKNOWN"])


@pytest.mark.parametrize("value", ["abc", "-1", "1_0", "٣", "1 2", "0x10"])
def test_content_length_that_is_no_number_is_refused(registry, value, db):
    answer = registry._client.request(REQUEST_METHOD="PUT", PATH_INFO=f"/v2/{NAME}/manifests/x", CONTENT_LENGTH=value)
    assert answer.status_code == 400


@pytest.mark.parametrize("coding", ["gzip, chunked", "gzip", "chunked, gzip", "chunked, chunked", "identity", "x"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v2/"),
        ("PUT", f"/v2/{NAME}/manifests/latest"),
        ("POST", f"/v2/{NAME}/blobs/uploads/"),
        ("PATCH", f"/v2/{NAME}/blobs/uploads/{SESSION}"),
    ],
)
def test_transfer_coding_that_nobody_would_undo_is_501(registry, method, path, coding, db):
    answer = registry.request(method, path, b"x", Transfer_Encoding=coding)
    assert (answer.status, answer.codes) == (501, ["UNSUPPORTED"])


@pytest.mark.parametrize("field", ["Location", "Link"])
def test_host_header_never_shows_in_an_address(registry, field, db):
    registry.push_image("a")
    registry.push_image("b")
    answer = (
        registry.post(f"/v2/{NAME}/blobs/uploads/", Host="evil.example")
        if field == "Location"
        else registry.get(f"/v2/{NAME}/tags/list?n=1", Host="evil.example", X_Forwarded_Host="evil.example")
    )
    assert answer.headers[field].lstrip("<").startswith("/v2/")
    assert "evil" not in answer.headers[field]


@pytest.mark.django_db(transaction=True)
def test_a_race_that_is_lost_for_good_asks_the_client_to_come_again(registry, monkeypatch):
    def lose(*_args, **_kwargs):
        raise LostRace

    monkeypatch.setattr("repositories.manifests.point_tags", lose)
    registry.push_blob(b"{}")
    answer = registry.put_manifest(image_manifest(), "latest")
    assert (answer.status, answer.codes) == (503, ["UNAVAILABLE"])
    assert answer.headers["Retry-After"]
