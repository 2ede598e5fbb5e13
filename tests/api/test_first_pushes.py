"""A repository comes to be with the first write that is accepted, and with no other."""

import pytest

from accounts.models import Team
from blobs.models import StorageDeletion, UploadSession
from oci.errors import StorageFull
from repositories.models import Repository
from tests.factories import ABSENT, digest_of, encode, image_manifest, index_manifest

pytestmark = pytest.mark.django_db(transaction=True)
NAME = "dave/new"
UPLOADS = f"/v2/{NAME}/blobs/uploads/"
BLOB = b"content"


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("?digest=sha256:xyz", 400),
        ("?digest=", 400),
        (f"?digest={ABSENT}", 400),
        (f"?digest={ABSENT}&mount={ABSENT}&from=bob/base", 400),
        ("?mount=sha256:xyz", 400),
        (f"?mount={ABSENT}&mount={ABSENT}", 400),
        (f"?mount={ABSENT}&from=a&from=b", 400),
        ("?digest-algorithm=md5", 400),
    ],
)
def test_refused_post_makes_none(registry, query, status):
    assert registry.post(UPLOADS + query, BLOB).status == status
    assert not Repository.objects.exists()
    assert registry.get(f"/v2/{NAME}/tags/list").status == 404


def test_whole_blob_that_breaks_off_or_finds_no_space_makes_none(registry, monkeypatch):
    digest = digest_of(BLOB)
    assert registry.post(f"{UPLOADS}?digest={digest}", BLOB, length=100).status == 400

    def full(*_args, **_kwargs):
        raise StorageFull

    monkeypatch.setattr("blobs.storage.local.LocalBlobStore.write", full)
    assert registry.post(f"{UPLOADS}?digest={digest}", BLOB).status == 507
    assert not Repository.objects.exists()
    assert not UploadSession.objects.exists()
    assert StorageDeletion.objects.count() == 2


def test_refused_whole_blob_leaves_a_repository_that_another_push_uses_by_now(registry, monkeypatch):
    locations = []

    def start_another(*_args, **_kwargs):
        locations.append(registry.start_upload(NAME))
        raise StorageFull

    monkeypatch.setattr("blobs.storage.local.LocalBlobStore.write", start_another)
    assert registry.post(f"{UPLOADS}?digest={digest_of(BLOB)}", BLOB).status == 507
    monkeypatch.undo()
    assert registry.put(f"{locations[0]}?digest={digest_of(BLOB)}", BLOB).status == 201


@pytest.mark.parametrize(
    ("document", "reference", "status"),
    [
        (b"{not json", "latest", 400),
        (image_manifest(), "latest", 404),
        (index_manifest(), ABSENT, 400),
        (index_manifest(), f"{digest_of(encode(index_manifest()))}?tag=-", 400),
    ],
)
def test_refused_manifest_makes_none(registry, document, reference, status):
    assert registry.put_manifest(document, reference, NAME).status == status
    assert not Repository.objects.exists()
    assert not Team.objects.exists()


def test_each_kind_of_first_write_that_is_accepted_makes_one(registry):
    registry.start_upload("dave/session")
    registry.push_blob(BLOB, "dave/whole")
    assert registry.post(f"/v2/dave/mount/blobs/uploads/?mount={digest_of(BLOB)}&from=dave/whole").status == 201
    registry.push_manifest(index_manifest(), "latest", "dave/index")
    names = Repository.objects.order_by("name").values_list("name", flat=True)
    assert list(names) == ["dave/index", "dave/mount", "dave/session", "dave/whole"]
    assert Team.objects.get().slug == "dave"


def test_push_into_a_repository_that_goes_meanwhile_is_asked_to_come_back(registry, monkeypatch):
    """It was on trial for another push, whose bytes were refused."""
    from repositories import access

    find, found = access._find_id, []

    def find_and_lose(name):
        found.append(find(name))
        if len(found) == 1:
            Repository.objects.all().delete()
        return found[-1]

    assert registry.delete(registry.start_upload(NAME)).status == 204
    monkeypatch.setattr(access, "_find_id", find_and_lose)
    answer = registry.put_manifest(index_manifest(), "latest", NAME)
    assert (answer.status, answer.codes, found[0] is None) == (503, ["UNAVAILABLE"], False)
    assert registry.put_manifest(index_manifest(), "latest", NAME).status == 201
    assert registry.tags(NAME) == ["latest"]
