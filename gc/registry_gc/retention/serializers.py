"""What the management API tells of policies."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from oci.names import RepositoryName
from oci.patterns import Glob
from registry_gc.retention.brakes import Brake
from registry_gc.retention.documents import list_oddities, parse_policy
from registry_gc.retention.inheritance import (
    EffectivePolicy,
    EffectiveRule,
    Layer,
    Level,
    effective_policy,
    patterns_about,
    patterns_of,
)
from registry_gc.retention.models import RetentionPolicy, RetentionPolicyVersion
from registry_gc.retention.policies import Scope, find_policy, read_layers
from registry_gc.retention.policy import Action
from registry_gc.retention.previews import Preview, Row, Totals
from registry_gc.retention.verdicts import Cause

_LEVELS = [level.value for level in Level]


class PolicyDocumentSerializer(serializers.Serializer[Any]):
    """For the description alone: `documents.parse_policy` reads it, and says more of what is wrong."""

    enabled = serializers.BooleanField(required=False)
    schedule = serializers.CharField(required=False, help_text="Five fields of cron, in UTC.")
    brake_percent = serializers.IntegerField(required=False, min_value=0, max_value=100)
    rules = serializers.ListField(
        child=serializers.DictField(), required=False, max_length=100, help_text="As docs/retention.md describes them."
    )


class RuleOriginSerializer(serializers.Serializer[EffectiveRule]):
    level = serializers.ChoiceField(source="layer.level", choices=_LEVELS)
    owner = serializers.CharField(source="layer.owner", help_text="The team or repository; empty for the instance.")
    version = serializers.IntegerField(source="layer.version", help_text="Of the policy; 0 for a draft.")
    number = serializers.IntegerField(help_text="Counted from 1 in its policy.")
    name = serializers.CharField(source="rule.name")


class EffectiveRuleSerializer(RuleOriginSerializer):
    rule = serializers.SerializerMethodField(help_text="Of rules from above, only the patterns that concern this.")

    def get_rule(self, entry: EffectiveRule) -> dict[str, Any]:
        document: dict[str, Any] = entry.rule.model_dump(mode="json", exclude_defaults=True)
        return document


class EffectivePolicySerializer(serializers.Serializer[EffectivePolicy]):
    enabled = serializers.BooleanField(help_text="Whether anything is ever deleted by it.")
    schedule = serializers.CharField()
    brake_percent = serializers.IntegerField()
    rules = EffectiveRuleSerializer(many=True, help_text="Locked rules from above first.")


class FindingSerializer(serializers.Serializer[Any]):
    rule = serializers.IntegerField(allow_null=True)
    field = serializers.CharField()
    text = serializers.CharField()


class PolicySerializer(serializers.Serializer[Any]):
    level = serializers.ChoiceField(choices=_LEVELS)
    policy = PolicyDocumentSerializer(allow_null=True, help_text="What stands here itself; null where nothing does.")
    version = serializers.IntegerField(help_text="It rises with each change; 0 where there never was one.")
    updated_at = serializers.DateTimeField(allow_null=True)
    updated_by = serializers.CharField()
    effective = EffectivePolicySerializer()
    warnings = FindingSerializer(many=True, help_text="What is allowed and hardly meant.")


class PolicyVersionSerializer(serializers.Serializer[RetentionPolicyVersion]):
    version = serializers.IntegerField()
    policy = PolicyDocumentSerializer(source="document", allow_null=True, help_text="Null where it was taken away.")
    changed_at = serializers.DateTimeField()
    changed_by = serializers.CharField()


class VerdictSerializer(serializers.Serializer[Row]):
    repository = serializers.CharField(source="verdict.repository")
    tag = serializers.SerializerMethodField(help_text="Null for a manifest without a tag.")
    digest = serializers.CharField(source="verdict.digest")
    verdict = serializers.ChoiceField(source="verdict.action", choices=[action.value for action in Action])
    cause = serializers.ChoiceField(source="verdict.cause", choices=[cause.value for cause in Cause])
    rule = RuleOriginSerializer(source="verdict.rule", allow_null=True, help_text="The one that decides.")
    reason = serializers.CharField(source="verdict.reason")
    bytes_freed = serializers.IntegerField(
        allow_null=True, help_text="What this deletion alone would bring back; null without the right to see usage."
    )
    changes_at = serializers.DateTimeField(
        source="verdict.changes_at", allow_null=True, help_text="When it will be deleted if nothing happens until then."
    )

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_tag(self, row: Row) -> str | None:
        return row.verdict.tag or None


class BrakeSerializer(serializers.Serializer[Brake]):
    repository = serializers.CharField()
    tags = serializers.IntegerField(help_text="All that it has.")
    deleted = serializers.IntegerField()
    brake_percent = serializers.IntegerField()


class RetentionTotalsSerializer(serializers.Serializer[Totals]):
    repositories = serializers.IntegerField(help_text="In which anything would be deleted.")
    tags = serializers.IntegerField(help_text="That would be deleted.")
    kept = serializers.IntegerField(help_text="Tags that stay.")
    manifests = serializers.IntegerField(help_text="That nothing would keep, children and referrers among them.")
    bytes_freed = serializers.IntegerField(allow_null=True, help_text="Each blob once; null as for a tag.")
    bytes_shared = serializers.IntegerField(
        allow_null=True, help_text="Of the same manifests, which stay because something else refers to them."
    )
    frees_at = serializers.DateTimeField(
        allow_null=True, help_text="The earliest moment at which the bytes are back, if it ran now."
    )
    stops = serializers.IntegerField(help_text="How many repositories a run would stop at, to ask.")
    brakes = BrakeSerializer(many=True, help_text="The first of them.")


class RetentionPreviewSerializer(serializers.Serializer[Any]):
    now = serializers.DateTimeField(help_text="The moment of a run that would do this; the same on all pages.")
    tags = VerdictSerializer(many=True, source="rows")
    totals = RetentionTotalsSerializer(allow_null=True, help_text="Of everything; on the first page alone.")
    next = serializers.SerializerMethodField(
        help_text="Where to POST the same body for the next page; null on the last."
    )

    @extend_schema_field({"type": ["string", "null"], "format": "uri-reference"})
    def get_next(self, preview: Preview) -> str | None:
        return self.context.get("next")


def describe_policy(scope: Scope) -> dict[str, Any]:
    """The answer about a policy: what stands there, what holds there, and what is odd about it."""
    stored = find_policy(scope) or RetentionPolicy()
    layers = read_layers(scope)
    found = layers.of(scope.repository_id) if scope.repository_id is not None else layers.shared
    own = parse_policy(stored.document) if stored.document is not None else None
    answer = {
        "level": scope.level.value,
        "policy": stored.document,
        "version": stored.version,
        "updated_at": stored.updated_at if stored.pk else None,
        "updated_by": stored.updated_by,
        "effective": _effective(scope, found),
        "warnings": list_oddities(own) if own else [],
    }
    return dict(PolicySerializer(answer).data)


def _effective(scope: Scope, layers: Iterable[Layer]) -> EffectivePolicy:
    if scope.level is Level.REPOSITORY:
        name = RepositoryName(scope.name)
        return _told(effective_policy(repository=name, layers=layers), scope, lambda entry: patterns_of(entry, name))
    effective = effective_policy(repository=None, layers=layers)
    if scope.level is Level.INSTANCE:
        return effective
    return _told(effective, scope, lambda entry: patterns_about(entry, scope.name))


def _told(effective: EffectivePolicy, scope: Scope, patterns: Callable[[EffectiveRule], list[Glob]]) -> EffectivePolicy:
    """Without the patterns of rules from above that name what is none of the reader's business."""
    rules = []
    for entry in effective.rules:
        if entry.layer.level is scope.level:
            rules.append(entry)
        elif concerning := tuple(patterns(entry)):
            rules.append(replace(entry, rule=entry.rule.model_copy(update={"repositories": concerning})))
    # What is left out of a team's view is about repositories that are not the team's, and deletes nothing there.
    deletes = any(entry.rule.action is Action.DELETE for entry in rules)
    return replace(effective, rules=tuple(rules), enabled=effective.enabled and deletes)
