"""Reviews that several transactions arm at once."""

import random
from datetime import timedelta

from django.utils import timezone

from blobs.models import BlobReview
from registry_project.database import writing
from registry_project.reviews import arm_reviews
from tests.concurrency.meeting import at_once

WRITERS, TURNS = 6, 15


def test_every_arming_counts_the_version_up_and_none_hastens_the_review(house):
    now = timezone.now()
    targets = list(range(1, 9))
    BlobReview.objects.all().delete()

    def arm(writer: int) -> None:
        choice = random.Random(writer)
        for _ in range(TURNS):
            with writing():
                arm_reviews(
                    BlobReview,
                    choice.sample(targets, len(targets)),
                    review_after=now + timedelta(seconds=choice.randrange(1000)),
                    reason=f"writer {writer}",
                )

    assert at_once([lambda writer=writer: arm(writer) for writer in range(WRITERS)]) == [None] * WRITERS
    latest = max(random_moments())
    for review in BlobReview.objects.all():
        assert review.version == WRITERS * TURNS
        assert 0 <= (review.review_after - now).total_seconds() - latest <= latest / 10
    assert BlobReview.objects.count() == len(targets)


def random_moments():
    for writer in range(WRITERS):
        choice = random.Random(writer)
        for _ in range(TURNS):
            choice.sample(range(1, 9), 8)
            yield choice.randrange(1000)


def test_versions_never_fall(house):
    """A worker that claimed a review must see that something happened since."""
    now = timezone.now()
    BlobReview.objects.all().delete()
    seen: list[int] = []

    def arm() -> None:
        for _ in range(TURNS):
            with writing():
                arm_reviews(BlobReview, [1], review_after=now, reason="again")

    def watch() -> None:
        while len(seen) < 1000 and (not seen or seen[-1] < WRITERS * TURNS):
            seen.extend(BlobReview.objects.values_list("version", flat=True))

    outcomes = at_once([arm] * WRITERS + [watch])
    assert outcomes == [None] * (WRITERS + 1)
    assert seen == sorted(seen)
    assert BlobReview.objects.get().version == WRITERS * TURNS
