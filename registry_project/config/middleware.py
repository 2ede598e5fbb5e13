"""The `middleware` section: other addresses for blobs than the store's own."""

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from registry_project.config.section import Ignored, Section
from registry_project.config.values import AbsolutePath, Duration, Flag, Text, Untyped, WebAddress

_EVERYONE = "every client is sent to CloudFront"
_PLUGINS = "Distribution's plug-ins cannot run here"


class StorageMiddlewareOptions(Section):
    baseurl: WebAddress | None = None
    """Address that stands before a blob's key."""
    privatekey: AbsolutePath | None = None
    """CloudFront: private RSA key that signs addresses, PEM."""
    keypairid: Text = ""
    """CloudFront: id of that key."""
    duration: Duration = timedelta(minutes=20)
    """CloudFront: how long an address works."""
    ipfilteredby: Annotated[Text, Ignored(_EVERYONE)] = ""
    """Distribution's choice by the client's address."""
    awsregion: Annotated[Text, Ignored(_EVERYONE)] = ""
    """Distribution's regions for `ipfilteredby`."""
    updatefrequency: Annotated[Text, Ignored(_EVERYONE)] = ""
    """Distribution's pause between reads of Amazon's addresses."""
    iprangesurl: Annotated[Text, Ignored(_EVERYONE)] = ""
    """Distribution's source of Amazon's addresses."""


class StorageMiddleware(Section):
    name: Text = ""
    """Kind: `redirect` or `cloudfront`."""
    disabled: Flag = False
    """`true` switches it off."""
    options: StorageMiddlewareOptions = StorageMiddlewareOptions()
    """What it needs."""


class Middleware(Section):
    storage: tuple[StorageMiddleware, ...] = ()
    """Where clients are sent for blobs, in place of the store's own signed addresses; the last one counts."""
    registry: Annotated[list[Untyped], Ignored(_PLUGINS)] = Field(default_factory=list)
    """Distribution's plug-ins."""
    repository: Annotated[list[Untyped], Ignored(_PLUGINS)] = Field(default_factory=list)
    """Distribution's plug-ins."""
