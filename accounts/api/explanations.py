"""Which rights there are, and why somebody has one or not."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.access import check, who_asks
from accounts.api.serializers import ExplanationSerializer, RolesSerializer
from accounts.callers import caller_of
from accounts.explanations import Question, explain
from accounts.rights import INSTANCE, RULES, Action, Place, Role, TeamTarget
from oci.errors import NameInvalid
from oci.names import RepositoryName
from registry_project.endpoints import ManagementView
from registry_project.parameters import Choice, Text
from registry_project.problems import BadRequest


class RolesView(ManagementView):
    @extend_schema(responses=RolesSerializer)
    def get(self, request: Request) -> Response:
        """The table of roles: what each action needs at least."""
        actions = [
            {
                "action": action,
                "place": rule.place,
                "title": rule.title,
                "role": rule.role,
                "auditors": rule.reads,
                "administrators": True,
            }
            for action, rule in RULES.items()
            if rule.place is not Place.ACCOUNT
        ]
        return Response(RolesSerializer({"roles": list(Role), "actions": actions}).data)


class ExplanationView(ManagementView):
    parameters = {
        "get": (
            Text(name="principal", description="A user, `team+robot` or `anonymous`; the caller if not given."),
            Choice(name="action", choices=[action.value for action in Action]),
            Text(name="repository", description="For actions on repositories; it need not exist."),
            Text(name="team", description="For actions on teams."),
        )
    }

    @extend_schema(responses=ExplanationSerializer)
    def get(self, request: Request) -> Response:
        """Why somebody may do something, or may not: decided as if they asked now.

        For administrators and auditors about everybody, for maintainers about their team, for others about themselves,
        with what they came with.
        """
        asker = who_asks(caller_of(request))
        question = self._question(asker.name)
        if question.principal != asker.name:
            if question.team_slug is None:
                check(asker, Action.READ_INSTANCE, INSTANCE)
            else:
                check(asker, Action.EXPLAIN_ACCESS, TeamTarget(question.team_slug))
        explanation = explain(question, asker=asker)
        return Response(
            ExplanationSerializer(
                {
                    "principal": question.principal,
                    "action": question.action,
                    "repository": question.repository and question.repository.text,
                    "team": question.team_slug,
                    "allowed": explanation.allowed,
                    "reason": explanation.reason,
                    "role": explanation.role,
                }
            ).data
        )

    def _question(self, own_name: str) -> Question:
        query = self.query
        if query["action"] is None:
            raise BadRequest("Which action?", fields={"action": ["Give one."]})
        try:
            name = query["repository"] and RepositoryName.parse(query["repository"])
        except NameInvalid as error:
            raise BadRequest(
                "The name is not valid.", fields={"repository": ["This is no repository's name."]}
            ) from error
        return Question(query["principal"] or own_name, Action(query["action"]), name, query["team"])
