"""A registry with accounts, in one transaction that is rolled back: nothing here needs commits."""

import pytest

from accounts.models import User
from tests.access.conftest import _accounts, people  # noqa: F401 - fixtures
from tests.people import make_access_token, make_robot, make_team, make_user


@pytest.fixture
def team(db):
    """Team alice, as in tests/access."""
    make_user("charlie")
    make_user("admin", is_superuser=True)
    make_user("audrey", is_auditor=True)
    return make_team(alice="owner", mallory="maintainer", bob="developer", rita="reader")


@pytest.fixture
def everybody(people, registry, team):  # noqa: F811
    """The cast, a robot of the team that may do all that robots may, and alice by a token that only reads."""
    _, secret = make_robot(team, "builder", "maintainer")
    token = make_access_token(User.objects.get(username="alice"), "reader")
    return {**people, "robot": registry.signed_in("alice+builder", secret), "token": registry.bearing(token)}
