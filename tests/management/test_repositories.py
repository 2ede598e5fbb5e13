"""Repositories in the management API: lists, settings, the way to the trash and back."""

import pytest

from events.models import AuditEvent
from repositories.models import Repository, TagRule
from tests.factories import NAME
from tests.management.cast import ask, send, told

READERS = {
    "anonymous": 401,
    "alice": 200,
    "mallory": 200,
    "bob": 200,
    "rita": 200,
    "charlie": 404,
    "admin": 200,
    "audrey": 200,
    "robot": 200,
    "token": 200,
}
REFUSED = {"anonymous": 401, "rita": 403, "charlie": 404, "audrey": 403, "token": 403}
PATH = f"repositories/{NAME}"


def only(people, *names):
    return {name: people[name] for name in names}


def refused(everybody, method, path, statuses, **fields):
    """Everybody of the statuses is refused so."""
    assert ask(only(everybody, *statuses), method, path, **fields) == statuses


def names(client, query=""):
    answer = send(client, "GET", f"repositories{query}")
    assert answer.status == 200, answer
    return [row["name"] for row in answer.json()["results"]]


def test_a_repository(everybody):
    everybody["bob"].push_image(layers=[b"x" * 98])
    assert ask(everybody, "GET", PATH) == READERS
    row = send(everybody["rita"], "GET", PATH).json()
    assert row.pop("created_at") <= row.pop("pushed_at")
    assert row == {
        "name": NAME,
        "team": "alice",
        "visibility": "private",
        "inherited": True,
        "role": "reader",
        "tag_count": 1,
        "size_bytes": 100,
    }


@pytest.mark.parametrize("path", ["alice/none", "alice/UPPER", "charlie/none", "x"])
def test_what_is_not_there_is_not_there_for_anybody(everybody, path):
    everybody["bob"].push_image()
    answers = [send(everybody[name], "GET", f"repositories/{path}") for name in ("alice", "charlie")]
    answers.append(send(everybody["charlie"], "GET", PATH))
    assert {told(answer) for answer in answers} == {(404, "not-found")}
    assert len({answer.json()["detail"] for answer in answers}) == 1


def test_the_list_shows_what_the_caller_may_pull(everybody):
    for name in ("alice/app", "alice/b/c", "alice/zoo"):
        everybody["bob"].push_image(name=name)
    everybody["admin"].push_image(name="charlie/own")
    assert names(everybody["rita"]) == names(everybody["robot"]) == ["alice/app", "alice/b/c", "alice/zoo"]
    assert names(everybody["admin"]) == names(everybody["audrey"]) == [*names(everybody["rita"]), "charlie/own"]
    assert names(everybody["charlie"]) == []
    assert send(everybody["anonymous"], "GET", "repositories").status == 401
    send(everybody["alice"], "PATCH", PATH, visibility="public")
    assert names(everybody["charlie"]) == ["alice/app"]
    assert send(everybody["charlie"], "GET", PATH).json()["role"] is None
    assert names(everybody["admin"], "?team=charlie") == ["charlie/own"]
    assert names(everybody["admin"], "?search=O&sort=-name") == ["charlie/own", "alice/zoo"]
    assert names(everybody["rita"], "?sort=-pushed") == ["alice/zoo", "alice/b/c", "alice/app"]


def test_pages_tell_nothing_of_what_is_hidden(everybody):
    """A grant for some names: what lies between them is neither shown nor the place where a page begins."""
    for number in range(12):
        everybody["bob"].push_image(name=f"alice/{number:02}-{'open' if number % 3 == 0 else 'secret'}")
    grant = {"username": "charlie", "pattern": "*-open", "role": "reader"}
    assert send(everybody["alice"], "POST", "teams/alice/grants", **grant).status == 201
    seen, path = [], "repositories?limit=1"
    while path:
        page = send(everybody["charlie"], "GET", path).json()
        seen += [row["name"] for row in page["results"]]
        assert len(page["results"]) == 1
        path = (page["next"] or "").removeprefix("/api/v1/")
    assert seen == [f"alice/{number:02}-open" for number in (0, 3, 6, 9)]


def test_owners_change_who_may_see_it(everybody):
    everybody["bob"].push_image()
    refused(everybody, "PATCH", PATH, {**REFUSED, "mallory": 403, "bob": 403, "robot": 403}, visibility="public")
    row = send(everybody["alice"], "PATCH", PATH, visibility="public").json()
    assert (row["visibility"], row["inherited"]) == ("public", False)
    assert everybody["anonymous"].get(f"/v2/{NAME}/tags/list").status == 200
    row = send(everybody["alice"], "PATCH", PATH, visibility=None).json()
    assert (row["visibility"], row["inherited"]) == ("private", True)
    assert everybody["anonymous"].get(f"/v2/{NAME}/tags/list").status == 401
    for wrong in ({"visibility": "secret"}, {}, {"visibility": "public", "name": "alice/other"}):
        assert told(send(everybody["alice"], "PATCH", PATH, **wrong)) == (400, "bad-request")
    assert AuditEvent.objects.filter(action="repository.update", repository=NAME).count() == 2


def test_a_deleted_repository_is_gone_and_comes_back_whole(everybody):
    pushed = everybody["bob"].push_image(layers=[b"x" * 98])
    refused(everybody, "DELETE", PATH, {**REFUSED, "bob": 403})
    assert send(everybody["mallory"], "DELETE", PATH).status == 204
    assert send(everybody["alice"], "GET", PATH).status == 404
    assert everybody["rita"].get(f"/v2/{NAME}/manifests/latest").status == 404
    assert names(everybody["alice"]) == []
    assert ask(everybody, "GET", "teams/alice/trash") == {**READERS, "robot": 404}
    (row,) = send(everybody["rita"], "GET", "teams/alice/trash").json()["results"]
    assert (row["name"], row["size_bytes"]) == (NAME, 100)
    assert row["deleted_at"] < row["restorable_until"]
    usage = send(everybody["rita"], "GET", "teams/alice/usage").json()
    assert (usage["logical_bytes"], usage["physical_bytes"], usage["trash_bytes"]) == (0, 100, 100)
    restore = f"teams/alice/trash/{row['id']}/restore"
    refused(everybody, "POST", restore, {**REFUSED, "bob": 403, "robot": 404})
    answer = send(everybody["mallory"], "POST", restore)
    assert (answer.status, answer.json()["name"]) == (200, NAME)
    assert everybody["rita"].get(f"/v2/{NAME}/manifests/latest").body == pushed.payload
    assert send(everybody["mallory"], "POST", restore).status == 404
    assert send(everybody["rita"], "GET", "teams/alice/trash").json()["results"] == []
    actions = AuditEvent.objects.filter(action__startswith="repository.", outcome="success")
    assert [event.action for event in actions.order_by("occurred_at")] == [
        "repository.create",
        "repository.delete",
        "repository.restore",
    ]


def test_a_name_is_free_at_once_and_the_old_one_comes_back_under_another(everybody):
    old = everybody["bob"].push_image(layers=[b"old"])
    send(everybody["alice"], "DELETE", PATH)
    new = everybody["bob"].push_image(layers=[b"new"])
    (row,) = send(everybody["alice"], "GET", "teams/alice/trash").json()["results"]
    restore = f"teams/alice/trash/{row['id']}/restore"
    assert told(send(everybody["alice"], "POST", restore)) == (409, "repository-taken")
    for wrong in ("charlie/app", "alice/UPPER", "", "app"):
        assert told(send(everybody["alice"], "POST", restore, name=wrong))[0] in (400, 404), wrong
    answer = send(everybody["alice"], "POST", restore, name="alice/before")
    assert (answer.status, answer.json()["name"]) == (200, "alice/before")
    served = [everybody["rita"].get(f"/v2/{name}/manifests/latest").body for name in (NAME, "alice/before")]
    assert served == [new.payload, old.payload]
    detail = AuditEvent.objects.get(action="repository.restore").detail
    assert detail == {"id": row["id"], "before": NAME}


def test_the_trash_ends(everybody, settings):
    everybody["bob"].push_image()
    send(everybody["alice"], "DELETE", PATH)
    (row,) = send(everybody["alice"], "GET", "teams/alice/trash").json()["results"]
    settings.TRASH_KEEP *= 0
    assert send(everybody["alice"], "GET", "teams/alice/trash").json()["results"] == []
    assert send(everybody["alice"], "POST", f"teams/alice/trash/{row['id']}/restore").status == 404


def test_a_deleted_repository_can_be_purged_at_once(everybody):
    everybody["bob"].push_image(layers=[b"x" * 98])
    send(everybody["alice"], "DELETE", PATH)
    (row,) = send(everybody["alice"], "GET", "teams/alice/trash").json()["results"]
    purge = f"teams/alice/trash/{row['id']}"
    refused(everybody, "DELETE", purge, {**REFUSED, "bob": 403, "robot": 404})
    assert Repository.objects.get().purged_at is None
    assert send(everybody["mallory"], "DELETE", purge).status == 204
    deleted_at, purged_at = Repository.objects.values_list("deleted_at", "purged_at").get()
    assert deleted_at < purged_at
    assert send(everybody["rita"], "GET", "teams/alice/trash").json()["results"] == []
    assert send(everybody["rita"], "GET", "teams/alice/usage").json()["trash_bytes"] == 0
    assert told(send(everybody["alice"], "POST", f"{purge}/restore")) == (404, "not-found")
    # Who did not hear the answer asks again.
    assert send(everybody["alice"], "DELETE", purge).status == 204
    assert Repository.objects.get().purged_at == purged_at
    assert told(send(everybody["charlie"], "DELETE", purge)) == (404, "not-found")
    event = AuditEvent.objects.get(action="repository.purge", outcome="success")
    assert (event.actor, event.repository, event.detail) == ("mallory", NAME, {"id": row["id"]})


def test_what_is_not_in_the_trash_cannot_be_purged(everybody, settings):
    everybody["bob"].push_image()
    purge = f"teams/alice/trash/{Repository.objects.get().pk}"
    assert told(send(everybody["alice"], "DELETE", purge)) == (404, "not-found")
    send(everybody["alice"], "DELETE", PATH)
    settings.DELETE_ENABLED = False
    assert told(send(everybody["alice"], "DELETE", purge)) == (405, "unsupported")
    settings.DELETE_ENABLED = True
    assert send(everybody["alice"], "POST", f"{purge}/restore").status == 200
    assert told(send(everybody["alice"], "DELETE", purge)) == (404, "not-found")
    assert not Repository.objects.filter(purged_at__isnull=False).exists()


def test_a_protected_tag_protects_its_repository(everybody, team):
    everybody["bob"].push_image("v1")
    everybody["bob"].push_image("other", name="alice/other")
    TagRule.objects.create(team=team, repositories="**", tags="v*", immutable=True)
    assert told(send(everybody["mallory"], "DELETE", PATH)) == (403, "forbidden")
    assert Repository.objects.get(name=NAME).deleted_at is None
    assert send(everybody["mallory"], "DELETE", "repositories/alice/other").status == 204
    assert send(everybody["alice"], "DELETE", PATH).status == 204


def test_what_is_switched_off(everybody, settings):
    everybody["bob"].push_image()
    settings.DELETE_ENABLED = False
    assert told(send(everybody["alice"], "DELETE", PATH)) == (405, "unsupported")
    settings.DELETE_ENABLED, settings.READ_ONLY = True, True
    for method, fields in (("DELETE", {}), ("PATCH", {"visibility": "public"})):
        assert told(send(everybody["alice"], method, PATH, **fields)) == (405, "unsupported")
    assert send(everybody["alice"], "GET", PATH).status == 200
    assert told(send(everybody["charlie"], "DELETE", PATH)) == (404, "not-found")
