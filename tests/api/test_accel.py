"""`web.accel`: what it takes, and that it changes GET of a blob only."""

import pytest

from registry_project.config import ConfigurationError, load_configuration
from tests.factories import NAME


@pytest.mark.parametrize("text", ["files/", "/files", "/", "/a b/", "https://files.example.org/", "/a//b/"])
def test_refuses_what_is_no_location(text):
    with pytest.raises(ConfigurationError, match="begins and ends with /"):
        load_configuration(None, {"REGISTRY_WEB_ACCEL": text})


def test_needs_files():
    with pytest.raises(ConfigurationError, match=r"web\.accel"):
        load_configuration(
            None, {"REGISTRY_WEB_ACCEL": "/-/files/", "REGISTRY_STORAGE": "s3", "REGISTRY_STORAGE_S3_BUCKET": "b"}
        )


@pytest.mark.django_db
def test_only_a_get_names_the_file(registry, settings, store):
    path = f"/v2/{NAME}/blobs/{registry.push_blob(b'content')}"
    without = registry.get(path)
    assert "X-Accel-Redirect" not in without.headers
    settings.ACCEL_LOCATION = "/-/files/"
    answer = registry.get(path, Range="bytes=0-1")
    assert (answer.status, answer.body) == (200, b"")
    place = answer.headers["X-Accel-Redirect"]
    assert place.startswith("/-/files/blobs/")
    assert store.size(place.removeprefix("/-/files/")) == 7
    for name in ("Docker-Content-Digest", "ETag", "Content-Type", "Content-Disposition", "Cache-Control"):
        assert answer.headers[name] == without.headers[name]
    head = registry.head(path)
    assert "X-Accel-Redirect" not in head.headers
    assert head.headers["Content-Length"] == "7"
    assert registry.get(path, Range="bytes=9-").status == 416
