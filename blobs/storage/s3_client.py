"""The connection to an S3 store, and what its refusals mean."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]
from storages.backends.s3 import S3Storage  # type: ignore[import-untyped]  # noqa: TID251 - behind the door
from urllib3.exceptions import HTTPError

from blobs.storage.base import BlobStore
from blobs.storage.parts import CONTENT_DISPOSITION, CONTENT_TYPE
from oci.errors import StorageFull, Unavailable

log = logging.getLogger("lading.storage")

# S3 itself takes no smaller part, except as the last one.
SMALLEST_PART = 5 * 1024 * 1024
MOST_PARTS = 10_000
OBJECT_HEADERS = {"ContentType": CONTENT_TYPE, "ContentDisposition": CONTENT_DISPOSITION}

_FULL = {"InsufficientStorage", "InsufficientCapacity", "QuotaExceeded", "XMinioStorageFull"}
_ABSENT = {"404", "NoSuchKey", "NoSuchUpload", "NotFound"}
_CONFLICT = {"412", "PreconditionFailed", "ConditionalRequestConflict"}

# More transfers than connections are kept are normal here: those beyond are closed after use.
logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)


class RegistryS3Storage(S3Storage):  # type: ignore[misc]
    """django-storages' S3 with the settings that only a registry has; sizes in bytes."""

    chunksize: int
    redirect_endpoint: str | None

    def get_default_settings(self) -> dict[str, Any]:
        own = {"chunksize": 10 * 1024 * 1024, "redirect_endpoint": None}
        return {**super().get_default_settings(), **own}

    def make_blob_store(self) -> BlobStore:
        from blobs.storage.s3 import S3BlobStore

        return S3BlobStore(self)

    def make_client(self, endpoint_url: str | None = None, **config: Any) -> Any:
        """A client of its own, with `config` over the configured botocore settings; threads may share it.

        django-storages itself has one connection for each thread, which hundreds of threads cannot afford.
        """
        session = self._create_session()
        client = session.client(
            "s3",
            region_name=self.region_name,
            use_ssl=self.use_ssl,
            endpoint_url=endpoint_url or self.endpoint_url,
            config=self.client_config.merge(type(self.client_config)(**config)),
            verify=self.verify,
        )
        client.meta.events.register("before-parse.s3", distrust_torn_answer)
        return client


def distrust_torn_answer(response_dict: dict[str, Any], operation_model: Any = None, **_: object) -> None:
    """Make a success that broke off among its headers, which Python's HTTP client takes for whole, a failure.

    botocore then tries again.
    """
    if operation_model is not None and operation_model.name == "HeadBucket":
        return  # It says nothing but that it succeeded, and some stores frame it as nothing.
    headers = response_dict["headers"]
    etag = headers.get("etag", "")
    framed = {"content-length", "transfer-encoding"} & {name.lower() for name in headers}
    closed = headers.get("connection", "").lower() == "close"
    torn = (not framed and not closed) or (etag.startswith('"') and not (len(etag) > 1 and etag.endswith('"')))
    if response_dict["status_code"] in {200, 206} and torn:
        response_dict["status_code"] = 500


def error_code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def is_absent(error: ClientError) -> bool:
    return error_code(error) in _ABSENT


def is_conflict(error: ClientError) -> bool:
    return error_code(error) in _CONFLICT


def has_no_conditions(error: ClientError) -> bool:
    """Whether the store does not know `If-None-Match` on writes; some do not, and refuse what they do not know."""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status == 501 or error_code(error) in {"NotImplemented", "UnsupportedArgument"}


@contextmanager
def refusals() -> Iterator[None]:
    """Turn what the client library raises into answers of the registry: 507, or 503 for everything else."""
    try:
        yield
    except ClientError as error:
        log.error("the storage refused: %s", error)
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        if status == 507 or error_code(error) in _FULL:
            raise StorageFull({"reason": "the object store is full"}) from error
        raise Unavailable({"reason": f"the object store answered {error_code(error)}"}) from error
    except (BotoCoreError, HTTPError, OSError) as error:
        log.error("the storage failed: %s", error)
        raise Unavailable({"reason": "the object store does not answer"}) from error
