"""The routes of users, teams, robots and rights below `/api/v1/`."""

from django.urls import path

from accounts.api.account import (
    AccountPasswordView,
    AccountSignOutView,
    AccountTokensView,
    AccountTokenView,
    AccountView,
    SessionView,
)
from accounts.api.audit import AuditView
from accounts.api.explanations import ExplanationView, RolesView
from accounts.api.robots import RobotIdentitiesView, RobotIdentityView, RobotRotateView, RobotsView, RobotView
from accounts.api.teams import GrantsView, GrantView, MembersView, MemberView, TeamsView, TeamView
from accounts.api.users import UserSignOutView, UsersView, UserTokensView, UserTokenView, UserView

_TEAM = "teams/<str:team>"

urlpatterns = [
    path("session", SessionView.as_view(), name="session"),
    path("users", UsersView.as_view(), name="users"),
    path("users/me", AccountView.as_view(), name="account"),
    path("users/me/password", AccountPasswordView.as_view(), name="account_password"),
    path("users/me/sign-out", AccountSignOutView.as_view(), name="account_sign_out"),
    path("users/me/tokens", AccountTokensView.as_view(), name="account_tokens"),
    path("users/me/tokens/<int:token_id>", AccountTokenView.as_view(), name="account_token"),
    path("users/<str:username>", UserView.as_view(), name="user"),
    path("users/<str:username>/sign-out", UserSignOutView.as_view(), name="user_sign_out"),
    path("users/<str:username>/tokens", UserTokensView.as_view(), name="user_tokens"),
    path("users/<str:username>/tokens/<int:token_id>", UserTokenView.as_view(), name="user_token"),
    path("teams", TeamsView.as_view(), name="teams"),
    path(_TEAM, TeamView.as_view(), name="team"),
    path(f"{_TEAM}/members", MembersView.as_view(), name="members"),
    path(f"{_TEAM}/members/<str:username>", MemberView.as_view(), name="member"),
    path(f"{_TEAM}/grants", GrantsView.as_view(), name="grants"),
    path(f"{_TEAM}/grants/<int:grant_id>", GrantView.as_view(), name="grant"),
    path(f"{_TEAM}/robots", RobotsView.as_view(), name="robots"),
    path(f"{_TEAM}/robots/<str:robot>", RobotView.as_view(), name="robot"),
    path(f"{_TEAM}/robots/<str:robot>/rotate", RobotRotateView.as_view(), name="robot_rotate"),
    path(f"{_TEAM}/robots/<str:robot>/identities", RobotIdentitiesView.as_view(), name="robot_identities"),
    path(
        f"{_TEAM}/robots/<str:robot>/identities/<int:identity_id>",
        RobotIdentityView.as_view(),
        name="robot_identity",
    ),
    path("audit", AuditView.as_view(), name="audit"),
    path("access/roles", RolesView.as_view(), name="roles"),
    path("access/explain", ExplanationView.as_view(), name="explain"),
]
