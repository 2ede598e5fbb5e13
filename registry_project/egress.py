"""The one door for calls to other servers, closed against being sent to places that only this host can reach (SSRF).

What decides is the address that is connected to, never the text of a URL: a name is resolved once, every address that
it has is checked, and the socket goes to one of those. Each hop of a redirect passes the same door.
"""

import base64
import socket
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urljoin

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, LocationParseError
from urllib3.exceptions import SSLError as TLSError
from urllib3.exceptions import TimeoutError as LibraryTimeout
from urllib3.util import parse_url

from registry_project.networks import AllowList, parse_address

Resolver = Callable[..., list[Any]]

MAX_REDIRECTS = 3
BODY_LIMIT = 64 * 1024
DEFAULT_PORTS = {"http": 80, "https": 443}
_KEEP_METHOD = frozenset({301, 302, 307, 308})
# What a stranger to whom a redirect leads may still see.
_HARMLESS_HEADERS = frozenset({"content-type", "user-agent", "accept"})


class EgressError(Exception):
    """A call that was not made or not answered; the message names no path, address or secret."""


class EgressRefused(EgressError):
    """The call would go where the operator does not let it go."""


class EgressFailed(EgressError):
    """There was no usable answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`body` is its beginning, at most `BODY_LIMIT` bytes, and is not to be shown or logged."""

    status: int
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host (lower case, without brackets) and port."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class _Target:
    origin: Origin
    path: str
    credentials: str | None

    @classmethod
    def parse(cls, url: str) -> "_Target":
        try:
            parts = parse_url(url)
        except LocationParseError:
            raise EgressRefused("the address is not valid") from None
        if parts.scheme not in DEFAULT_PORTS or not parts.host:
            raise EgressRefused("only http and https addresses may be called")
        host, port = parts.host.strip("[]").rstrip(".").lower(), parts.port or DEFAULT_PORTS[parts.scheme]
        origin = Origin(parts.scheme, host, port)
        return cls(origin, parts.request_uri, parts.auth)


def origin_of(url: str) -> Origin:
    """This will tell where a URL leads, without its path and credentials. Raises EgressRefused."""
    return _Target.parse(url).origin


class _Door:
    """Opens sockets, to checked addresses only; `expire` ends whatever goes on over the last one."""

    def __init__(self, allow: AllowList, trusted: Collection[Origin], resolver: Resolver) -> None:
        self._allow = allow
        self._trusted = frozenset((origin.host, origin.port) for origin in trusted)
        self._resolver = resolver
        self._lifeline: socket.socket | None = None

    def check_port(self, origin: Origin) -> None:
        if (origin.host, origin.port) not in self._trusted and origin.port not in self._allow.ports:
            raise EgressRefused(f"port {origin.port} may not be called; egress.ports allows more")

    def connect(self, host: str, port: int, timeout: float | None) -> socket.socket:
        name = host.strip("[]").rstrip(".").lower()
        try:
            found = self._resolver(host.strip("[]"), port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise EgressFailed(f"the name {name} cannot be resolved") from None
        if (name, port) not in self._trusted and not self._allow.names(name):
            for *_, address in found:
                # One bad address is enough: who controls the name chooses which of them answers.
                if not self._allow.permits(parse_address(str(address[0]))):
                    raise EgressRefused(f"{name} leads to an address that may not be called; egress.allow allows more")
        return self._open(found, timeout)

    def _open(self, found: list[Any], timeout: float | None) -> socket.socket:
        error: OSError | None = None
        for family, kind, protocol, _, address in found:
            connection = socket.socket(family, kind, protocol)
            try:
                connection.settimeout(timeout)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection.connect(address)
            except OSError as failure:
                connection.close()
                error = failure
                continue
            self.forget()
            self._lifeline = connection.dup()
            return connection
        reason = "timed out" if isinstance(error, TimeoutError) else "failed"
        raise EgressFailed(f"connecting {reason}") from None

    def expire(self) -> None:
        if (lifeline := self._lifeline) is not None:
            try:
                lifeline.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # It ended by itself.

    def forget(self) -> None:
        if self._lifeline is not None:
            self._lifeline.close()
            self._lifeline = None


class _PlainConnection(HTTPConnection):
    def __init__(self, *args: Any, door: _Door, **options: Any) -> None:
        super().__init__(*args, **options)
        self._door = door

    def _new_conn(self) -> socket.socket:
        return self._door.connect(self.host, self.port, self.timeout)


class _TLSConnection(HTTPSConnection):
    def __init__(self, *args: Any, door: _Door, **options: Any) -> None:
        super().__init__(*args, **options)
        self._door = door

    def _new_conn(self) -> socket.socket:
        return self._door.connect(self.host, self.port, self.timeout)


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _PlainConnection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


class EgressClient:
    """Calls other servers over one kept connection. Each thread takes a client of its own.

    `trusted` origins are the operator's own words and may lead anywhere, other ports included; all that they redirect
    to may not. `timeout_seconds` bounds each hop from its first byte to its last. Variables such as HTTP_PROXY have
    no effect: a proxy would connect where this client cannot look.
    """

    def __init__(
        self,
        *,
        allow: AllowList,
        timeout_seconds: float,
        trusted: Collection[Origin] = (),
        resolver: Resolver = socket.getaddrinfo,
    ) -> None:
        self._door = _Door(allow, trusted, resolver)
        self._timeout = timeout_seconds
        self._origin: Origin | None = None
        self._pool: HTTPConnectionPool | None = None

    def __enter__(self) -> "EgressClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._pool is not None:
            self._pool.close()
        self._pool = self._origin = None
        self._door.forget()

    def request(self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None = None) -> Answer:
        """This will make a call and follow at most three redirects.

        A redirected POST stays a POST, but for 303, which is an answer. A redirect never leads from https to http,
        and behind one to another origin no header but the content's own is sent. Raises EgressRefused and
        EgressFailed.
        """
        target, sent = _Target.parse(url), dict(headers)
        if target.credentials:
            sent = {"Authorization": _basic(target.credentials), **sent}
        for _hop in range(MAX_REDIRECTS + 1):
            answer, location = self._exchange(method, target, sent, body)
            if location is None:
                return answer
            following = _Target.parse(urljoin(f"{target.origin}{target.path}", location))
            if target.origin.scheme == "https" and following.origin.scheme != "https":
                raise EgressRefused("a redirect leads from https to http")
            if following.origin != target.origin:
                sent = {name: value for name, value in sent.items() if name.lower() in _HARMLESS_HEADERS}
            target = following
        raise EgressFailed(f"more than {MAX_REDIRECTS} redirects")

    def _exchange(
        self, method: str, target: _Target, headers: Mapping[str, str], body: bytes | None
    ) -> tuple[Answer, str | None]:
        self._door.check_port(target.origin)
        pool = self._pool_for(target.origin)
        # The library's timeouts begin anew with each byte; this one ends the whole exchange.
        expired = threading.Event()

        def expire() -> None:
            expired.set()
            self._door.expire()

        watchdog = threading.Timer(self._timeout, expire)
        watchdog.daemon = True
        watchdog.start()
        try:
            response = pool.urlopen(
                method,
                target.path,
                body=body,
                headers=headers,
                retries=False,
                redirect=False,
                assert_same_host=False,
                timeout=Timeout(total=self._timeout),
                preload_content=False,
                decode_content=False,
            )
            content = response.read(BODY_LIMIT, decode_content=False)
            if response.length_remaining and len(content) < BODY_LIMIT:
                raise HTTPError
            # What is left of a longer answer is not worth reading for the sake of the connection.
            if len(content) == BODY_LIMIT:
                response.close()
            response.release_conn()
        except EgressError:
            self.close()
            raise
        except (HTTPError, OSError, ValueError) as error:
            self.close()
            raise EgressFailed(_in_our_words(error, expired=expired.is_set())) from None
        finally:
            watchdog.cancel()
        follow = _KEEP_METHOD if method not in ("GET", "HEAD") else _KEEP_METHOD | {303}
        location = response.headers.get("Location") if response.status in follow else None
        return Answer(response.status, content), location

    def _pool_for(self, origin: Origin) -> HTTPConnectionPool:
        if self._pool is None or self._origin != origin:
            self.close()
            kind = _TLSPool if origin.scheme == "https" else _PlainPool
            self._pool = kind(origin.host, origin.port, maxsize=1, block=False, door=self._door)
            self._origin = origin
        return self._pool


def _basic(credentials: str) -> str:
    return "Basic " + base64.b64encode(unquote(credentials).encode()).decode()


def _in_our_words(error: Exception, *, expired: bool) -> str:
    """The library's own words repeat addresses, and so what may be secret in them."""
    if expired or isinstance(error, LibraryTimeout | TimeoutError):
        return "no answer in time"
    if isinstance(error, TLSError):
        return "TLS failed; is the certificate valid for this name?"
    return "the connection failed or was cut off"
