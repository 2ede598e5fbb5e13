"""Fixtures for tests that speak to the views inside this process."""

import pytest

from blobs.storage import get_store
from tests.factories import Registry


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
