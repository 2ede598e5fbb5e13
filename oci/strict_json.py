"""JSON without ambiguity: two readers of one document must never see two different things."""

import json
import re
from typing import NoReturn

from oci.errors import ManifestInvalid

# Escapes that no text column can hold: NUL, and halves of surrogate pairs standing alone.
_SUSPECT_ESCAPE = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")


def parse_object(payload: bytes) -> dict[str, object]:
    """Read one JSON object; raises ManifestInvalid, saying why, for anything else.

    Refused: bad UTF-8, a byte-order mark, trailing data, NaN and infinities, a key that stands twice in one
    object, NUL, lone surrogates, and nesting that exhausts the parser.
    """
    try:
        text = payload.decode("utf-8")
        document = json.loads(
            text, object_pairs_hook=_unique_keys, parse_constant=_refuse_constant, parse_float=_finite
        )
        if _SUSPECT_ESCAPE.search(payload):
            _refuse_unstorable(document)
    except UnicodeDecodeError as error:
        raise ManifestInvalid({"reason": f"not UTF-8 at byte {error.start}"}) from error
    except RecursionError as error:
        raise ManifestInvalid({"reason": "nested too deeply"}) from error
    except ValueError as error:
        raise ManifestInvalid({"reason": f"not strict JSON: {error}"}) from error
    if not isinstance(document, dict):
        raise ManifestInvalid({"reason": "not a JSON object"})
    return document


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice[:100]!r} stands twice")
    return result


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"{text[:40]} is too large")
    return number


def _refuse_unstorable(document: object) -> None:
    pending = [document]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            pending.extend((*value.keys(), *value.values()))
        elif isinstance(value, list):
            pending.extend(value)
        elif isinstance(value, str) and any(c == "\0" or "\ud800" <= c <= "\udfff" for c in value):
            raise ValueError("a string holds NUL or half of a surrogate pair")
