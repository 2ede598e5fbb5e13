"""What the OpenAPI document says of the whole API, as settings of drf-spectacular: data only."""

import re
from importlib.metadata import version
from typing import Any

_PROBLEM = {
    "type": "object",
    "description": "What went wrong (RFC 9457); docs/errors.md lists every type.",
    "required": ["type", "title", "status", "detail", "instance"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference", "examples": ["/problems/not-found"]},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string", "description": "A sentence that a person can act on."},
        "instance": {"type": "string", "format": "uri-reference", "description": "The path of the request."},
        "fields": {
            "type": "object",
            "description": "What is wrong with fields of the body or with query parameters, by their names.",
            "additionalProperties": {"type": "array", "items": {"type": "string"}},
        },
        "context": {"description": "What exactly a condition of the protocol is about."},
    },
}


def spectacular_settings(prefix: str, session_cookie: str) -> dict[str, Any]:
    return {
        "TITLE": "Lading",
        "DESCRIPTION": "The management API of the registry. Its conventions stand in docs/api.md.",
        "VERSION": version("lading"),
        "OAS_VERSION": "3.1.0",
        "SCHEMA_PATH_PREFIX": f"{re.escape(prefix)}api/v1",
        "PREPROCESSING_HOOKS": ["registry_project.openapi.keep_management"],
        "SORT_OPERATION_PARAMETERS": False,
        "ENABLE_DJANGO_DEPLOY_CHECK": False,
        "ENUM_NAME_OVERRIDES": {
            "Role": "accounts.api.serializers.ROLES",
            "RobotRole": "accounts.api.serializers.ROBOT_ROLES",
            "ReviewKind": "registry_gc.collection.serializers.KINDS",
            "WorkKind": "registry_gc.collection.serializers.WORKS",
            "KeptBy": "registry_gc.collection.serializers.KEPT_BY",
            "EndReason": "repositories.api.serializers.END_REASONS",
        },
        "APPEND_COMPONENTS": {
            "schemas": {"Problem": _PROBLEM},
            "responses": {
                "Problem": {
                    "description": "It was refused or it failed.",
                    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
                }
            },
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "An access token."},
                "password": {"type": "http", "scheme": "basic"},
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": session_cookie,
                    "description": "A browser's session; writes need the header X-CSRFToken as well.",
                },
            },
        },
    }
