"""A copy of the project in which a fault can be put, and taken out again."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.mutants.faults import Edit, Fault

ROOT = Path(__file__).resolve().parents[2]
_LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "data", "node_modules", "build", "dist")


class TextMoved(Exception):
    """The code that a fault replaces no longer stands there exactly once."""


def copy_to(folder: Path) -> Path:
    copy = folder / "lading"
    shutil.copytree(ROOT, copy, ignore=_LEFT_OUT)
    return copy


def edited(root: Path, edit: Edit, text: str | None = None) -> str:
    """The file with the edit made; raises TextMoved."""
    text = text if text is not None else (root / edit.path).read_text()
    count = text.count(edit.old)
    if count != 1:
        raise TextMoved(f"{edit.path} has this text {count} times, and once is expected:\n{edit.old}")
    return text.replace(edit.old, edit.new)


def with_fault(root: Path, fault: Fault) -> dict[str, str]:
    """The changed files by path."""
    files: dict[str, str] = {}
    for edit in fault.edits:
        files[edit.path] = edited(root, edit, files.get(edit.path))
    return files


@contextmanager
def mutated(copy: Path, fault: Fault) -> Iterator[None]:
    files = with_fault(copy, fault)
    originals = {path: (copy / path).read_text() for path in files}
    try:
        for path, text in files.items():
            (copy / path).write_text(text)
        yield
    finally:
        for path, text in originals.items():
            (copy / path).write_text(text)
