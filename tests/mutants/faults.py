"""Faults that collection must not have, each with the tests that have to notice it.

`edits` replace text that stands exactly once in its file. Where `in_model` is true, the model of `tests/model`
must notice it as well. Faults of two transactions at once it never meets, and a lost review may be made good by the
next event.
"""

from dataclasses import dataclass

C = "gc/registry_gc/collection/"
BLOBS, MANIFESTS, REVIEWS, STANDINGS = C + "blobs.py", C + "manifests.py", C + "reviews.py", C + "standings.py"
DELETIONS, LINKS, UPLOADS = "blobs/deletions.py", "blobs/links.py", "blobs/uploads.py"

LIVES = "tests/collection/test_lives.py::"
WORK = "tests/collection/test_work.py::"
BLOB_RACES = "tests/concurrency/test_collection_blobs.py::"
MANIFEST_RACES = "tests/concurrency/test_collection_manifests.py::"
MODEL = "tests/model/test_collection.py"


@dataclass(frozen=True)
class Edit:
    path: str
    old: str
    new: str


@dataclass(frozen=True)
class Fault:
    name: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]
    in_model: bool = False


def fault(name: str, path: str, old: str, new: str, *tests: str, in_model: bool = False) -> Fault:
    return Fault(name, (Edit(path, old, new),), tests, in_model)


FAULTS = (
    # Locks.
    fault(
        "a blob is not locked",
        BLOBS,
        "Blob.objects.select_for_update().filter(pk=claim",
        "Blob.objects.filter(pk=claim",
        BLOB_RACES + "test_a_push_of_the_blob_that_comes_first_keeps_it",
    ),
    fault(
        "a manifest is not locked",
        MANIFESTS,
        "list(manifests.select_for_update().order_by",
        "list(manifests.order_by",
        MANIFEST_RACES + "test_a_tag_that_comes_first_keeps",
    ),
    fault(
        "a manifest is checked before it is locked",
        MANIFESTS,
        '    list(manifests.select_for_update().order_by("pk").values_list("pk", flat=True))\n',
        "    before = read_standings(manifests)\n"
        '    list(manifests.select_for_update().order_by("pk").values_list("pk", flat=True))\n'
        "    return before\n",
        MANIFEST_RACES + "test_a_tag_that_comes_first_keeps",
    ),
    fault(
        "a manifest is locked and checked in one statement",
        MANIFESTS,
        '    list(manifests.select_for_update().order_by("pk").values_list("pk", flat=True))\n',
        '    return read_standings(manifests.select_for_update(of=("self",)))\n',
        # A push of the manifest itself changes its row, so that PostgreSQL would look at it again.
        MANIFEST_RACES + "test_an_index_that_comes_first_keeps_its_child",
    ),
    Fault(
        "a blob is checked before it is locked",
        (
            Edit(
                BLOBS,
                "        over, next_end = _leases(blob.pk, claim.now)\n        _unlink(over)",
                "        _unlink(over)",
            ),
            Edit(
                BLOBS,
                "        blob = Blob.objects.select",
                "        over, next_end = _leases(claim.target_id, claim.now)\n        blob = Blob.objects.select",
            ),
        ),
        (BLOB_RACES + "test_a_manifest_that_comes_first_keeps_its_blobs",),
    ),
    fault(
        "workers wait for each other's claims",
        REVIEWS,
        "list(due.select_for_update(skip_locked=True)[:limit])",
        "list(due[:limit])",
        MANIFEST_RACES + "test_workers_do_not_claim_the_same_reviews",
    ),
    fault(
        "a ring is not looked at again when it is held",
        MANIFESTS,
        "if first is None or set(find_ring(first, claim=claim, rules=rules)) != set(members):",
        "if first is None:",
        MANIFEST_RACES + "test_a_tag_on_a_ring_that_comes_while_it_is_looked_at_keeps_all_of_it",
    ),
    # Reviews.
    fault(
        "versions are not compared behind the lock",
        REVIEWS,
        "    return claim.own().select_for_update().first() is not None",
        "    return True",
        BLOB_RACES + "test_what_happened_since_the_claim_is_left_to_the_next_review",
    ),
    fault(
        "a review is settled whatever its version",
        REVIEWS,
        "filter(pk=self.target_id, version=self.version)",
        "filter(pk=self.target_id)",
        BLOB_RACES + "test_what_happened_since_the_claim_is_left_to_the_next_review",
    ),
    fault(
        "a claim counts the version up",
        REVIEWS,
        "update(review_after=now + LEASE)",
        "update(review_after=now + LEASE, version=2)",
        MANIFEST_RACES + "test_workers_do_not_claim_the_same_reviews",
    ),
    fault(
        "a claim removes the review",
        REVIEWS,
        "filter(pk__in=[review.pk for review in reviews]).update(review_after=now + LEASE)",
        "filter(pk__in=[review.pk for review in reviews]).delete()",
        MANIFEST_RACES + "test_workers_do_not_claim_the_same_reviews",
        in_model=True,
    ),
    fault(
        "a deleted tag arms no review",
        "repositories/tags.py",
        'arm_reviews(ManifestReview, [tag.manifest_id], review_after=now + settings.TRASH_KEEP, reason="untagged")',
        "pass",
        LIVES + "test_a_deleted_image_goes_with_its_bytes_and_what_is_shared_stays",
        in_model=True,
    ),
    fault(
        "a collected manifest arms no review of its blobs",
        MANIFESTS,
        "{int(str(blob_id)) for (blob_id,) in blobs},",
        "set(),",
        MANIFEST_RACES + "test_collecting_arms_what_was_kept_in_the_same_transaction",
        in_model=True,
    ),
    fault(
        "a collected index arms no review of its children",
        MANIFESTS,
        "dict.fromkeys(children, _PARENT_COLLECTED)",
        "{}",
        LIVES + "test_an_index_keeps_its_children_and_theirs",
        in_model=True,
    ),
    fault(
        "a collected subject arms no review of its referrers",
        MANIFESTS,
        'reasons |= dict.fromkeys(referrers.values_list("pk", flat=True), SUBJECT_COLLECTED)',
        "pass",
        LIVES + "test_a_referrer_lives_as_long_as_its_subject",
        in_model=True,
    ),
    Fault(
        "a lease arms no review at its end",
        (
            Edit(
                BLOBS,
                "            settle(claim, until=next_end)\n            return",
                "            settle(claim)\n            return",
            ),
            Edit(
                BLOBS,
                "    settle(claim, until=next_end)\n    return True",
                "    settle(claim)\n    return True",
            ),
        ),
        (LIVES + "test_a_lease_that_was_extended_arms_the_review_at_its_end",),
    ),
    # What keeps.
    fault(
        "leases are ignored",
        BLOBS,
        "if leased_until <= now)",
        "if True)",
        LIVES + "test_a_blob_under_a_lease_stays_until_the_lease_ends",
        in_model=True,
    ),
    fault(
        "a mounted blob has no lease",
        LINKS,
        'now=now, reason="mounted")',
        'now=now - settings.GC_GRACE, reason="mounted")',
        LIVES + "test_a_mounted_blob_is_under_a_lease_as_a_pushed_one",
        in_model=True,
    ),
    fault(
        "history is ignored",
        STANDINGS,
        "self.restorable_until or now))",
        "now))",
        LIVES + "test_history_that_can_be_restored_keeps",
        in_model=True,
    ),
    fault(
        "indexes are ignored",
        STANDINGS,
        "(self.has_parent or self.has_subject)",
        "self.has_subject",
        LIVES + "test_an_index_keeps_its_children_and_theirs",
        in_model=True,
    ),
    fault(
        "subjects are ignored",
        STANDINGS,
        "(self.has_parent or self.has_subject)",
        "self.has_parent",
        LIVES + "test_a_referrer_lives_as_long_as_its_subject",
        in_model=True,
    ),
    Fault(
        "references of hidden manifests are ignored",
        (
            Edit(
                BLOBS,
                "return RepositoryBlob.objects.filter(~Exists(uses), blob_id=blob_id)",
                "return RepositoryBlob.objects.filter(~Exists(uses.filter(manifest__deleted_at=None)), blob=blob_id)",
            ),
            Edit(
                BLOBS,
                "ManifestBlob.objects.filter(blob_id=blob_id).exists()",
                "ManifestBlob.objects.filter(blob_id=blob_id, manifest__deleted_at=None).exists()",
            ),
        ),
        (LIVES + "test_a_manifest_deleted_by_digest_keeps_its_bytes_while_it_can_be_restored",),
        in_model=True,
    ),
    # What a missed race must not do.
    fault(
        "a manifest takes its tags along",
        MANIFESTS,
        '    execute(f"DELETE FROM repositories_manifest WHERE',
        '    execute(f"DELETE FROM repositories_tag WHERE manifest_id {condition}", [gone])\n'
        '    execute(f"DELETE FROM repositories_manifest WHERE',
        MANIFEST_RACES + "test_a_race_that_was_missed_fails_instead_of_deleting",
    ),
    fault(
        "a blob takes what refers to it along",
        BLOBS,
        '        execute("DELETE FROM blobs_blob WHERE',
        '        for table in ("repositories_manifestblob", "blobs_repositoryblob", "blobs_teamblob"):\n'
        '            execute(f"DELETE FROM {table} WHERE blob_id = %s", [blob.pk])\n'
        '        execute("DELETE FROM blobs_blob WHERE',
        BLOB_RACES + "test_a_race_that_was_missed_fails_instead_of_deleting",
    ),
    # Bytes.
    fault(
        "bytes are deleted before COMMIT",
        BLOBS,
        "        settle(claim)\n    return Outcome(Verdict.COLLECTED",
        '        __import__("blobs.storage", fromlist=["x"]).get_store().delete(blob.storage_key)\n'
        "        settle(claim)\n    return Outcome(Verdict.COLLECTED",
        LIVES + "test_a_download_that_began_before_ends_and_a_later_one_finds_nothing",
    ),
    fault(
        "the outbox deletes the bytes of a digest",
        DELETIONS,
        "[deletion.storage_key for deletion in claimed]",
        "[getattr(__import__('blobs.models', fromlist=['Blob']).Blob.objects.filter(digest=deletion.digest or '-')"
        ".first(), 'storage_key', deletion.storage_key) for deletion in claimed]",
        BLOB_RACES + "test_a_push_of_the_blob_that_comes_second_brings_its_own_bytes",
        in_model=True,
    ),
    fault(
        "the outbox forgets what could not be deleted",
        DELETIONS,
        "            _postpone(deletion, error)",
        "            deleted.append(deletion.pk)",
        WORK + "test_a_storage_that_refuses_keeps_the_row_and_breaks_no_image",
        in_model=True,
    ),
    fault(
        "the outbox forgets what it claims",
        DELETIONS,
        "filter(pk__in=[deletion.pk for deletion in claimed]).update(not_before=now + _CLAIM)",
        "filter(pk__in=[deletion.pk for deletion in claimed]).delete()",
        WORK + "test_a_storage_that_refuses_keeps_the_row_and_breaks_no_image",
        in_model=True,
    ),
    fault(
        "an upload is acknowledged before COMMIT",
        UPLOADS,
        "            raise\n        _register_or_discard(claim, digest)",
        "            raise\n        __import__('threading').Timer(1, _register_or_discard, [claim, digest]).start()",
        "tests/api/test_uploads.py::test_one_put_takes_a_whole_blob",
        in_model=True,
    ),
    # What is remembered.
    fault(
        "a collected blob is not credited to its team",
        BLOBS,
        "        UsageDelta.objects.create(team_id=team_id, size=-blob.size)\n",
        "",
        LIVES + "test_a_deleted_image_goes_with_its_bytes_and_what_is_shared_stays",
        in_model=True,
    ),
    fault(
        "a pushed blob is not charged to its team",
        LINKS,
        "        UsageDelta.objects.create(team_id=held.team_id, size=size, created_at=now)\n",
        "",
        LIVES + "test_a_deleted_image_goes_with_its_bytes_and_what_is_shared_stays",
        in_model=True,
    ),
    fault(
        "where a blob lies is remembered in the process",
        "blobs/queries.py",
        "def get_blob(name",
        "@__import__('functools').cache\ndef get_blob(name",
        LIVES + "test_a_blob_under_a_lease_stays_until_the_lease_ends",
        in_model=True,
    ),
)
