"""Distribution's smaller sections, and those that Lading does not act on yet."""

import re
import warnings
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from registry_project.config.http import ResponseHeaders
from registry_project.config.section import GoName, Ignored, Refused, Secret, Section
from registry_project.config.values import Count, Duration, Flag, PageSize, Text, WebAddress, parse_text


class Catalog(Section):
    maxentries: PageSize = 1000
    """Most repositories in one answer of the catalog; `0` means the default."""


class Tags(Section):
    maxtags: PageSize = 1000
    """Most tags in one answer of the tag list; `0` means the default."""


def _pattern(raw: object) -> object:
    pattern = parse_text(raw)
    try:
        with warnings.catch_warnings():
            # Python warns where it reads a pattern, such as [[:alpha:]], differently from Go.
            warnings.simplefilter("error")
            re.compile(pattern)
    except (re.error, RecursionError, Warning) as error:
        raise ValueError(f"expected a regular expression ({error})") from error
    return pattern


Pattern = Annotated[str, BeforeValidator(_pattern)]


class Urls(Section):
    allow: tuple[Pattern, ...] = ()
    """Patterns; with any, a layer's URL must match one of them."""
    deny: tuple[Pattern, ...] = ()
    """Patterns that no layer's URL may match."""


class PlatformEntry(Section):
    architecture: Text = ""
    """Architecture, such as `amd64`."""
    os: Text = ""
    """Operating system, such as `linux`."""


def _platforms(raw: object) -> object:
    if str(raw) not in ("", "all", "none", "list"):
        raise ValueError("expected all, none or list")
    return str(raw) or "all"


class Indexes(Section):
    platforms: Annotated[Literal["all", "none", "list"], BeforeValidator(_platforms)] = "all"
    """Which manifests of an index must exist when it is pushed: `all`, `none`, or those of the `list`."""
    platformlist: tuple[PlatformEntry, ...] = ()
    """Platforms that must exist with `platforms: list`."""


class ManifestValidation(Section):
    urls: Urls = Urls()
    """URLs of layers that are stored elsewhere."""
    indexes: Indexes = Indexes()
    """Completeness of image indexes."""


class Validation(Section):
    enabled: Annotated[Flag, Ignored("validation.disabled decides")] = True
    """Distribution 2's older switch."""
    disabled: Flag = False
    """`true` switches the checks of this section off."""
    manifests: ManifestValidation = ManifestValidation()
    """Checks of pushed manifests."""


class Events(Section):
    includereferences: Flag = False
    """Whether events about manifests list what they refer to."""


class Ignore(Section):
    mediatypes: tuple[Text, ...] = ()
    """Media types that are not announced."""
    actions: tuple[Text, ...] = ()
    """Actions that are not announced."""


class Endpoint(Section):
    name: Text = ""
    """Name of the receiver; unique. Events wait under this name, so it should not change."""
    disabled: Flag = False
    """`true` switches the receiver off."""
    url: Annotated[WebAddress | None, Secret()] = Field(default=None, repr=False)
    """Address that events are posted to."""
    headers: Annotated[ResponseHeaders, Secret()] = Field(default_factory=dict, repr=False)
    """Headers of each request."""
    secret: Annotated[Text, Secret()] = Field(default="", repr=False)
    """Key that each request is signed with, in the header `Lading-Signature`; Lading's own."""
    timeout: Duration = timedelta(seconds=1)
    """Longest wait for an answer; `0` stands for the default."""
    threshold: Count = 10
    """Failures in a row before pauses grow; `0` stands for the default."""
    backoff: Duration = timedelta(seconds=1)
    """First of these pauses, which double up to five minutes; `0` stands for the default."""
    giveup: Duration = timedelta(days=1)
    """Age at which an event that cannot be delivered is parked; Lading's own."""
    ignoredmediatypes: tuple[Text, ...] = ()
    """Media types that are not announced."""
    ignore: Ignore = Ignore()
    """Events that are not announced."""


class Notifications(Section):
    events: Annotated[Events, GoName("EventConfig")] = Events()
    """Form of the events."""
    endpoints: tuple[Endpoint, ...] = ()
    """Receivers."""


class Schema1(Section):
    signingkeyfile: Annotated[Text, GoName("TrustKey")] = ""
    """Key for signing, in Distribution 2."""
    enabled: Flag = False
    """Whether schema 1 is served, in Distribution 2."""


class Compatibility(Section):
    schema1: Schema1 = Schema1()
    """Docker's first manifest format."""


class RepositoryPolicy(Section):
    classes: Annotated[
        tuple[Text, ...], Refused("limiting a registry to classes of artifacts is not available; remove it")
    ] = ()
    """Distribution's limit to `image` or `plugin`: not available."""


class Policy(Section):
    repository: RepositoryPolicy = RepositoryPolicy()
    """Policy of repositories."""
