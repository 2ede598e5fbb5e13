"""Guessing is slowed, floods are turned away, and nobody locks somebody else out."""

from datetime import timedelta
from ipaddress import ip_network

import pytest
from django.utils import timezone
from limits import parse

from accounts.models import FailedSignIn
from accounts.tasks import purge_failed_sign_ins
from accounts.throttle import MOST_PER_ACCOUNT, MOST_PER_ADDRESS
from registry_project import rates
from tests.people import PASSWORD


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


def test_without_redis_each_process_counts(limited, people, settings):
    settings.CELERY_BROKER_URL = "redis://127.0.0.1:1/0"  # nobody listens there
    rates._counters.cache_clear()
    assert [people["bob"].get("/v2/").status for _ in range(4)] == [200, 200, 200, 429]
