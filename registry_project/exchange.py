"""One request and its answer as they are measured: bytes, time, outcome; told to the access log and the metrics."""

import logging
from collections.abc import Iterator
from time import perf_counter
from typing import Any, cast
from urllib.parse import parse_qsl, urlencode

from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse

from registry_project import metrics, tracing
from registry_project.context import RequestContext, carrying

access_log = logging.getLogger("lading.access")

UNROUTED = "unrouted"
# What the protocol's own parameters say is no secret; whatever else stands in a query may be one.
_SHOWN = frozenset({"artifactType", "digest", "digest-algorithm", "from", "last", "mount", "n", "tag"})
_BODILESS = frozenset({"GET", "HEAD"})


class CountedInput:
    """`wsgi.input` that knows how much of it was read."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.size = 0

    def read(self, *size: int) -> bytes:
        chunk: bytes = self._stream.read(*size)
        self.size += len(chunk)
        return chunk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Exchange:
    """Begins with the request, ends once: with the answer, or, where that is streamed, with its last byte."""

    def __init__(self, request: HttpRequest, context: RequestContext) -> None:
        self._started = perf_counter()
        self._request = request
        self.context = context
        self._input: CountedInput | None = None
        if context.method not in _BODILESS:
            self._input = CountedInput(request.META["wsgi.input"])
            request.META["wsgi.input"] = self._input
        self.handler = UNROUTED
        self._repository = ""
        self._began = False
        self.span = tracing.request_span(context.method, request.META)

    def routed(self) -> None:
        """Take the route's name, once it is known."""
        match = self._request.resolver_match
        if match is not None:
            self.handler = match.url_name or UNROUTED
            self._repository = match.kwargs.get("name", "")
        self._began = True
        metrics.request_began(self.handler)

    def answered(self, response: HttpResponseBase) -> None:
        """End with a response that is complete, or wait for a streamed one."""
        if response.streaming:
            streamed = cast("StreamingHttpResponse", response)
            chunks = cast("Iterator[bytes]", streamed.streaming_content)
            streamed.streaming_content = Sent(chunks, self, response)
            return
        size = 0 if self._request.method == "HEAD" else len(cast("HttpResponse", response).content)
        self.end(response, size, "")

    def end(self, response: HttpResponseBase, bytes_out: int, broken: str) -> None:
        """Tell everybody; `broken` says by whom a streamed answer was broken off, `client` or `server`."""
        seconds = perf_counter() - self._started
        status, method = response.status_code, self.context.method
        bytes_in = self._input.size if self._input else 0
        metrics.request_ended(
            self.handler,
            method,
            status,
            seconds=seconds,
            bytes_in=bytes_in,
            bytes_out=bytes_out,
            began=self._began,
        )
        if self.span is not None:
            attributes = {
                "http.request.method": method,
                "http.route": self.handler,
                "lading.repository": self._repository,
                "lading.request_id": self.context.id,
            }
            tracing.end_request(self.span, f"{method} {self.handler}", status, attributes)
        if access_log.isEnabledFor(logging.INFO):
            self._log(status, bytes_in, bytes_out, seconds, broken)

    def carried(self) -> Any:
        return carrying(self.context)

    def _log(self, status: int, bytes_in: int, bytes_out: int, seconds: float, broken: str) -> None:
        context, request = self.context, self._request
        fields: dict[str, object] = {
            "request_id": context.id,
            "principal": context.principal,
            "remote": context.address,
            "method": context.method,
            "path": request.path,
            "route": self.handler,
            "repository": self._repository,
            "status": status,
            "bytes_in": bytes_in,
            "bytes_out": bytes_out,
            "duration_seconds": round(seconds, 6),
            "user_agent": context.user_agent,
        }
        if request.META.get("QUERY_STRING"):
            fields["query"] = shown_query(request.META["QUERY_STRING"])
        if broken:
            fields["broken_off_by"] = broken
        access_log.info("%s %s %d", context.method, request.path, status, extra=fields)


class Sent(Iterator[bytes]):
    """Passes the pieces of a streamed answer on, and ends the exchange when the server is done with them."""

    def __init__(self, chunks: Iterator[bytes], exchange: Exchange, response: HttpResponseBase) -> None:
        self._chunks, self._exchange, self._response = chunks, exchange, response
        self._size = 0
        self._broken = "client"
        self._closed = False

    def __next__(self) -> bytes:
        with self._exchange.carried():
            try:
                chunk = next(self._chunks)
            except StopIteration:
                self._broken = ""
                raise
            except Exception:
                self._broken = "server"
                raise
        self._size += len(chunk)
        return chunk

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        exchange, broken = self._exchange, self._broken
        length = self._response.headers.get("Content-Length")
        if broken == "client" and length == str(self._size):
            broken = ""  # The server need not ask for the end of what it knows the length of.
        with exchange.carried():
            exchange.end(self._response, self._size, broken)


def shown_query(query: str) -> str:
    """This will hide the values of all parameters but those whose values are known to be no secrets."""
    pairs = parse_qsl(query[:2000], keep_blank_values=True, max_num_fields=None)
    return urlencode([(name, value if name in _SHOWN else "(hidden)") for name, value in pairs], safe=":/()")
