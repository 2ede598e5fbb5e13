"""Bodies of the management API as serializers: the fields they list are all that is taken."""

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers
from rest_framework.request import Request


class Input(serializers.Serializer[Any]):
    """A body; a field that it does not list is refused, so that nobody believes it had an effect."""

    def to_internal_value(self, data: Any) -> Any:
        unknown = sorted(set(data) - set(self.fields)) if isinstance(data, Mapping) else []
        if unknown:
            raise serializers.ValidationError({name[:100]: ["There is no such field here."] for name in unknown})
        return super().to_internal_value(data)

    @classmethod
    def read(cls, request: Request) -> dict[str, Any]:
        """The valid fields that a request gives; raises ValidationError, which names the others."""
        body = cls(data=request.data)
        body.is_valid(raise_exception=True)
        return dict(body.validated_data)
