"""The keys that sign bearer tokens: first, next, revoked."""

import io
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone

from accounts import keys
from accounts.keys import find_verifier, get_signer, list_public_keys, revoke_keys, rotate_keys
from accounts.models import SigningKey
from accounts.tasks import rotate_signing_keys
from registry_project.schedule import periodic_tasks
from tests.access.bearer import ask, fetch

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_new_key_waits_before_it_signs():
    now = timezone.now()
    first = get_signer(now=now)
    second = rotate_keys(now=now)
    assert get_signer(now=now).kid == first.kid
    assert get_signer(now=now + timedelta(minutes=1)).kid == second
    assert [key["kid"] for key in list_public_keys(now=now)] == [first.kid, second]


def test_an_old_key_is_honoured_until_its_tokens_have_expired(registry, people, settings):
    old = fetch(people["bob"])
    rotate_keys(now=timezone.now())
    assert old.get("/v2/").status == 200
    ended = SigningKey.objects.get(ends_at__isnull=False)
    assert ended.ends_at >= timezone.now() + settings.LADING_AUTH.expiration + keys.LEEWAY
    SigningKey.objects.filter(pk=ended.pk).update(ends_at=timezone.now())
    assert old.get("/v2/").status == 401
    assert fetch(people["bob"]).get("/v2/").status == 200


def test_keys_that_ended_are_removed():
    now = timezone.now()
    first = get_signer(now=now).kid
    rotate_keys(now=now)
    rotate_keys(now=now + timedelta(days=1))
    assert not SigningKey.objects.filter(kid=first).exists()
    assert SigningKey.objects.count() == 2


def test_rotation_is_due_at_an_age(settings):
    settings.AUTH_KIND = "lading"
    now = timezone.now()
    month = timedelta(days=30)
    first = rotate_keys(now=now, after=month)
    assert first
    assert get_signer(now=now).kid == first
    assert rotate_keys(now=now + month / 2, after=month) is None
    assert rotate_keys(now=now + month, after=month)
    assert rotate_keys(now=now + month, after=month) is None
    assert rotate_signing_keys in [task for task, _ in periodic_tasks()]


def test_revoking_ends_every_token_at_once(registry, people):
    clients = [fetch(people["bob"]), fetch(people["anonymous"])]
    rotate_keys(now=timezone.now())
    assert [client.get("/v2/").status for client in clients] == [200, 200]
    kid = revoke_keys(now=timezone.now())
    assert [client.get("/v2/").status for client in clients] == [401, 401]
    assert get_signer(now=timezone.now()).kid == kid
    assert ask(people["bob"]).status == 200


def test_a_server_whose_clock_is_behind_signs_too():
    now = timezone.now()
    kid = revoke_keys(now=now)
    assert get_signer(now=now - timedelta(seconds=30)).kid == kid


@pytest.mark.parametrize(
    "kid", ["", "a" * 21, "a" * 23, "../../../../../../../..", "' OR 1=1 -- aaaaaaaaaaa", "a" * 22]
)
def test_only_an_exact_id_finds_a_key(kid):
    real = get_signer(now=timezone.now()).kid
    keys.forget_keys()
    assert find_verifier(kid) is None
    assert find_verifier(real) is not None
    assert find_verifier(real.swapcase()) is None


def test_by_command():
    first = get_signer(now=timezone.now()).kid
    told = io.StringIO()
    call_command("rotate-keys", stdout=told)
    assert SigningKey.objects.get(ends_at=None).kid in told.getvalue()
    assert SigningKey.objects.filter(kid=first).exists()
    call_command("rotate-keys", "--revoke", stdout=told)
    assert SigningKey.objects.get().kid in told.getvalue()
