"""Users: who may see and change them, and what may never happen."""

import pytest
from django.utils import timezone

from accounts.models import AccessToken, Membership, RefreshToken, User
from repositories.models import Tag
from tests.management.cast import ask, send, told
from tests.people import PASSWORD, as_user, make_access_token

NEW = {"username": "nina", "password": "a long enough one", "email": "nina@example.org"}
REFUSED = {"anonymous": 401, "alice": 403, "mallory": 403, "bob": 403, "rita": 403, "charlie": 403, "audrey": 403}
HIDDEN = {name: 404 if status == 403 else status for name, status in REFUSED.items()}


def test_only_administrators_create_users(everybody):
    admin = everybody.pop("admin")
    assert ask(everybody, "POST", "users", **NEW) == {**REFUSED, "robot": 403, "token": 403}
    assert not User.objects.filter(username="nina").exists()
    answer = send(admin, "POST", "users", **NEW)
    assert answer.status == 201
    created = answer.json()
    assert created.pop("created_at")
    assert created == {
        "username": "nina",
        "email": "nina@example.org",
        "administrator": False,
        "auditor": False,
        "active": True,
        "last_sign_in_at": None,
    }
    assert as_user("nina").signed_in("nina", NEW["password"]).get("/v2/").status == 200


@pytest.mark.parametrize(
    ("fields", "status", "kind"),
    [
        ({"username": "bob"}, 409, "username-taken"),
        ({"username": "Nina"}, 400, "bad-request"),
        ({"username": "ni+na"}, 400, "bad-request"),
        ({"username": "me"}, 400, "bad-request"),
        ({"username": "anonymous"}, 400, "bad-request"),
        ({"username": "n" * 65}, 400, "bad-request"),
        ({"username": "nina\n"}, 201, ""),
        ({"username": ""}, 400, "bad-request"),
        ({"password": "short"}, 400, "password-refused"),
        ({"password": "12345678901"}, 400, "password-refused"),
        ({"password": "password123"}, 400, "password-refused"),
        ({"password": "x" * 1025}, 400, "password-refused"),
        ({"email": "nobody"}, 400, "bad-request"),
        ({"is_superuser": True}, 400, "bad-request"),
        ({"administrator": "perhaps"}, 400, "bad-request"),
    ],
)
def test_what_a_user_can_be(people, fields, status, kind):
    answer = send(people["admin"], "POST", "users", **{**NEW, **fields})
    assert answer.status == status, answer
    if kind:
        assert told(answer) == (status, kind)
    if status == 400:
        assert set(answer.json()["fields"]) == set(fields)


def test_spaces_of_a_password_belong_to_it(people, registry):
    send(people["admin"], "POST", "users", **{**NEW, "password": "  spaces around "})
    assert registry.signed_in("nina", "spaces around").get("/v2/").status == 401
    assert registry.signed_in("nina", "  spaces around ").get("/v2/").status == 200


def test_administrators_and_auditors_list_users(everybody):
    assert ask(everybody, "GET", "users") == {**REFUSED, "admin": 200, "audrey": 200, "robot": 403, "token": 403}
    listed = lambda query: [row["username"] for row in send(everybody["audrey"], "GET", query).json()["results"]]  # noqa: E731
    assert listed("users") == ["admin", "alice", "audrey", "bob", "charlie", "mallory", "rita"]
    assert listed("users?search=A&sort=-username") == ["rita", "mallory", "charlie", "audrey", "alice", "admin"]
    assert listed("users?administrator=true") == ["admin"]
    assert listed("users?active=false") == []


def test_wildcards_of_sql_are_letters(people):
    for query in ("users?search=%25", "users?search=a_i", "users?search=_"):
        assert send(people["admin"], "GET", query).json()["results"] == []
    send(people["admin"], "POST", "users", **{**NEW, "username": "a_b"})
    send(people["admin"], "POST", "users", **{**NEW, "username": "axb"})
    found = send(people["admin"], "GET", "users?search=a_b").json()["results"]
    assert [row["username"] for row in found] == ["a_b"]
    assert send(people["admin"], "GET", "users/a_b").json()["username"] == "a_b"


@pytest.mark.parametrize("query", ["password__startswith=p", "sort=password", "sort=user__password", "_connector=OR"])
def test_only_known_filters_and_orders(people, query):
    assert send(people["admin"], "GET", f"users?{query}").status == 400


def test_a_user_is_seen_by_administrators_auditors_and_itself(everybody):
    assert ask(everybody, "GET", "users/bob") == {
        **HIDDEN,
        "bob": 200,
        "admin": 200,
        "audrey": 200,
        "robot": 404,
        "token": 404,
    }
    assert send(everybody["admin"], "GET", "users/nobody").status == 404
    assert (
        send(everybody["bob"], "GET", "users/nobody").json()["detail"]
        == (send(everybody["bob"], "GET", "users/rita").json()["detail"])
    )


@pytest.mark.parametrize("change", [{"administrator": True}, {"active": False}, {"password": "stolen account"}, {}])
def test_only_administrators_change_users(everybody, change):
    before = User.objects.values().get(username="bob")
    admin = everybody.pop("admin")
    refused = {**HIDDEN, "bob": 403, "audrey": 403, "robot": 404, "token": 404}
    assert ask(everybody, "PATCH", "users/bob", **change) == refused
    assert User.objects.values().get(username="bob") == before
    assert send(admin, "PATCH", "users/bob", **change).status == 200


MODEL_FIELDS = """id username is_superuser is_staff is_auditor is_active revoked_before groups first_name
    user_permissions last_login date_joined memberships administrator auditor active password"""


@pytest.mark.parametrize("field", MODEL_FIELDS.split())
def test_no_field_of_the_model_can_be_slipped_in(people, field):
    before = User.objects.values().get(username="bob")
    answer = send(people["bob"], "PATCH", "users/me", **{field: True})
    assert (answer.status, set(answer.json()["fields"])) == (400, {field})
    assert User.objects.values().get(username="bob") == before


def test_disabling_ends_everything_and_enabling_gives_back_no_sign_in(people, registry):
    bob = User.objects.get(username="bob")
    RefreshToken.objects.create(hash="x", service="lading", user=bob, expires_at=timezone.now())
    token = registry.bearing(make_access_token(bob))
    assert send(people["admin"], "PATCH", "users/bob", active=False).json()["active"] is False
    for client in (people["bob"], token):
        assert client.get("/v2/").status == 401
        assert send(client, "GET", "users/me").status == 401
    assert not RefreshToken.objects.exists()
    assert send(people["admin"], "PATCH", "users/bob", active=True).status == 200
    assert token.get("/v2/").status == 200
    assert User.objects.get(username="bob").revoked_before > bob.revoked_before


@pytest.mark.parametrize("how", ["demote", "disable", "delete"])
def test_the_last_active_administrator_stays(people, how):
    change = {"demote": {"administrator": False}, "disable": {"active": False}, "delete": {}}[how]

    def end(client):
        return send(client, "PATCH" if change else "DELETE", "users/admin", **change)

    other = User.objects.get(username="charlie")
    User.objects.filter(pk=other.pk).update(is_superuser=True, is_active=False)
    assert told(end(people["admin"])) == (409, "last-administrator")
    assert User.objects.filter(username="admin", is_superuser=True, is_active=True).exists()
    User.objects.filter(pk=other.pk).update(is_active=True)
    assert end(people["charlie"]).status in {200, 204}


def test_a_deleted_user_leaves_what_it_pushed_and_nothing_else(people, registry):
    people["bob"].push_image("latest")
    bob = User.objects.get(username="bob")
    token = registry.bearing(make_access_token(bob))
    assert send(people["admin"], "DELETE", "users/bob").status == 204
    assert Tag.objects.get().pushed_by == "bob"
    assert not Membership.objects.filter(user_id=bob.pk).exists()
    assert not AccessToken.objects.exists()
    assert [client.get("/v2/").status for client in (people["bob"], token)] == [401, 401]
    # A stranger of the same name has only what a stranger has.
    send(people["admin"], "POST", "users", username="bob", password=PASSWORD)
    assert token.get("/v2/").status == 401
    assert people["bob"].get("/v2/alice/app/tags/list").status == 404
    assert User.objects.get(username="bob").pk != bob.pk
    assert send(people["admin"], "DELETE", "users/nobody").status == 404


@pytest.mark.parametrize("path", ["users/bob", "users/bob/sign-out", "users/bob/tokens/{token}"])
def test_only_administrators_delete_and_sign_out_others(everybody, path):
    make_access_token(User.objects.get(username="bob"))
    path = path.format(token=AccessToken.objects.get(user__username="bob").pk)
    method = "POST" if path.endswith("sign-out") else "DELETE"
    before = User.objects.values().get(username="bob")
    for name in ("anonymous", "alice", "mallory", "charlie", "audrey", "robot", "token"):
        status = {"anonymous": 401, "audrey": 403}.get(name, 404)
        assert send(everybody[name], method, path).status == status, name
    assert User.objects.values().get(username="bob") == before
    assert AccessToken.objects.filter(user__username="bob").exists()
    assert send(everybody["admin"], method, path).status == 204


def test_administrators_set_passwords_of_others_only(people, registry):
    assert send(people["admin"], "PATCH", "users/bob", password="given by somebody").status == 200
    assert people["bob"].get("/v2/").status == 401
    assert registry.signed_in("bob", "given by somebody").get("/v2/").status == 200
    assert send(people["admin"], "PATCH", "users/admin", password="given by somebody").status == 403
    assert people["admin"].get("/v2/").status == 200


def test_tokens_of_others_are_listed_without_what_proves_them(everybody):
    secret = make_access_token(User.objects.get(username="bob"), name="laptop")
    assert ask(everybody, "GET", "users/bob/tokens") == {
        **HIDDEN,
        "bob": 200,
        "admin": 200,
        "audrey": 200,
        "robot": 404,
        "token": 404,
    }
    answer = send(everybody["audrey"], "GET", "users/bob/tokens")
    assert [row["name"] for row in answer.json()["results"]] == ["laptop"]
    assert secret[11:30] not in answer.body.decode()
    assert AccessToken.objects.get(name="laptop").hash not in answer.body.decode()
