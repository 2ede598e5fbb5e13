"""Damaged blobs in the management API."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.access import authorise_instance
from accounts.callers import caller_of
from accounts.rights import Action
from blobs.models import Blob
from registry_project.endpoints import ManagementView
from registry_project.openapi import page_of
from registry_project.pages import read_page
from registry_project.parameters import PAGE, Sort
from repositories.damage import Hits, HitTag, find_hits
from repositories.quarantine import list_quarantined


class HitTagSerializer(serializers.Serializer[HitTag]):
    repository = serializers.CharField()
    tag = serializers.CharField()
    team = serializers.CharField()


class QuarantinedSerializer(serializers.Serializer[Blob]):
    digest = serializers.CharField()
    size_bytes = serializers.IntegerField(source="size")
    reason = serializers.CharField(source="quarantine_reason")
    quarantined_at = serializers.DateTimeField()
    verified_at = serializers.DateTimeField(allow_null=True, help_text="When its bytes were last right.")
    storage_key = serializers.CharField(help_text="Where the damaged bytes are, or were.")
    tags = HitTagSerializer(many=True, help_text="What cannot be pulled as a whole: the first hundred by name.")
    tag_count = serializers.IntegerField(help_text="How many tags there are.")
    teams = serializers.ListField(
        child=serializers.CharField(), source="team_names", help_text="Who has the blob, tagged or not."
    )


class QuarantineView(ManagementView):
    parameters = {"get": (Sort(columns={"quarantined": "quarantined_at"}, default="-quarantined"), *PAGE)}

    @extend_schema(responses=page_of(QuarantinedSerializer))
    def get(self, request: Request) -> Response:
        """Blobs whose stored bytes are damaged, and the tags and teams that they hit."""
        authorise_instance(caller_of(request), Action.READ_INSTANCE)
        query = self.query
        page = read_page(
            request._request, list_quarantined(), order=query["sort"], limit=query["limit"], cursor=query["cursor"]
        )
        hits = find_hits([blob.pk for blob in page.rows])
        return Response({"results": [_row(blob, hits[blob.pk]) for blob in page.rows], "next": page.next})


def _row(blob: Any, hits: Hits) -> dict[str, Any]:
    blob.tags, blob.tag_count, blob.team_names = hits.tags, hits.tag_count, hits.teams
    return QuarantinedSerializer(blob).data
