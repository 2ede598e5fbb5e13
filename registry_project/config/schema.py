"""What keys there are: read from the models, for the overrides, the messages and the documentation."""

import types
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from registry_project.config.section import GoName, Ignored, Refused
from registry_project.config.values import Plain

Note = TypeVar("Note")


@dataclass(frozen=True, slots=True)
class Shape:
    """Kind of a value: a section with known keys, a mapping, a list, a leaf, or anything."""

    kind: Literal["section", "mapping", "list", "leaf", "anything"]
    section: type[BaseModel] | None = None
    item: "Shape | None" = None
    annotation: object = None

    @property
    def nested(self) -> type[BaseModel] | None:
        """The section itself, or the one that a list or mapping is made of."""
        return self.section or (self.item.section if self.item else None)


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a section as it is written in config.yml, with what the model says about it."""

    name: str
    shape: Shape
    field: FieldInfo

    def note(self, kind: type[Note]) -> Note | None:
        return next((note for note in self.field.metadata if isinstance(note, kind)), None)

    def matches(self, component: str) -> bool:
        """True for one component of a variable's name: the key's name or Distribution's, in any case."""
        go = self.note(GoName)
        return component.lower() in (self.name.lower(), go.name.lower() if go else None)


def keys_of(section: type[BaseModel]) -> list[Key]:
    return [
        Key(field.alias or name, _shape(field.annotation), field)
        for name, field in section.model_fields.items()
        if name != "warnings"
    ]


def _shape(annotation: object) -> Shape:
    if annotation == Plain:
        return Shape("anything")
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        inner = _shape(arguments[0])
        return Shape("leaf", annotation=annotation) if inner.kind == "leaf" else inner
    if origin in (Union, types.UnionType):
        return _shape(next(argument for argument in arguments if argument is not types.NoneType))
    if origin is dict:
        return Shape("mapping", item=_shape(arguments[1]), annotation=annotation)
    if origin in (list, tuple):
        return Shape("list", item=_shape(arguments[0]), annotation=annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return Shape("section", section=annotation)
    return Shape("leaf", annotation=annotation)


@dataclass(frozen=True, slots=True)
class KeyDescription:
    """One line of the documentation; `status` says why a key has no effect or is refused, or is empty."""

    key: str
    type: str
    default: str
    description: str
    status: str


def config_schema(section: type[BaseModel], prefix: str = "") -> Iterator[KeyDescription]:
    """This will list every key below `section`, dotted, with `[]` for the items of a list."""
    for key in keys_of(section):
        name = prefix + key.name
        note = key.note(Ignored) or key.note(Refused)
        description = " ".join((key.field.description or "").split())
        status = note.reason if note else ""
        shape = key.shape
        if shape.kind == "section" and shape.section:
            yield KeyDescription(name, "section", "", description, status)
            yield from config_schema(shape.section, f"{name}.")
        elif shape.kind == "list" and shape.item and shape.item.section:
            yield KeyDescription(name, "list of sections", "", description, status)
            yield from config_schema(shape.item.section, f"{name}[].")
        else:
            yield KeyDescription(name, type_name(shape), default_text(key.field), description, status)


_TYPE_NAMES = {bool: "true or false", int: "number", str: "text", Path: "path", timedelta: "duration"}


def type_name(shape: Shape) -> str:
    if shape.kind == "mapping":
        return "mapping"
    if shape.kind == "list" and shape.item:
        return f"list of {type_name(shape.item)}"
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
    return str(value)


def duration_text(value: timedelta) -> str:
    seconds = value.total_seconds()
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds and seconds % size == 0 and (unit != "d" or seconds > size):
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:g}s"


def variable_names(section: type[BaseModel], prefix: str = "REGISTRY") -> Iterator[str]:
    """This will list the environment variables that set a key, for suggestions."""
    for key in keys_of(section):
        name = f"{prefix}_{key.name.upper()}"
        yield name
        if key.shape.nested:
            yield from variable_names(key.shape.nested, name if key.shape.section else f"{name}_0")
