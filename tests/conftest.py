"""Fixtures for tests that speak to the views inside this process."""

from contextlib import suppress

import hypothesis
import pytest
from django.db.backends.base.operations import BaseDatabaseOperations

from blobs.storage import get_store
from tests.azure_server import azure_server, azurite
from tests.factories import Registry
from tests.gcs_server import fake_gcs_server, gcs_server
from tests.s3_server import s3_server, versitygw
from tests.services import ServiceUnavailable

SERVICES = {"s3_service": versitygw, "gcs_service": fake_gcs_server, "azure_service": azurite}

# How long an example takes says how busy the machine is, not whether the code is right.
hypothesis.settings.register_profile("lading", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("lading")


def pytest_collection_finish(session):
    """Build the object stores before the tests begin: the time limit of a test would not suffice."""
    if session.config.option.collectonly:
        return
    for name, build in SERVICES.items():
        # The contract asks for its stores by parameter.
        driver = name.removesuffix("_service")
        if any(name in item.fixturenames or f"[{driver}" in item.nodeid for item in session.items):
            with suppress(ServiceUnavailable):  # the tests that need it say so
                build()


def _served(server):
    try:
        with server() as running:
            yield running
    except ServiceUnavailable as problem:
        pytest.skip(str(problem))


@pytest.fixture(scope="session", autouse=True)
def _flush_of_the_audit_log():
    """Let tests that commit empty the audit log behind them; everybody else is refused by its triggers."""
    execute = BaseDatabaseOperations.execute_sql_flush
    first = {
        "postgresql": ["SET LOCAL session_replication_role = 'replica'"],
        "sqlite": [
            "INSERT OR REPLACE INTO events_audithorizon (id, starts_at) VALUES (1, '9999-12-31')",
            "DELETE FROM events_auditevent",
        ],
    }

    def execute_sql_flush(operations, statements):
        return execute(operations, [*first[operations.connection.vendor], *statements])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseDatabaseOperations, "execute_sql_flush", execute_sql_flush)
        yield


@pytest.fixture(scope="session")
def s3_service():
    """A private S3 server for the whole run."""
    yield from _served(s3_server)


@pytest.fixture(scope="session")
def gcs_service():
    """A private server of Google Cloud Storage's kind for the whole run."""
    yield from _served(gcs_server)


@pytest.fixture(scope="session")
def azure_service():
    """A private server of Azure's kind for the whole run."""
    yield from _served(azure_server)


@pytest.fixture
def store(settings, tmp_path):
    """A blob store of this test's own, in place of the configured one."""
    location = tmp_path / "registry"
    settings.STORAGES = {
        **settings.STORAGES,
        "blobs": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": str(location)},
        },
    }
    get_store.cache_clear()
    yield get_store()
    get_store.cache_clear()


@pytest.fixture
def registry(store, settings, monkeypatch):
    """A registry that allows deleting, with a storage of its own and no health checks in the background."""
    monkeypatch.setattr("registry_project.health.HealthMonitor.start", lambda self: None)
    settings.DELETE_ENABLED = True
    return Registry()
