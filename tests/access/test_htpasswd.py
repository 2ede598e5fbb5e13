"""`auth: htpasswd`: whoever stands in the file may do everything."""

import os
import stat

import bcrypt
import pytest

from accounts import htpasswd
from accounts.htpasswd import make_password_file
from accounts.models import Team
from events.models import AuditEvent
from registry_project.config.auth import Htpasswd
from tests.factories import NAME, Registry

CHALLENGE = 'Basic realm="Lading"'


def entry(username, password, *, cost=4, kind="2y"):
    stored = bcrypt.hashpw(password.encode(), bcrypt.gensalt(cost)).decode()
    return f"{username}:{stored.replace('$2b$', f'${kind}$')}\n"


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "htpasswd"
    path.write_text(
        "# people\n\n" + entry("alice", "one") + entry("bob", "two", kind="2a") + entry("eve", "x", kind="2b")
    )
    return path


@pytest.fixture(autouse=True)
def _htpasswd(settings, path, transactional_db):
    settings.AUTH_KIND = "htpasswd"
    settings.HTPASSWD_AUTH = Htpasswd(path=str(path))
    htpasswd.forget_all()


@pytest.fixture
def status(registry):
    return lambda username, password: registry.signed_in(username, password).get("/v2/").status


def age(path, seconds=60):
    """Let the file look as if it had not been touched for a while."""
    state = path.stat()
    os.utime(path, (state.st_atime - seconds, state.st_mtime - seconds))


def test_everybody_in_the_file_may_do_everything(registry, status):
    for username, password in [("alice", "one"), ("bob", "two"), ("eve", "x")]:
        client = registry.signed_in(username, password)
        client.push_image(username, name="new/app")
        assert client.get("/v2/_catalog").json()["repositories"] == ["new/app"]
        assert client.delete(f"/v2/new/app/manifests/{username}").status == 202
    assert Team.objects.get(slug="new").visibility == "private"


@pytest.mark.parametrize("path_", ["/v2/", f"/v2/{NAME}/tags/list", "/v2/_catalog"])
@pytest.mark.parametrize("client", [Registry(), Registry().bearing("x"), Registry().signed_in("alice", "two")])
def test_others_are_asked_for_a_password(registry, path_, client):
    registry.signed_in("alice", "one").push_image()
    answer = client.get(path_)
    assert (answer.status, answer.codes, answer.headers["WWW-Authenticate"]) == (401, ["UNAUTHORIZED"], CHALLENGE)


def test_wrong_passwords(status, path):
    long = "x" * 72
    path.write_text(path.read_text() + entry("long", long))
    assert status("long", long) == 200
    assert status("long", long + "y") == status("alice", "") == status("alice", "ONE") == status("Alice", "one") == 401
    assert status("", "one") == 401
    events = AuditEvent.objects.values_list("action", "target", "credential", "outcome")
    assert ("sign-in", "long", "htpasswd", "refused") in events


def test_the_file_is_read_again_when_it_changes(status, path):
    age(path)
    assert status("alice", "one") == 200
    path.write_text(entry("alice", "another"))
    assert (status("alice", "one"), status("alice", "another"), status("bob", "two")) == (401, 200, 401)
    # Of the same size, within the same second.
    path.write_text(entry("alice", "yet one"))
    assert (status("alice", "another"), status("alice", "yet one")) == (401, 200)


def test_a_file_that_keeps_its_time_and_size_but_is_another(status, path):
    age(path)
    assert status("alice", "one") == 200
    state = path.stat()
    other = path.with_name("other")
    other.write_text(path.read_text().replace("alice", "carol"))
    os.utime(other, ns=(state.st_atime_ns, state.st_mtime_ns))
    other.rename(path)
    assert (status("alice", "one"), status("carol", "one")) == (401, 200)


def test_a_file_that_is_gone_lets_nobody_in(status, path, caplog):
    assert status("alice", "one") == 200
    content = path.read_text()
    path.unlink()
    assert status("alice", "one") == status("alice", "one") == 401
    assert caplog.text.count("cannot be used") == 1
    path.mkdir()
    assert status("alice", "one") == 401
    path.rmdir()
    path.write_text(content)
    assert status("alice", "one") == 200


def test_other_hashes_are_ignored_with_one_warning(status, path, caplog):
    lines = [
        "md5:$apr1$lZL6V/ci$eIMz/iKDkbtys/uU7LEK00",
        "sha:{SHA}5baa61e4c9b93f3f0682250b6cf8331b7ee68fd8",
        "plain:password",
        "nothing",
        ":nobody",
        "weak:$2y$04$tooshort",
        entry("alice", "one").strip(),
        "alice:plain",
    ]
    path.write_text("\n".join(lines))
    assert status("plain", "password") == status("md5", "password") == status("sha", "password") == 401
    assert status("alice", "one") == status("alice", "plain") == 401
    (record,) = [record for record in caplog.records if "bcrypt" in record.message]
    assert record.message.endswith("ignored: line 1, 2, 3, 4, 5, 6, 8")
    assert not any(secret in caplog.text for secret in ("apr1", "5baa61", "$2y$", "plain"))


def test_the_last_of_two_lines_counts(status, path):
    path.write_text(entry("alice", "one") + entry("alice", "two"))
    assert (status("alice", "one"), status("alice", "two")) == (401, 200)


def test_an_unknown_name_costs_as_much_as_a_wrong_password(status, path, monkeypatch):
    path.write_text(entry("alice", "one", cost=5) + entry("bob", "two", cost=5) + entry("eve", "three", cost=4))
    costs = []
    real = bcrypt.checkpw
    monkeypatch.setattr(
        "accounts.htpasswd.bcrypt.checkpw", lambda password, stored: costs.append(stored[4:6]) or real(password, stored)
    )
    assert status("alice", "x") == status("nobody", "x") == 401
    assert costs == [b"05", b"05"]
    assert status("alice", "one") == status("alice", "one") == 200
    assert len(costs) == 3  # The second time it was remembered.


def test_guessing_is_slowed(status):
    assert [status("alice", "x") for _ in range(11)][-2:] == [401, 429]


def test_a_missing_file_is_made_with_one_user(status, path):
    assert make_password_file(path) is None
    path.unlink()
    username, password = make_password_file(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert password not in path.read_text()
    assert (status(username, password), status(username, "x")) == (200, 401)
    assert make_password_file(path) is None
