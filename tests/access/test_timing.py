"""How long a sign-in takes says nothing about whether the user exists.

What is done for each kind of user is compared. How long it takes is measured by hand (`make timing`): what a busy
machine measures is no promise.
"""

import random
import re
from collections import Counter
from time import perf_counter

import pytest
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import User

TRIES = 500
# A difference shows in every measurement, noise of a busy machine in few.
MEASUREMENTS = 3


class FewerRounds(PBKDF2PasswordHasher):
    """The real hasher with fewer rounds: what else differs would stand out more, not less."""

    iterations = 20_000
    hashed: Counter[int | None] = Counter()

    def encode(self, password, salt, iterations=None):
        self.hashed[iterations] += 1
        return super().encode(password, salt, iterations)


@pytest.fixture
def real_hasher(settings, monkeypatch, team):
    settings.PASSWORD_HASHERS = [f"{__name__}.FewerRounds"]
    monkeypatch.setattr("accounts.throttle.MOST_PER_ACCOUNT", 10**6)
    monkeypatch.setattr("accounts.throttle.MOST_PER_ADDRESS", 10**6)
    for user in User.objects.filter(username__in=["bob", "charlie"]):
        user.set_password("a long password")
        user.is_active = user.username == "bob"
        user.save()


def refuse(registry, username):
    assert registry.signed_in(username, "a wrong password").get("/v2/").status == 401


def work_of(registry, username):
    """The statements of a refused sign-in without their values, and how often how many rounds were hashed."""
    FewerRounds.hashed.clear()
    with CaptureQueriesContext(connection) as captured:
        refuse(registry, username)
    return [re.sub(r"'[^']*'|\d+", "?", query["sql"]) for query in captured], dict(FewerRounds.hashed)


def area_under_curve(first, second):
    """How often a value of the first list is above one of the second: a half where they cannot be told apart."""
    ranked = sorted([(value, 0) for value in first] + [(value, 1) for value in second])
    above = sum(rank for rank, (_, kind) in enumerate(ranked, 1) if kind == 0) - len(first) * (len(first) + 1) / 2
    return above / (len(first) * len(second))


@pytest.mark.parametrize("username", ["nobody", "charlie"])
def test_an_unknown_or_inactive_user_costs_the_work_of_a_known_one(registry, real_hasher, username):
    refuse(registry, username)
    statements, hashed = work_of(registry, "bob")
    assert statements
    assert sum(hashed.values()) == 1
    assert work_of(registry, username) == (statements, hashed)


@pytest.mark.timing
def test_known_and_unknown_users_cannot_be_told_apart(registry, real_hasher):
    areas = []
    for _ in range(MEASUREMENTS):
        seconds = {"bob": [], "nobody": []}
        for _ in range(TRIES):
            # The second of two requests tends to take longer.
            for username in random.sample(list(seconds), 2):
                started = perf_counter()
                refuse(registry, username)
                seconds[username].append(perf_counter() - started)
        areas.append(area_under_curve(*seconds.values()))
        if 0.45 <= areas[-1] <= 0.55:
            break
    print(f"AUC of known against unknown users, {TRIES} each: {areas}")
    assert 0.45 <= areas[-1] <= 0.55, areas
