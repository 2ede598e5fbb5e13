"""The routes of repositories, and of what teams store, below `/api/v1/`. A name ends at `/-/`, or with the path."""

from django.urls import path

from repositories.api.quarantine import QuarantineView
from repositories.api.repositories import (
    RepositoriesView,
    RepositoryTrashView,
    RepositoryView,
    TeamTrashRepositoryView,
    TeamTrashRestoreView,
    TeamTrashView,
)
from repositories.api.tags import (
    RepositoryManifestView,
    RepositoryTagsDeleteView,
    RepositoryTagsView,
    RepositoryTagView,
    TagHistoryView,
    TagRestoreView,
)
from repositories.api.teams import TagRulesView, TagRuleView, TeamUsageView

_TEAM = "teams/<str:team>"
_REPOSITORY = "repositories/<path:name>"
_TAG = f"{_REPOSITORY}/-/tags/<str:tag>"

urlpatterns = [
    path(f"{_TEAM}/usage", TeamUsageView.as_view(), name="team_usage"),
    path(f"{_TEAM}/tag-rules", TagRulesView.as_view(), name="tag_rules"),
    path(f"{_TEAM}/tag-rules/<int:rule_id>", TagRuleView.as_view(), name="tag_rule"),
    path(f"{_TEAM}/trash", TeamTrashView.as_view(), name="team_trash"),
    path(f"{_TEAM}/trash/<int:repository_id>", TeamTrashRepositoryView.as_view(), name="team_trash_repository"),
    path(f"{_TEAM}/trash/<int:repository_id>/restore", TeamTrashRestoreView.as_view(), name="team_trash_restore"),
    path("quarantine", QuarantineView.as_view(), name="quarantine"),
    path("repositories", RepositoriesView.as_view(), name="repositories"),
    path(f"{_REPOSITORY}/-/tags", RepositoryTagsView.as_view(), name="repository_tags"),
    path(f"{_REPOSITORY}/-/tags/delete", RepositoryTagsDeleteView.as_view(), {"tag": "delete"}, name="tags_delete"),
    path(f"{_TAG}/history", TagHistoryView.as_view(), name="tag_history"),
    path(f"{_TAG}/restore", TagRestoreView.as_view(), name="tag_restore"),
    path(_TAG, RepositoryTagView.as_view(), name="repository_tag"),
    path(f"{_REPOSITORY}/-/manifests/<str:digest>", RepositoryManifestView.as_view(), name="repository_manifest"),
    path(f"{_REPOSITORY}/-/trash", RepositoryTrashView.as_view(), name="repository_trash"),
    path(_REPOSITORY, RepositoryView.as_view(), name="repository"),
]
