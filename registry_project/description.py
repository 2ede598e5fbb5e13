"""Where the management API describes itself: the OpenAPI document, and a page to browse it."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from registry_project.endpoints import ManagementView
from registry_project.openapi import openapi_document


class SchemaView(ManagementView):
    authentication_classes = ()
    permission_classes = ()

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, **_: Any) -> Response:
        """This document (OpenAPI 3.1)."""
        return Response(openapi_document())


@require_safe
def docs(request: HttpRequest) -> HttpResponse:
    """Swagger UI from the packages that are installed here; its requests go out with the session of the reader."""
    response = render(request, "registry_project/docs.html")
    response["Cache-Control"] = "no-store"  # it holds a CSRF token
    return response
