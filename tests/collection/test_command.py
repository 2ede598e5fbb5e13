"""`lading garbage-collect`, for those used to Distribution's command."""

import io
import re
import subprocess
import sys
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from blobs.models import Blob, BlobReview, RepositoryBlob, StorageDeletion
from registry_gc.collection import rounds
from repositories.models import Manifest, ManifestReview, TagHistory
from tests.collection.conftest import assert_pulls
from tests.factories import NAME, descriptor, digest_of, index_manifest

ONE = [b"one", b"base"]


def run(*options):
    out = io.StringIO()
    call_command("garbage-collect", *options, stdout=out)
    return out.getvalue()


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_shows_how_far_it_has_come_on_a_terminal_only(registry, monkeypatch):
    fill(registry)
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    run("--quiet", "--now")
    assert terminal.getvalue() == ""
    fill(registry)
    run("--now")
    assert re.search(r" blobs of .* collected; .* \[#+\] +(\d+)/\1\b", terminal.getvalue())


@pytest.fixture
def with_delays(settings):
    settings.GC_GRACE = settings.GC_UNTAGGED = timedelta(days=1)


def age():
    """As if everything had been pushed and let go long ago, while the reviews still wait for their dates."""
    long_ago = timezone.now() - timedelta(days=9)
    Manifest.objects.update(pushed_at=long_ago)
    RepositoryBlob.objects.update(leased_until=long_ago)
    TagHistory.objects.update(started_at=long_ago, ended_at=long_ago, restorable_until=long_ago)
    later = timezone.now() + timedelta(days=1)
    ManifestReview.objects.update(review_after=later)
    BlobReview.objects.update(review_after=later)


def fill(registry):
    """Garbage of every kind beside what stays."""
    for tag in ("old", "kept"):
        image = registry.push_image(None, layers=[tag.encode(), b"base"])
        index = registry.push_manifest(index_manifest([image.descriptor()], annotations={"tag": tag}), tag)
        registry.push_image(None, layers=[b"signature of " + tag.encode()], subject=index.descriptor())
    registry.push_manifest(index_manifest([image.descriptor()], subject=image.descriptor()))
    absent = descriptor(b"never pushed", "application/vnd.oci.image.manifest.v1+json")
    ring = registry.push_image(None, layers=[b"ring"], subject=absent)
    registry.push_manifest(index_manifest([ring.descriptor()], subject=ring.descriptor()))
    registry.push_blob(b"alone")
    registry.delete(f"/v2/{NAME}/manifests/old")


def stored():
    return {*Manifest.objects.values_list("digest", flat=True), *Blob.objects.values_list("digest", flat=True)}


def test_collects_what_is_due(registry, collector):
    registry.push_image("latest", layers=ONE)
    registry.delete(f"/v2/{NAME}/manifests/latest")
    out = run()
    assert "1 manifests and 3 blobs of" in out
    collector.assert_empty()


@pytest.mark.parametrize("options", [[], ["--now"]], ids=["due", "now"])
def test_dry_run_lists_exactly_what_a_run_collects_and_changes_nothing(registry, collector, settings, options):
    fill(registry)
    if options:
        settings.GC_GRACE = settings.GC_UNTAGGED = timedelta(days=1)
        age()
    before = stored()
    rows = [list(model.objects.order_by("pk").values()) for model in (ManifestReview, BlobReview, StorageDeletion)]
    out = run("--dry-run", *options)
    assert [list(m.objects.order_by("pk").values()) for m in (ManifestReview, BlobReview, StorageDeletion)] == rows
    assert stored() == before
    listed = {line.split()[1].rpartition("@")[2]: int(line.split()[2]) for line in out.splitlines()[:-1]}
    sizes = dict(Blob.objects.values_list("digest", "size")) | dict(Manifest.objects.values_list("digest", "size"))
    run(*options)
    assert set(listed) == before - stored()
    assert listed == {digest: sizes[digest] for digest in listed}
    assert len(listed) == 3 + 2 + 2 + 2, listed


@pytest.mark.usefixtures("with_delays")
def test_without_now_what_has_a_date_waits_for_it(registry):
    fill(registry)
    age()
    before = stored()
    assert "0 manifests and 0 blobs" in run()
    assert stored() == before


@pytest.mark.usefixtures("with_delays")
def test_now_heeds_leases_and_what_can_be_restored(registry, settings):
    settings.TRASH_KEEP = timedelta(days=1)
    image = registry.push_image("latest", layers=ONE)
    registry.delete(f"/v2/{NAME}/manifests/latest")
    alone = registry.push_blob(b"alone")
    run("--now")
    assert_pulls(registry, image, ONE)
    assert registry.get(f"/v2/{NAME}/blobs/{alone}").status == 200


def test_delete_untagged_takes_what_is_untagged_for_longer_than_the_grace(registry, collector, settings):
    settings.GC_UNTAGGED, settings.GC_GRACE = None, timedelta(hours=1)
    registry.push_image(None, layers=[b"old"])
    age()
    young = registry.push_image(None, layers=[b"young"])
    tagged = registry.push_image("latest", layers=ONE)
    assert "0 manifests" in run("--now")
    assert "would go" in run("-d", "-m")
    run("--delete-untagged")
    assert Manifest.objects.count() == 2
    assert_pulls(registry, young, [b"young"])
    assert_pulls(registry, tagged, ONE)
    # The blobs have their grace from now on.
    assert registry.get(f"/v2/{NAME}/blobs/{digest_of(b'old')}").status == 200


def test_quiet_says_nothing(registry):
    registry.push_blob(b"alone")
    assert run("-q") == ""
    assert run("--quiet", "--dry-run") == ""


def test_tells_when_the_bytes_go(registry, settings):
    settings.GC_LINGER = timedelta(hours=1)
    registry.push_blob(b"alone")
    assert "in the outbox" in run()


def test_rests_while_paused(registry):
    registry.push_blob(b"alone")
    run("--pause")
    with pytest.raises(CommandError, match="--resume"):
        run()
    assert "1 blobs" in run("--dry-run")
    run("--resume")
    assert "1 blobs" in run()


def test_fails_where_something_could_not_be_reviewed(registry, monkeypatch):
    registry.push_blob(b"alone")
    monkeypatch.setattr(rounds, "collect_blob", lambda _claim: (_ for _ in ()).throw(RuntimeError("no")))
    with pytest.raises(CommandError, match="1 could not be reviewed"):
        run()


def test_reads_the_file_wherever_it_stands(tmp_path):
    config = tmp_path / "config.yml"
    config.write_text(
        "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: /nowhere\nnonsense: {}\ngc: {grace: 5}\n"
    )
    for words in ([str(config)], ["-m", str(config)], [str(config), "--dry-run"]):
        done = subprocess.run(
            [sys.executable, "-c", "from registry_project.cli import main; main()", "garbage-collect", *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode != 0
        assert str(config) in done.stderr, done.stderr
