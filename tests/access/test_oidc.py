"""Sign-in of people by OpenID Connect, through a whole login at a provider on loopback."""

import pytest
from allauth.socialaccount.models import SocialAccount
from django.test import Client

from accounts import issuers as keys_of
from accounts.directories import normalise_username
from accounts.models import Membership, User
from accounts.oidc.views import safe_path
from events.models import AuditEvent
from registry_project.config.auth import Lading, Oidc
from tests.access.fake_provider import CLIENT, SECRET, FakeProvider
from tests.access.issuers import new_key, now
from tests.people import PASSWORD, make_team, make_user

LOGIN, CALLBACK = "/accounts/oidc/acme/login/", "/accounts/oidc/acme/login/callback/"


@pytest.fixture
def provider(settings, transactional_db, registry):
    provider = FakeProvider()
    configured = {
        "issuer": provider.url,
        "clientid": CLIENT,
        "clientsecret": SECRET,
        "groups": {"eng": ["alice:developer", "tools:reader"], "leads": ["alice:maintainer"], "ops": ["gone:owner"]},
        "administrators": ["admins"],
        "auditors": ["auditors"],
    }
    settings.LADING_AUTH = Lading(oidc=(Oidc(name="acme", **configured), Oidc(name="other", **configured)))
    keys_of.forget_all()
    yield provider
    provider.stop()


@pytest.fixture
def sign_in(provider):
    """A whole login; gives the last answer. `browser` may be one that has been here before."""

    def whole(browser=None, start=LOGIN, **query):
        browser = browser or Client()
        left = browser.get(start, query)
        assert left.status_code == 302, left.content
        return browser.get(CALLBACK, provider.authorise(left["Location"]))

    return whole


def user_of(browser):
    key = browser.session.get("_auth_user_id")
    return User.objects.get(pk=key) if key else None


def roles(username):
    return sorted(
        Membership.objects.filter(user__username=username).values_list("team__slug", "role", "provider").order_by("id")
    )


def test_a_whole_login_makes_an_account(sign_in, provider):
    make_team()
    browser = Client()
    answer = sign_in(browser, next="/alice/app")
    assert (answer.status_code, answer["Location"]) == (302, "/alice/app")
    dora = user_of(browser)
    assert (dora.username, dora.email, dora.is_superuser, dora.is_auditor) == (
        "dora.diaz",
        "dora@example.org",
        False,
        False,
    )
    assert not dora.has_usable_password()
    assert roles("dora.diaz") == [("alice", "developer", "acme")]
    account = SocialAccount.objects.get()
    assert (account.provider, account.uid, account.extra_data) == ("acme", "1", {})
    assert sign_in().status_code == 302
    assert User.objects.count() == 1


def test_the_authorization_request(provider, settings):
    browser = Client()
    location = browser.get(LOGIN, {"scope": "evil", "auth_params": "redirect_uri=evil", "process": "connect"})[
        "Location"
    ]
    query = provider.codes[provider.authorise(location)["code"]]
    assert query["redirect_uri"] == f"http://localhost:5000{CALLBACK}"
    assert sorted(query["scope"].split()) == ["email", "openid", "profile"]
    assert len(query["nonce"]) >= 40
    assert len(query["state"]) >= 16
    other = provider.codes[provider.authorise(Client().get(LOGIN)["Location"])["code"]]
    for name in ("nonce", "state", "code_challenge"):
        assert query[name] != other[name]


def test_groups_are_replaced_and_what_a_person_gave_stays(sign_in, provider):
    alice, tools = make_team(), make_team("tools")
    sign_in()
    dora = User.objects.get()
    Membership.objects.create(team=alice, user=dora, role="reader")
    Membership.objects.create(team=tools, user=dora, role="owner", provider="other")
    assert ("tools", "reader", "acme") in roles("dora.diaz")
    provider.person["groups"] = ["leads", "eng", "admins", "unknown"]
    sign_in()
    assert ("alice", "maintainer", "acme") in roles("dora.diaz")
    assert User.objects.get().is_superuser
    provider.person["groups"] = ["auditors"]
    sign_in()
    assert roles("dora.diaz") == [("alice", "reader", ""), ("tools", "owner", "other")]
    assert (User.objects.get().is_superuser, User.objects.get().is_auditor) == (False, True)
    del provider.person["groups"]
    sign_in()
    assert not User.objects.get().is_auditor
    provider.person["groups"] = "eng"
    sign_in()
    assert ("alice", "developer", "acme") in roles("dora.diaz")


def test_a_group_of_a_team_that_is_not_there_gives_nothing(sign_in, provider):
    provider.person["groups"] = ["ops"]
    assert sign_in().status_code == 302
    assert roles("dora.diaz") == []


def test_who_is_disabled_stays_so(sign_in):
    sign_in()
    User.objects.update(is_active=False)
    make_team()
    browser = Client()
    assert sign_in(browser).status_code == 401
    assert user_of(browser) is None
    assert not User.objects.get().is_active
    event = AuditEvent.objects.get(outcome="refused")
    assert (event.action, event.target, event.outcome, event.detail) == (
        "sign-in",
        "dora.diaz",
        "refused",
        {"by": "acme"},
    )
    assert roles("dora.diaz") == []


def test_nobody_is_linked_by_name_or_address(sign_in, provider):
    local = make_user("dora.diaz", email="dora@example.org", is_superuser=True)
    browser = Client()
    assert sign_in(browser).status_code == 302
    assert user_of(browser) != local
    assert user_of(browser).username == "dora.diaz-2"
    assert not user_of(browser).is_superuser
    provider.person |= {"sub": "2"}
    provider.claims = {"email_verified": True}
    sign_in()
    assert User.objects.filter(username="dora.diaz-3").exists()
    local.refresh_from_db()
    assert local.check_password(PASSWORD)


def test_the_same_person_at_another_provider_is_another(sign_in, provider, client):
    sign_in()
    left = client.get("/accounts/oidc/other/login/")
    back = client.get("/accounts/oidc/other/login/callback/", provider.authorise(left["Location"]))
    assert back.status_code == 302
    assert User.objects.count() == 2


@pytest.mark.parametrize(
    "change",
    [
        {"nonce": "x"},
        {"nonce": None},
        {"nonce": ["x"]},
        {"aud": "other-client"},
        {"aud": [CLIENT, "other-client"]},
        {"aud": [CLIENT, "other-client"], "azp": "other-client"},
        {"azp": "other-client"},
        {"aud": None},
        {"iss": "https://evil.example.org"},
        {"iss": None},
        {"exp": now(-120)},
        {"exp": None},
        {"exp": "9999999999"},
        {"iat": None},
        {"iat": now(3600)},
        {"nbf": now(3600)},
        {"sub": ""},
        {"sub": None},
        {"sub": 1},
        {"sub": "2"},
    ],
)
def test_id_tokens_that_are_not_good(sign_in, provider, change):
    provider.claims = change
    browser = Client()
    answer = sign_in(browser)
    assert answer.status_code == 401
    assert b"the registry's log says why" in answer.content
    assert user_of(browser) is None
    assert not User.objects.exists()


def test_id_tokens_that_are_signed_by_somebody_else(sign_in, provider):
    provider.signing_key = new_key()
    assert sign_in().status_code == 401
    provider.signing_key, provider.headers = provider.key, {"kid": "other"}
    assert sign_in().status_code == 401
    provider.headers = {"alg": "HS256"}
    assert sign_in().status_code == 401
    assert not User.objects.exists()


def test_a_profile_of_somebody_else(sign_in, provider):
    provider.profile = {"sub": "2", "groups": ["admins"]}
    assert sign_in().status_code == 401


def test_what_the_id_token_says_outweighs_the_profile(sign_in, provider):
    provider.profile = {"groups": ["admins"]}
    sign_in()
    assert not User.objects.get().is_superuser


def test_a_callback_is_good_once_and_for_its_own_session(provider):
    browser = Client()
    query = provider.authorise(browser.get(LOGIN)["Location"])
    assert Client().get(CALLBACK, query).status_code == 401
    assert browser.get("/accounts/oidc/other/login/callback/", query).status_code == 401
    assert browser.get(CALLBACK, {**query, "state": "x"}).status_code == 401
    assert browser.get(CALLBACK, {"code": query["code"]}).status_code == 401
    assert browser.get(CALLBACK, query).status_code == 302
    asked = len(provider.asked)
    assert browser.get(CALLBACK, query).status_code == 401
    assert len(provider.asked) == asked


def test_a_code_of_another_session(provider):
    mine, theirs = Client(), Client()
    ours = provider.authorise(mine.get(LOGIN)["Location"])
    stolen = provider.authorise(theirs.get(LOGIN)["Location"])
    # The verifier of PKCE is the other session's, and so is the nonce.
    assert mine.get(CALLBACK, {"code": stolen["code"], "state": ours["state"]}).status_code == 401
    assert not User.objects.exists()


def test_an_error_of_the_provider(provider):
    browser = Client()
    query = provider.authorise(browser.get(LOGIN)["Location"])
    answer = browser.get(CALLBACK, {"error": "access_denied", "state": query["state"], "error_description": "<script>"})
    assert (answer.status_code, b"script" in answer.content) == (401, False)


def test_the_session_gets_a_new_id(sign_in):
    browser = Client()
    browser.get(LOGIN)
    before = browser.session.session_key
    sign_in(browser)
    assert browser.session.session_key != before


@pytest.mark.parametrize(
    "path",
    [
        "//evil",
        "/\\evil",
        "\\\\evil",
        "%2f%2fevil",
        "https://evil",
        "evil",
        "@evil",
        "/a\r\nb",
        "/a b",
        "/é",
        "",
        "/\t/evil",
    ],
)
def test_next_is_a_path_of_the_registry(sign_in, path):
    assert sign_in(next=path)["Location"] == "/"


def test_next_stays_below_the_prefix(settings):
    assert safe_path("/alice/app?x=1#y") == "/alice/app?x=1#y"
    settings.HTTP_PREFIX = "/registry/"
    assert safe_path("/elsewhere") == "/registry/"
    assert safe_path("/registry/x") == "/registry/x"


def test_without_a_provider_there_are_no_such_pages(provider, settings, client):
    assert client.get("/accounts/oidc/nobody/login/").status_code == 404
    assert client.get(LOGIN).status_code == 302
    assert client.post(LOGIN).status_code in (403, 405)
    settings.AUTH_KIND = "none"
    assert client.get(LOGIN).status_code == client.get(CALLBACK).status_code == 404
    settings.AUTH_KIND = "lading"
    settings.LADING_AUTH = Lading()
    assert client.get(LOGIN).status_code == 404
    for path in ("/accounts/login/", "/accounts/signup/", "/accounts/social/signup/", "/accounts/social/connections/"):
        assert client.get(path).status_code == 404


def test_a_provider_that_is_down(provider, client):
    provider.stop()
    assert client.get(LOGIN).status_code == 401


def test_endpoints_obey_the_egress_rules(provider, client, sign_in):
    other = FakeProvider()
    provider.document = {"token_endpoint": f"{other.url}/token"}
    assert sign_in().status_code == 401
    assert other.asked == []
    other.stop()


def test_the_cookie_opens_nothing_of_the_protocol(sign_in, provider):
    provider.person["groups"] = ["admins"]
    browser = Client()
    sign_in(browser)
    assert user_of(browser).is_superuser
    assert browser.get("/v2/_catalog").status_code == 401


@pytest.mark.parametrize(
    ("wish", "name"),
    [
        ("dora", "dora"),
        ("Dora.Díaz@example.org", "dora.diaz"),
        ("ACME\\dora", "acme-dora"),
        ("dora__d", "dora_d"),
        ("..dora..", "dora"),
        ("dora + ci", "dora-ci"),
        ("team+ci", "team-ci"),
        ("дора", "user"),
        ("", "user"),
        ("@x", "user"),
        ("d" * 100, "d" * 61),
        ("a\n b", "a-b"),
    ],
)
def test_user_names(wish, name):
    assert normalise_username(wish) == name


def test_accounts_roles_and_sessions_are_told(sign_in, provider):
    make_team()
    sign_in()
    provider.person["groups"] = ["leads", "admins"]
    sign_in()
    sign_in()
    provider.person["groups"] = []
    sign_in()
    rows = AuditEvent.objects.order_by("occurred_at", "id")
    assert [(row.action, row.team, row.target, row.detail) for row in rows if row.action != "sign-in"] == [
        ("user.create", "", "dora.diaz", {"by": "acme"}),
        ("member.put", "alice", "dora.diaz", {"role": "developer", "before": None, "by": "acme"}),
        ("user.update", "", "dora.diaz", {"administrator": True, "auditor": False, "by": "acme"}),
        ("member.put", "alice", "dora.diaz", {"role": "maintainer", "before": "developer", "by": "acme"}),
        ("user.update", "", "dora.diaz", {"administrator": False, "auditor": False, "by": "acme"}),
        ("member.remove", "alice", "dora.diaz", {"before": "maintainer", "by": "acme"}),
    ]
    assert [row.detail for row in rows if row.action == "sign-in"] == [{"by": "acme"}] * 4
