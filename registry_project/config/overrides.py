"""`REGISTRY_A_B_0=value`: environment variables that replace values of the configuration file."""

from collections.abc import Mapping

from pydantic import BaseModel

from registry_project.config.errors import Mistake
from registry_project.config.schema import Key, Shape, keys_of
from registry_project.config.section import DriverMap, KeepCase, Section
from registry_project.config.tree import Node, YamlMistake, read_yaml
from registry_project.config.values import Scalar

PREFIX = "REGISTRY_"
# Read elsewhere; not a key of the configuration.
RESERVED = frozenset({"REGISTRY_CONFIGURATION_PATH"})
NOTHING = Scalar("", None)


class UnknownVariable(Exception):
    """No key of the configuration has this name."""


class WrongVariable(Exception):
    """The variable names a key, but its value or its index cannot be used."""


def apply_overrides(
    root: Node, sections: type[Section], environ: Mapping[str, str], notes: list[str]
) -> tuple[list[str], list[Mistake]]:
    """This will change `root` in place, and give the unknown variables and the mistakes.

    In Distribution's order: by name, so that `REGISTRY_STORAGE=filesystem` empties the section before
    `REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY` fills it. List indexes are ordered as numbers: a tenth element comes
    after the second.
    """
    unknown: list[str] = []
    mistakes: list[Mistake] = []
    names = [name for name in environ if name.startswith(PREFIX) and name not in RESERVED]
    for name in sorted(names, key=_order):
        try:
            override = _Override(name, environ[name], notes)
            override.apply(root, Shape("section", section=sections), name.split("_")[1:], keep_case=False)
        except UnknownVariable:
            unknown.append(name)
        except WrongVariable as error:
            key = name.removeprefix(PREFIX).replace("_", ".").lower()
            mistakes.append(Mistake(key, None, str(error), f"environment variable {name}"))
    return unknown, mistakes


def _order(name: str) -> tuple[list[tuple[int, int, str]], str]:
    parts = name.split("_")[1:]
    return [(0, int(p), "") if p.isascii() and p.isdigit() else (1, 0, p.upper()) for p in parts], name


def _find_key(section: type[BaseModel], path: list[str]) -> tuple[Key | None, list[str]]:
    """The key that `path` begins with, and the path with its name as one component: `MAX_RETRIES` is one key."""
    for key in keys_of(section):
        length = 1 + key.name.count("_")
        if key.matches("_".join(path[:length])):
            return key, ["_".join(path[:length]), *path[length:]]
    return None, path


class _Override:
    def __init__(self, name: str, text: str, notes: list[str]) -> None:
        self.place = f"environment variable {name}"
        self.text = text
        self.notes = notes

    def value(self, shape: Shape) -> Node:
        try:
            return read_yaml(self.text, lambda _: self.place, self.notes)
        except YamlMistake as error:
            # An address such as [::1]:5000, or a password with a leading *, is no YAML but clear all the same.
            if shape.kind == "leaf":
                return Node(Scalar(self.text, self.text), self.place)
            raise WrongVariable(f"the value is not YAML: {error}") from error

    def apply(self, node: Node, shape: Shape, path: list[str], *, keep_case: bool) -> None:
        """Set the value at `path`, one or more components, below `node`."""
        if shape.kind == "section" and shape.section:
            key, path = _find_key(shape.section, path)
            if key is not None:
                self.set_in_mapping(node, key.name, key.shape, path, keep_case=bool(key.note(KeepCase)))
            elif issubclass(shape.section, DriverMap):
                # In Distribution each further key here names a driver; it is refused later, with its place.
                self.set_in_mapping(node, path[0].lower(), Shape("anything"), path)
            else:
                raise UnknownVariable
        elif shape.kind == "mapping" or (shape.kind == "anything" and not isinstance(node.content, list)):
            self.set_in_mapping(node, self.spelled(node, path[0], keep_case), shape.item or shape, path)
        elif shape.kind == "list" or shape.kind == "anything":
            self.set_in_list(node, shape.item or shape, path)
        else:
            raise UnknownVariable

    def make_room(self, node: Node, empty: dict[str, Node] | list[Node]) -> None:
        """Turn "no value" into an empty mapping or list; anything else of another kind stays, as a mistake."""
        if node.is_null:
            node.content, node.place = empty, self.place
        elif type(node.content) is not type(empty):
            kind = "a mapping" if isinstance(empty, dict) else "a list"
            raise WrongVariable(f"nothing can be set here, because {node.place} does not give {kind}")

    def spelled(self, node: Node, component: str, keep_case: bool) -> str:
        """Give the key to set; one that is known in another case is the same key, and `keep_case` respells it."""
        known = node.content if isinstance(node.content, dict) else {}
        found = next((key for key in known if key.lower() == component.lower()), None)
        if not keep_case:
            return found or component.lower()
        if found and found != component:
            known[component] = known.pop(found)
        return component

    def set_in_mapping(self, node: Node, name: str, shape: Shape, path: list[str], *, keep_case: bool = False) -> None:
        self.make_room(node, {})
        assert isinstance(node.content, dict)
        if len(path) == 1:
            node.content[name] = named_choice(self.value(shape), name)
            return
        child = node.content.setdefault(name, Node(NOTHING, self.place))
        self.apply(child, shape, path[1:], keep_case=keep_case)

    def set_in_list(self, node: Node, shape: Shape, path: list[str]) -> None:
        self.make_room(node, [])
        assert isinstance(node.content, list)
        if not (path[0].isascii() and path[0].isdigit()):
            raise WrongVariable(f"expected a number, the index of a list, in place of {path[0]}")
        index = int(path[0])
        if index > len(node.content):
            raise WrongVariable(f"the list has {len(node.content)} elements, so the next index is {len(node.content)}")
        if len(path) == 1:
            node.content[index : index + 1] = [self.value(shape)]
            return
        if index == len(node.content):
            node.content.append(Node(NOTHING, self.place))
        self.apply(node.content[index], shape, path[1:], keep_case=False)


def named_choice(node: Node, name: str) -> Node:
    """This will turn `storage: filesystem` and `auth: none` into a mapping with that one key."""
    if name in ("storage", "auth") and isinstance(node.content, Scalar) and not node.is_null:
        return Node({node.content.text: Node({}, node.place)}, node.place)
    return node
