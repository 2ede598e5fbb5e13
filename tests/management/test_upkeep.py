"""When secrets were used last, and the warning of those that end soon."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import last_use
from accounts.expiry import warn_of_expiry
from accounts.models import AccessToken, Robot, RobotSecret, Team, User
from tests.management.cast import send
from tests.people import make_access_token, make_robot


@pytest.fixture(autouse=True)
def nothing_noted():
    last_use._noted.clear()


def test_the_last_use_is_written_later_and_never_by_the_request(everybody):
    with CaptureQueriesContext(connection) as captured:
        for name in ("robot", "token", "bob"):
            assert everybody[name].get("/v2/").status == 200
    assert not any(query["sql"].startswith("UPDATE") for query in captured.captured_queries)
    assert RobotSecret.objects.get().last_used_at is None
    last_use.write_uses()
    assert timezone.now() - RobotSecret.objects.get().last_used_at < timedelta(minutes=1)
    assert timezone.now() - AccessToken.objects.get().last_used_at < timedelta(minutes=1)
    assert send(everybody["alice"], "GET", "teams/alice/robots/builder").json()["last_used_at"] is not None
    assert send(everybody["alice"], "GET", "users/me/tokens").json()["results"][0]["last_used_at"] is not None
    with CaptureQueriesContext(connection) as captured:
        last_use.write_uses()
    assert captured.captured_queries == []


def test_what_was_refused_was_not_used(everybody):
    Robot.objects.update(disabled_at=timezone.now())
    assert everybody["robot"].get("/v2/").status == 401
    last_use.write_uses()
    assert RobotSecret.objects.get().last_used_at is None


def test_an_older_note_does_not_turn_the_clock_back(everybody):
    later = timezone.now() + timedelta(hours=1)
    RobotSecret.objects.update(last_used_at=later)
    everybody["robot"].get("/v2/")
    last_use.write_uses()
    assert RobotSecret.objects.get().last_used_at == later


def test_robots_and_tokens_that_end_within_a_week_are_told_once(team, caplog):
    now = timezone.now()
    alice = User.objects.get(username="alice")
    for name, days in {"soon": 6, "later": 8, "over": -1}.items():
        make_robot(team, f"{name}-robot")
        Robot.objects.filter(name=f"{name}-robot").update(expires_at=now + timedelta(days=days))
        make_access_token(alice, name=f"{name} token", expires_at=now + timedelta(days=days))
    make_robot(team, "disabled-robot")
    Robot.objects.filter(name="disabled-robot").update(expires_at=now + timedelta(days=1), disabled_at=now)
    assert warn_of_expiry() == 2
    told = [record.getMessage() for record in caplog.records if record.name == "lading.accounts"]
    assert [text.split(" ends at ")[0] for text in told] == [
        "the robot alice+soon-robot",
        "the access token soon token of alice",
    ]
    assert warn_of_expiry() == 0


def test_a_new_end_is_told_anew(people, team):
    robot, _ = make_robot(team)
    Robot.objects.update(expires_at=timezone.now() + timedelta(days=1))
    assert (warn_of_expiry(), warn_of_expiry()) == (1, 0)
    ends = (timezone.now() + timedelta(days=2)).isoformat()
    assert send(people["alice"], "PATCH", f"teams/alice/robots/{robot.name}", expires_at=ends).status == 200
    assert warn_of_expiry() == 1


def test_nobody_is_warned_of_what_is_gone(team):
    make_robot(team)
    Robot.objects.update(expires_at=timezone.now() + timedelta(days=1))
    Team.objects.update(deleted_at=timezone.now())
    make_access_token(User.objects.get(username="bob"), expires_at=timezone.now() + timedelta(days=1))
    User.objects.update(is_active=False)
    assert warn_of_expiry() == 0
