"""Every key with its type, default and meaning: what docs/configuration.md must say.

`python -m registry_project.config.documentation` writes the table's rows.
"""

import ast
import inspect
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from registry_project.config.schema import Shape, keys_of
from registry_project.config.section import Ignored, Refused


@dataclass(frozen=True, slots=True)
class KeyDescription:
    """One line of the documentation; `status` says why a key has no effect or is refused, or is empty."""

    key: str
    type: str
    default: str
    description: str
    status: str

    @property
    def row(self) -> str:
        """A row of a Markdown table."""
        default = f"`{self.default}`" if self.default else ""
        text = " ".join(part for part in (self.description, self.status) if part)
        return f"| `{self.key}` | {self.type} | {default} | {text} |"


def config_schema(section: type[BaseModel], prefix: str = "") -> Iterator[KeyDescription]:
    """This will list every key below `section`, dotted, with `[]` for the items of a list."""
    texts = _texts_under_attributes(section)
    for key in keys_of(section):
        name = prefix + key.name
        description = texts[key.attribute]
        ignored, refused = key.note(Ignored), key.note(Refused)
        status = f"No effect: {ignored.reason}." if ignored else f"Refused: {refused.reason}." if refused else ""
        shape = key.shape
        kind = type_name(shape)
        default = "" if shape.nested else default_text(key.field)
        yield KeyDescription(name, kind, default, description, status)
        if shape.nested:
            yield from config_schema(shape.nested, f"{name}{'' if shape.section else '[]'}.")


_TYPE_NAMES = {bool: "true or false", int: "number", str: "text", Path: "path", timedelta: "duration"}


def type_name(shape: Shape) -> str:
    if shape.kind in ("mapping", "section"):
        return shape.kind
    if shape.kind == "list" and shape.item:
        return "list of sections" if shape.item.section else f"list of {type_name(shape.item)}"
    annotation = shape.annotation
    while get_origin(annotation) in (Annotated, Union, types.UnionType):
        annotation = get_args(annotation)[0]
    if get_origin(annotation) is Literal:
        return "text"
    return _TYPE_NAMES.get(annotation, "any") if isinstance(annotation, type) else "any"


def default_text(field: FieldInfo) -> str:
    """This will write the default as one would write it in config.yml; empty when there is none."""
    if field.default_factory is not None:
        return ""
    return _written(field.default)


def _written(value: Any) -> str:
    if value is None or value == "" or value in ({}, ()):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, timedelta):
        return duration_text(value)
    if isinstance(value, tuple):
        return f"[{', '.join(map(_written, value))}]"
    return str(value)


def duration_text(value: timedelta) -> str:
    seconds = value.total_seconds()
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds and seconds % size == 0 and (unit != "d" or seconds > size):
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:g}s"


def _texts_under_attributes(section: type[BaseModel]) -> dict[str, str]:
    body = next(
        node.body
        for node in ast.walk(ast.parse(inspect.getsource(inspect.getmodule(section) or section)))
        if isinstance(node, ast.ClassDef) and node.name == section.__name__
    )
    return {
        statement.target.id: " ".join(text.value.value.split())
        for statement, text in pairwise(body)
        if isinstance(statement, ast.AnnAssign)
        and isinstance(statement.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }


if __name__ == "__main__":
    from registry_project.config.configuration import Sections

    sys.stdout.writelines(f"{item.row}\n" for item in config_schema(Sections))
