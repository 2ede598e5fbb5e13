"""The `http` section."""

import re
from datetime import timedelta
from ipaddress import ip_address
from typing import Annotated, Literal, NamedTuple

from pydantic import AfterValidator, BeforeValidator, Field

from registry_project.config.section import Ignored, KeepCase, Secret, Section
from registry_project.config.values import AbsolutePath, Duration, Flag, Headers, Text, WebAddress, parse_text

SHORTEST_SECRET = 16
ADDRESS_EXPECTED = "expected host:port, such as 127.0.0.1:5000, or :5000 for all addresses"
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


class Listen(NamedTuple):
    """Where the server listens; an empty host means all addresses."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        if self.host.lower() == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False


def parse_listen(text: str) -> Listen:
    """This will read `host:port`, `:port` or `[v6]:port`. Raises ValueError with what is expected."""
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535 or (":" in host and not bracketed):
        raise ValueError(ADDRESS_EXPECTED)
    host = host[1:-1] if bracketed else host
    try:
        if bracketed:
            ip_address(host)
    except ValueError as error:
        raise ValueError(ADDRESS_EXPECTED) from error
    if host and not bracketed and not re.fullmatch(r"[0-9A-Za-z._-]+", host):
        raise ValueError(ADDRESS_EXPECTED)
    return Listen(host, int(port))


def _prefix(raw: object) -> object:
    text = parse_text(raw)
    if text and not re.fullmatch(r"(/[A-Za-z0-9._~-]+)*/?", text):
        raise ValueError("expected a path that begins with /, such as /registry/")
    return text.rstrip("/") + "/"


def _net(raw: object) -> object:
    if str(raw) not in ("", "tcp", "unix"):
        raise ValueError("expected tcp or unix")
    return str(raw) or "tcp"


def _minimum_tls(raw: object) -> object:
    if str(raw) in ("tls1.0", "tls1.1"):
        raise ValueError("expected tls1.2 or tls1.3; older versions are not safe and not offered")
    if str(raw) not in ("", "tls1.2", "tls1.3"):
        raise ValueError("expected tls1.2 or tls1.3")
    return str(raw) or "tls1.2"


_ONLY_MODE: Literal["require-and-verify-client-cert"] = "require-and-verify-client-cert"
_OTHER_MODES = ("request-client-cert", "require-any-client-cert", "verify-client-cert-if-given")


def _client_auth(raw: object) -> object:
    if str(raw) in _OTHER_MODES:
        raise ValueError(f"not available here; the only mode is {_ONLY_MODE}")
    if str(raw) not in ("", _ONLY_MODE):
        raise ValueError(f"expected {_ONLY_MODE}")
    return _ONLY_MODE


def _headers(headers: dict[str, list[str]]) -> dict[str, list[str]]:
    for name, values in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"expected header names of letters, digits and dashes, not {name!r}")
        if not all(_HEADER_VALUE.fullmatch(value) for value in values):
            raise ValueError(f"expected values without line breaks or control characters in {name}")
    return headers


ResponseHeaders = Annotated[Headers, AfterValidator(_headers), KeepCase()]


class LetsEncrypt(Section):
    cachefile: Text = ""
    """File for certificates and keys."""
    email: Text = ""
    """Address for registration."""
    hosts: tuple[Text, ...] = ()
    """Names to obtain certificates for."""
    directoryurl: Text = ""
    """Address of the certificate authority."""


class Tls(Section):
    certificate: AbsolutePath | None = None
    """Certificate chain of the server, PEM; together with `key` it switches TLS on."""
    key: AbsolutePath | None = None
    """Private key of the server, PEM."""
    clientcas: tuple[AbsolutePath, ...] = ()
    """One file of certificates, PEM, that sign the clients' certificates; each client must then present one."""
    clientauth: Annotated[Literal["require-and-verify-client-cert"], BeforeValidator(_client_auth)] = _ONLY_MODE
    """How client certificates are checked; the one mode is `require-and-verify-client-cert`."""
    minimumtls: Annotated[Literal["tls1.2", "tls1.3"], BeforeValidator(_minimum_tls)] = "tls1.2"
    """Lowest version of TLS: `tls1.2` or `tls1.3`."""
    ciphersuites: Annotated[
        tuple[Text, ...],
        Ignored("the server offers only suites with forward secrecy and authenticated encryption, in its own order"),
    ] = ()
    """Distribution's list of cipher suites."""
    letsencrypt: LetsEncrypt = LetsEncrypt()
    """Certificates from Let's Encrypt: not available; only accepted beside `certificate`, which wins."""


class Http2(Section):
    disabled: Flag = False
    """`true` offers HTTP/1.1 only."""


class H2c(Section):
    enabled: Annotated[Flag, Ignored("HTTP/2 without TLS is answered whenever http2 is not disabled")] = False
    """Distribution's switch for HTTP/2 without TLS."""


def _debug_address(raw: object) -> object:
    text = parse_text(raw)
    if text:
        parse_listen(text)
    return text


def _metrics_path(raw: object) -> object:
    text = parse_text(raw) or "/metrics"
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", text) or text.startswith("/debug/health"):
        raise ValueError("expected a path that begins with /, such as /metrics")
    return text


class Prometheus(Section):
    enabled: Flag = False
    """`true` answers with metrics on the debug listener."""
    path: Annotated[str, BeforeValidator(_metrics_path)] = "/metrics"
    """Path of the metrics there."""


class Debug(Section):
    addr: Annotated[str, BeforeValidator(_debug_address)] = ""
    """Address of the debug listener, `host:port`: metrics, and a health that can be switched off. Empty means none; it
    asks for no login, so only operators may reach it."""
    prometheus: Prometheus = Prometheus()
    """Metrics for Prometheus."""


class HttpSection(Section):
    addr: Text = "127.0.0.1:5000"
    """Address to listen on, `host:port`; `:5000` means all addresses. With `net: unix` the socket's path."""
    net: Annotated[Literal["tcp", "unix"], BeforeValidator(_net)] = "tcp"
    """`tcp` or `unix`."""
    host: Annotated[WebAddress, AfterValidator(lambda text: text.rstrip("/"))] | None = None
    """Address that clients use, such as `https://registry.example.org`; unset, `Location` and `Link` are relative."""
    prefix: Annotated[str, BeforeValidator(_prefix)] = "/"
    """Path before `/v2/`, such as `/registry/`."""
    secret: Annotated[Text | None, Secret()] = Field(default=None, repr=False)
    """Key that signs the sessions of browsers, at least 16 characters; the same on every server. Unset, one is made and
    kept beside the SQLite file or in the root directory, or else made anew at each start."""
    relativeurls: Flag = False
    """`true` answers with `Location` headers without scheme and host."""
    draintimeout: Duration = timedelta(seconds=30)
    """How long running requests may go on after SIGTERM."""
    headers: ResponseHeaders = Field(default_factory=dict)
    """Headers added to every answer: name to list of values."""
    tls: Tls = Tls()
    """TLS."""
    http2: Http2 = Http2()
    """HTTP/2."""
    h2c: H2c = H2c()
    """HTTP/2 without TLS."""
    debug: Debug = Debug()
    """Debug listener."""

    @property
    def is_https(self) -> bool:
        """Whether browsers come by TLS, ours or that of a proxy before it."""
        return self.tls.certificate is not None or (self.host or "").lower().startswith("https:")

    @property
    def listen(self) -> Listen | None:
        """Host and port, or None for a Unix socket, whose path is `addr`."""
        return None if self.net == "unix" else parse_listen(self.addr)
