"""Every write of accounts leaves an event, and every refusal one more."""

from accounts.models import AccessToken, RepositoryGrant, TrustedIdentity
from events.audit_actions import AuditAction
from events.models import AuditEvent
from registry_project.config.auth import Lading, TrustedIssuer
from tests.management.cast import API, send
from tests.people import PASSWORD

IDENTITY = {"issuer": "https://ci.example.org", "claims": {"repository": "acme/app"}}
KINDS = ("user.", "token.", "team.", "member.", "grant.", "robot.")


def test_every_write_is_told_with_who_did_it(people, settings):
    settings.LADING_AUTH = Lading(issuers=(TrustedIssuer(issuer=IDENTITY["issuer"]),))
    admin, alice, bob = people["admin"], people["alice"], people["bob"]
    robot = {"name": "ci", "role": "reader", "repositories": ["app"]}

    def ids(model):
        return model.objects.get().pk

    story = [
        (admin, "POST", lambda: "users", {"username": "nina", "password": "a long enough one"}),
        (admin, "PATCH", lambda: "users/nina", {"auditor": True, "password": "another long one"}),
        (admin, "POST", lambda: "users/nina/sign-out", {}),
        (admin, "POST", lambda: "teams", {"name": "new", "quota_bytes": 5}),
        (admin, "PATCH", lambda: "teams/new", {"visibility": "public"}),
        (admin, "DELETE", lambda: "teams/new", {}),
        (bob, "POST", lambda: "users/me/tokens", {"name": "laptop", "expires_at": None}),
        (bob, "DELETE", lambda: f"users/me/tokens/{ids(AccessToken)}", {}),
        (bob, "PUT", lambda: "users/me/password", {"old_password": PASSWORD, "password": "a new long one"}),
        (alice, "PUT", lambda: "teams/alice/members/nina", {"role": "reader"}),
        (alice, "PUT", lambda: "teams/alice/members/nina", {"role": "developer"}),
        (alice, "DELETE", lambda: "teams/alice/members/nina", {}),
        (alice, "POST", lambda: "teams/alice/grants", {"username": "nina", "pattern": "app", "role": "reader"}),
        (alice, "PATCH", lambda: f"teams/alice/grants/{ids(RepositoryGrant)}", {"role": "developer"}),
        (alice, "DELETE", lambda: f"teams/alice/grants/{ids(RepositoryGrant)}", {}),
        (alice, "POST", lambda: "teams/alice/robots", robot),
        (alice, "PATCH", lambda: "teams/alice/robots/ci", {"disabled": True, "role": "developer"}),
        (alice, "POST", lambda: "teams/alice/robots/ci/rotate", {"overlap": "0"}),
        (alice, "POST", lambda: "teams/alice/robots/ci/identities", IDENTITY),
        (alice, "DELETE", lambda: f"teams/alice/robots/ci/identities/{ids(TrustedIdentity)}", {}),
        (alice, "DELETE", lambda: "teams/alice/robots/ci", {}),
        (admin, "DELETE", lambda: "users/nina", {}),
    ]
    secrets = []
    for client, method, path, fields in story:
        answer = send(client, method, path(), **fields)
        assert answer.status < 300, answer
        shown = answer.json() if answer.body else {}
        secrets += [shown[name] for name in ("token", "secret") if name in shown]
    events = AuditEvent.objects.order_by("occurred_at")
    told = [(event.actor, event.action, event.team, event.target) for event in events]
    assert told == [
        ("admin", "user.create", "", "nina"),
        ("admin", "user.update", "", "nina"),
        ("admin", "user.sign-out", "", "nina"),
        ("admin", "team.create", "new", "new"),
        ("admin", "team.update", "new", "new"),
        ("admin", "team.delete", "new", "new"),
        ("bob", "token.create", "", "laptop"),
        ("bob", "token.delete", "", "laptop"),
        ("bob", "user.update", "", "bob"),
        ("alice", "member.put", "alice", "nina"),
        ("alice", "member.put", "alice", "nina"),
        ("alice", "member.remove", "alice", "nina"),
        ("alice", "grant.create", "alice", "nina"),
        ("alice", "grant.update", "alice", "nina"),
        ("alice", "grant.delete", "alice", "nina"),
        ("alice", "robot.create", "alice", "ci"),
        ("alice", "robot.update", "alice", "ci"),
        ("alice", "robot.rotate", "alice", "ci"),
        ("alice", "robot.trust", "alice", "ci"),
        ("alice", "robot.distrust", "alice", "ci"),
        ("alice", "robot.delete", "alice", "ci"),
        ("admin", "user.delete", "", "nina"),
    ]
    assert {event.credential for event in events} == {"password"}
    assert {event.action for event in events} == {action for action in AuditAction if action.startswith(KINDS)}
    details = [event.detail for event in events]
    assert details[1] == {"auditor": True, "password": True}
    assert details[10] == {"role": "developer", "before": "reader"}
    assert details[13] == {"pattern": "app", "role": "developer", "before": "reader"}
    assert details[16] == {"disabled": True, "role": "developer", "repositories": ["app"]}
    assert len(secrets) == 3
    assert not any(secret in repr(details) for secret in (*secrets, "long one", PASSWORD))


def test_a_write_that_fails_leaves_none(people):
    assert send(people["admin"], "DELETE", "users/admin").status == 409
    assert send(people["alice"], "DELETE", "teams/alice/members/alice").status == 409
    assert send(people["alice"], "DELETE", "teams/alice/robots/none").status == 404
    assert not AuditEvent.objects.exists()


def test_a_refusal_is_told_with_its_reason(people):
    assert send(people["rita"], "DELETE", "teams/alice").status == 403
    assert send(people["charlie"], "GET", "teams/alice").status == 404
    assert send(people["anonymous"], "GET", "teams/alice").status == 401
    events = AuditEvent.objects.order_by("occurred_at")
    refused = [(event.actor, event.team, event.target, event.outcome) for event in events]
    assert refused == [
        ("rita", "alice", "team.delete", "refused"),
        ("charlie", "alice", "team.read", "refused"),
    ]
    assert events[0].detail == {"reason": "rita is reader in the team alice; this needs owner"}


def test_beginning_a_session_is_told(registry, people):
    body = b'{"username": "bob", "password": "%s"}'
    for password in (PASSWORD, "wrong"):
        registry.post(f"{API}/session", body % password.encode(), Content_Type="application/json")
    outcomes = AuditEvent.objects.filter(action="sign-in").order_by("occurred_at").values_list("target", "outcome")
    assert list(outcomes) == [("bob", "success"), ("bob", "refused")]


def test_a_team_reads_nothing_of_an_earlier_one_of_its_name(people):
    for owner in ("alice", "charlie"):
        assert send(people["admin"], "POST", "teams", name="new").status == 201
        assert send(people["admin"], "PUT", f"teams/new/members/{owner}", role="owner").status == 200
        if owner == "alice":
            assert send(people["admin"], "DELETE", "teams/new").status == 204
    for query in ("audit?team=new", "audit"):
        events = send(people["charlie"], "GET", query).json()["results"]
        assert [(event["action"], event["target"]) for event in events] == [
            ("member.put", "charlie"),
            ("team.create", "new"),
        ]
    everything = send(people["admin"], "GET", "audit?team=new").json()["results"]
    assert len(everything) == 5
