"""Ranges of bytes: of a download (RFC 9110, 14.2) and of an uploaded chunk (distribution-spec, end-5)."""

import re
from dataclasses import dataclass

from oci.errors import BlobUploadInvalid, RangeInvalid

_CONTENT_RANGE = re.compile(r"([0-9]+)-([0-9]+)\Z")
_RANGE = re.compile(r"([0-9]*)-([0-9]*)\Z")

# No content is so large; what lies behind it is all the same. Python refuses to read numbers of thousands of digits.
_FAR = 10**19

# A client that asks for more pieces than this gets the whole blob, which RFC 9110 (14.2) allows.
MAX_RANGES = 1024


@dataclass(frozen=True, slots=True)
class ByteRange:
    """`start` to `stop` (exclusive) of some content."""

    start: int
    stop: int

    @property
    def size(self) -> int:
        return self.stop - self.start

    def content_range(self, total: int) -> str:
        return f"bytes {self.start}-{self.stop - 1}/{total}"


def parse_content_range(header: str | None) -> ByteRange | None:
    """Read a chunk's `Content-Range: <start>-<end>`; None when there is none.

    The inclusive end and the bare form are the specification's; a unit and a total are let pass.
    """
    if not header:
        return None
    match = _CONTENT_RANGE.match(header.strip().removeprefix("bytes ").removeprefix("bytes=").split("/")[0])
    if not match:
        raise BlobUploadInvalid({"content_range": header, "reason": "expected <start>-<end>"})
    start, end = _number(match[1]), _number(match[2])
    if end < start:
        raise RangeInvalid({"content_range": header, "reason": "the end lies before the start"})
    return ByteRange(start, end + 1)


def parse_range(header: str | None, size: int) -> list[ByteRange] | None:
    """Read `Range` against content of `size` bytes; None means: send the whole.

    Raises RangeInvalid when no part of what is asked for exists.
    """
    if not header:
        return None
    unit, equals, specs = header.partition("=")
    if not equals or unit.strip().lower() != "bytes":
        return None
    parts = specs.split(",")
    if len(parts) > MAX_RANGES:
        return None
    ranges = []
    for part in parts:
        match = _RANGE.match(part.strip())
        if not match or not (match[1] or match[2]):
            return None
        resolved = _resolve(match[1], match[2], size)
        if resolved:
            ranges.append(resolved)
    if not ranges:
        raise RangeInvalid({"range": header, "size": size}, headers={"Content-Range": f"bytes */{size}"})
    # Overlapping pieces would make the answer larger than the blob.
    return ranges if sum(piece.size for piece in ranges) <= size else None


def _resolve(first: str, last: str, size: int) -> ByteRange | None:
    if not first:
        start = max(size - _number(last), 0)
        return ByteRange(start, size) if start < size else None
    start = _number(first)
    stop = min(_number(last) + 1, size) if last else size
    return ByteRange(start, stop) if start < stop else None


def _number(digits: str) -> int:
    significant = digits.lstrip("0")
    return int(significant or 0) if len(significant) < 20 else _FAR
