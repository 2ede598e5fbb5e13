"""The connection to Azure Blob Storage, and what its refusals mean."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from threading import Lock
from typing import Any

import requests
from azure.core.exceptions import AzureError, HttpResponseError, ServiceResponseError
from azure.core.pipeline.transport import RequestsTransport
from azure.storage.blob import BlobSasPermissions, BlobServiceClient, LinearRetry, UserDelegationKey, generate_blob_sas
from django.utils import timezone
from storages.backends.azure_storage import AzureStorage  # type: ignore[import-untyped]  # noqa: TID251 - behind the door
from urllib3.exceptions import HTTPError

from blobs.storage.base import BlobStore
from blobs.storage.http import with_connections
from blobs.storage.parts import CONTENT_DISPOSITION, CONTENT_TYPE, log
from oci.errors import StorageFull, Unavailable
from registry_project.config.object_stores import LARGEST_CHUNK, AzureCredentials

FAILURES = (AzureError, HTTPError, OSError)
# A delegation key is asked for this long, and anew when less than the second is left.
_KEY_LIFETIME, _KEY_RESERVE = timedelta(days=2), timedelta(days=1)
_SCOPE = "https://storage.azure.com/.default"
_VERSION = "2023-11-03"

# At our own level it would tell each request.
logging.getLogger("azure").setLevel(logging.WARNING)


class RegistryAzureStorage(AzureStorage):  # type: ignore[misc]
    """django-storages' Azure with the settings that only a registry has; sizes in bytes, times in seconds."""

    account_name: str
    account_key: str | None
    azure_container: str
    client_secret: AzureCredentials | None
    service_url: str
    chunksize: int
    retries: int
    retry_delay: float
    verify: bool
    times: tuple[float, float]

    def get_default_settings(self) -> dict[str, Any]:
        own = {
            "client_secret": None,
            "service_url": "",
            "chunksize": 10 * 1024 * 1024,
            "retries": 5,
            "retry_delay": 0.1,
            "verify": True,
            "times": (5, 15),
        }
        return {**super().get_default_settings(), **own}

    def make_blob_store(self) -> BlobStore:
        from blobs.storage.azure import AzureBlobStore

        return AzureBlobStore(self)

    def make_session(self) -> requests.Session:
        """For ranges of blobs, which the client would hold in memory."""
        session = with_connections(requests.Session(), retries=self.retries, delay=self.retry_delay)
        session.verify = self.verify
        return session

    def _get_service_client(self) -> BlobServiceClient:
        if not self.account_key:
            self.token_credential = _token_credential(self.client_secret)
        transport = _Transport(
            session=with_connections(requests.Session(), retries=0),
            session_owner=False,
            connection_timeout=self.times[0],
            read_timeout=self.times[1],
            connection_verify=self.verify,
        )
        key = {"account_name": self.account_name, "account_key": self.account_key or ""}
        return BlobServiceClient(
            self.service_url,
            credential=key if self.account_key else self.token_credential,
            transport=transport,
            retry_policy=_Retry(self.retries, self.retry_delay),
            # What is sent at once is one part, which is in memory anyway.
            max_single_put_size=LARGEST_CHUNK,
        )


class Access:
    """Signs addresses and reads by them, with the account's key or by a token."""

    def __init__(self, storage: RegistryAzureStorage) -> None:
        self._storage = storage
        self.times = storage.times
        self._service: BlobServiceClient = storage.service_client
        self._lock = Lock()
        self._key: UserDelegationKey | None = None
        self._key_expires_at = timezone.now()

    def headers(self) -> dict[str, str]:
        """What lets a GET read, beside `query`."""
        if self._storage.account_key:
            return {}
        token = self._storage.token_credential.get_token(_SCOPE).token
        return {"Authorization": f"Bearer {token}", "x-ms-version": _VERSION}

    def query(self, name: str) -> str:
        return self.signature(name, timedelta(minutes=15)) if self._storage.account_key else ""

    def signature(self, name: str, lifetime: timedelta) -> str:
        """A shared access signature for reading one blob, as a download."""
        now = timezone.now()
        key = self._storage.account_key
        return generate_blob_sas(
            self._storage.account_name,
            self._storage.azure_container,
            name,
            account_key=key,
            user_delegation_key=None if key else self._delegation_key(now),
            permission=BlobSasPermissions(read=True),
            expiry=now + lifetime,
            content_type=CONTENT_TYPE,
            content_disposition=CONTENT_DISPOSITION,
        )

    def _delegation_key(self, now: datetime) -> UserDelegationKey:
        with self._lock:
            if self._key is None or self._key_expires_at - now < _KEY_RESERVE:
                expires_at = now + _KEY_LIFETIME
                # It begins a little earlier, for clocks that differ.
                self._key = self._service.get_user_delegation_key(now - timedelta(minutes=5), expires_at)
                self._key_expires_at = expires_at
            return self._key


class _Transport(RequestsTransport):  # type: ignore[misc]
    """Makes a success that broke off among its headers, which Python's HTTP client takes for whole, a failure.

    The client then tries again.
    """

    def send(self, request: Any, **kwargs: Any) -> Any:
        response = super().send(request, **kwargs)
        headers = response.headers
        framed = "content-length" in headers or "transfer-encoding" in headers
        if response.status_code < 300 and not (framed and "x-ms-request-id" in headers):
            response.internal_response.close()
            raise ServiceResponseError("the answer broke off among its headers")
        return response


class _Retry(LinearRetry):
    """Waits once the delay, then twice, then three times, as Distribution does."""

    def __init__(self, retries: int, delay: float) -> None:
        super().__init__(retry_total=retries, retry_connect=retries, retry_read=retries, retry_status=retries)
        self._delay = delay

    def get_backoff_time(self, settings: dict[str, Any]) -> float:
        return self._delay * int(settings["count"])


def _token_credential(secret: AzureCredentials | None) -> Any:
    # Only who signs in by a token pays for this library.
    from azure.identity import ClientSecretCredential, DefaultAzureCredential

    if secret is None:
        return DefaultAzureCredential()
    return ClientSecretCredential(secret.tenantid, secret.clientid, secret.secret)


@contextmanager
def refusals() -> Iterator[None]:
    """Turn what the client library raises into answers of the registry: 507, or 503 for everything else."""
    try:
        yield
    except HttpResponseError as error:
        log.error("the storage refused: %s", error)
        if error.status_code == 507:
            raise StorageFull({"reason": "the object store is full"}) from error
        code = getattr(error, "error_code", None) or error.status_code
        raise Unavailable({"reason": f"the object store answered {code}"}) from error
    except FAILURES as error:
        log.error("the storage failed: %s", error)
        raise Unavailable({"reason": "the object store does not answer"}) from error
