"""The OpenAPI document, made from the views."""

from collections.abc import Iterable
from functools import cache, lru_cache
from typing import Any

from django.conf import settings
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter, extend_schema_field, inline_serializer
from rest_framework import serializers

_SECURITY: list[dict[str, list[str]]] = [{"session": []}, {"token": []}, {"password": []}]


class EndpointSchema(AutoSchema):
    """Adds what the views declare and all of them share: query parameters, sign-in, problems."""

    def get_operation_id(self) -> str:
        """`getRepositoryTags`, from the class RepositoryTagsView: unique as long as each view has one route."""
        return f"{self.method.lower()}{type(self.view).__name__.removesuffix('View')}"

    def get_override_parameters(self) -> list[Any]:
        declared = getattr(self.view, "parameters", {}).get(self.method.lower(), ())
        return [
            OpenApiParameter(parameter.name, parameter.schema, description=parameter.description)
            for parameter in declared
        ]

    def get_auth(self) -> list[Any]:
        return _SECURITY if self.view.get_authenticators() or self.view.authentication_classes else []

    def _get_response_bodies(self, direction: Any = "response") -> Any:
        return {**super()._get_response_bodies(direction), "default": {"$ref": "#/components/responses/Problem"}}


@extend_schema_field({"type": "string", "format": "uri-reference"})
class _NextField(serializers.CharField):
    """The address of the next page, null on the last."""


@cache
def page_of(row: type[serializers.Serializer[Any]]) -> serializers.Serializer[Any]:
    """The serializer, for the document alone, of a page of rows."""
    name = row.__name__.removesuffix("Serializer")
    return inline_serializer(f"PageOf{name}", {"results": row(many=True), "next": _NextField(allow_null=True)})


def keep_management(endpoints: Iterable[tuple[str, str, str, Any]], **_: Any) -> list[tuple[str, str, str, Any]]:
    """Leave out the protocol, which its specification describes."""
    return [endpoint for endpoint in endpoints if endpoint[0].startswith(f"{settings.HTTP_PREFIX}api/")]


@lru_cache(maxsize=1)
def openapi_document() -> dict[str, Any]:
    generator: Any = SchemaGenerator()  # type: ignore[no-untyped-call]
    document: dict[str, Any] = generator.get_schema(request=None, public=True)
    return document
