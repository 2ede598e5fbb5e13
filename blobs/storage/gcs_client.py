"""The connection to Google Cloud Storage, and what its refusals mean."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from google.api_core.client_info import ClientInfo
from google.api_core.exceptions import GoogleAPICallError, GoogleAPIError
from google.auth.credentials import AnonymousCredentials, Credentials
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import AuthorizedSession
from google.cloud.storage import Client  # type: ignore[import-untyped]
from google.cloud.storage.retry import DEFAULT_RETRY  # type: ignore[import-untyped]
from google.oauth2.service_account import Credentials as ServiceAccount
from storages.backends.gcloud import GoogleCloudStorage  # type: ignore[import-untyped]  # noqa: TID251 - behind the door
from urllib3.exceptions import HTTPError

from blobs.storage.base import BlobStore
from blobs.storage.http import with_connections
from blobs.storage.parts import log
from oci.errors import StorageFull, Unavailable
from registry_project.config.stores import ATTEMPTS

FAILURES = (GoogleAPIError, GoogleAuthError, HTTPError, OSError)
SCOPES = ("https://www.googleapis.com/auth/devstorage.read_write",)
# Together with one request that hangs, this fits into an upload's claim of 60 s.
RETRY_SECONDS = 30


class RegistryGCSStorage(GoogleCloudStorage):  # type: ignore[misc]
    """django-storages' GCS with the settings that only a registry has; sizes in bytes, times in seconds."""

    chunksize: int
    service_account: dict[str, Any]
    endpoint: str | None
    user_agent: str
    times: tuple[float, float]

    def get_default_settings(self) -> dict[str, Any]:
        own = {"chunksize": 16 << 20, "service_account": {}, "endpoint": None, "user_agent": "", "times": (5, 15)}
        return {**super().get_default_settings(), **own}

    def make_blob_store(self) -> BlobStore:
        from blobs.storage.gcs import GCSBlobStore

        return GCSBlobStore(self)

    def find_credentials(self) -> Credentials | None:
        """The configured key; None for those of the environment, which an endpoint other than Google's never sees."""
        if self.service_account:
            return ServiceAccount.from_service_account_info(self.service_account, scopes=SCOPES)  # type: ignore[no-untyped-call,no-any-return]
        return AnonymousCredentials() if self.endpoint else None  # type: ignore[no-untyped-call]

    def make_client(self) -> Any:
        """A client whose connections many threads share. STORAGE_EMULATOR_HOST is honoured, as Google's clients do."""
        credentials = self.find_credentials()
        options = {"api_endpoint": self.endpoint.rstrip("/")} if self.endpoint else None
        info = ClientInfo(user_agent=self.user_agent or None)  # type: ignore[no-untyped-call]
        client = Client(project=None, credentials=credentials, client_options=options, client_info=info)
        with_connections(client._http, retries=0)
        return client

    def make_session(self, client: Any) -> AuthorizedSession:
        """For ranges of objects, which the client would hold in memory."""
        session = AuthorizedSession(client._credentials)  # type: ignore[no-untyped-call]
        return with_connections(session, retries=ATTEMPTS - 1, delay=0.2)


def patience() -> Any:
    """How long and how often a request is repeated that may be repeated."""
    return DEFAULT_RETRY.with_delay(initial=0.2, maximum=5, multiplier=2).with_timeout(RETRY_SECONDS)


@contextmanager
def refusals() -> Iterator[None]:
    """Turn what the client library raises into answers of the registry: 507, or 503 for everything else."""
    try:
        yield
    except GoogleAPICallError as error:
        log.error("the storage refused: %s", error)
        if error.code == 507:
            raise StorageFull({"reason": "the object store is full"}) from error
        raise Unavailable({"reason": f"the object store answered {error.code}"}) from error
    except FAILURES as error:
        log.error("the storage failed: %s", error)
        raise Unavailable({"reason": "the object store does not answer"}) from error
