"""The `health` section."""

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from registry_project.config.http import ResponseHeaders
from registry_project.config.section import GoName, Ignored, Section
from registry_project.config.values import AbsolutePath, Count, Duration, Flag, Number, Text, WebAddress

_TEN_SECONDS = timedelta(seconds=10)
_NO_TIMEOUT = timedelta()


class StorageDriverCheck(Section):
    enabled: Flag = True
    """`false` never checks the storage."""
    interval: Duration = _TEN_SECONDS
    """Pause between two checks."""
    threshold: Count = 3
    """Failures in a row after which what needs the storage is answered 503 at once; everything else goes on."""


class FileCheck(Section):
    file: AbsolutePath | None = None
    """The registry is unhealthy while this file exists."""
    interval: Duration = _TEN_SECONDS
    """Pause between two checks."""
    threshold: Annotated[Count, Ignored("a file is there or not: the first sight counts, in Distribution too")] = 0
    """Accepted, without effect."""


class HttpCheck(Section):
    uri: WebAddress | None = None
    """Address that is asked with HEAD."""
    headers: ResponseHeaders = Field(default_factory=dict)
    """Headers of the question."""
    statuscode: Number = 200
    """Status that means healthy."""
    timeout: Duration = _NO_TIMEOUT
    """Longest wait for the answer; `0` stands for the interval."""
    interval: Duration = _TEN_SECONDS
    """Pause between two checks."""
    threshold: Count = 0
    """Failures in a row that make the registry unhealthy; `0` and `1` mean the first."""


class TcpCheck(Section):
    addr: Text = ""
    """Address to connect to, `host:port`."""
    timeout: Duration = _NO_TIMEOUT
    """Longest wait for the connection; `0` stands for the interval."""
    interval: Duration = _TEN_SECONDS
    """Pause between two checks."""
    threshold: Count = 0
    """Failures in a row that make the registry unhealthy; `0` and `1` mean the first."""


class HealthSection(Section):
    storagedriver: StorageDriverCheck = StorageDriverCheck()
    """Check of the storage."""
    file: Annotated[tuple[FileCheck, ...], GoName("FileCheckers")] = ()
    """Files whose presence takes the registry out of service."""
    http: Annotated[tuple[HttpCheck, ...], GoName("HTTPCheckers")] = ()
    """Web addresses that must answer."""
    tcp: Annotated[tuple[TcpCheck, ...], GoName("TCPCheckers")] = ()
    """TCP addresses that must accept connections."""
