"""What is counted, and under which names."""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import OperationalError
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from blobs.models import BlobReview, StorageDeletion
from registry_project import metrics, monitor
from registry_project.metrics import REGISTRY, render, request_ended
from registry_project.metrics_folder import FOLDER_VARIABLE, shared_folder
from tests.factories import NAME


def value(name, **labels):
    metrics.flush()
    return REGISTRY.get_sample_value(name, labels) or 0


def samples(text):
    families = text_string_to_metric_families(text if isinstance(text, str) else text.decode())
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


@pytest.mark.django_db(transaction=True)
def test_requests_are_counted_by_route_and_never_by_path(registry):
    names = [
        ("registry_http_requests_total", {"handler": "blob_upload", "method": "post", "code": "201"}),
        ("registry_http_request_duration_seconds_count", {"handler": "blob", "method": "get"}),
        ("registry_http_request_size_bytes_sum", {"handler": "blob_upload"}),
        ("registry_http_response_size_bytes_sum", {"handler": "blob"}),
        ("lading_upload_bytes_total", {}),
        ("lading_download_bytes_total", {}),
        ("registry_storage_action_seconds_count", {"driver": "filesystem", "action": "Writer"}),
        ("registry_storage_action_seconds_count", {"driver": "filesystem", "action": "Reader"}),
    ]
    before = [value(name, **labels) for name, labels in names]
    digest = registry.push_blob(b"seventeen bytes!!")
    registry.get(f"/v2/{NAME}/blobs/{digest}")
    grown = [value(name, **labels) - old for (name, labels), old in zip(names, before, strict=True)]
    assert grown == [1, 1, 17, 17, 17, 17, 1, 1]
    assert NAME.encode() not in render()
    assert digest.encode() not in render()


@pytest.mark.django_db(transaction=True)
def test_nothing_is_in_flight_at_the_end(registry, monkeypatch):
    def fail(*_args, **_more):
        raise RuntimeError

    digest = registry.push_blob(b"x")
    registry.get(f"/v2/{NAME}/blobs/{digest}")
    monkeypatch.setattr("repositories.api.views.get_manifest", fail)
    registry.get(f"/v2/{NAME}/manifests/v1")
    found = samples(render())
    assert [key for key, count in found.items() if key[0] == "registry_http_in_flight_requests" and count] == []


@pytest.mark.django_db(transaction=True)
def test_a_failing_storage_is_timed_too(registry, store, monkeypatch):
    labels = {"driver": "filesystem", "action": "Stat"}
    before = value("registry_storage_action_seconds_count", **labels)
    monkeypatch.setattr("blobs.storage.local.LocalBlobStore.size", lambda *_: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        store.size("blobs/aa/bb")
    assert value("registry_storage_action_seconds_count", **labels) - before == 1


def test_invented_methods_make_no_label(monkeypatch):
    monkeypatch.setattr(metrics, "COLLECTORS", [])
    for number in range(50):
        request_ended("base", f"METHOD{number}", 405, seconds=0.1, bytes_in=0, bytes_out=0, began=False)
    found = {dict(labels).get("method") for name, labels in samples(render()) if name.startswith("registry_http_req")}
    assert "unknown" in found
    assert not any(method and method.startswith("method") for method in found)


def queue(name, **labels):
    monitor.metrics.COLLECTORS[0]._read_at = float("-inf")
    return samples(render())[(name, tuple(sorted(labels.items())))]


@pytest.mark.django_db(transaction=True)
def test_queues_are_counted(registry):
    now = timezone.now()
    StorageDeletion.objects.create(storage_key="a", not_before=now - timedelta(minutes=5), attempts=2)
    StorageDeletion.objects.create(storage_key="b", not_before=now + timedelta(minutes=5))
    BlobReview.objects.create(blob_id=1, review_after=now - timedelta(1), reason="test")
    BlobReview.objects.create(blob_id=2, review_after=now + timedelta(1), reason="test")
    registry.start_upload()
    assert queue("lading_storage_deletions") == 2
    assert queue("lading_storage_deletions_failed") == 1
    assert 300 <= queue("lading_storage_deletions_oldest_due_seconds") < 400
    assert queue("lading_uploads_open") == 1
    assert queue("lading_reviews_due", kind="blob") == 1
    assert queue("lading_reviews_due", kind="manifest") == 0
    assert queue("lading_database_up") == 1


def test_a_lost_database_is_told_and_breaks_nothing(monkeypatch):
    def refuse(*_args):
        raise OperationalError("gone")

    monkeypatch.setattr(monitor, "_queues", refuse)
    assert queue("lading_database_up") == 0
    monitor.metrics.COLLECTORS[0]._read_at = float("-inf")


def test_background_rounds_are_told(monkeypatch):
    metrics.background_round("test.task", seconds=0.5, succeeded=True)
    metrics.background_round("test.task", seconds=2, succeeded=False)
    assert value("lading_background_last_success_timestamp_seconds", task="test.task") > 1.7e9
    assert value("lading_background_failures_total", task="test.task") == 1
    assert value("lading_background_duration_seconds_count", task="test.task") == 2
    assert value("lading_background_duration_seconds_sum", task="test.task") == 2.5


@pytest.mark.django_db
def test_the_main_port_shows_them_to_this_machine_only(registry, settings):
    assert registry.get("/metrics").headers["Content-Type"].startswith("text/plain; version=")
    assert b"registry_http_requests_total" in registry.get("/metrics").body
    assert registry.get("/metrics", X_Forwarded_For="192.0.2.1").status == 404
    http = settings.CONFIGURATION.http
    for update in ({"addr": ":5000"}, {"net": "unix", "addr": "/run/lading.sock"}):
        settings.CONFIGURATION = settings.CONFIGURATION.model_copy(update={"http": http.model_copy(update=update)})
        assert registry.get("/metrics").status == 404


COUNT = """
import sys
from registry_project.metrics import flush, request_began, request_ended
for number in range(100):
    request_began("blob")
    request_ended("blob", "GET", 200, seconds=0.01 * number, bytes_in=0, bytes_out=10)
request_began("blob")
flush()
"""


def test_processes_count_together_and_the_dead_are_forgotten(monkeypatch):
    monkeypatch.setattr(metrics, "COLLECTORS", [])
    with shared_folder() as folder:
        assert folder.stat().st_mode & 0o077 == 0
        for _ in range(3):
            subprocess.run([sys.executable, "-c", COUNT], check=True, env=os.environ.copy(), timeout=60)
        found = samples(render())
        labels = (("code", "200"), ("handler", "blob"), ("method", "get"))
        assert found[("registry_http_requests_total", labels)] == 300
        assert found[("lading_download_bytes_total", ())] == 3000
        buckets = (("handler", "blob"), ("le", "0.1"), ("method", "get"))
        assert found[("registry_http_request_duration_seconds_bucket", buckets)] == 33
        assert ("registry_http_in_flight_requests", (("handler", "blob"),)) not in found
    assert not folder.exists()
    assert FOLDER_VARIABLE not in os.environ


KILLED = """
import os
from registry_project.metrics_folder import shared_folder
with shared_folder() as folder:
    print(folder, flush=True)
    os._exit(1)
"""


def test_the_folder_of_a_killed_server_is_removed():
    killed = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True, check=False, timeout=60)
    left = Path(killed.stdout.strip())
    assert left.is_dir(), killed.stderr
    with shared_folder():
        assert not left.exists()
