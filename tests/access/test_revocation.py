"""What was taken away is gone at the next request, with whatever token it comes."""

from datetime import timedelta

import pytest
from django.contrib.auth.hashers import make_password
from django.utils import timezone

from accounts.keys import revoke_keys
from accounts.models import AccessToken, Membership, RefreshToken, Robot, RobotSecret, Team, User
from repositories.models import Repository
from tests.access.bearer import ask, fetch, post_form
from tests.factories import NAME
from tests.people import PASSWORD, make_access_token, make_robot, make_team

PULL, PUSH = f"repository:{NAME}:pull", f"repository:{NAME}:pull,push"
PATH = f"/v2/{NAME}/manifests/latest"


@pytest.fixture
def image(people):
    return people["bob"].push_image("latest")


@pytest.fixture
def clients(registry, team, people, image):
    """Clients that bear a token each, by what it was obtained with."""
    _, secret = make_robot(team)
    access_token = make_access_token(User.objects.get(username="bob"))
    return {
        "password": fetch(people["bob"], PUSH),
        "access token": fetch(registry.signed_in("bob", access_token), PUSH),
        "robot": fetch(registry.signed_in("alice+ci", secret), PUSH),
    }


def end(repository):
    repository.deleted_at = timezone.now()
    repository.save(update_fields=["deleted_at"])


def remove_member():
    Membership.objects.filter(user__username="bob").delete()


def disable_user():
    User.objects.filter(username="bob").update(is_active=False)


def change_password():
    bob = User.objects.get(username="bob")
    bob.set_password("another one")
    bob.save()


def change_password_where_the_clock_is_behind():
    User.objects.filter(username="bob").update(password=make_password("another one"))


def sign_out_everywhere():
    User.objects.filter(username="bob").update(revoked_before=timezone.now())


def delete_access_token():
    AccessToken.objects.all().delete()


def limit_access_token():
    AccessToken.objects.update(expires_at=timezone.now())


def disable_robot():
    Robot.objects.update(disabled_at=timezone.now())


def delete_robot():
    Robot.objects.all().delete()


def rotate_secret_away():
    RobotSecret.objects.all().delete()


def delete_team():
    Team.objects.update(deleted_at=timezone.now())


def revoke_signing_keys():
    revoke_keys(now=timezone.now())


@pytest.mark.parametrize(
    ("client", "take_away", "status"),
    [
        ("password", remove_member, 404),
        ("password", disable_user, 401),
        ("password", change_password, 401),
        ("password", change_password_where_the_clock_is_behind, 401),
        ("password", sign_out_everywhere, 401),
        ("password", delete_team, 404),
        ("password", revoke_signing_keys, 401),
        ("access token", remove_member, 404),
        ("access token", disable_user, 401),
        ("access token", delete_access_token, 401),
        ("access token", limit_access_token, 401),
        ("access token", revoke_signing_keys, 401),
        ("robot", disable_robot, 401),
        ("robot", delete_robot, 401),
        ("robot", rotate_secret_away, 401),
        ("robot", delete_team, 401),
        ("robot", revoke_signing_keys, 401),
    ],
)
def test_at_the_next_request(clients, client, take_away, status):
    assert clients[client].get(PATH).status == 200
    take_away()
    answer = clients[client].get(PATH)
    assert answer.status == status
    if status == 401:
        assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
        assert clients[client].get("/v2/").status == 401
    assert clients[client].post(f"/v2/{NAME}/blobs/uploads/").status in (401, 403)


def test_a_token_that_was_fetched_right_after_a_new_password_is_good(registry, people, image):
    change_password()
    sign_out_everywhere()
    assert fetch(registry.signed_in("bob", "another one"), PULL).get(PATH).status == 200
    assert people["bob"].get(PATH).status == 401


def test_a_public_repository_that_is_private_again(people, image):
    Repository.objects.update(visibility="public")
    clients = [fetch(people[who], PULL) for who in ("anonymous", "charlie")]
    assert [client.get(PATH).status for client in clients] == [200, 200]
    Repository.objects.update(visibility="private")
    assert [client.get(PATH).status for client in clients] == [401, 404]


def test_a_token_older_than_the_end_of_a_repository_is_no_good_for_its_successor(people, image):
    old = fetch(people["bob"], PUSH)
    both = fetch(people["bob"], PUSH, "repository:alice/other:pull,push")
    end(Repository.objects.get(name=NAME))
    new = fetch(people["bob"], PUSH)
    new.push_image("latest")
    for client in (old, both):
        answer = client.get(PATH)
        assert answer.status == 401
        assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
        assert client.post(f"/v2/{NAME}/blobs/uploads/").status == 401
    mount = both.post(f"/v2/alice/other/blobs/uploads/?mount={image.digest}&from={NAME}")
    assert mount.status == 401
    assert new.get(PATH).status == 200


def test_the_first_push_of_a_repository_bears_a_token_that_is_older(people):
    client = fetch(people["bob"], PUSH)
    client.push_image("latest")
    assert client.get(PATH).status == 200


def test_the_end_of_a_hidden_repository_cannot_be_noticed(people, image):
    charlie = fetch(people["charlie"], PUSH)
    before = [charlie.get(PATH), charlie.post(f"/v2/{NAME}/blobs/uploads/")]
    end(Repository.objects.get(name=NAME))
    after = [charlie.get(PATH), charlie.post(f"/v2/{NAME}/blobs/uploads/")]
    assert [(answer.status, answer.body) for answer in before] == [(answer.status, answer.body) for answer in after]


def test_a_new_team_of_the_name_inherits_no_rights(people, clients, image):
    end(Repository.objects.get(name=NAME))
    delete_team()
    make_team(charlie="owner")
    fetch(people["charlie"], PUSH).push_image("latest")
    assert {name: client.get(PATH).status for name, client in clients.items()} == {
        "password": 401,
        "access token": 401,
        "robot": 401,
    }
    assert fetch(people["bob"], PULL).get(PATH).status == 404
    assert people["bob"].get(PATH).status == 404


@pytest.fixture
def refresh(registry, people):
    """Fetch a refresh token and return what uses it."""

    def obtain(username, password):
        answer = post_form(registry, grant_type="password", username=username, password=password, access_type="offline")
        token = answer.json()["refresh_token"]
        return lambda *scopes: post_form(registry, *scopes, grant_type="refresh_token", refresh_token=token)

    return obtain


@pytest.mark.parametrize("take_away", [disable_user, change_password, sign_out_everywhere])
def test_a_refresh_token_goes_with_the_password(refresh, take_away):
    use = refresh("bob", PASSWORD)
    assert use().status == 200
    take_away()
    answer = use()
    assert (answer.status, answer.codes) == (401, ["UNAUTHORIZED"])


def test_a_refresh_token_goes_with_an_access_token_or_a_robots_secret(refresh, team):
    by_token = refresh("bob", make_access_token(User.objects.get(username="bob")))
    by_secret = refresh("alice+ci", make_robot(team)[1])
    assert (by_token().status, by_secret().status) == (200, 200)
    disable_robot()
    assert by_secret().status == 401
    Robot.objects.update(disabled_at=None)
    assert by_secret().status == 200
    delete_access_token()
    rotate_secret_away()
    assert (by_token().status, by_secret().status) == (401, 401)
    assert not RefreshToken.objects.exists()


def test_signing_with_a_new_key_needs_no_new_sign_in(refresh):
    use = refresh("bob", PASSWORD)
    revoke_signing_keys()
    assert use().status == 200


def test_a_refreshed_token_dies_with_the_password_too(registry, refresh, people, image):
    client = registry.bearing(refresh("bob", PASSWORD)(PULL).json()["access_token"])
    assert client.get(PATH).status == 200
    change_password()
    assert client.get(PATH).status == 401


def test_an_upload_goes_on_with_a_newer_token(people):
    location = fetch(people["bob"], PUSH).start_upload()
    assert fetch(people["bob"], PUSH).patch(location, b"x").status == 202
    assert fetch(people["alice"], PUSH).patch(location, b"x").status == 404


def test_rights_that_are_added_need_a_new_token_only_where_they_widen_the_scopes(people, image):
    rita = fetch(people["rita"], PUSH)
    assert rita.post(f"/v2/{NAME}/blobs/uploads/").status == 403
    Membership.objects.filter(user__username="rita").update(role="developer")
    assert rita.post(f"/v2/{NAME}/blobs/uploads/").status == 401
    assert ask(people["rita"], PUSH).json()["scope"] == PUSH


def test_a_password_is_good_where_the_clock_is_behind_the_one_that_changed_it(people):
    User.objects.filter(username="bob").update(revoked_before=timezone.now() + timedelta(seconds=30))
    assert people["bob"].get("/v2/").status == 200
