"""Two who each leave it to the other: somebody must stay."""

from functools import partial

import pytest

from accounts.callers import CALLED_BY_EVERYONE, Caller
from accounts.errors import LastAdministrator, LastOwner, RobotTaken, TeamNotEmpty, TeamTaken, UsernameTaken
from accounts.members import put_member, remove_member
from accounts.models import Membership, Robot, RobotSecret, Team, User
from accounts.rights import Action, Kind, Role
from accounts.robots import create_robot, rotate_secret
from accounts.standing import Proof
from accounts.teams import create_team, delete_team
from accounts.users import change_user, create_user, delete_user
from oci.errors import NameUnknown
from oci.names import RepositoryName
from repositories.access import authorise, obtain_repository_id
from repositories.models import Repository
from tests.concurrency.meeting import at_once
from tests.people import make_robot, make_team, make_user

TURNS = 8


@pytest.fixture(autouse=True)
def _quick_passwords(settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def test_one_of_the_last_administrators_stays(transactional_db):
    for turn in range(TURNS):
        users = [make_user(f"admin-{turn}-{n}", is_superuser=True) for n in range(3)]
        calls = [
            partial(delete_user, user_id=users[0].pk),
            partial(change_user, user_id=users[1].pk, administrator=False),
            partial(change_user, user_id=users[2].pk, active=False),
        ]
        outcomes = at_once(calls)
        assert sum(isinstance(outcome, LastAdministrator) for outcome in outcomes) == 1, outcomes
        assert User.objects.filter(is_superuser=True, is_active=True).count() == 1
        User.objects.all().delete()


def test_one_of_the_last_owners_stays(transactional_db):
    for turn in range(TURNS):
        team = make_team(f"team-{turn}", **{f"owner-{turn}-{n}": "owner" for n in range(3)})
        first, second, third = User.objects.filter(memberships__team=team)
        outcomes = at_once(
            [
                partial(remove_member, team_id=team.pk, user=first),
                partial(put_member, team_id=team.pk, user=second, role=Role.READER),
                partial(remove_member, team_id=team.pk, user=third),
            ]
        )
        assert sum(isinstance(outcome, LastOwner) for outcome in outcomes) == 1, outcomes
        assert Membership.objects.filter(team=team, role="owner").count() == 1


def test_a_name_is_given_once(transactional_db):
    team = make_team("robots")
    make = {
        UsernameTaken: lambda: create_user(username="nina", password="a long enough one"),
        TeamTaken: lambda: create_team(slug="new", owner_id=None, administrator=True),
        RobotTaken: lambda: create_robot(
            team=team, name="ci", role=Role.READER, patterns=["**"], creator="", creator_role=Role.OWNER
        ),
    }
    for taken, call in make.items():
        outcomes = at_once([call] * 6)
        assert sum(isinstance(outcome, taken) for outcome in outcomes) == 5, outcomes
    assert User.objects.count() == Team.objects.filter(slug="new").count() == Robot.objects.count() == 1


def test_rotations_at_once_leave_two_secrets(transactional_db):
    team = make_team("robots")
    make_robot(team)
    outcomes = at_once([lambda: rotate_secret(team=team, name="ci")] * 6)
    assert len({issued.secret for issued in outcomes}) == 6
    assert RobotSecret.objects.count() == 2
    assert RobotSecret.objects.filter(expires_at=None).count() == 1


def test_a_first_push_and_the_end_of_its_team_see_each_other(transactional_db, store):
    """Never a live repository in a team that is gone, and never a team that the push brings back."""
    for turn in range(TURNS):
        team = make_team(f"team-{turn}", **{f"bob-{turn}": "developer"})
        proof = Proof(Kind.PASSWORD, user_id=User.objects.get(username=f"bob-{turn}").pk)
        access = authorise(Caller(None, proof=proof), Action.PUSH, RepositoryName.parse(f"team-{turn}/app"))
        pushed, ended = at_once([partial(obtain_repository_id, access), partial(delete_team, team_id=team.pk)])
        if isinstance(ended, TeamNotEmpty):
            assert isinstance(pushed, int)
        else:
            assert (ended, type(pushed)) == (None, NameUnknown)
        assert Repository.objects.filter(team=team, deleted_at=None).exists() == isinstance(ended, TeamNotEmpty)
        assert Team.objects.filter(slug=f"team-{turn}").count() == 1
    assert authorise(CALLED_BY_EVERYONE, Action.PUSH, RepositoryName.parse("other/app")).known.team_id is None
