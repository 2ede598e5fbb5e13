"""Request bodies as they arrive, without Django's own stream, which is empty for chunked transfer coding."""

import logging
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

from oci.errors import ManifestTooLarge, ParameterInvalid, SizeInvalid, TransferCodingUnknown

log = logging.getLogger("lading.oci")

CHUNK_SIZE = 256 * 1024


_READ_BY = "lading.body"


class RequestBody:
    """The bytes that a client sends, once, in pieces of at most CHUNK_SIZE.

    `length` is the declared length, None where the transfer is chunked. A client that goes away ends the iteration
    early and raises nothing: `check_complete` tells. (Behind a chunked transfer a lost client cannot be told from
    the end of the body, which is why every digest is verified.)
    """

    def __init__(self, environ: MutableMapping[str, Any]) -> None:
        self._stream = environ["wsgi.input"]
        self.length = _declared_length(environ)
        self.received = 0
        self.ended = False
        environ[_READ_BY] = self

    def __iter__(self) -> Iterator[bytes]:
        while self.length is None or self.received < self.length:
            wanted = CHUNK_SIZE if self.length is None else min(CHUNK_SIZE, self.length - self.received)
            try:
                chunk = self._stream.read(wanted)
            except OSError as error:
                log.info("the client went away during a request body: %s", error)
                return
            if not chunk:
                self.ended = True
                return
            self.received += len(chunk)
            yield chunk

    @property
    def may_have_content(self) -> bool:
        return self.length != 0

    def check_complete(self) -> None:
        """Raise SizeInvalid when fewer bytes came than were declared."""
        if self.length is not None and self.received != self.length:
            raise SizeInvalid({"declared": self.length, "received": self.received})

    def read(self, limit: int) -> bytes:
        """Read it whole; raises ManifestTooLarge beyond `limit` bytes, before they are in memory."""
        if self.length is not None and self.length > limit:
            raise ManifestTooLarge({"limit": limit, "declared": self.length})
        content = bytearray()
        for chunk in self:
            content += chunk
            if len(content) > limit:
                raise ManifestTooLarge({"limit": limit})
        self.check_complete()
        return bytes(content)


def check_transfer_coding(environ: Mapping[str, Any]) -> None:
    """Raise TransferCodingUnknown for any but chunked alone: the server undoes no other (RFC 9112, 6.1)."""
    coding = environ.get("HTTP_TRANSFER_ENCODING")
    if coding is not None and coding.strip().lower() != "chunked":
        raise TransferCodingUnknown({"transfer_encoding": coding[:100]})


def is_left_unread(environ: Mapping[str, Any]) -> bool:
    """Whether the client may still be sending a body that nobody is going to read."""
    body: RequestBody | None = environ.get(_READ_BY)
    if body is None:
        return bool(environ.get("CONTENT_LENGTH", "0").strip("0")) or "HTTP_TRANSFER_ENCODING" in environ
    return not body.ended and body.received != body.length


def _declared_length(environ: Mapping[str, Any]) -> int | None:
    declared = environ.get("CONTENT_LENGTH")
    if declared:
        if not declared.isascii() or not declared.isdigit():
            raise ParameterInvalid({"header": "Content-Length", "value": declared})
        return int(declared)
    # HTTP/2 needs neither a length nor a transfer coding for a body.
    return None if "HTTP_TRANSFER_ENCODING" in environ or environ.get("SERVER_PROTOCOL", "").startswith("HTTP/2") else 0
