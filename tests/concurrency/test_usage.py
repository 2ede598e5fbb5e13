"""Many pushes of one team at once: the figure is exact, the quota holds, and nobody waits for a counter."""

from threading import Barrier

from accounts.models import Team
from blobs.errors import QuotaExceeded
from blobs.models import TeamBlob, UsageDelta
from blobs.usage import hold_room, recount, roll_up_usage, usage_of
from oci.digests import Digest
from oci.names import TagName
from registry_project.database import writing
from repositories.models import Tag, TagRule
from repositories.tag_rules import TagImmutable
from tests.concurrency.meeting import PATIENCE_SECONDS, at_once, crowded

PUSHES, ROUNDS = 25, 20


def test_five_hundred_pushes_end_with_usage_equal_to_a_recount(house):
    team = Team.objects.get(slug="alice")
    for turn in range(ROUNDS):
        blobs = [b"%d of %d" % (number % 20, turn) for number in range(PUSHES)]  # some of them twice
        pushes = [lambda blob=blob: house.push_blob(blob) for blob in blobs]
        outcomes = crowded([*pushes, roll_up_usage])
        assert all(isinstance(outcome, Digest) for outcome in outcomes[:-1]), outcomes
        assert isinstance(outcomes[-1], int), outcomes[-1]
        assert usage_of(team.pk) == recount(team.pk)
    roll_up_usage()
    assert usage_of(team.pk) == recount(team.pk) > 0
    assert TeamBlob.objects.count() == 20 * ROUNDS + 1  # the config


def test_pushes_at_the_edge_of_the_quota_never_pass_it(house):
    Team.objects.filter(slug="alice").update(quota_bytes=1000)
    outcomes = crowded([lambda n=n: house.push_blob(b"%03d" % n * 30) for n in range(20)])  # 90 bytes each
    team = Team.objects.get(slug="alice")
    assert sum(isinstance(outcome, Digest) for outcome in outcomes) == 11
    assert sum(isinstance(outcome, QuotaExceeded) for outcome in outcomes) == 9, outcomes
    assert usage_of(team.pk) == recount(team.pk) == 992  # with the config


def test_of_many_different_pushes_of_an_immutable_tag_one_wins(house):
    team = Team.objects.get(slug="alice")
    TagRule.objects.create(team=team, repositories="**", tags="v*", immutable=True)
    for number in range(64):
        house.push_blob(b"%d" % number)
    outcomes = crowded([lambda n=n: house.put_manifest(TagName("v1"), [b"%d" % n]) for n in range(64)])
    (winner,) = [outcome for outcome in outcomes if isinstance(outcome, Digest)]
    assert sum(isinstance(outcome, TagImmutable) for outcome in outcomes) == 63, outcomes
    assert Tag.objects.get(name="v1").manifest.digest == str(winner)


def test_two_large_pushes_that_are_far_from_the_quota_do_not_pass_it_together(house):
    team = Team.objects.get(slug="alice")
    size, quota_bytes = 60 * 2**30, 100 * 2**30
    both_added = Barrier(2)

    def push():
        with writing():
            UsageDelta.objects.create(team=team, size=size)
            both_added.wait(PATIENCE_SECONDS)
            hold_room(team_id=team.pk, team="alice", quota_bytes=quota_bytes, size=size)

    outcomes = at_once([push, push])
    assert {type(outcome) for outcome in outcomes} == {type(None), QuotaExceeded}
    assert usage_of(team.pk) < quota_bytes
