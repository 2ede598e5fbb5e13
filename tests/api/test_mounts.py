"""Mounting blobs of other repositories (end-11)."""

import pytest

from blobs.models import StorageDeletion, UploadSession
from repositories.models import Repository
from tests.factories import ABSENT, NAME, digest_of

pytestmark = pytest.mark.django_db
SOURCE = "bob/base"
CONTENT = b"a base layer"


@pytest.fixture
def digest(registry):
    return registry.push_blob(CONTENT, SOURCE)


@pytest.mark.parametrize("source", [f"&from={SOURCE}", "", "&from=", f"&from={SOURCE}&origin=anything"])
def test_mounts_a_blob(registry, digest, source):
    answer = registry.post(f"/v2/{NAME}/blobs/uploads/?mount={digest}{source}")
    assert (answer.status, answer.headers["Docker-Content-Digest"]) == (201, digest)
    assert answer.headers["Location"] == f"/v2/{NAME}/blobs/{digest}"
    assert registry.get(answer.headers["Location"]).body == CONTENT
    assert not UploadSession.objects.filter(repository__name=NAME).exists()


def test_mounted_blob_outlives_its_source(registry, digest):
    registry.post(f"/v2/{NAME}/blobs/uploads/?mount={digest}&from={SOURCE}")
    registry.delete(f"/v2/{SOURCE}/blobs/{digest}")
    assert registry.get(f"/v2/{NAME}/blobs/{digest}").body == CONTENT


@pytest.mark.parametrize(
    "query",
    [
        f"?mount={ABSENT}&from={SOURCE}",
        f"?mount={ABSENT}",
        "?mount={digest}&from=no/such",
        "?mount={digest}&from=Not%20A%20Name",
        "?mount={digest}&from=../../etc",
        "?mount={digest}&from=carol/empty",
        "?mount=",
    ],
)
def test_mount_that_cannot_happen_opens_a_session(registry, digest, query):
    registry.push_blob(b"unrelated", "carol/empty")
    answer = registry.post(f"/v2/{NAME}/blobs/uploads/{query.format(digest=digest)}")
    assert (answer.status, answer.headers["Range"]) == (202, "0-0")
    assert registry.head(f"/v2/{NAME}/blobs/{digest}").status == 404
    assert registry.put(f"{answer.headers['Location']}?digest={digest}", CONTENT).status == 201


def test_blob_of_a_deleted_repository_cannot_be_mounted(registry, digest):
    Repository.objects.filter(name=SOURCE).update(deleted_at="2026-01-01T00:00:00Z")
    for query in (f"?mount={digest}&from={SOURCE}", f"?mount={digest}"):
        assert registry.post(f"/v2/{NAME}/blobs/uploads/{query}").status == 202


def test_malformed_digest_is_400(registry, digest):
    answer = registry.post(f"/v2/{NAME}/blobs/uploads/?mount=sha256:xyz&from={SOURCE}")
    assert (answer.status, answer.codes) == (400, ["DIGEST_INVALID"])


def test_two_digests_are_400(registry, digest):
    assert registry.post(f"/v2/{NAME}/blobs/uploads/?mount={digest}&mount={ABSENT}").status == 400


def test_mount_into_the_same_repository_is_fine(registry, digest):
    assert registry.post(f"/v2/{SOURCE}/blobs/uploads/?mount={digest}&from={SOURCE}").status == 201


def test_refused_mount_may_carry_the_blob(registry):
    digest = digest_of(CONTENT)
    answer = registry.post(f"/v2/{NAME}/blobs/uploads/?mount={digest}&from=no/such&digest={digest}", CONTENT)
    assert answer.status == 201
    assert registry.get(f"/v2/{NAME}/blobs/{digest}").body == CONTENT
    assert not StorageDeletion.objects.exists()
