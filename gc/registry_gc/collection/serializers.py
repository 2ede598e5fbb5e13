"""What the management API and the commands tell of collection."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from registry_gc.collection.chains import Chain, Reason, Step
from registry_gc.collection.models import Kind
from registry_gc.collection.why import Kept, State, Why


class StepSerializer(serializers.Serializer[Step]):
    relation = serializers.ChoiceField(
        choices=["config", "layer", "child", "index", "subject"],
        help_text="As what it keeps the one before: a manifest blobs, an index manifests, a subject its referrers.",
    )
    digest = serializers.CharField()


class ChainSerializer(serializers.Serializer[Chain]):
    steps = StepSerializer(many=True, help_text="From what was asked about upwards, each kept by the next.")
    reason = serializers.ChoiceField(choices=list(Reason), help_text="What keeps the last of them.")
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
    kind = serializers.ChoiceField(source="target.kind", choices=list(Kind))
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
