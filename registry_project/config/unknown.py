"""Keys that nobody reads, and keys that cannot be honoured: found in the tree before it is validated."""

from pydantic import BaseModel

from registry_project.config import messages
from registry_project.config.errors import Finding, Path
from registry_project.config.schema import Shape, keys_of
from registry_project.config.section import Ignored, Refused
from registry_project.config.tree import Node
from registry_project.config.values import Scalar


def prune(
    node: Node,
    section: type[BaseModel],
    warnings: list[str],
    findings: list[Finding],
    path: Path = (),
) -> None:
    """This will remove unknown keys from `node` with a warning each, and judge keys that have no effect."""
    if not isinstance(node.content, dict):
        return
    keys = {key.name: key for key in keys_of(section)}
    for name in list(node.content):
        child, here = node.content[name], (*path, name)
        key = keys.get(name)
        if key is None:
            del node.content[name]
            warnings.append(messages.unknown_key(child.place, here, list(keys)))
            continue
        ignored, refused = key.note(Ignored), key.note(Refused)
        if ignored and not child.is_null:
            warnings.append(f"{child.place}: {messages.dotted(here)} has no effect: {ignored.reason}")
        if refused and not is_empty(child):
            findings.append((here, refused.reason))
        _prune_shape(child, key.shape, warnings, findings, here)


def _prune_shape(node: Node, shape: Shape, warnings: list[str], findings: list[Finding], path: Path) -> None:
    if shape.section:
        prune(node, shape.section, warnings, findings, path)
    elif shape.kind == "list" and shape.item and isinstance(node.content, list):
        for index, item in enumerate(node.content):
            _prune_shape(item, shape.item, warnings, findings, (*path, index))


def is_empty(node: Node) -> bool:
    """True when nothing is set here: no value, an empty text, or only such things."""
    if isinstance(node.content, Scalar):
        return node.content.value in (None, "")
    children = node.content.values() if isinstance(node.content, dict) else node.content
    return all(is_empty(child) for child in children)
