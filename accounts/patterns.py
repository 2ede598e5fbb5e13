"""Patterns of repository names as people write them for grants, robots and tokens."""

from collections.abc import Iterable

from oci.patterns import Glob
from registry_project.problems import BadRequest

EVERYTHING = "**"


def parse_inner_pattern(text: str, *, team: str, field: str) -> Glob:
    """A pattern of names inside a team; one that begins with the team's name and a slash is of whole names.

    Raises BadRequest for the field.
    """
    return parse_pattern(text.removeprefix(f"{team}/"), field=field)


def parse_inner_patterns(texts: Iterable[str], *, team: str, field: str) -> list[Glob]:
    return list(dict.fromkeys(parse_inner_pattern(text, team=team, field=field) for text in texts))


def parse_pattern(text: str, *, field: str) -> Glob:
    try:
        return Glob.parse(text)
    except ValueError as error:
        raise BadRequest("The pattern is not valid.", fields={field: [f"{error}"]}) from error
