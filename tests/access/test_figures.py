"""What a team stores, told apart."""

from accounts.models import Team
from repositories.usage import figures_of
from tests.factories import NAME


def figures(team):
    return figures_of(team_id=team.pk, quota_bytes=None)


def test_a_blob_counts_for_each_repository_and_once_for_the_team(people, team):
    for name in ("alice/a", "alice/b"):
        people["bob"].push_image("v1", name, layers=[b"x" * 98])
    found = figures(team)
    assert (found.logical_bytes, found.physical_bytes, found.trash_bytes) == (200, 100, 0)
    assert (found.exclusive_bytes, found.shared_bytes) == (100, 0)


def test_what_another_team_has_too_is_shared(people, team):
    people["bob"].push_image("v1", layers=[b"x" * 98])
    people["admin"].push_image("v1", "other/app", layers=[b"x" * 98, b"y" * 10])
    assert (figures(team).exclusive_bytes, figures(team).shared_bytes) == (0, 100)
    other = figures(Team.objects.get(slug="other"))
    assert (other.exclusive_bytes, other.shared_bytes) == (10, 100)


def test_the_trash_is_what_only_restorable_tags_hold(people, team):
    child = people["bob"].push_image(None, layers=[b"common" * 10, b"old" * 10])
    index = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [child.descriptor()],
    }
    people["bob"].push_manifest(index, "latest")
    assert figures(team).trash_bytes == 0
    people["bob"].push_image("latest", layers=[b"common" * 10, b"new" * 10])
    assert figures(team).trash_bytes == len(b"old" * 10)
    people["mallory"].delete(f"/v2/{NAME}/manifests/latest")
    assert figures(team).trash_bytes == len(b"{}") + len(b"common" * 10) + len(b"old" * 10) + len(b"new" * 10)
