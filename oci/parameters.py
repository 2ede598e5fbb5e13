"""Query parameters and headers of requests, read strictly."""

from django.http import HttpRequest

from oci.errors import PaginationInvalid, ParameterInvalid

_LONGEST = 2048
# PostgreSQL's bigint; what is longer cannot be meant.
_MOST_DIGITS = 18


def single(request: HttpRequest, name: str) -> str | None:
    """The parameter's value; raises ParameterInvalid when it stands there twice or holds control characters."""
    values = request.GET.getlist(name)
    if not values:
        return None
    if len(values) > 1:
        raise ParameterInvalid({"parameter": name, "reason": "given more than once"})
    return printable(name, values[0])


def printable(name: str, value: str) -> str:
    if len(value) > _LONGEST or not value.isprintable():
        raise ParameterInvalid({"parameter": name, "reason": "too long, or not printable"})
    return value


def page_size(request: HttpRequest, *, most: int, default: int | None) -> int | None:
    """`n`, at most `most`; `default` when it is not given. Raises PaginationInvalid for anything but digits."""
    text = single(request, "n")
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()):
        raise PaginationInvalid({"n": text[:40]})
    return most if len(text) > _MOST_DIGITS else min(int(text), most)


def matches_etag(header: str | None, digest: str) -> bool:
    """Whether an `If-None-Match` names the digest, quoted or not, weak or not (RFC 9110, 13.1.2)."""
    if not header:
        return False
    candidates = (item.strip().removeprefix("W/").strip('"') for item in header.split(","))
    return any(candidate in {"*", digest} for candidate in candidates)
