"""The `storage` section."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field

from registry_project.config.section import DriverMap, Ignored, Secret, Section
from registry_project.config.values import AbsolutePath, Count, Duration, Flag, Positive, Text, Untyped, parse_text

# Everything else under `storage` names a driver, in Distribution as here.
DRIVERS = ("filesystem", "s3")
NOT_DRIVERS = frozenset({"cache", "delete", "maintenance", "redirect", "tag"})
FUTURE_DRIVERS = frozenset({"azure", "gcs", "inmemory"})
GONE_DRIVERS = frozenset({"oss", "swift"})


SMALLEST_CHUNK = 5 * 1024 * 1024
_UNITS = {"": 1, "K": 2**10, "KB": 2**10, "KIB": 2**10, "M": 2**20, "MB": 2**20, "MIB": 2**20, "G": 2**30}
LARGEST_CHUNK = 1024 * 1024 * 1024


def _chunk_size(raw: object) -> object:
    match = re.fullmatch(r"([0-9]+)\s*([A-Za-z]*)", str(raw), re.ASCII)
    size = int(match[1]) * _UNITS.get(match[2].upper(), 0) if match else 0
    if not SMALLEST_CHUNK <= size <= LARGEST_CHUNK:
        raise ValueError(f"expected a number of bytes from {SMALLEST_CHUNK} to {LARGEST_CHUNK}, such as 10485760")
    return size


class Filesystem(Section):
    rootdirectory: AbsolutePath = Field(default_factory=lambda: Path("data").absolute())
    """Folder that holds everything stored; a relative path starts at the current directory."""
    maxthreads: Annotated[
        Count, Ignored("files are read and written by the request's own thread; web.threads is the limit")
    ] = 100
    """Distribution's limit of threads for file operations."""


def _endpoint(raw: object) -> object:
    """Distribution takes `minio:9000` as well; `secure` then says how to speak to it."""
    return parse_text(raw).rstrip("/") or None


Endpoint = Annotated[str | None, BeforeValidator(_endpoint)]
_NO_COPIES = "finishing an upload copies nothing here"


class S3(Section):
    bucket: Text = ""
    """Name of the bucket."""
    region: Text = ""
    """Region, such as `eu-central-1`; unset, AWS_REGION or us-east-1."""
    accesskey: Annotated[Text, Secret()] = Field(default="", repr=False)
    """Access key; without keys, those of the environment, of the instance's role or of the service account."""
    secretkey: Annotated[Text, Secret()] = Field(default="", repr=False)
    """Secret key."""
    sessiontoken: Annotated[Text, Secret()] = Field(default="", repr=False)
    """Session token of temporary keys."""
    regionendpoint: Endpoint = None
    """Address of an S3-compatible store, such as `https://minio.example.org:9000`; unset, Amazon's."""
    redirectendpoint: Endpoint = None
    """Address of the same store for clients that are sent there, where theirs differs."""
    forcepathstyle: Flag = False
    """`true` names the bucket in the path of each request, not in the name of the host."""
    secure: Flag = True
    """`false` speaks HTTP where an endpoint has no scheme."""
    skipverify: Flag = False
    """`true` trusts every certificate of the store."""
    rootdirectory: Text = ""
    """Prefix of all keys in the bucket."""
    chunksize: Annotated[Positive, BeforeValidator(_chunk_size)] = 10 * 1024 * 1024
    """Bytes that one upload keeps in memory and sends as one part; at least 5242880. Suffixes `M` and `MiB` work."""
    storageclass: Text = "STANDARD"
    """Storage class of new objects; `NONE` sends none, for stores that know no classes."""
    encrypt: Flag = False
    """`true` asks the store to encrypt: with AES256, or with the KMS key of `keyid`."""
    keyid: Text = ""
    """KMS key for `encrypt`."""
    objectacl: Text = "private"
    """Canned ACL of new objects; `private`, the stores' own default, is not sent."""
    useragent: Text = ""
    """Text that the client adds to its User-Agent."""
    usedualstack: Flag = False
    """`true` uses Amazon's endpoints for IPv4 and IPv6."""
    accelerate: Flag = False
    """`true` uses Amazon's Transfer Acceleration."""
    usefipsendpoint: Flag = False
    """`true` uses Amazon's FIPS endpoints."""
    v4auth: Annotated[Flag, Ignored("requests are always signed by version 4")] = True
    """Distribution's choice of the signature."""
    multipartcopychunksize: Annotated[Count, Ignored(_NO_COPIES)] = 32 * 1024 * 1024
    """Distribution's part size of copies."""
    multipartcopymaxconcurrency: Annotated[Count, Ignored(_NO_COPIES)] = 100
    """Distribution's number of parallel copies."""
    multipartcopythresholdsize: Annotated[Count, Ignored(_NO_COPIES)] = 32 * 1024 * 1024
    """Distribution's smallest copy in parts."""
    loglevel: Annotated[Text, Ignored("log.level decides")] = "off"
    """Distribution's logging of its S3 client."""


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
    gcs: Untyped | None = None
    """Google Cloud Storage: not available yet."""
    azure: Untyped | None = None
    """Azure Blob Storage: not available yet."""
    inmemory: Untyped | None = None
    """Distribution's storage for tests: not available."""
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
        if self.s3 is not None:
            return "/".join(filter(None, (f"s3://{self.s3.bucket}", self.s3.rootdirectory.strip("/"))))
        return str(self.filesystem.rootdirectory)
