"""Repositories that come to be."""

from accounts.callers import CALLED_BY_EVERYONE
from accounts.models import Team
from accounts.rights import Action
from blobs.links import mount_blob
from blobs.models import RepositoryBlob, TeamBlob, UsageDelta
from oci.digests import Digest
from oci.names import RepositoryName
from repositories.access import authorise, obtain_repository_id
from repositories.models import Repository
from tests.concurrency.conftest import House
from tests.concurrency.meeting import at_once

PUSHERS = 10


def test_a_first_push_by_many_makes_one_repository_and_one_team(transactional_db, store):
    for turn in range(10):
        access = authorise(CALLED_BY_EVERYONE, Action.PUSH, RepositoryName.parse(f"team-{turn}/new"))
        ids = at_once([lambda access=access: obtain_repository_id(access)] * PUSHERS)
        assert len(set(ids)) == 1, ids
        assert Repository.objects.filter(name=access.name.text).count() == 1
        assert Team.objects.filter(slug=f"team-{turn}").count() == 1


def test_many_first_repositories_of_one_team(transactional_db, store):
    accesses = [
        authorise(CALLED_BY_EVERYONE, Action.PUSH, RepositoryName.parse(f"team/new-{n}")) for n in range(PUSHERS)
    ]
    ids = at_once([lambda access=access: obtain_repository_id(access) for access in accesses])
    assert len(set(ids)) == PUSHERS
    assert all(isinstance(found, int) for found in ids), ids
    assert Team.objects.filter(slug="team").count() == 1


def test_whole_first_pushes_at_once(transactional_db, store):
    def push():
        house = House("team/whole")
        house.push_blob(b"{}")
        return house.put_manifest(None)

    outcomes = at_once([push] * PUSHERS)
    assert len(set(outcomes)) == 1, outcomes
    assert isinstance(outcomes[0], Digest)


def test_mounts_at_once_link_once_and_count_once(house):
    digest = house.push_blob(b"shared")
    target = House("bob/app")
    UsageDelta.objects.all().delete()

    def mount():
        return mount_blob(
            repository_id=target.id, digest=digest, source=house.name, find_readable=lambda names: names[0]
        )

    assert at_once([mount] * PUSHERS) == [True] * PUSHERS
    assert RepositoryBlob.objects.filter(repository_id=target.id).count() == 1
    assert TeamBlob.objects.filter(team__slug="bob").count() == 1
    assert [delta.size for delta in UsageDelta.objects.all()] == [len(b"shared")]
