"""How long a sign-in takes says nothing about whether the user exists."""

from time import perf_counter

import pytest
from django.contrib.auth.hashers import PBKDF2PasswordHasher

from accounts.models import User

TRIES = 500
# A difference shows in every measurement, noise of a busy machine in few.
MEASUREMENTS = 3


class FewerRounds(PBKDF2PasswordHasher):
    """The real hasher with fewer rounds: what else differs would stand out more, not less."""

    iterations = 20_000


@pytest.fixture
def real_hasher(settings, monkeypatch, team):
    settings.PASSWORD_HASHERS = [f"{__name__}.FewerRounds"]
    monkeypatch.setattr("accounts.throttle.MOST_PER_ACCOUNT", 10**6)
    monkeypatch.setattr("accounts.throttle.MOST_PER_ADDRESS", 10**6)
    bob = User.objects.get(username="bob")
    bob.set_password("a long password")
    bob.save()


def seconds(registry, username):
    client = registry.signed_in(username, "a wrong password")
    started = perf_counter()
    assert client.get("/v2/").status == 401
    return perf_counter() - started


def area_under_curve(first, second):
    """How often a value of the first list is above one of the second: a half where they cannot be told apart."""
    ranked = sorted([(value, 0) for value in first] + [(value, 1) for value in second])
    above = sum(rank for rank, (_, kind) in enumerate(ranked, 1) if kind == 0) - len(first) * (len(first) + 1) / 2
    return above / (len(first) * len(second))


def test_known_and_unknown_users_cannot_be_told_apart(registry, real_hasher):
    areas = []
    for _ in range(MEASUREMENTS):
        pairs = [(seconds(registry, "bob"), seconds(registry, "nobody")) for _ in range(TRIES)]
        areas.append(area_under_curve(*zip(*pairs, strict=True)))
        if 0.45 <= areas[-1] <= 0.55:
            break
    print(f"AUC of known against unknown users, {TRIES} each: {areas}")
    assert 0.45 <= areas[-1] <= 0.55, areas
