"""The bytes that a preview promises are those that collection brings back."""

from datetime import timedelta

import pytest
from django.utils import timezone

from blobs.models import Blob
from repositories.models import Manifest, Tag
from tests.factories import NAME, index_manifest
from tests.management.cast import send

OTHER, FOREIGN = "alice/other", "bob/app"
PATH = "teams/alice/retention/preview"
POLICY = {"rules": [{"action": "delete", "tags": "old-*", "pushed_before": "7d"}]}
BASE, WIDE, FAR = b"b" * 7000, b"w" * 900, b"f" * 500


@pytest.fixture
def tags(registry):
    """What a repository can hold that shares bytes: with itself, with another of the team, and with another team."""
    registry.push_image("old-1", layers=[BASE, b"1" * 100, WIDE])
    registry.push_image("old-2", layers=[BASE, b"2" * 200, FAR])
    registry.push_image("old-3", layers=[BASE, b"3" * 300])
    registry.push_image("old-again", layers=[BASE, b"3" * 300])
    child = registry.push_image(None, layers=[BASE, b"c" * 400])
    tagged = registry.push_image("stays", layers=[b"t" * 600])
    index = registry.push_manifest(index_manifest([child.descriptor(), tagged.descriptor()]), "old-index")
    registry.push_image(None, layers=[b"signature"], subject=index.descriptor())
    fallback = index.digest.replace(":", "-") + ".sig"
    registry.push_image(fallback, layers=[b"fallback signature"])
    registry.push_image("new", layers=[WIDE])
    registry.push_image("old-4", name=OTHER, layers=[b"3" * 300, b"4" * 50])
    registry.push_image("old-5", name=FOREIGN, layers=[FAR])
    Tag.objects.exclude(name="new").update(pushed_at=timezone.now() - timedelta(days=30))
    return ["old-1", "old-2", "old-3", "old-4", "old-again", "old-index"]


def preview(registry, path=PATH):
    answer = send(registry, "POST", path, policy=POLICY)
    assert answer.status == 200, answer
    return answer.json()


def stored():
    return sum(Blob.objects.values_list("size", flat=True))


def delete(registry, row):
    assert send(registry, "DELETE", f"repositories/{row['repository']}/-/tags/{row['tag']}").status == 204


def test_the_whole_frees_what_it_promises(registry, collector, tags):
    told = preview(registry)
    going = [row for row in told["tags"] if row["verdict"] == "delete"]
    assert [row["tag"] for row in going if row["tag"].startswith("old")] == [
        *(tag for tag in tags if tag != "old-4"),
        "old-4",
    ]
    before, manifests = stored(), Manifest.objects.count()
    for row in going:
        delete(registry, row)
    collector.run()
    totals = told["totals"]
    assert totals["bytes_freed"] == before - stored() > 8000
    assert totals["manifests"] == manifests - Manifest.objects.count()
    # Each alone frees less: what they share comes back with the last of them.
    assert sum(row["bytes_freed"] for row in going) < totals["bytes_freed"]
    assert totals["bytes_shared"] == len(FAR) + len(WIDE) + len(b"{}")


@pytest.mark.parametrize("tag", ["old-1", "old-2", "old-3", "old-4", "old-again", "old-index", "stays", "new"])
def test_each_alone_frees_what_it_promises(registry, collector, tags, tag):
    rows = {row["tag"]: row for row in preview(registry)["tags"]}
    before = stored()
    delete(registry, rows[tag])
    if tag == "old-index":  # which a run would take along
        delete(registry, next(row for name, row in rows.items() if name.startswith("sha256-")))
    collector.run()
    assert rows[tag]["bytes_freed"] == before - stored()


def test_a_ring_frees_what_it_holds(registry, collector):
    image = registry.push_image("old-1", layers=[b"x" * 100])
    referrer = registry.push_image(None, layers=[b"r" * 50], subject=image.descriptor())
    registry.push_manifest(index_manifest([referrer.descriptor()], subject=referrer.descriptor()), "old-2")
    Tag.objects.update(pushed_at=timezone.now() - timedelta(days=30))
    totals, before = preview(registry, f"repositories/{NAME}/-/retention/preview")["totals"], stored()
    for tag in ("old-1", "old-2"):
        delete(registry, {"repository": NAME, "tag": tag})
    collector.run()
    assert totals["bytes_freed"] == before - stored() == 152
