"""What the management API and the commands tell of collection."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from registry_gc.collection.chains import Chain, Reason, Step
from registry_gc.collection.models import CollectionMinute, CollectionPause, Kind
from registry_gc.collection.progress import Day, Failure, Progress, Queue, Work
from registry_gc.collection.why import Kept, State, Why

# Named, so that they have names in the API's description as well.
KINDS, WORKS, KEPT_BY = list(Kind), list(Work), list(Reason)


class PauseSerializer(serializers.Serializer[CollectionPause]):
    paused_at = serializers.DateTimeField()
    paused_by = serializers.CharField()


class QueueSerializer(serializers.Serializer[Queue]):
    kind = serializers.ChoiceField(
        source="work", choices=WORKS, help_text="Reviews of manifests and of blobs, or bytes to delete."
    )
    waiting = serializers.IntegerField(help_text="Counted up to 100,000, as the next two.")
    due = serializers.IntegerField()
    failing = serializers.IntegerField(help_text="What failed at least once, and is tried again later each time.")
    oldest_due_at = serializers.DateTimeField(allow_null=True)
    per_minute = serializers.FloatField(
        allow_null=True, help_text="Over the last five minutes; null for bytes to delete."
    )
    eta_seconds = serializers.IntegerField(
        allow_null=True, help_text="Until what is due is done at this rate; null where that is not known."
    )


class DaySerializer(serializers.Serializer[Day]):
    day = serializers.DateField()
    manifests = serializers.IntegerField()
    blobs = serializers.IntegerField()
    bytes = serializers.IntegerField(source="size", help_text="Of blobs; they are deleted when gc.linger is over.")


class MinuteSerializer(serializers.Serializer[CollectionMinute]):
    minute = serializers.DateTimeField()
    kind = serializers.ChoiceField(choices=KINDS)
    reviewed = serializers.IntegerField()
    collected = serializers.IntegerField()
    kept = serializers.IntegerField()
    postponed = serializers.IntegerField()
    bytes = serializers.IntegerField()


class FailureSerializer(serializers.Serializer[Failure]):
    kind = serializers.ChoiceField(source="work", choices=WORKS)
    digest = serializers.CharField()
    repository = serializers.CharField()
    attempts = serializers.IntegerField()
    error = serializers.CharField()
    next_at = serializers.DateTimeField(allow_null=True)


class CollectionSerializer(serializers.Serializer[Progress]):
    paused = PauseSerializer(allow_null=True)
    queues = QueueSerializer(many=True)
    days = DaySerializer(many=True, help_text="The last 30, the newest first, without those that had no work.")
    rounds = MinuteSerializer(source="minutes", many=True, help_text="The last 20 minutes that had work, by kind.")
    failures = FailureSerializer(many=True, help_text="At most 100, the latest first.")


class PausedSerializer(serializers.Serializer[Any]):
    paused = PauseSerializer(allow_null=True)


class StepSerializer(serializers.Serializer[Step]):
    relation = serializers.ChoiceField(
        choices=["config", "layer", "child", "index", "subject"],
        help_text="As what it keeps the one before: a manifest blobs, an index manifests, a subject its referrers.",
    )
    digest = serializers.CharField()


class ChainSerializer(serializers.Serializer[Chain]):
    steps = StepSerializer(many=True, help_text="From what was asked about upwards, each kept by the next.")
    reason = serializers.ChoiceField(choices=KEPT_BY, help_text="What keeps the last of them.")
    until = serializers.DateTimeField(allow_null=True, help_text="When that ends by itself; null for never.")
    tag = serializers.SerializerMethodField(help_text="A tag that points to it, or did.")
    tags = serializers.IntegerField(help_text="How many tags point to it, counted up to 1,000.")

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_tag(self, chain: Chain) -> str | None:
        return chain.tag or None


class KeptSerializer(serializers.Serializer[Kept]):
    repository = serializers.CharField(source="repository.name")
    deleted_at = serializers.DateTimeField(source="repository.deleted_at", allow_null=True)
    restorable_until = serializers.DateTimeField(
        allow_null=True, help_text="How long the deleted repository keeps what it holds."
    )
    leased_until = serializers.DateTimeField(
        allow_null=True, help_text="The protection of a blob that was pushed before its manifest."
    )
    references = serializers.IntegerField(help_text="Of manifests to it, counted up to 1,000.")
    chains = ChainSerializer(many=True, help_text="At most 20, the longest lasting first.")
    complete = serializers.BooleanField(help_text="Whether all chains are here.")
    kept = serializers.BooleanField()
    can_go_at = serializers.DateTimeField(allow_null=True)


class ReviewSerializer(serializers.Serializer[Any]):
    due_at = serializers.DateTimeField(source="review_after")
    reason = serializers.CharField()
    attempts = serializers.IntegerField()


class DeletionSerializer(serializers.Serializer[Any]):
    due_at = serializers.DateTimeField(source="not_before")
    size_bytes = serializers.IntegerField(source="size")
    attempts = serializers.IntegerField()
    last_error = serializers.CharField()


class WhySerializer(serializers.Serializer[Why]):
    digest = serializers.CharField(source="target.digest")
    kind = serializers.ChoiceField(source="target.kind", choices=KINDS)
    size_bytes = serializers.IntegerField(source="target.size", allow_null=True, help_text="Of a blob.")
    state = serializers.ChoiceField(choices=list(State))
    kept = serializers.BooleanField(help_text="Whether collection would keep it at this moment.")
    can_go_at = serializers.DateTimeField(
        allow_null=True,
        help_text="The earliest moment at which collection takes it if nothing happens until then; null is never.",
    )
    complete = serializers.BooleanField(help_text="Whether all chains of these repositories are here.")
    repositories = KeptSerializer(many=True)
    review = ReviewSerializer(allow_null=True, help_text="Of a blob; for administrators and auditors.")
    deletions = DeletionSerializer(many=True, help_text="Its bytes in the outbox; for administrators and auditors.")
    next = serializers.SerializerMethodField(help_text="The address of further repositories, null on the last page.")

    @extend_schema_field({"type": ["string", "null"], "format": "uri-reference"})
    def get_next(self, why: Why) -> str | None:
        return self.context.get("next")
