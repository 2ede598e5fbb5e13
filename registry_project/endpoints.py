"""What every endpoint of the management API shares (docs/api.md has an example)."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase
from rest_framework import exceptions as drf
from rest_framework.authentication import BaseAuthentication
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from oci.bodies import RequestBody
from oci.errors import ManifestInvalid
from oci.strict_json import parse_object
from oci.views import close_if_unread
from registry_project.browsers import check_origin
from registry_project.openapi import EndpointSchema
from registry_project.pages import read_page
from registry_project.parameters import Parameter, read_parameters
from registry_project.problems import BadRequest, MethodNotAllowed, NotFound, TooLarge, render_problem

LARGEST_BODY = 1024 * 1024
METHODS = ("get", "post", "put", "patch", "delete")


class StrictJSONParser(BaseParser):
    """One JSON object, read strictly and never beyond LARGEST_BODY."""

    media_type = "application/json"

    def parse(self, stream: RequestBody, media_type: str | None = None, parser_context: Any = None) -> dict[str, Any]:  # type: ignore[override]
        if stream.length is not None and stream.length > LARGEST_BODY:
            raise TooLarge(f"Send at most {LARGEST_BODY} bytes.")
        content = bytearray()
        for chunk in stream:
            content += chunk
            if len(content) > LARGEST_BODY:
                raise TooLarge(f"Send at most {LARGEST_BODY} bytes.")
        stream.check_complete()
        if not content:
            return {}
        try:
            return parse_object(bytes(content))
        except ManifestInvalid as error:
            reason = error.detail["reason"] if isinstance(error.detail, Mapping) else "not valid"
            raise BadRequest(f"The body cannot be read: {reason}.") from error


class _Negotiation(DefaultContentNegotiation):
    """There is one representation, whatever a client would rather have."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type


class ManagementRequest(Request):
    def _load_stream(self) -> None:
        # Django's own stream yields nothing where the transfer is chunked.
        body = RequestBody(self.META)
        self._stream: Any = body if body.may_have_content else None


class ManagementView(APIView):
    """A view of JSON in, JSON out, problems for errors.

    `parameters` lists the query parameters of each method; `self.query` has their values.
    """

    parameters: ClassVar[Mapping[str, Sequence[Parameter]]] = {}
    parser_classes = (StrictJSONParser,)
    renderer_classes = (JSONRenderer,)
    content_negotiation_class = _Negotiation
    http_method_names = [*METHODS, "head"]
    schema = EndpointSchema()
    query: dict[str, Any]

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = super().dispatch(request, *args, **kwargs)
        response.headers.setdefault("Cache-Control", "no-store")
        return close_if_unread(request, response)

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        return ManagementRequest(
            request,
            parsers=self.get_parsers(),
            authenticators=self.get_authenticators(),
            negotiator=self.get_content_negotiator(),
            parser_context=self.get_parser_context(request),
        )

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        if not all(value.isprintable() for value in kwargs.values() if isinstance(value, str)):
            raise NotFound
        check_origin(request._request)
        super().initial(request, *args, **kwargs)
        method = str(request.method).lower()
        self.query = read_parameters(request._request, self.parameters.get("get" if method == "head" else method, ()))

    @property
    def default_response_headers(self) -> dict[str, str]:
        return {}

    def page(self, queryset: QuerySet[Any, Any], row: type[Serializer[Any]], *, key: str = "pk") -> Response:
        """This will answer with the page that the parameters PAGE and Sort ask for, each row by its serializer."""
        query = self.query
        page = read_page(
            self.request._request,
            queryset,
            order=query["sort"],
            limit=query["limit"],
            cursor=query["cursor"],
            key=key,
        )
        return Response({"results": row(page.rows, many=True).data, "next": page.next})

    def handle_exception(self, exc: Exception) -> Any:
        if isinstance(exc, drf.NotAuthenticated | drf.AuthenticationFailed):
            exc.auth_header = self.get_authenticate_header(self.request)  # type: ignore[union-attr]
        if isinstance(exc, drf.MethodNotAllowed):
            exc = MethodNotAllowed(allowed=self.allowed_methods)
        return render_problem(exc, self.request)

    def http_method_not_allowed(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        raise MethodNotAllowed(allowed=self.allowed_methods)


class UnroutedView(ManagementView):
    """Whatever no endpoint claims."""

    authentication_classes: Sequence[type[BaseAuthentication]] = ()
    schema = None  # type: ignore[assignment]

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return close_if_unread(request, render_problem(NotFound("There is no such endpoint."), request))
