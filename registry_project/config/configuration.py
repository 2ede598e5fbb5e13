"""The whole configuration as one typed model."""

from typing import Annotated, Literal
from urllib.parse import quote

from pydantic import Field

from registry_project.config.auth import Auth
from registry_project.config.health import HealthSection
from registry_project.config.http import HttpSection
from registry_project.config.log import LogLevel, LogSection, Reporting
from registry_project.config.middleware import Middleware
from registry_project.config.other import (
    Catalog,
    Compatibility,
    Notifications,
    Policy,
    Tags,
    Validation,
)
from registry_project.config.own import (
    Admin,
    Audit,
    Celery,
    Collection,
    Database,
    Egress,
    Limits,
    Pulls,
    Retention,
    Scrub,
    Teams,
    Trash,
    Web,
)
from registry_project.config.section import Ignored, Refused, Secret, Section
from registry_project.config.storage import StorageSection
from registry_project.config.values import Text, Untyped

SQLITE_NAME = "lading.db"

AuthKind = Literal["none", "lading", "htpasswd", "token"]


class Sections(Section):
    """Every section that config.yml may have."""

    version: Text = "0.1"
    """Version of the format: `0.1`."""
    log: LogSection = LogSection()
    """Logging."""
    loglevel: LogLevel = "info"
    """Distribution 2's older name of `log.level`, which wins."""
    storage: StorageSection = Field(default_factory=StorageSection)
    """Storage: exactly one driver, and what holds for all of them."""
    auth: Auth | None = None
    """Who may do what: exactly one kind."""
    http: HttpSection = HttpSection()
    """The server."""
    catalog: Catalog = Catalog()
    """List of repositories."""
    tags: Tags = Tags()
    """List of tags."""
    validation: Validation = Validation()
    """Checks of pushed manifests."""
    health: HealthSection = HealthSection()
    """Health checks; an unhealthy registry answers 503."""
    redis: Annotated[Untyped, Secret(), Ignored("Lading keeps nothing there; the queue's address is celery.broker")] = (
        Field(default_factory=dict, repr=False)
    )
    """Distribution's Redis (`addr`, `addrs`, `password`, `db`, `pool`, `tls` and so on)."""
    notifications: Notifications = Notifications()
    """Events that are posted to other servers; docs/notifications.md."""
    middleware: Middleware = Middleware()
    """Where clients are sent for blobs."""
    proxy: Annotated[
        Untyped, Secret(), Refused("a pull-through cache is not available; an empty registry would answer instead")
    ] = Field(default_factory=dict, repr=False)
    """Distribution's pull-through cache: not available."""
    compatibility: Annotated[Compatibility, Ignored("Docker's manifest schema 1 is not served")] = Compatibility()
    """Old formats."""
    reporting: Reporting = Reporting()
    """Error reporting."""
    policy: Policy = Policy()
    """Policies."""
    database: Database = Database()
    """The database."""
    celery: Celery = Celery()
    """Background work in processes of its own."""
    gc: Collection = Collection()
    """Garbage collection."""
    scrub: Scrub = Scrub()
    """Reading stored blobs again, to find those that are damaged."""
    audit: Audit = Audit()
    """The audit log; docs/audit.md."""
    egress: Egress = Egress()
    """Which other servers may be called."""
    limits: Limits = Limits()
    """Limits of requests."""
    trash: Trash = Trash()
    """Undo of deleted tags."""
    pulls: Pulls = Pulls()
    """What counts as use; docs/retention.md."""
    web: Web = Field(default_factory=Web)
    """Processes and threads."""
    retention: Retention = Field(default_factory=dict)
    """Retention policy of the instance: no effect yet."""
    teams: Teams = Teams()
    """Teams; with `auth.lading`."""
    admin: Annotated[Admin, Secret()] = Admin()
    """First administrator; with `auth.lading`."""


class Configuration(Sections):
    """The configuration in effect, and the warnings that the server logs once."""

    warnings: tuple[str, ...] = ()

    @property
    def auth_kind(self) -> AuthKind | None:
        """The configured kind, or None when nothing was said."""
        kinds: tuple[AuthKind, ...] = ("none", "lading", "htpasswd", "token")
        return next((kind for kind in kinds if self.auth and getattr(self.auth, kind) is not None), None)

    def database_url(self) -> str:
        """This will give `database.url`, or the address of `lading.db` in the root directory."""
        if self.database.url is not None:
            return self.database.url
        return "sqlite:///" + quote(str(self.storage.filesystem.rootdirectory / SQLITE_NAME))
