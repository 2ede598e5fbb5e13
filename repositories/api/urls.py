"""The routes of what teams store below `/api/v1/`."""

from django.urls import path

from repositories.api.teams import TagRulesView, TagRuleView, TeamUsageView

_TEAM = "teams/<str:team>"

urlpatterns = [
    path(f"{_TEAM}/usage", TeamUsageView.as_view(), name="team_usage"),
    path(f"{_TEAM}/tag-rules", TagRulesView.as_view(), name="tag_rules"),
    path(f"{_TEAM}/tag-rules/<int:rule_id>", TagRuleView.as_view(), name="tag_rule"),
]
