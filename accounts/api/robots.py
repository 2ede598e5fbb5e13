"""A team's robots."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.access import TeamAccess, authorise_team
from accounts.api.inputs import NewIdentity, NewRobot, RobotChange, Rotation
from accounts.api.serializers import IdentitySerializer, IssuedSecretSerializer, RobotSerializer
from accounts.callers import caller_of
from accounts.identities import IdentityInvalid, add_identity, list_identities, remove_identity
from accounts.models import Robot, Team
from accounts.rights import Action
from accounts.robots import change_robot, create_robot, delete_robot, rotate_secret
from registry_project.endpoints import ManagementView
from registry_project.openapi import page_of
from registry_project.parameters import PAGE, Sort, Text
from registry_project.problems import BadRequest, NotFound


def _robots(team: Team) -> "QuerySet[Robot]":
    return Robot.objects.filter(team=team).select_related("team").prefetch_related("grants", "secrets")


def _robot(access: TeamAccess, name: str) -> dict[str, Any]:
    return RobotSerializer(_own_robot(access, name)).data


class RobotsView(ManagementView):
    parameters = {
        "get": (
            Text(name="search", description="Part of a name."),
            Sort(columns={"name": "name", "created": "created_at", "expires": "expires_at"}),
            *PAGE,
        )
    }

    @extend_schema(responses=page_of(RobotSerializer))
    def get(self, request: Request, team: str) -> Response:
        """A team's robots."""
        robots = _robots(authorise_team(caller_of(request), Action.READ_ROBOTS, team).team)
        if search := self.query["search"]:
            robots = robots.filter(name__icontains=search)
        return self.page(robots, RobotSerializer)

    @extend_schema(request=NewRobot, responses={201: IssuedSecretSerializer})
    def post(self, request: Request, team: str) -> Response:
        """Create a robot; `secret` is shown this once."""
        access = authorise_team(caller_of(request), Action.WRITE_ROBOTS, team)
        given = NewRobot.read(request)
        issued = create_robot(
            team=access.team,
            patterns=given.pop("repositories"),
            creator=access.credential.name,
            creator_role=access.role,
            **given,
        )
        return Response(IssuedSecretSerializer(issued).data, status=201)


class RobotView(ManagementView):
    @extend_schema(responses=RobotSerializer)
    def get(self, request: Request, team: str, robot: str) -> Response:
        """A robot."""
        return Response(_robot(authorise_team(caller_of(request), Action.READ_ROBOTS, team), robot))

    @extend_schema(request=RobotChange, responses=RobotSerializer)
    def patch(self, request: Request, team: str, robot: str) -> Response:
        """Change a robot, disable it, or enable it again."""
        access = authorise_team(caller_of(request), Action.WRITE_ROBOTS, team)
        changes = RobotChange.read(request)
        change_robot(
            team=access.team,
            name=robot,
            role=changes.pop("role", None),
            patterns=changes.pop("repositories", None),
            changer_role=access.role,
            changes=changes,
        )
        return Response(_robot(access, robot))

    @extend_schema(request=None, responses={204: None})
    def delete(self, request: Request, team: str, robot: str) -> Response:
        """Delete a robot. What it pushed stays."""
        access = authorise_team(caller_of(request), Action.WRITE_ROBOTS, team)
        delete_robot(team=access.team, name=robot)
        return Response(status=204)


class RobotRotateView(ManagementView):
    @extend_schema(request=Rotation, responses={200: IssuedSecretSerializer})
    def post(self, request: Request, team: str, robot: str) -> Response:
        """Give a robot a second secret; the one before ends after `overlap`."""
        access = authorise_team(caller_of(request), Action.WRITE_ROBOTS, team)
        issued = rotate_secret(team=access.team, name=robot, **Rotation.read(request))
        return Response(IssuedSecretSerializer(issued).data)


def _own_robot(access: TeamAccess, name: str) -> Robot:
    robot = _robots(access.team).filter(name=name).first()
    if robot is None:
        raise NotFound(f"There is no robot {name} in {access.team.slug}.")
    return robot


class RobotIdentitiesView(ManagementView):
    parameters = {"get": (Sort(columns={"created": "created_at"}), *PAGE)}

    @extend_schema(responses=page_of(IdentitySerializer))
    def get(self, request: Request, team: str, robot: str) -> Response:
        """Whose identity tokens act as a robot."""
        access = authorise_team(caller_of(request), Action.READ_ROBOTS, team)
        return self.page(list_identities(robot=_own_robot(access, robot)), IdentitySerializer)

    @extend_schema(request=NewIdentity, responses={201: IdentitySerializer})
    def post(self, request: Request, team: str, robot: str) -> Response:
        """Let the tokens of an issuer whose claims all match act as a robot."""
        access = authorise_team(caller_of(request), Action.WRITE_ROBOTS, team)
        given = NewIdentity.read(request)
        try:
            identity = add_identity(robot=_own_robot(access, robot), **given)
        except IdentityInvalid as error:
            raise BadRequest(f"The identity is not valid: {error}.") from error
        return Response(IdentitySerializer(identity).data, status=201)


class RobotIdentityView(ManagementView):
    @extend_schema(request=None, responses={204: None})
    def delete(self, request: Request, team: str, robot: str, identity_id: int) -> Response:
        """Trust an identity no longer."""
        access = authorise_team(caller_of(request), Action.WRITE_ROBOTS, team)
        if not remove_identity(robot=_own_robot(access, robot), identity_id=identity_id):
            raise NotFound
        return Response(status=204)
