"""The `storage` section."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import Field

from registry_project.config.object_stores import GCS, S3, Azure, ObjectStore
from registry_project.config.section import DriverMap, Ignored, Section
from registry_project.config.values import AbsolutePath, Count, Duration, Flag, Untyped

# Everything else under `storage` names a driver, in Distribution as here.
DRIVERS = ("filesystem", "s3", "gcs", "azure")
NOT_DRIVERS = frozenset({"cache", "delete", "maintenance", "redirect", "tag"})
GONE_DRIVERS = frozenset({"oss", "swift"})
MEMORY_DRIVER = "inmemory"


class Filesystem(Section):
    rootdirectory: AbsolutePath = Field(default_factory=lambda: Path("data").absolute())
    """Folder that holds everything stored; a relative path starts at the current directory."""
    maxthreads: Annotated[
        Count, Ignored("files are read and written by the request's own thread; web.threads is the limit")
    ] = 100
    """Distribution's limit of threads for file operations."""


class Delete(Section):
    enabled: Flag = False
    """`true` allows deleting manifests, tags and blobs through the registry API."""


class Redirect(Section):
    disable: Flag = False
    """`true` always sends blobs through Lading, even where the storage could serve them itself."""


class UploadPurging(Section):
    enabled: Flag = True
    """`false` keeps unfinished uploads for ever."""
    age: Duration = timedelta(hours=168)
    """Age at which an unfinished upload is removed."""
    interval: Duration = timedelta(hours=24)
    """Pause between two rounds."""
    dryrun: Flag = False
    """`true` only logs what would be removed."""


class ReadOnly(Section):
    enabled: Flag = False
    """`true` refuses every write of the registry API."""


class Maintenance(Section):
    uploadpurging: UploadPurging = UploadPurging()
    """Removal of unfinished uploads."""
    readonly: ReadOnly = ReadOnly()
    """Read-only mode."""


class TagStorage(Section):
    concurrencylimit: Annotated[Count, Ignored("tags are rows of the database, found by one query")] = 0
    """Distribution's parallel tag look-ups."""


class StorageSection(DriverMap):
    filesystem: Filesystem = Field(default_factory=Filesystem)
    """Files in a folder."""
    s3: S3 | None = None
    """Amazon S3 and compatible stores."""
    gcs: GCS | None = None
    """Google Cloud Storage."""
    azure: Azure | None = None
    """Azure Blob Storage."""
    inmemory: Untyped | None = None
    """Distribution's storage for tests: not available, since the database would outlive it."""
    delete: Delete = Delete()
    """Deleting through the registry API."""
    redirect: Redirect = Redirect()
    """Sending clients to the storage itself."""
    cache: Annotated[Untyped, Ignored("sizes and media types are in the database, which needs no cache beside it")] = (
        Field(default_factory=dict)
    )
    """Distribution's cache of blob descriptors (`blobdescriptor`, `layerinfo`)."""
    maintenance: Maintenance = Maintenance()
    """Upkeep."""
    tag: TagStorage = TagStorage()
    """Tag look-ups."""

    @property
    def place(self) -> str:
        """Where the bytes lie, for people."""
        store = self.objects
        return store.place if store else str(self.filesystem.rootdirectory)

    @property
    def objects(self) -> ObjectStore | None:
        """The section of the object store; None where files are stored."""
        return self.s3 or self.gcs or self.azure
