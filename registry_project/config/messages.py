"""The words in which mistakes and oddities are told."""

import json
import re
from collections.abc import Sequence
from difflib import get_close_matches

from pydantic import BaseModel

from registry_project.config.configuration import Sections
from registry_project.config.errors import Mistake, Path
from registry_project.config.overrides import PREFIX
from registry_project.config.schema import dotted_keys, keys_of, variable_names
from registry_project.config.section import Secret
from registry_project.config.tree import Node, deepest
from registry_project.config.values import Scalar

REDACTED = "(hidden)"
_LONGEST_VALUE = 80
_USER_IN_ADDRESS = re.compile(r"(?<=://)[^/\s]*@")
# A Kubernetes Service called "registry" adds such variables to every container of its namespace.
_SERVICE_LINK = re.compile(r"REGISTRY_(SERVICE_(HOST|PORT)(_.*)?|PORT(_[0-9]+_(TCP|UDP)(_.*)?)?)")


def dotted(path: Path) -> str:
    return ".".join(str(step) for step in path)


def mistake(root: Node, path: Path, expected: str) -> Mistake:
    """This will describe what is wrong at `path`, with the place of the nearest value that was written."""
    node, taken = deepest(root, path)
    return Mistake(
        key=dotted(path),
        value=shown(node, path) if taken == path else None,
        expected=expected,
        place=node.place or "defaults",
    )


def shown(node: Node, path: Path) -> str | None:
    """This will give a value as JSON for a message, hidden where the key holds a secret."""
    if not isinstance(node.content, Scalar):
        return None
    text = node.content.text
    if _is_secret(path):
        scheme = re.match(r"[a-z0-9+]+://", text)
        return (scheme.group() if scheme else "") + REDACTED
    text = json.dumps(_USER_IN_ADDRESS.sub(f"{REDACTED}@", text), ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "…"


def _is_secret(path: Path) -> bool:
    section: type[BaseModel] | None = Sections
    for step in path:
        if isinstance(step, int):
            continue
        key = next((key for key in keys_of(section) if key.name == step), None) if section else None
        if key and key.note(Secret):
            return True
        section = key.shape.nested if key else None
    return False


def unknown_key(place: str, path: Path, siblings: Sequence[str]) -> str:
    name = str(path[-1])
    close = get_close_matches(name.lower(), siblings, 1)
    elsewhere = [key for key in dotted_keys(Sections) if key.rpartition(".")[2] == name.lower()]
    if close:
        hint = f"; did you mean {dotted((*path[:-1], close[0]))}?"
    else:
        hint = f"; did you mean {elsewhere[0]}?" if len(elsewhere) == 1 else ""
    return f"{place}: unknown key {dotted(path)}{hint}"


def unknown_variable(name: str) -> str:
    if _SERVICE_LINK.fullmatch(name):
        return (
            f"environment variable {name}: not a setting; Kubernetes adds it for a Service called registry "
            "(enableServiceLinks: false stops that)"
        )
    # Without the prefix, which would make everything look alike.
    known = [variable.removeprefix(PREFIX) for variable in variable_names(Sections)]
    close = get_close_matches(name.removeprefix(PREFIX).upper(), known, 1, 0.75)
    return f"environment variable {name}: unknown key" + (f"; did you mean {PREFIX}{close[0]}?" if close else "")
