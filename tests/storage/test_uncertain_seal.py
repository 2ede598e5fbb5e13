"""What becomes of an upload when the storage cannot tell whose bytes are under its key."""

import pytest

from blobs.models import Blob, StorageDeletion, UploadSession
from blobs.storage.local import LocalBlobStore
from tests.factories import NAME, digest_of

CONTENT = b"what the client sent"
OTHER = b"what another one did"

pytestmark = pytest.mark.django_db


@pytest.fixture(params=[CONTENT, OTHER], ids=["its own bytes", "another request's"])
def found(request, monkeypatch):
    """The bytes that lie under the key when the answer to its completion was lost."""
    seal = LocalBlobStore.seal

    def uncertain(self, key, *, size, state):
        seal(self, key, size=size, state=state)
        self._path(key).write_bytes(request.param)
        return False

    assert len(OTHER) == len(CONTENT)
    monkeypatch.setattr(LocalBlobStore, "seal", uncertain)
    return request.param


@pytest.mark.parametrize("whole", [True, False], ids=["one request", "session"])
def test_digest_decides(registry, found, whole):
    digest = digest_of(CONTENT)
    address = f"/v2/{NAME}/blobs/uploads/" if whole else registry.start_upload()
    answer = registry.request("POST" if whole else "PUT", f"{address}?digest={digest}", CONTENT)
    if found == CONTENT:
        assert answer.status == 201
        assert registry.get(f"/v2/{NAME}/blobs/{digest}").body == CONTENT
    else:
        assert (answer.status, answer.codes) == (400, ["DIGEST_INVALID"])
        assert not Blob.objects.exists()
        assert not UploadSession.objects.exists()
        assert StorageDeletion.objects.count() == 1
