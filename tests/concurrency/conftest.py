"""A repository with committed rows, and threads that meet at the places where races are decided."""

import pytest
from django.db import connection

from accounts.callers import CALLED_BY_EVERYONE
from accounts.rights import ANONYMOUS, Action
from blobs.uploads import UploadOwner, upload_blob
from oci.digests import Digest
from oci.names import RepositoryName
from repositories.access import authorise, obtain_repository_id
from repositories.manifests import put_manifest
from tests.concurrency.meeting import body
from tests.factories import encode, image_manifest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/concurrency/" in str(item.path):
            item.add_marker(pytest.mark.django_db(transaction=True))


@pytest.fixture(autouse=True)
def _only_with_row_locks(transactional_db):
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writer at a time: there are no row locks to race for")


class House:
    """One repository and the ways to fill it; every method commits."""

    def __init__(self, name: str = "alice/app") -> None:
        self.name = RepositoryName.parse(name)
        self.id = obtain_repository_id(authorise(CALLED_BY_EVERYONE, Action.PUSH, self.name))
        self.owner = UploadOwner(self.id, ANONYMOUS.name)

    def push_blob(self, content: bytes) -> Digest:
        digest = Digest.of(content)
        upload_blob(owner=self.owner, digest=digest, body=body(content))
        return digest

    def put_manifest(self, reference, layers=(), *, tags=(), **more) -> Digest:
        payload = encode(image_manifest(b"{}", layers, **more))
        return put_manifest(
            repository_id=self.id,
            principal=ANONYMOUS,
            reference=reference if reference is not None else Digest.of(payload),
            tags=tags,
            payload=payload,
            content_type="",
        ).digest


@pytest.fixture
def house(transactional_db, store) -> House:
    house = House()
    house.push_blob(b"{}")
    return house
