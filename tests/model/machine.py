"""One registry beside its shelf: how steps are counted, what is compared after each, and how an example ends."""

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import wraps
from typing import Any, TypeVar

from django.test import override_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from blobs.deletions import drain_storage_deletions
from blobs.models import BlobReview, StorageDeletion
from blobs.storage import get_store
from blobs.uploads import purge_expired_uploads
from blobs.usage import roll_up_usage
from registry_gc.collection.models import CollectionFailure, Kind
from registry_gc.collection.reviews import Claim
from registry_gc.collection.rounds import run_until_idle
from registry_gc.collection.standings import Rules
from registry_gc.collection.sweep import sweep_all
from repositories.expiry import end_expired_tags
from repositories.models import ManifestReview
from repositories.models import Repository as RepositoryRow
from tests.factories import Registry
from tests.model import rows
from tests.model.documents import CONTENT_OF
from tests.model.shelf import GRACE, LINGER, TRASH, UNTAGGED, UPLOAD_LIFETIME, Document, Repository, Shelf

Item = TypeVar("Item")
FAR = 24 * 30
MOST_LEVELS = 8
DELAYS = {
    "GC_GRACE": timedelta(hours=GRACE),
    "GC_UNTAGGED": timedelta(hours=UNTAGGED),
    "GC_LINGER": timedelta(hours=LINGER),
    "TRASH_KEEP": timedelta(hours=TRASH),
    "UPLOAD_LIFETIME": timedelta(hours=UPLOAD_LIFETIME),
}
NO_DELAYS = dict.fromkeys(DELAYS, timedelta())

# How many examples ran, and how often each step did.
FIRED: Counter[str] = Counter()

# Which of the things at hand a step takes.
which = st.integers(0, 15)


def step(**arguments: Any) -> Callable[[Callable[..., None]], Any]:
    """A rule that is counted."""

    def decorate(function: Callable[..., None]) -> Any:
        FIRED[function.__name__] = 0

        @wraps(function)
        def counted(self: Any, **values: Any) -> None:
            FIRED[function.__name__] += 1
            function(self, **values)

        return rule(**arguments)(counted)

    return decorate


def pick(items: Sequence[Item], number: int) -> Item:
    return items[number % len(items)]


class Machine(RuleBasedStateMachine):
    """The registry through HTTP and its background work by hand, and a shelf that says what both must have done."""

    def __init__(self) -> None:
        super().__init__()
        FIRED["examples"] += 1
        rows.empty()
        for item in list(get_store().objects()):
            get_store().delete(item.key)
        self.registry = Registry()
        self.shelf = Shelf()
        self.documents: list[Document] = []
        # Of workers that are not done.
        self.claims: list[Claim] = []

    # The shelf's side of what clients do.

    def made(self, name: str) -> Repository:
        """The repository that a push has found or made."""
        repository = self.shelf.find(name)
        if repository is None:
            row = RepositoryRow.objects.get(name=name, deleted_at=None)
            repository = self.shelf.repositories.setdefault(row.pk, Repository(row.pk, name))
        return repository

    def known(self, document: Document) -> Document:
        if document not in self.documents:
            self.documents.append(document)
        return document

    # What must hold.

    @invariant()
    def rows_are_what_the_shelf_says(self) -> None:
        shelf = self.shelf
        assert rows.manifest_rows() == set(shelf.manifest_rows())
        assert rows.reference_rows() == set(shelf.reference_rows())
        assert rows.child_rows() == set(shelf.child_rows())
        assert rows.tag_rows() == set(shelf.tag_rows())
        assert rows.link_rows() == set(shelf.link_rows())
        assert rows.blob_rows() == shelf.blobs.keys()
        assert rows.upload_rows() == sorted((upload.repository, upload.completed) for upload in shelf.uploads)
        # A team pays until the blob's review.
        assert rows.team_rows() >= shelf.team_rows()
        assert all(said == counted for said, counted in rows.usage_of_teams().values())
        assert rows.misnamed_keys(get_store()) == {}

    def take_apart(self) -> None:
        """Follow what collection did to repositories that are deleted for good."""
        shelf, tags, left = self.shelf, rows.tag_rows(), Counter(rows.upload_rows())
        uploads = []
        for upload in shelf.uploads:
            key = (upload.repository, upload.completed)
            if left[key] > 0 or not shelf.repositories[upload.repository].is_over(shelf.now):
                uploads.append(upload)
            left[key] -= 1
        shelf.uploads = uploads
        ids = rows.repository_ids()
        for repository in [each for each in shelf.repositories.values() if each.is_over(shelf.now)]:
            for name, tag in list(repository.tags.items()):
                if (repository.id, name, tag.digest) not in tags:
                    del repository.tags[name]
            if repository.id not in ids:
                assert not repository.tags, repository.name
                repository.manifests.clear()
                repository.links.clear()
                del shelf.repositories[repository.id]

    def take_away_what_was_collected(self, *, heeds_grace: bool = True) -> None:
        """Follow what collection did, all of which must have been garbage.

        A referrer goes when `gc.grace` is over since its subject went: without heeding that, with its subject.
        """
        self.take_apart()
        shelf = self.shelf
        manifests = {(repository, digest) for repository, digest, _ in rows.manifest_rows()}
        links, blobs = rows.link_rows(), rows.blob_rows()
        for repository in shelf.repositories.values():
            gone = [digest for digest in repository.manifests if (repository.id, digest) not in manifests]
            for manifest in repository.manifests.values():
                if not heeds_grace and manifest.document.subject in gone:
                    manifest.is_orphan = True
            taken = repository.alive(shelf.now) & set(gone)
            assert not taken, [repository.manifests[digest] for digest in sorted(taken)]
            for digest in gone:
                shelf.forget_manifest(repository, digest)
        for repository in shelf.repositories.values():
            for blob in [blob for blob in repository.links if (repository.id, blob) not in links]:
                assert shelf.may_unlink(repository, blob), f"taken from {repository.name} in use: {blob}"
                del repository.links[blob]
        for blob in [blob for blob in shelf.blobs if blob not in blobs]:
            assert shelf.may_remove(blob), f"collected in use: {blob}"
            del shelf.blobs[blob]

    def pull_all_of(self, repository: Repository) -> None:
        """Everything that clients may see, and nothing else, with the right bytes."""
        base = f"/v2/{repository.name}"
        seen = {digest: manifest for digest, manifest in repository.manifests.items() if repository.find(digest)}
        for reference, digest in [(d, d) for d in seen] + [(name, tag.digest) for name, tag in repository.tags.items()]:
            answer = self.registry.get(f"{base}/manifests/{reference}")
            assert (answer.status, answer.body) == (200, seen[digest].document.payload), reference
        for digest in repository.links:
            answer = self.registry.get(f"{base}/blobs/{digest}")
            assert (answer.status, answer.body) == (200, CONTENT_OF[digest]), digest
        for subject in sorted({manifest.document.subject for manifest in repository.manifests.values()} - {""}):
            answer = self.registry.get(f"{base}/referrers/{subject}")
            named = {entry["digest"] for entry in answer.json()["manifests"]}
            assert named == {digest for digest, manifest in seen.items() if manifest.document.subject == subject}
        assert self.registry.tags(repository.name) == sorted(repository.tags)

    # How an example ends.

    def teardown(self) -> None:
        if sys.exc_info()[0] is not None:  # It has failed, or is given up.
            return
        with override_settings(**NO_DELAYS):
            self.end()
        FIRED["ended"] += 1

    def end(self) -> None:
        self.come_to_rest()
        for repository in self.shelf.living():
            self.pull_all_of(repository)
        # The events sufficed: what the sweep suspects beside them is in use.
        sweep_all(rules=Rules.configured())
        self.come_to_rest()
        for repository in self.shelf.living():
            for digest in sorted({tag.digest for tag in repository.tags.values()}):
                answer = self.registry.delete(f"/v2/{repository.name}/manifests/{digest}")
                assert answer.status == 202, answer
                self.shelf.delete_manifest(repository, digest)
        self.come_to_rest()

    def come_to_rest(self) -> None:
        # What is claimed with its index is armed by it, and left until the claim is over: a round for each level.
        for _level in range(MOST_LEVELS):
            self.finish()
            deleted = [each for each in self.shelf.repositories.values() if each.deleted_at is not None]
            if not deleted and not ManifestReview.objects.exists() and not BlobReview.objects.exists():
                self.assert_only_what_tags_reach()
                return
        raise AssertionError(f"it never ends: {list(ManifestReview.objects.values())}")

    def finish(self) -> None:
        """All the background work that there is, when every deadline is over."""
        self.advance_by(FAR)
        assert end_expired_tags() == len(self.shelf.expired())
        for repository, name in self.shelf.expired():
            self.shelf.end_tag(repository, name)
        self.advance_by(FAR)
        self.shelf.uploads.clear()
        assert purge_expired_uploads() < 100
        totals = run_until_idle(rules=Rules.configured())
        assert not any(tally.postponed for tally in totals.by_kind.values())
        while drain_storage_deletions():
            pass
        roll_up_usage()
        self.take_away_what_was_collected(heeds_grace=False)
        self.rows_are_what_the_shelf_says()

    def advance_by(self, hours: int) -> None:
        rows.age(hours)
        self.shelf.now += hours
        earlier = timedelta(hours=hours)
        self.claims = [replace(claim, now=claim.now - earlier, due_at=claim.due_at - earlier) for claim in self.claims]

    def assert_only_what_tags_reach(self) -> None:
        shelf = self.shelf
        for repository in shelf.repositories.values():
            reached = repository.alive(shelf.now, tags_only=True)
            used = {blob for digest in reached for blob in repository.manifests[digest].blobs}
            left = repository.manifests.keys() - reached
            assert not left, [repository.manifests[digest] for digest in left]
            assert repository.links.keys() == used, repository.name
        assert shelf.blobs.keys() == {blob for _, blob in shelf.link_rows()}
        assert rows.team_rows() == shelf.team_rows()
        assert len(list(get_store().objects())) == len(shelf.blobs)
        for model in (StorageDeletion, BlobReview, ManifestReview, CollectionFailure):
            assert list(model._default_manager.values()) == []

    def work(self, done: object, *, heeds_grace: bool = True) -> None:
        """Follow a worker's step."""
        assert done is not None, list(CollectionFailure.objects.values_list("kind", "error"))
        assert not CollectionFailure.objects.exists(), list(CollectionFailure.objects.values_list("kind", "error"))
        self.take_away_what_was_collected(heeds_grace=heeds_grace)


KINDS = st.sampled_from(list(Kind))
