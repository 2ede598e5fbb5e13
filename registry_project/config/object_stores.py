"""The sections of object stores below `storage`."""

import re
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from registry_project.config.section import Ignored, Secret, Section
from registry_project.config.values import (
    AbsolutePath,
    Count,
    Duration,
    Flag,
    Number,
    Positive,
    Text,
    Untyped,
    WebAddress,
    parse_text,
)

SMALLEST_S3_CHUNK = 5 * 1024 * 1024
SMALLEST_CHUNK = 256 * 1024
LARGEST_CHUNK = 1024 * 1024 * 1024
_UNITS = {"": 1, "K": 2**10, "KB": 2**10, "KIB": 2**10, "M": 2**20, "MB": 2**20, "MIB": 2**20, "G": 2**30}
_NO_COPIES = "finishing an upload copies nothing here"


def _chunk_size(smallest: int) -> BeforeValidator:
    def parse(raw: object) -> object:
        match = re.fullmatch(r"([0-9]+)\s*([A-Za-z]*)", str(raw), re.ASCII)
        size = int(match[1]) * _UNITS.get(match[2].upper(), 0) if match else 0
        if not smallest <= size <= LARGEST_CHUNK:
            raise ValueError(f"expected a number of bytes from {smallest} to {LARGEST_CHUNK}, such as 10485760")
        return size

    return BeforeValidator(parse)


def _endpoint(raw: object) -> object:
    """Distribution takes `minio:9000` as well; `secure` then says how to speak to it."""
    return parse_text(raw).rstrip("/") or None


def _kind_of_credentials(raw: object) -> object:
    if str(raw) not in ("", "client_secret", "shared_key", "default_credentials"):
        raise ValueError("expected client_secret, shared_key or default_credentials")
    return str(raw)


def _place(scheme: str, container: str, root: str) -> str:
    return "/".join(filter(None, (f"{scheme}://{container}", root.strip("/"))))


Endpoint = Annotated[str | None, BeforeValidator(_endpoint)]


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
    chunksize: Annotated[Positive, _chunk_size(SMALLEST_S3_CHUNK)] = 10 * 1024 * 1024
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

    @property
    def place(self) -> str:
        return _place("s3", self.bucket, self.rootdirectory)


class GCS(Section):
    bucket: Text = ""
    """Name of the bucket."""
    keyfile: AbsolutePath | None = None
    """Key of a service account, JSON. Without it and `credentials`, the environment's own credentials are used."""
    credentials: Annotated[Untyped, Secret()] = Field(default_factory=dict, repr=False)
    """What such a file holds, as keys and values."""
    rootdirectory: Text = ""
    """Prefix of all keys in the bucket."""
    chunksize: Annotated[Positive, _chunk_size(SMALLEST_CHUNK)] = 16 * 1024 * 1024
    """Bytes that one upload keeps in memory and sends as one part; at least 262144. Suffixes `M` and `MiB` work."""
    maxconcurrency: Annotated[
        Count, Ignored("each request speaks to the store by its own thread; web.threads is the limit")
    ] = 50
    """Distribution's limit of operations at a time."""
    endpoint: WebAddress | None = None
    """Address of another server that speaks Google's JSON API. Without a key nobody signs in there."""
    useragent: Text = ""
    """Text that the client adds to its User-Agent."""

    @property
    def place(self) -> str:
        return _place("gs", self.bucket, self.rootdirectory)


class AzureCredentials(Section):
    type: Annotated[
        Literal["", "client_secret", "shared_key", "default_credentials"], BeforeValidator(_kind_of_credentials)
    ] = ""
    """`shared_key` uses `accountkey`, `client_secret` the three keys below, `default_credentials` the environment's
    own: a managed identity, a workload identity, AZURE_… variables. Unset, `accountkey` decides."""
    clientid: Text = ""
    """Id of the application."""
    tenantid: Text = ""
    """Id of its tenant."""
    secret: Annotated[Text, Secret()] = Field(default="", repr=False)
    """Its secret."""


class Azure(Section):
    accountname: Text = ""
    """Name of the storage account."""
    accountkey: Annotated[Text, Secret()] = Field(default="", repr=False)
    """Key of the storage account."""
    credentials: AzureCredentials = AzureCredentials()
    """How to sign in."""
    container: Text = ""
    """Name of the container."""
    rootdirectory: Text = ""
    """Prefix of all names in the container."""
    realm: Text = "core.windows.net"
    """Domain of the service, such as `core.chinacloudapi.cn` or `core.usgovcloudapi.net`."""
    serviceurl: WebAddress | None = None
    """Address of the account's blob service, where it is not made of `accountname` and `realm`."""
    chunksize: Annotated[Positive, _chunk_size(SMALLEST_CHUNK)] = 10 * 1024 * 1024
    """Bytes that one upload keeps in memory and sends as one block; at least 262144. Suffixes `M` and `MiB` work."""
    max_retries: Number = 5
    """How often a request that failed is tried again; `-1` means never."""
    retry_delay: Duration = timedelta(milliseconds=100)
    """Pause before the first repetition; the second waits twice as long, the third three times."""
    skipverify: Flag = False
    """`true` trusts every certificate of the store."""
    copy_status_poll_max_retry: Annotated[Count, Ignored(_NO_COPIES)] = 5
    """Distribution's number of looks at a copy."""
    copy_status_poll_delay: Annotated[Duration, Ignored(_NO_COPIES)] = timedelta(milliseconds=100)
    """Distribution's pause between two looks."""

    @property
    def place(self) -> str:
        return _place("azure", f"{self.accountname}/{self.container}", self.rootdirectory)

    @property
    def signs_in_by_key(self) -> bool:
        return self.credentials.type == "shared_key" or (not self.credentials.type and bool(self.accountkey))


ObjectStore = S3 | GCS | Azure
