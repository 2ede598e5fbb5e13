"""What the management API takes for repositories and tags; the rules about it are those of the domain functions."""

from datetime import timedelta
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.models import Visibility
from oci.names import NAME_MAX_LENGTH
from registry_project.config.values import parse_duration
from registry_project.inputs import Input
from repositories.bulk_deletes import MOST_TAGS

_OLDEST = timedelta(days=36500)


@extend_schema_field({"type": "string", "examples": ["24h", "30d"]})
class AgeField(serializers.Field[timedelta, Any, str, Any]):
    """A duration such as `30d`."""

    def to_internal_value(self, data: Any) -> timedelta:
        try:
            age = parse_duration(str(data))
        except ValueError as error:
            raise serializers.ValidationError(str(error)) from error
        if age > _OLDEST:
            raise serializers.ValidationError(f"expected at most {_OLDEST.days}d")
        return age


class RepositoryChange(Input):
    visibility = serializers.ChoiceField(
        choices=Visibility.values, allow_null=True, help_text="Null for as the team's."
    )


class RestoredName(Input):
    name = serializers.CharField(required=False, max_length=NAME_MAX_LENGTH, help_text="Another name of the team.")


class TagChange(Input):
    expires_at = serializers.DateTimeField(allow_null=True, help_text="Null for never; a push takes it away too.")


class RestoredDigest(Input):
    digest = serializers.CharField(max_length=255)


class TagQuery(Input):
    match = serializers.CharField(default="**", max_length=255, help_text="Pattern of tags.")
    older_than = AgeField(required=False, help_text="Only what was pushed last longer ago.")


class TagSelection(Input):
    """Either `tags` or `query`."""

    tags = serializers.ListField(
        child=serializers.CharField(max_length=255), required=False, min_length=1, max_length=MOST_TAGS
    )
    query = TagQuery(required=False)
    preview = serializers.BooleanField(default=False, help_text="Only tell what would go.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("tags" in attrs) == ("query" in attrs):
            raise serializers.ValidationError({"tags": ["Give either tags or a query."]})
        return attrs
