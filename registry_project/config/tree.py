"""A YAML document as a tree in which every value remembers the place it came from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import yaml

from registry_project.config.values import Scalar

Content: TypeAlias = "Scalar | dict[str, Node] | list[Node]"


@dataclass(slots=True)
class Node:
    content: Content
    place: str

    @property
    def is_null(self) -> bool:
        return isinstance(self.content, Scalar) and self.content.value is None


class YamlMistake(ValueError):
    """The text is not one YAML document; `line` counts from 1, or is None where YAML does not say."""

    def __init__(self, message: str, line: int | None) -> None:
        super().__init__(message)
        self.line = line


def read_yaml(text: str, place_of_line: Callable[[int], str], notes: list[str]) -> Node:
    """This will parse one YAML 1.1 document.

    `place_of_line` names a place for a line number (from 1). Keys that stand twice are added to `notes`, the
    last one counts. An empty document is an empty mapping's null. Raises YamlMistake.
    """
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        if root is None:
            return Node(Scalar("", None), place_of_line(1))
        return _convert(loader, root, place_of_line, notes, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise YamlMistake(error.problem or error.context or "invalid YAML", mark.line + 1 if mark else None) from error
    except yaml.YAMLError as error:
        raise YamlMistake(" ".join(str(error).split()), None) from error


def _convert(
    loader: yaml.SafeLoader,
    node: yaml.Node,
    place_of_line: Callable[[int], str],
    notes: list[str],
    ancestors: tuple[int, ...],
) -> Node:
    line = node.start_mark.line + 1
    place = place_of_line(line)
    if id(node) in ancestors:
        raise YamlMistake("an anchor that contains itself", line)
    ancestors = (*ancestors, id(node))
    if isinstance(node, yaml.SequenceNode):
        return Node([_convert(loader, item, place_of_line, notes, ancestors) for item in node.value], place)
    if not isinstance(node, yaml.MappingNode):
        return Node(_scalar(loader, node), place)
    own_keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
    notes += [f"{place}: the key {key!r} stands twice; the last one counts" for key in _twice(own_keys)]
    loader.flatten_mapping(node)
    content: dict[str, Node] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise YamlMistake("a key must be a plain word", key.start_mark.line + 1)
        child = _convert(loader, value, place_of_line, notes, ancestors)
        # The line of the key, not of the value: for a nested section the value begins one line below.
        content[key.value] = Node(child.content, place_of_line(key.start_mark.line + 1))
    return Node(content, place)


def _twice(keys: list[str]) -> list[str]:
    return sorted({key for key in keys if key != "<<" and keys.count(key) > 1})


def _scalar(loader: yaml.SafeLoader, node: yaml.Node) -> Scalar:
    try:
        value = loader.construct_object(node)
    except ValueError:  # such as the 31st of February
        value = node.value
    if not isinstance(value, str | int | float | bool | None):
        value = node.value
    return Scalar(str(node.value), value)


def plain(node: Node) -> object:
    """This will give dicts and lists with Scalars as leaves; keys without a value are left out."""
    if isinstance(node.content, dict):
        return {key: plain(child) for key, child in node.content.items() if not child.is_null}
    if isinstance(node.content, list):
        return [plain(child) for child in node.content]
    return node.content


def deepest(root: Node, path: tuple[str | int, ...]) -> tuple[Node, tuple[str | int, ...]]:
    """This will follow `path` as far as the tree goes, and say how far that was."""
    node = root
    taken: tuple[str | int, ...] = ()
    for step in path:
        child = _child(node.content, step)
        if child is None:
            break
        node = child
        taken = (*taken, step)
    return node, taken


def _child(content: Content, step: str | int) -> Node | None:
    if isinstance(content, dict) and isinstance(step, str):
        return content.get(step)
    if isinstance(content, list) and isinstance(step, int) and step < len(content):
        return content[step]
    return None
