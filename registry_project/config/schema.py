"""What keys there are: read from the models, for the overrides and the messages."""

import types
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from registry_project.config.section import GoName
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
    attribute: str
    shape: Shape
    field: FieldInfo

    def note(self, kind: type[Note]) -> Note | None:
        return next((note for note in self.field.metadata if isinstance(note, kind)), None)

    def matches(self, component: str) -> bool:
        """True for one component of a variable's name: the key's name or Distribution's, in any case."""
        go = self.note(GoName)
        return component.lower() in (self.name.lower(), go.name.lower() if go else None)


@cache
def keys_of(section: type[BaseModel]) -> tuple[Key, ...]:
    return tuple(
        Key(field.alias or name, name, _shape(field.annotation), field) for name, field in section.model_fields.items()
    )


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


def dotted_keys(section: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """This will list every key below `section`, with `[]` for the items of a list."""
    for key in keys_of(section):
        yield prefix + key.name
        if key.shape.nested:
            yield from dotted_keys(key.shape.nested, f"{prefix}{key.name}{'' if key.shape.section else '[]'}.")


def variable_names(section: type[BaseModel], prefix: str = "REGISTRY") -> Iterator[str]:
    """This will list the environment variables that set a key, for suggestions."""
    for key in keys_of(section):
        name = f"{prefix}_{key.name.upper()}"
        yield name
        if key.shape.nested:
            yield from variable_names(key.shape.nested, name if key.shape.section else f"{name}_0")
