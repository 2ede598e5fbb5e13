"""Scopes of the token protocol: what a client asks for, and what of it somebody may have."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from accounts.rights import Action, Credential, Scopes, decide
from accounts.standing import KnownRepository
from oci.errors import NameInvalid, ParameterInvalid
from oci.names import RepositoryName

# The protocol has no limit, but a token has to fit into a header.
MOST_SCOPES = 50
ANY = "*"
REPOSITORY, REGISTRY = "repository", "registry"
CATALOG = (REGISTRY, "catalog")
_ACTIONS = (Action.PULL, Action.PUSH, Action.DELETE)
# The class in parentheses is deprecated, and means nothing here.
_TYPE = re.compile(r"([a-z0-9]+(?:[._-][a-z0-9]+)*)(?:\([a-z0-9._-]*\))?\Z")
_SPACE = re.compile(r"\s")


class ScopeInvalid(Exception):
    """Not `type:name:actions`."""


@dataclass(frozen=True, slots=True)
class Scope:
    """`type[(class)]:name:action,action`. The name may have colons of its own, as in `localhost:5000/app`."""

    type: str
    name: str
    actions: frozenset[str]

    @classmethod
    def parse(cls, text: str) -> "Scope":
        kind, first, rest = text.partition(":")
        name, last, actions = rest.rpartition(":")
        match = _TYPE.match(kind)
        if not (first and last and match and name) or _SPACE.search(text):
            raise ScopeInvalid(text[:100])
        return cls(match[1], name, frozenset(action for action in actions.split(",") if action))

    def __str__(self) -> str:
        return f"{self.type}:{self.name}:{','.join(sorted(self.actions, key=_place))}"


def parse_scopes(values: Iterable[str]) -> Scopes:
    """The scopes of a request, each value holding any number of them, in their order; what is none is left out.

    Raises ParameterInvalid when they name more things than a token can hold.
    """
    asked: dict[tuple[str, str], frozenset[str]] = {}
    for text in (text for value in values for text in value.split()):
        try:
            scope = Scope.parse(text)
        except ScopeInvalid:
            continue
        target = (scope.type, scope.name)
        asked[target] = asked.get(target, frozenset()) | scope.actions
    if len(asked) > MOST_SCOPES:
        raise too_many_scopes(f"at most {MOST_SCOPES} names")
    return asked


def too_many_scopes(what_fits: str) -> ParameterInvalid:
    return ParameterInvalid({"parameter": "scope", "reason": f"a token holds {what_fits}; ask for several tokens"})


def format_scopes(scopes: Scopes) -> str:
    return " ".join(str(Scope(kind, name, actions)) for (kind, name), actions in scopes.items())


def list_repositories(scopes: Scopes) -> list[RepositoryName]:
    """The repositories that scopes name; names that no repository can have are left out."""
    names = []
    for kind, name in scopes:
        if kind == REPOSITORY:
            try:
                names.append(RepositoryName.parse(name))
            except NameInvalid:
                continue
    return names


def grant_scopes(credential: Credential, asked: Scopes, repositories: Mapping[str, KnownRepository]) -> Scopes:
    """What of `asked` the credential may do at this moment. What cannot be granted is left out, and is no error."""
    granted = {}
    for (kind, name), actions in asked.items():
        allowed: frozenset[str] = frozenset()
        if (kind, name) == CATALOG and ANY in actions and not credential.is_anonymous:
            allowed = frozenset({ANY})
        elif kind == REPOSITORY and name in repositories:
            target = repositories[name].target
            wanted = [action for action in _ACTIONS if action in actions or ANY in actions]
            allowed = frozenset(str(action) for action in wanted if decide(credential, action, target).allowed)
        if allowed:
            granted[kind, name] = allowed
    return granted


def _place(action: str) -> tuple[bool, int, str]:
    """Those that are known come first, in the order that clients write them."""
    known = action in _ACTIONS
    return not known, _ACTIONS.index(Action(action)) if known else 0, action
