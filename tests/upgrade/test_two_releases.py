"""An upgrade while clients push: the release of this tree, and a made-up next one whose tables have more columns."""

import json
import os
import secrets
import shutil
import subprocess
import sys
import threading

import httpx
import psycopg
import pytest

from tests.events.receiver import Receiver
from tests.factories import digest_of
from tests.live.client import Client, random_bytes
from tests.live.inspection import assert_check_finds_nothing, count, rows, wait_until
from tests.live_server import POSTGRES_VARIABLE, PROJECT, LiveServer

pytestmark = pytest.mark.live

PUSHERS = 3
# What the next release adds to the tables that every push writes, each by a migration of its own.
COLUMN = 'models.CharField(max_length=20, db_default="by the database", default="by the next release")'
MIGRATION = """
from django.db import migrations, models

class Migration(migrations.Migration):
    dependencies = [("{app}", "{last}")]
    operations = [migrations.AddField("{model}", "added", {column})]
"""
GROWN = {
    "blobs": ["Blob", "UploadSession", "StorageDeletion", "RepositoryBlob"],
    "repositories": ["Repository", "Manifest", "Tag", "TagHistory"],
    "events": ["WebhookDelivery", "WebhookQueue"],
}
WITH_THE_COLUMN = "SELECT count(*) FROM repositories_manifest WHERE added = %s"


@pytest.fixture
def database_url():
    maintenance = os.environ.get(POSTGRES_VARIABLE)
    if not maintenance:
        pytest.skip(f"{POSTGRES_VARIABLE} is not set: run under `python -m tests.services --`")
    name = f"lading_upgrade_{secrets.token_hex(6)}"
    with psycopg.connect(maintenance, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield maintenance.rpartition("/")[0] + f"/{name}"
    with psycopg.connect(maintenance, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def manage(database_url, tmp_path):
    """Runs a command of the next release."""

    def run(tree, *arguments):
        environ = {**os.environ, "REGISTRY_DATABASE_URL": database_url}
        environ["REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY"] = str(tmp_path / "data")
        done = subprocess.run(
            [sys.executable, str(tree / "manage.py"), *arguments],
            cwd=tree,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture
def next_release(tmp_path, manage):
    """A copy of this tree with more columns and the migrations that make them."""
    tree = tmp_path / "next"
    ignored = shutil.ignore_patterns(".*", "tests", "docs", "data", "__pycache__", "build", "dist")
    shutil.copytree(PROJECT, tree, ignore=ignored)
    for app, names in GROWN.items():
        migrations = tree / app / "migrations"
        last = max(path.stem for path in migrations.glob("0*.py"))
        for number, name in enumerate(names):
            with (tree / app / "models.py").open("a") as models:
                models.write(f'\n{name}.add_to_class("added", {COLUMN})\n')
            text = MIGRATION.format(app=app, last=last, model=name.lower(), column=COLUMN)
            last = f"9{number:03}_{name.lower()}_added"
            (migrations / f"{last}.py").write_text(text)
    manage(tree, "makemigrations", "--check", "--dry-run")
    return tree


@pytest.fixture
def receiver():
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def start(database_url, receiver, tmp_path):
    """Starts a server of a release; all of them share the database and the folder."""
    started = []
    endpoint = {"name": "sink", "url": receiver.url, "timeout": "2s"}

    def start(tree):
        folder = tmp_path / f"server-{len(started)}"
        folder.mkdir()
        environ = {
            "REGISTRY_DATABASE_URL": database_url,
            "REGISTRY_NOTIFICATIONS_ENDPOINTS": json.dumps([endpoint]),
            "REGISTRY_WEB_WORKERS": "1",
            "REGISTRY_GC_INTERVAL": "500ms",
        }
        server = LiveServer(database="postgres", folder=folder, environ=environ, data=tmp_path / "data", tree=tree)
        started.append(server)
        server.start()
        return server

    yield start
    for server in started:
        server.kill()


class Pushers:
    """Threads that push and pull without a pause, each through the server that is current; no request may fail."""

    def __init__(self, server):
        self.server = server
        self.images = []
        self.failures = []
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._push, args=(f"upgrade/{number}",)) for number in range(PUSHERS)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stopping.set()
        for thread in self._threads:
            thread.join(120)

    def go_on(self):
        """Wait for some more of the work, all of it by the current server."""
        goal = len(self.images) + 5 * PUSHERS
        wait_until(lambda: self.failures or len(self.images) >= goal, "pushes go on")
        assert self.failures == []

    def _push(self, name):
        try:
            while not self._stopping.is_set():
                tag, layer = f"v{len(self.images) % 7}", random_bytes(1000)
                with Client(self.server) as client:
                    payload = client.push_image(name, tag, layer)
                    assert client.request("GET", f"{name}/manifests/{tag}").content == payload
                    assert client.pull_blob(name, digest_of(layer)) == layer
                    location = client.start_upload(name)
                    assert client.patch(location, b"given up").status_code == 202
                    assert client.request("DELETE", location).status_code == 204
                    self.images.append((name, payload, layer))
        except (AssertionError, httpx.HTTPError) as error:
            self.failures.append(error)


@pytest.mark.timeout(300)
def test_an_upgrade_fails_no_client(start, next_release, manage, receiver):
    old = start(PROJECT)
    with Pushers(old) as pushers:
        pushers.go_on()
        manage(next_release, "migrate")
        pushers.go_on()
        assert rows(old, WITH_THE_COLUMN, "by the database")[0][0] > 0
        # The background work of the old release goes on as well.
        before = len(receiver.requests)
        wait_until(lambda: len(receiver.requests) > before + 20, "notifications are delivered")
        new = start(next_release)
        pushers.go_on()
        pushers.server = new
        pushers.go_on()
        assert rows(new, WITH_THE_COLUMN, "by the next release")[0][0] > 0
        old.stop()
        pushers.go_on()
    assert pushers.failures == []
    with Client(new) as client:
        for name, payload, layer in pushers.images:
            assert client.request("GET", f"{name}/manifests/{digest_of(payload)}").content == payload
            assert client.pull_blob(name, digest_of(layer)) == layer
    for server in (old, new):
        assert "Traceback" not in server.log(), server.log_tail()
    wait_until(lambda: count(new, "events_webhookdelivery") == 0, "every notification is delivered")
    assert_check_finds_nothing(new)
