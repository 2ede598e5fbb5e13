"""The routes of retention, below `/api/v1/`."""

from django.urls import path

from registry_gc.retention.api.previews import RepositoryRetentionPreviewView, TeamRetentionPreviewView
from registry_gc.retention.api.views import (
    RepositoryRetentionVersionsView,
    RepositoryRetentionView,
    RetentionVersionsView,
    RetentionView,
    TeamRetentionVersionsView,
    TeamRetentionView,
)

_TEAM = "teams/<str:team>/retention"
_REPOSITORY = "repositories/<path:name>/-/retention"

urlpatterns = [
    path("retention", RetentionView.as_view(), name="retention"),
    path("retention/versions", RetentionVersionsView.as_view(), name="retention_versions"),
    path(f"{_TEAM}/preview", TeamRetentionPreviewView.as_view(), name="team_retention_preview"),
    path(f"{_REPOSITORY}/preview", RepositoryRetentionPreviewView.as_view(), name="repository_retention_preview"),
    path(_TEAM, TeamRetentionView.as_view(), name="team_retention"),
    path(f"{_TEAM}/versions", TeamRetentionVersionsView.as_view(), name="team_retention_versions"),
    path(_REPOSITORY, RepositoryRetentionView.as_view(), name="repository_retention"),
    path(f"{_REPOSITORY}/versions", RepositoryRetentionVersionsView.as_view(), name="repository_retention_versions"),
]
