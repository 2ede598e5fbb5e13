"""Who administers a registry that nobody administers yet."""

import threading

import pytest
from django.db import connections

from accounts.administrators import make_first_administrator
from accounts.models import User
from registry_project.migrations_lock import alone
from tests.people import make_user


@pytest.mark.django_db
def test_the_configured_password_is_taken(registry):
    made = make_first_administrator(username="admin", password="from the configuration")
    assert (made.username, made.password, made.weakness) == ("admin", "", "")
    assert registry.signed_in("admin", "from the configuration").get("/v2/_catalog").status == 200
    assert make_first_administrator(username="admin", password="another one of it") is None
    assert registry.signed_in("admin", "another one of it").get("/v2/").status == 401


@pytest.mark.django_db
def test_a_random_password_is_told_once(registry):
    made = make_first_administrator(username="admin", password="")
    assert len(made.password) >= 20
    assert registry.signed_in("admin", made.password).get("/v2/_catalog").status == 200
    assert make_first_administrator(username="admin", password="") is None


@pytest.mark.django_db
def test_a_weak_password_is_taken_with_a_word_about_it():
    assert "too short" in make_first_administrator(username="admin", password="admin").weakness


@pytest.mark.django_db
def test_accounts_that_have_the_name_are_not_promoted(registry):
    make_user("admin")
    assert make_first_administrator(username="admin", password="x" * 20).taken
    assert not User.objects.filter(is_superuser=True).exists()
    User.objects.update(is_superuser=True, is_active=False)
    assert make_first_administrator(username="admin", password="x" * 20).taken
    assert not User.objects.filter(is_active=True).exists()


@pytest.mark.django_db
def test_a_disabled_administrator_does_not_count(registry):
    make_user("former", is_superuser=True, is_active=False)
    assert make_first_administrator(username="admin", password="x" * 20) is not None
    assert User.objects.get(is_superuser=True, is_active=True).username == "admin"


def test_of_servers_that_start_at_once_one_makes_it(transactional_db):
    made, together = [], threading.Barrier(4)

    def start():
        together.wait()
        try:
            with alone():
                made.append(make_first_administrator(username="admin", password=""))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(item is None for item in made) == [False, True, True, True]
