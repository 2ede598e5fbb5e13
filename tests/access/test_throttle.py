"""Guessing is slowed, floods are turned away, and nobody locks somebody else out."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from ipaddress import ip_network
from threading import Event
from time import sleep

import pytest
from django.db import connection
from django.utils import timezone
from limits import parse

from accounts.models import FailedSignIn
from accounts.tasks import purge_failed_sign_ins
from accounts.throttle import MOST_PER_ACCOUNT, MOST_PER_ADDRESS
from accounts.turns import Turns
from events.models import AuditEvent
from oci.errors import Unavailable
from registry_project import rates
from registry_project.database import is_postgresql
from tests.factories import Registry
from tests.people import PASSWORD, make_robot


def ask(username, password):
    """One request; its thread gives its connection back."""
    try:
        return Registry().signed_in(username, password).get("/v2/")
    finally:
        connection.close()


@pytest.fixture
def guess(registry, team):
    return lambda username, times=1, password="x": [
        registry.signed_in(username, password).get("/v2/").status for _ in range(times)
    ][-1]


def test_guessing_is_stopped_even_with_the_right_password_at_last(guess, registry):
    assert guess("bob", MOST_PER_ACCOUNT) == 401
    answer = registry.signed_in("bob", PASSWORD).get("/v2/")
    assert (answer.status, answer.codes) == (429, ["TOOMANYREQUESTS"])
    assert 0 < int(answer.headers["Retry-After"]) <= 301


def test_the_victim_is_not_locked_out_from_elsewhere(guess, registry, settings):
    settings.TRUSTED_PROXIES = [ip_network("127.0.0.1")]
    assert guess("bob", MOST_PER_ACCOUNT + 1) == 429
    assert registry.signed_in("bob", PASSWORD).get("/v2/", X_Forwarded_For="192.0.2.7").status == 200
    assert registry.signed_in("rita", PASSWORD).get("/v2/").status == 200


def test_one_address_cannot_try_one_password_on_everybody(guess):
    now = timezone.now()
    FailedSignIn.objects.bulk_create(
        FailedSignIn(account=f"user{number}", address="127.0.0.1", failed_at=now) for number in range(MOST_PER_ADDRESS)
    )
    assert guess("bob", password=PASSWORD) == 429


def test_names_that_do_not_exist_count_alike(guess):
    assert guess("nobody", MOST_PER_ACCOUNT) == 401
    assert guess("nobody") == 429


def test_it_is_over_after_a_while(guess):
    guess("bob", MOST_PER_ACCOUNT)
    FailedSignIn.objects.update(failed_at=timezone.now() - timedelta(minutes=6))
    assert guess("bob", password=PASSWORD) == 200
    purge_failed_sign_ins()
    assert not FailedSignIn.objects.exists()


def test_who_is_signed_in_already_goes_on(guess, registry):
    client = registry.signed_in("bob", PASSWORD)
    assert client.get("/v2/").status == 200
    guess("bob", MOST_PER_ACCOUNT + 1)
    assert client.get("/v2/").status == 200


@pytest.fixture
def limited(settings):
    settings.LIMITS = settings.LIMITS.model_copy(update={"requests": parse("3/hour"), "anonymous": parse("2/hour")})
    settings.CELERY_BROKER_URL = None
    rates._counters.cache_clear()
    yield
    rates._counters.cache_clear()


def test_each_caller_has_a_rate(limited, people):
    assert [people["bob"].get("/v2/").status for _ in range(4)] == [200, 200, 200, 429]
    assert people["alice"].get("/v2/").status == 200
    answers = [people["anonymous"].get("/v2/") for _ in range(3)]
    assert [answer.status for answer in answers] == [401, 401, 429]
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 7201


@pytest.mark.parametrize(
    "call",
    [
        lambda registry: registry.bearing("made up").get("/v2/"),
        lambda registry: registry.signed_in("alice+ci", "wrong").get("/v2/"),
        lambda registry: registry.signed_in("alice+ci", "wrong").get("/auth/token"),
        lambda registry: registry.bearing("made up").get("/api/v1/teams"),
        lambda registry: registry.post(
            "/auth/token",
            b"grant_type=refresh_token&refresh_token=lading_ref_x",
            Content_Type="application/x-www-form-urlencoded",
        ),
    ],
)
def test_what_is_not_genuine_counts_as_anonymous(limited, registry, team, call):
    assert [call(registry).status for _ in range(3)] == [401, 401, 429]


def test_without_redis_each_process_counts(limited, people, settings):
    settings.CELERY_BROKER_URL = "redis://127.0.0.1:1/0"  # nobody listens there
    rates._counters.cache_clear()
    assert [people["bob"].get("/v2/").status for _ in range(4)] == [200, 200, 200, 429]


def test_a_robot_with_a_wrong_secret_leaves_few_rows_and_stops_nobody(registry, team):
    _, secret = make_robot(team)
    statuses = [registry.signed_in("alice+ci", "wrong").get("/v2/").status for _ in range(MOST_PER_ACCOUNT + 5)]
    assert statuses == [401] * MOST_PER_ACCOUNT + [429] * 5
    assert FailedSignIn.objects.count() == AuditEvent.objects.count() == MOST_PER_ACCOUNT
    assert registry.signed_in("alice+ci", secret).get("/v2/").status == 200
    assert registry.signed_in("bob", PASSWORD).get("/v2/").status == 200


def test_passwords_that_come_at_once_are_counted_one_after_the_other(team, monkeypatch):
    compared = []

    def compare(password, _stored):
        compared.append(password)
        sleep(0.01)
        return False

    monkeypatch.setattr("accounts.sign_in.matches_hash", compare)
    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(lambda number: ask("bob", f"guess {number}"), range(40)))
    # Those that are compared at the same moment do not see each other.
    assert MOST_PER_ACCOUNT <= len(compared) < MOST_PER_ACCOUNT + 4
    assert {answer.status for answer in answers} == {401, 429}


def test_no_connection_is_held_while_a_password_is_compared(team, monkeypatch):
    held = []
    monkeypatch.setattr("accounts.sign_in.matches_hash", lambda *_: held.append(connection.connection is not None))
    assert ask("bob", "x").status == ask("nobody", "x").status == 401
    assert held == [not is_postgresql()] * 2


def test_who_waits_too_long_or_behind_too_many_is_told_to_come_again():
    turns = Turns(at_once=1, waiting=1, patience_seconds=0.01)
    entered, leave = Event(), Event()

    def stay():
        with turns.take():
            entered.set()
            leave.wait()

    with ThreadPoolExecutor(1) as pool:
        stays = pool.submit(stay)
        entered.wait()
        for _ in range(2):
            with pytest.raises(Unavailable), turns.take():
                pass
        leave.set()
        stays.result()
    with turns.take():
        pass
