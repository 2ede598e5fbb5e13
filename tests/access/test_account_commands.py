"""`lading create-user` and `lading set-password`."""

import io

import pytest
from django.core.management import CommandError, call_command

from accounts.models import RefreshToken, User
from events.models import AuditEvent
from tests.people import make_user

GOOD = "quiet-violet-otter"


@pytest.fixture
def typed(monkeypatch):
    """Put a line into the standard input."""
    return lambda text: monkeypatch.setattr("sys.stdin", io.StringIO(text))


def create(name, *flags):
    call_command("create-user", name, "--password-stdin", *flags, stdout=io.StringIO())


@pytest.mark.django_db
def test_creates_users_who_can_sign_in(registry, typed):
    typed(f"{GOOD}\n")
    create("dora")
    assert registry.signed_in("dora", GOOD).get("/v2/").status == 200
    dora = User.objects.get(username="dora")
    assert not dora.is_superuser
    assert not dora.is_auditor
    typed(f"{GOOD}\r\n")
    create("root-2", "--administrator", "--auditor")
    assert User.objects.get(username="root-2", is_superuser=True, is_auditor=True).check_password(GOOD)
    events = AuditEvent.objects.filter(action="user.create").order_by("occurred_at")
    assert [(event.target, event.credential) for event in events] == [("dora", "system"), ("root-2", "system")]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "password", "reason"),
    [
        ("dora", "", "too short"),
        ("dora", "elevenchars", "too short"),
        ("dora", "password1234", "too common"),
        ("dora-the-explorer", "dora-the-explorer", "too similar"),
        ("dora", "a b" * 342, "at most 1024 bytes"),
        ("dora", "é" * 513, "at most 1024 bytes"),
        ("dora", "quiet-violet\0-otter", "NUL"),
        ("Dora", GOOD, "lower-case"),
        ("team+ci", GOOD, "lower-case"),
        ("d" * 65, GOOD, "at most 64"),
        ("bob", GOOD, "There is a user bob already"),
    ],
)
def test_refuses_bad_names_and_passwords(typed, name, password, reason):
    make_user("bob")
    typed(f"{password}\n")
    with pytest.raises(CommandError, match=reason):
        create(name)
    assert User.objects.count() == 1


@pytest.mark.django_db
def test_without_a_terminal_nothing_is_asked(typed):
    typed("")
    with pytest.raises(CommandError, match="--password-stdin"):
        call_command("create-user", "dora")


def test_a_new_password_ends_what_the_old_one_obtained(registry, team, typed, django_user_model):
    bob = User.objects.get(username="bob")
    before = bob.revoked_before
    RefreshToken.objects.create(hash="0" * 64, service="lading", user=bob, expires_at="2100-01-01T00:00Z")
    assert registry.signed_in("bob", "correct horse").get("/v2/").status == 200
    typed(f"{GOOD}\n")
    call_command("set-password", "bob", "--password-stdin", stdout=io.StringIO())
    assert registry.signed_in("bob", "correct horse").get("/v2/").status == 401
    assert registry.signed_in("bob", GOOD).get("/v2/").status == 200
    bob.refresh_from_db()
    assert bob.revoked_before > before
    assert not RefreshToken.objects.exists()


@pytest.mark.django_db
def test_the_password_of_nobody_cannot_be_changed(typed):
    typed(f"{GOOD}\n")
    with pytest.raises(CommandError, match="no user nobody"):
        call_command("set-password", "nobody", "--password-stdin")


def test_a_password_that_is_too_long_is_never_hashed(registry, team, monkeypatch):
    monkeypatch.setattr("accounts.sign_in.matches_hash", lambda *_: pytest.fail("hashed"))
    assert registry.signed_in("bob", "x" * 1025).get("/v2/").status == 401
