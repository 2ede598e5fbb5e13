"""Sign-in by LDAP, against a real OpenLDAP."""

import pytest
from allauth.socialaccount.models import SocialAccount

from accounts import sign_in
from accounts.models import FailedSignIn, Membership, User
from registry_project.config.auth import Lading, Ldap
from tests.people import PASSWORD, make_team, make_user
from tests.services import ServiceUnavailable
from tests.services.ldap import MANAGER, MANAGER_PASSWORD, SUFFIX, private_ldap

PEOPLE = {
    "dora": "dora-secret",
    "erik": "erik-secret",
    "bob": "bob-of-ldap",
    "a*b": "star-secret",
    "twin": "twin-secret",
}


def entries():
    yield f"dn: {SUFFIX}\nobjectClass: dcObject\nobjectClass: organization\no: example\ndc: example\n"
    for unit in ("people", "others", "groups"):
        yield f"dn: ou={unit},{SUFFIX}\nobjectClass: organizationalUnit\nou: {unit}\n"
    for name, password in PEOPLE.items():
        yield person(name, password)
    yield person("twin", "twin-secret", inside="ou=people", rdn="cn")
    for group, name in [("eng", "dora"), ("admins", "erik"), ("eng2", "erik")]:
        yield (
            f"dn: cn={group},ou=groups,{SUFFIX}\nobjectClass: groupOfNames\ncn: {group}\n"
            f"member: uid={name},ou=people,{SUFFIX}\n"
        )
    yield f"dn: cn=posix,ou=groups,{SUFFIX}\nobjectClass: posixGroup\ncn: posix\ngidNumber: 5\nmemberUid: dora\n"


def person(name, password, inside="ou=people", rdn="uid"):
    return (
        f"dn: {rdn}={name},{inside},{SUFFIX}\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name}\nsn: {name}\n"
        f"mail: {name.replace('*', '')}@example.org\nuserPassword: {password}\n"
    )


@pytest.fixture(scope="module")
def slapd():
    try:
        with private_ldap("\n".join(entries())) as server:
            yield server
    except ServiceUnavailable as problem:
        pytest.skip(str(problem))


@pytest.fixture
def configure(settings, slapd):
    def configure(passwords=True, **changes):
        given = {
            "url": slapd.url,
            "binddn": MANAGER,
            "bindpassword": MANAGER_PASSWORD,
            "userbase": f"ou=people,{SUFFIX}",
            "groupbase": f"ou=groups,{SUFFIX}",
            "groupfilter": "(objectClass=*)",
            "groups": {"eng": ["alice:developer"], "posix": ["alice:reader", "tools:reader"]},
            "administrators": ["admins"],
        }
        settings.LADING_AUTH = Lading(ldap=Ldap(**{**given, **changes}), passwords=passwords)
        sign_in.forget_all()

    return configure


@pytest.fixture(autouse=True)
def _ldap(configure, transactional_db):
    configure()
    make_team()
    make_team("tools")


@pytest.fixture
def status(registry):
    return lambda username, password: registry.signed_in(username, password).get("/v2/").status


def test_who_is_in_the_directory_can_sign_in(registry, status):
    assert status("dora", "dora-secret") == 200
    dora = User.objects.get(username="dora")
    assert (dora.email, dora.is_superuser, dora.has_usable_password()) == ("dora@example.org", False, False)
    roles = Membership.objects.filter(user=dora).values_list("team__slug", "role", "provider")
    assert sorted(roles) == [("alice", "developer", "ldap"), ("tools", "reader", "ldap")]
    registry.signed_in("dora", "dora-secret").push_image()
    assert status("erik", "erik-secret") == 200
    assert User.objects.get(username="erik").is_superuser


@pytest.mark.parametrize(
    ("username", "password"),
    [
        ("dora", "x"),
        ("dora", "erik-secret"),
        ("nobody", "dora-secret"),
        ("*", "dora-secret"),
        ("do*", "dora-secret"),
        ("dora)(uid=*", "dora-secret"),
        ("dora\\", "dora-secret"),
        ("dora\n", "dora-secret"),
        ("d" * 200, "dora-secret"),
        ("twin", "twin-secret"),
    ],
)
def test_who_is_refused(status, username, password):
    assert status(username, password) == 401
    assert not User.objects.exists()
    assert FailedSignIn.objects.count() == 1


def test_no_password_is_no_sign_in(registry):
    # slapd answers such a bind with success.
    assert registry.signed_in("dora", "").get("/v2/").status == 401


def test_names_are_escaped_not_refused(status):
    assert status("a*b", "star-secret") == 200
    assert User.objects.get().username == "a-b"


def test_a_local_user_is_not_looked_up_there(status):
    bob = make_user("bob")
    assert (status("bob", PASSWORD), status("bob", "bob-of-ldap")) == (200, 401)
    assert User.objects.get() == bob
    assert not SocialAccount.objects.exists()


def test_another_spelling_does_not_get_a_local_users_account(status, registry):
    bob = make_user("bob", is_superuser=True)
    assert status("BOB", "bob-of-ldap") == 200
    assert sorted(User.objects.values_list("username", "is_superuser")) == [("bob", True), ("bob-2", False)]
    bob.refresh_from_db()
    assert bob.check_password(PASSWORD)


def test_without_passwords_local_users_are_out(status, configure):
    make_user("bob")
    configure(passwords=False)
    assert (status("bob", PASSWORD), status("dora", "dora-secret")) == (401, 200)


def test_groups_are_replaced(status, configure):
    assert status("dora", "dora-secret") == 200
    configure(groups={"posix": ["alice:reader"]})
    assert status("dora", "dora-secret") == 200
    assert list(Membership.objects.values_list("team__slug", "role")) == [("alice", "reader")]
    configure(groupbase="")
    assert status("dora", "dora-secret") == 200
    assert not Membership.objects.exists()


def test_who_is_disabled_stays_so(status):
    assert status("dora", "dora-secret") == 200
    User.objects.update(is_active=False)
    assert status("dora", "dora-secret") == 401
    sign_in.forget_all()
    assert status("dora", "dora-secret") == 401
    assert not User.objects.get().is_active


def test_a_right_password_is_remembered_for_a_minute(status, monkeypatch):
    assert status("dora", "dora-secret") == 200
    monkeypatch.setattr("accounts.ldap.find_person", lambda *_: pytest.fail("asked again"))
    assert status("dora", "dora-secret") == 200


def test_the_person_is_the_entry_and_not_the_name(status):
    assert status("dora", "dora-secret") == 200
    account = SocialAccount.objects.get()
    assert (account.provider, len(account.uid)) == ("ldap", 36)
    # An entry that has the name, but was made anew: somebody else.
    SocialAccount.objects.update(uid="another")
    sign_in.forget_all()
    assert status("dora", "dora-secret") == 200
    assert sorted(User.objects.values_list("username", flat=True)) == ["dora", "dora-2"]


# ldap3 leaves a socket that could not be connected to the collector of garbage.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore:unclosed:ResourceWarning")
def test_a_directory_that_does_not_answer_is_no_wrong_password(registry, configure):
    configure(url="ldap://127.0.0.1:1")
    answer = registry.signed_in("dora", "dora-secret").get("/v2/")
    assert (answer.status, answer.codes) == (503, ["UNAVAILABLE"])
    configure(bindpassword="x")
    assert registry.signed_in("dora", "dora-secret").get("/v2/").status == 503
    assert not FailedSignIn.objects.exists()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore:unclosed:ResourceWarning")
def test_the_next_server_is_asked(status, configure, slapd):
    configure(url=f"ldap://127.0.0.1:1 {slapd.url}")
    assert status("dora", "dora-secret") == 200


def test_a_certificate_that_is_not_trusted_is_refused(registry, configure, slapd):
    configure(starttls=True)
    assert registry.signed_in("dora", "dora-secret").get("/v2/").status == 503
