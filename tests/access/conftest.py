"""A registry with accounts."""

import pytest

from accounts import keys, sign_in, tokens
from tests.people import as_user, make_team, make_user


@pytest.fixture(autouse=True)
def _accounts(settings):
    settings.AUTH_KIND = "lading"
    # The real one is slow on purpose; what is tested here does not depend on it.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    sign_in.forget_all()
    tokens.forget_tokens()
    keys.forget_keys()


_MATRIX = pytest.StashKey[list[str]]()


@pytest.fixture
def record_matrix(pytestconfig):
    """Take a line about the size of a matrix of rights, for the end of the run."""
    return pytestconfig.stash.setdefault(_MATRIX, []).append


def pytest_terminal_summary(terminalreporter, config):
    for line in config.stash.get(_MATRIX, []):
        terminalreporter.write_line(f"rights: {line}")


@pytest.fixture
def team(transactional_db):
    """Team alice: alice owns it, mallory maintains it, bob develops, rita reads; charlie is an outsider."""
    make_user("charlie")
    make_user("admin", is_superuser=True)
    make_user("audrey", is_auditor=True)
    return make_team(alice="owner", mallory="maintainer", bob="developer", rita="reader")


@pytest.fixture
def people(registry, team):
    """Clients by user name; `anonymous` presents nothing."""
    names = ("alice", "mallory", "bob", "rita", "charlie", "admin", "audrey")
    return {"anonymous": registry, **{name: as_user(name) for name in names}}
