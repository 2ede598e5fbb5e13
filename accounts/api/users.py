"""Users, as administrators manage them; auditors read them, and everybody themselves."""

from django.db.models import Q
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.access import authorise_instance, authorise_user
from accounts.access_tokens import delete_access_token
from accounts.api.inputs import NewUser, UserChange
from accounts.api.serializers import AccessTokenSerializer, UserSerializer
from accounts.callers import caller_of
from accounts.models import User
from accounts.rights import Action
from accounts.users import change_user, create_user, delete_user, sign_out_everywhere
from registry_project.endpoints import ManagementView
from registry_project.openapi import page_of
from registry_project.parameters import PAGE, Flag, Sort, Text
from registry_project.problems import Forbidden

TOKENS_SORT = Sort(columns={"name": "name", "created": "created_at", "expires": "expires_at", "used": "last_used_at"})


class UsersView(ManagementView):
    parameters = {
        "get": (
            Text(name="search", description="Part of a user name or an e-mail address."),
            Flag(name="administrator"),
            Flag(name="active"),
            Sort(columns={"username": "username", "created": "date_joined", "signed_in": "last_login"}),
            *PAGE,
        )
    }

    @extend_schema(responses=page_of(UserSerializer))
    def get(self, request: Request) -> Response:
        """All users, for administrators and auditors."""
        authorise_instance(caller_of(request), Action.READ_USERS)
        users = User.objects.all()
        if search := self.query["search"]:
            users = users.filter(Q(username__icontains=search) | Q(email__icontains=search))
        for name, field in (("administrator", "is_superuser"), ("active", "is_active")):
            if self.query[name] is not None:
                users = users.filter(**{field: self.query[name]})
        return self.page(users, UserSerializer)

    @extend_schema(request=NewUser, responses={201: UserSerializer})
    def post(self, request: Request) -> Response:
        """Create a user."""
        authorise_instance(caller_of(request), Action.WRITE_USERS)
        return Response(UserSerializer(create_user(**NewUser.read(request))).data, status=201)


class UserView(ManagementView):
    @extend_schema(responses=UserSerializer)
    def get(self, request: Request, username: str) -> Response:
        """A user, for administrators, auditors, and who it is."""
        user, _ = authorise_user(caller_of(request), Action.READ_ACCOUNT, Action.READ_USERS, username)
        return Response(UserSerializer(user).data)

    @extend_schema(request=UserChange, responses=UserSerializer)
    def patch(self, request: Request, username: str) -> Response:
        """Change a user. A disabled user can do nothing, and comes back with the same rights when enabled again."""
        user, credential = authorise_user(caller_of(request), None, Action.WRITE_USERS, username)
        changes = UserChange.read(request)
        if "password" in changes and credential.user_id == user.pk:
            raise Forbidden("Change your own password at users/me/password, which asks for the old one.")
        return Response(UserSerializer(change_user(user_id=user.pk, **changes)).data)

    @extend_schema(request=None, responses={204: None})
    def delete(self, request: Request, username: str) -> Response:
        """Delete a user with memberships, grants and tokens. What they pushed stays."""
        user, _ = authorise_user(caller_of(request), None, Action.WRITE_USERS, username)
        delete_user(user_id=user.pk)
        return Response(status=204)


class UserSignOutView(ManagementView):
    @extend_schema(request=None, responses={204: None})
    def post(self, request: Request, username: str) -> Response:
        """End a user's sessions, bearer tokens and `docker login`; access tokens stay."""
        user, _ = authorise_user(caller_of(request), None, Action.WRITE_USERS, username)
        sign_out_everywhere(user_id=user.pk)
        return Response(status=204)


class UserTokensView(ManagementView):
    parameters = {"get": (TOKENS_SORT, *PAGE)}

    @extend_schema(responses=page_of(AccessTokenSerializer))
    def get(self, request: Request, username: str) -> Response:
        """A user's access tokens, without what proves them."""
        user, _ = authorise_user(caller_of(request), Action.READ_ACCOUNT, Action.READ_USERS, username)
        return self.page(user.access_tokens.all(), AccessTokenSerializer)


class UserTokenView(ManagementView):
    @extend_schema(request=None, responses={204: None})
    def delete(self, request: Request, username: str, token_id: int) -> Response:
        """End a user's access token at once."""
        user, _ = authorise_user(caller_of(request), Action.WRITE_ACCOUNT, Action.WRITE_USERS, username)
        delete_access_token(user_id=user.pk, token_id=token_id)
        return Response(status=204)
