"""Why something is kept: what is told must be what collection does."""

import io
import json
import random
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.rights import EVERYONE
from blobs.models import Blob, BlobReview, RepositoryBlob
from oci.digests import Digest
from registry_gc.collection.blobs import collect_blob
from registry_gc.collection.manifests import collect_manifest
from registry_gc.collection.models import Kind
from registry_gc.collection.reviews import Claim, Verdict
from registry_gc.collection.standings import Rules
from registry_gc.collection.why import explain_everywhere, targets_of
from registry_project.database import database_now
from repositories.models import Manifest, ManifestReview, Repository, TagHistory
from tests.factories import NAME, digest_of, index_manifest

OTHER = "alice/other"
HOUR = timedelta(hours=1)


def why(digest, kind=None):
    """What is told of a digest everywhere."""
    found = [explain_everywhere(target, limit=100) for target in targets_of(EVERYONE, Digest.parse(digest))]
    return next(each for each in found if each.is_there and kind in (None, each.target.kind))


def chains(answer, repository=0):
    return [
        ([step.relation for step in chain.steps], chain.reason.value, chain.tag)
        for chain in answer.repositories[repository].chains
    ]


@pytest.fixture
def delays(settings, monkeypatch):
    monkeypatch.setattr("registry_project.reviews._JITTER", 0)
    settings.GC_GRACE, settings.GC_UNTAGGED, settings.TRASH_KEEP = HOUR, 10 * HOUR, 100 * HOUR


def test_a_tag_keeps_for_ever(registry, delays):
    registry.push_image("latest", layers=[b"one"])
    RepositoryBlob.objects.update(leased_until=timezone.now())
    answer = why(digest_of(b"one"))
    assert chains(answer) == [(["layer"], "tag", "latest")]
    assert (answer.state, answer.kept, answer.can_go_at, answer.complete) == ("forever", True, None, True)
    assert chains(why(digest_of(b"{}"))) == [(["config"], "tag", "latest")]


def test_an_index_and_a_subject_keep_what_they_name(registry, delays):
    image = registry.push_image(None, layers=[b"one"])
    index = registry.push_manifest(index_manifest([image.descriptor()]), "1.2")
    signature = registry.push_image(None, layers=[b"signature"], subject=index.descriptor())
    RepositoryBlob.objects.update(leased_until=timezone.now())
    assert chains(why(digest_of(b"one")))[0] == (["layer", "index"], "tag", "1.2")
    assert chains(why(digest_of(b"signature")))[0] == (["layer", "subject"], "tag", "1.2")
    assert chains(why(signature.digest))[0] == (["subject"], "tag", "1.2")
    assert [step.digest for step in why(digest_of(b"one")).repositories[0].chains[0].steps] == [
        image.digest,
        index.digest,
    ]


def test_what_was_deleted_goes_when_the_trash_is_over_and_a_grace_later_its_blobs(registry, delays):
    registry.push_image("old", layers=[b"one"])
    registry.delete(f"/v2/{NAME}/manifests/old")
    entry = TagHistory.objects.get()
    manifest = why(Manifest.objects.get().digest)
    assert chains(manifest)[0] == ([], "history", "old")
    assert (manifest.state, manifest.can_go_at) == ("kept", entry.restorable_until)
    assert why(digest_of(b"one")).can_go_at == entry.restorable_until + HOUR


def test_an_untagged_manifest_lives_for_its_time_or_for_ever(registry, delays, settings):
    image = registry.push_image(None, layers=[b"one"])
    answer = why(image.digest)
    assert chains(answer) == [([], "untagged", "")]
    assert answer.can_go_at == Manifest.objects.get().pushed_at + 10 * HOUR
    settings.GC_UNTAGGED = None
    assert why(image.digest).state == "forever"


def test_a_referrer_goes_after_its_subject_although_untagged_manifests_stay(registry, delays, settings):
    settings.GC_UNTAGGED = None
    image = registry.push_image("latest")
    signature = registry.push_image(None, layers=[b"signature"], subject=image.descriptor())
    assert why(signature.digest).state == "forever"
    registry.delete(f"/v2/{NAME}/manifests/{image.digest}")
    answer = why(signature.digest)
    assert answer.can_go_at == TagHistory.objects.get().restorable_until + HOUR


def test_a_lease_protects_until_it_ends(registry, delays):
    digest = registry.push_blob(b"alone")
    answer = why(digest)
    assert (chains(answer), answer.can_go_at) == ([([], "lease", "")], RepositoryBlob.objects.get().leased_until)
    now = timezone.now()
    RepositoryBlob.objects.update(leased_until=now)
    assert (why(digest).state, chains(why(digest))) == ("waiting", [([], "nothing", "")])
    BlobReview.objects.update(review_after=now)
    assert (why(digest).state, why(digest).kept) == ("due", False)


def test_a_deleted_repository_keeps_until_its_trash_is_over(registry, delays):
    registry.push_image("latest", layers=[b"one"])
    RepositoryBlob.objects.update(leased_until=timezone.now())
    deleted_at = timezone.now()
    Repository.objects.update(deleted_at=deleted_at)
    answer = why(digest_of(b"one"))
    assert answer.repositories[0].restorable_until == deleted_at + 100 * HOUR
    assert (answer.state, answer.can_go_at) == ("kept", deleted_at + 101 * HOUR)


def test_a_tag_that_expires_keeps_until_it_can_be_restored_no_longer(registry, delays):
    image = registry.push_image("latest")
    expires_at = timezone.now() + 5 * HOUR
    Manifest.objects.get().tags.update(expires_at=expires_at)
    answer = why(image.digest)
    assert (answer.repositories[0].chains[0].until, answer.can_go_at) == (expires_at, expires_at + 100 * HOUR)


def test_a_ring_ends(registry, delays):
    image = registry.push_image("latest", layers=[b"one"])
    ring = registry.push_manifest(index_manifest([image.descriptor()], subject=image.descriptor()))
    assert why(ring.digest).state == "forever"
    registry.delete(f"/v2/{NAME}/manifests/latest")
    answer = why(ring.digest)
    assert "ring" in [chain[1] for chain in chains(answer)]
    assert answer.can_go_at == TagHistory.objects.get().restorable_until
    assert why(digest_of(b"one")).can_go_at == answer.can_go_at + HOUR


def test_what_only_an_outbox_has_says_when_its_bytes_go(registry, collector, settings):
    digest = registry.push_blob(b"alone")
    settings.GC_LINGER = HOUR
    collector.blobs()
    answer = why(digest)
    assert (answer.state, answer.deletions[0].size) == ("gone", 5)
    assert answer.deletions[0].not_before > timezone.now() + HOUR / 2


def grow(registry, seed):
    """A registry of images, indexes, referrers and rings that was made at random, and partly let go of again."""
    chance = random.Random(seed)
    pushed = {NAME: [], OTHER: []}
    for number in range(14):
        name = chance.choice([NAME, NAME, OTHER])
        tag = chance.choice([None, None, "a", "b", "c"])
        layers = [b"base", b"%d" % chance.randrange(6)]
        there = pushed[name]
        some = chance.sample(there, min(len(there), chance.randint(1, 3)))
        subject = {"subject": chance.choice(there).descriptor()} if there and chance.random() < 0.5 else {}
        if some and chance.random() < 0.5:
            document = index_manifest([each.descriptor() for each in some], annotations={"n": f"{number}"}, **subject)
            there.append(registry.push_manifest(document, tag, name))
        else:
            there.append(registry.push_image(tag, name, layers=layers, annotations={"n": f"{number}"}, **subject))
    registry.push_blob(b"alone", OTHER)
    ring = [registry.push_image(None, layers=[b"ring"])]
    ring.append(registry.push_manifest(index_manifest([ring[0].descriptor()], subject=ring[0].descriptor())))
    for name, there in pushed.items():
        for each in chance.sample(there, len(there) // 3):
            registry.delete(f"/v2/{name}/manifests/{each.digest}")
        for tag in ("a", "b"):
            registry.delete(f"/v2/{name}/manifests/{tag}")
    long_ago = timezone.now() - 1000 * HOUR
    for model, fields in (
        (Manifest, ("pushed_at",)),
        (TagHistory, ("started_at", "ended_at", "restorable_until")),
        (RepositoryBlob, ("leased_until",)),
    ):
        for row in model.objects.all():
            if chance.random() < 0.7:
                model.objects.filter(pk=row.pk).update(**dict.fromkeys(fields, long_ago))
    Manifest.objects.filter(digest__in=[each.digest for each in ring]).update(pushed_at=long_ago)
    Manifest.objects.exclude(deleted_at=None).update(deleted_at=chance.choice([long_ago, timezone.now()]))


def what_collection_does(kind, row):
    """Whether it would take it at this moment; what it did is undone."""
    review = (ManifestReview if kind is Kind.MANIFEST else BlobReview).objects.filter(pk=row.pk).first()
    now = database_now()
    claim = Claim(kind, row.pk, review.version if review else 0, 0, review.reason if review else "", now, now)
    if review is None:
        (ManifestReview if kind is Kind.MANIFEST else BlobReview).objects.create(
            pk=row.pk, review_after=now, reason="", version=0
        )
    with transaction.atomic():
        act = collect_manifest(claim, Rules.configured()) if kind is Kind.MANIFEST else collect_blob(claim)
        transaction.set_rollback(True)
    if review is None:
        (ManifestReview if kind is Kind.MANIFEST else BlobReview).objects.filter(pk=row.pk).delete()
    assert act.verdict in {Verdict.COLLECTED, Verdict.KEPT}
    return act.verdict is Verdict.KEPT


@pytest.mark.parametrize("seed", [0, 1, 2, 3, 4, 5, 6, 8])
def test_it_tells_what_collection_does(registry, delays, settings, seed):
    settings.INDEX_PLATFORMS = frozenset()
    grow(registry, seed)
    told, done = {}, {}
    for kind, model in ((Kind.MANIFEST, Manifest), (Kind.BLOB, Blob)):
        for row in model.objects.all():
            repository = getattr(row, "repository_id", None)
            found = why(row.digest, kind)
            place = next((each for each in found.repositories if repository in (None, each.repository.pk)), None)
            told[kind, row.pk] = (found if repository is None else place).kept
            done[kind, row.pk] = what_collection_does(kind, row)
    assert told == done
    assert {True, False} == set(done.values())


@pytest.mark.parametrize("seed", range(4))
def test_what_goes_before_its_date_and_what_stays_for_ever_is_told(registry, collector, delays, settings, seed):
    """When all that has a date has come to it, what is left is what was said to stay for ever."""
    settings.INDEX_PLATFORMS = frozenset()
    grow(registry, seed)
    rows = [
        (kind, row) for kind, model in ((Kind.MANIFEST, Manifest), (Kind.BLOB, Blob)) for row in model.objects.all()
    ]
    forever = set()
    for kind, row in rows:
        found = why(row.digest, kind)
        ends = [
            each for each in found.repositories if getattr(row, "repository_id", None) in (None, each.repository.pk)
        ]
        if any(each.can_go_at is None for each in ends):
            forever.add((kind, row.pk))
    long_ago = timezone.now() - 1000 * HOUR
    Manifest.objects.update(pushed_at=long_ago)
    Manifest.objects.exclude(deleted_at=None).update(deleted_at=long_ago)
    TagHistory.objects.update(started_at=long_ago, ended_at=long_ago, restorable_until=long_ago)
    RepositoryBlob.objects.update(leased_until=long_ago)
    settings.GC_GRACE = timedelta()
    collector.run(undated=list(Kind))
    left = {(kind, row.pk) for kind, row in rows if type(row).objects.filter(pk=row.pk).exists()}
    assert left == forever


def cost(digest):
    with CaptureQueriesContext(connection) as captured:
        answer = why(digest)
    return len(captured.captured_queries), answer


def test_the_number_of_statements_depends_on_no_width(registry, delays):
    def widen(numbers):
        for number in numbers:
            image = registry.push_image(f"v{number}", layers=[b"base", b"%d" % number])
            registry.push_image(None, layers=[b"base"], subject=image.descriptor())
            index = index_manifest([image.descriptor()], annotations={"n": f"{number}"}, subject=image.descriptor())
            registry.push_manifest(index, f"i{number}")
            registry.push_image(f"v{number}", f"alice/other{number}", layers=[b"base"])

    widen(range(2))
    before, _ = cost(digest_of(b"base"))
    widen(range(2, 14))
    after, answer = cost(digest_of(b"base"))
    assert (before, len(answer.repositories)) == (after, 15)
    assert before <= 20
    app = next(each for each in answer.repositories if each.repository.name == NAME)
    assert (len(app.chains), app.complete, answer.complete) == (20, False, False)


def test_a_high_tower_is_cut(registry, delays):
    digest = registry.push_image(None, layers=[b"one"])
    for number in range(60):
        digest = registry.push_manifest(
            index_manifest(
                [
                    digest.descriptor(
                        "application/vnd.oci.image.index.v1+json"
                        if number
                        else "application/vnd.oci.image.manifest.v1+json"
                    )
                ],
                annotations={"n": f"{number}"},
            )
        )
    queries, answer = cost(digest_of(b"one"))
    assert queries <= 130
    assert not answer.complete
    assert "more" in [chain.reason.value for chain in answer.repositories[0].chains]


def test_the_command_draws_a_tree(registry, delays):
    image = registry.push_image(None, layers=[b"one"])
    registry.push_manifest(index_manifest([image.descriptor()]), "1.2")
    out = io.StringIO()
    call_command("why", digest_of(b"one"), stdout=out)
    assert "it stays until somebody lets go of it" in out.getvalue()
    assert f"← layer {image.digest[:19]} ← index sha256:" in out.getvalue()
    assert "← tag 1.2 for ever" in out.getvalue()
    out = io.StringIO()
    call_command("why", image.digest, "--json", stdout=out)
    assert json.loads(out.getvalue())["repositories"][0]["chains"][0]["tag"] == "1.2"
    for wrong in (digest_of(b"absent"), "sha256:12"):
        with pytest.raises(CommandError):
            call_command("why", wrong)
