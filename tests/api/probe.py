"""Endpoints that exist in tests alone, to try what all endpoints of the management API share."""

from django.contrib import messages
from django.http import HttpResponse
from django.middleware.csrf import get_token
from django.urls import include, path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.response import Response

from accounts.models import Team
from registry_project import urls
from registry_project.endpoints import ManagementView
from registry_project.openapi import page_of
from registry_project.parameters import PAGE, Choice, Flag, Moment, Sort, Text

handler400, handler403, handler404, handler500 = urls.handler400, urls.handler403, urls.handler404, urls.handler500


def act():
    """Tests replace it with something that fails."""


class ProbeSerializer(serializers.Serializer):
    slug = serializers.CharField()
    quota_bytes = serializers.IntegerField(allow_null=True)


class NewProbeSerializer(serializers.Serializer):
    slug = serializers.CharField(max_length=20)
    quota_bytes = serializers.IntegerField(min_value=0, required=False)


class ProbesView(ManagementView):
    authentication_classes = ()
    parameters = {
        "get": (
            Text(name="search"),
            Choice(name="visibility", choices=("public", "private")),
            Moment(name="since"),
            Flag(name="empty"),
            Sort(columns={"slug": "slug", "quota": "quota_bytes", "created": "created_at"}),
            *PAGE,
        )
    }

    @extend_schema(responses=page_of(ProbeSerializer))
    def get(self, request):
        """Teams."""
        act()
        teams = Team.objects.all()
        if search := self.query["search"]:
            teams = teams.filter(slug__contains=search)
        return self.page(teams, ProbeSerializer)

    @extend_schema(request=NewProbeSerializer, responses=ProbeSerializer)
    def post(self, request):
        """Make a team."""
        act()
        new = NewProbeSerializer(data=request.data)
        new.is_valid(raise_exception=True)
        return Response(new.validated_data, status=201)


def sign_in(request):
    """Begin a session, as a sign-in does, and give a page with a form."""
    request.session["who"] = "alice"
    messages.info(request, "Welcome")
    return HttpResponse(get_token(request))


def form(request):
    """A page of the console that is posted to."""
    return HttpResponse(request.session.get("who", "nobody"))


class ProbeView(ManagementView):
    authentication_classes = ()

    @extend_schema(responses={200: dict})
    def get(self, request, slug):
        """What was asked for."""
        return Response({"slug": slug, **self.query})

    @extend_schema(request=None, responses={204: None})
    def delete(self, request, slug):
        """Nothing."""
        return Response(status=204)


urlpatterns = [
    path("api/v1/probes", ProbesView.as_view(), name="probes"),
    path("api/v1/probes/<str:slug>", ProbeView.as_view(), name="probe"),
    path("sign-in", sign_in),
    path("form", form),
    path("", include(urls.urlpatterns)),
]
