"""Addresses in answers."""

from uuid import UUID

import pytest

from oci.digests import Digest
from oci.locations import blob_location, manifest_location, next_link, upload_location
from oci.names import RepositoryName

NAME, DIGEST, SESSION = RepositoryName("a/b"), Digest("sha256", "0" * 64), UUID(int=5)


@pytest.mark.parametrize(
    "base", ["", "/registry", "https://registry.example.org", "https://registry.example.org/registry"]
)
def test_addresses_stand_behind_the_configured_base(settings, base):
    settings.PUBLIC_BASE = base
    assert blob_location(NAME, DIGEST) == f"{base}/v2/a/b/blobs/{DIGEST}"
    assert manifest_location(NAME, DIGEST) == f"{base}/v2/a/b/manifests/{DIGEST}"
    assert upload_location(NAME, SESSION) == f"{base}/v2/a/b/blobs/uploads/{SESSION}"
    assert next_link("_catalog", n=1, last="x") == f'<{base}/v2/_catalog?n=1&last=x>; rel="next"'


def test_parameters_of_a_link_are_escaped(settings):
    settings.PUBLIC_BASE = ""
    assert next_link("x", last='a b&c=>"é') == '</v2/x?last=a+b%26c%3D%3E%22%C3%A9>; rel="next"'
