"""Reading a range of a blob in Azure."""

from contextlib import AbstractContextManager

import requests

from blobs.storage.azure_client import FAILURES, Access, refusals
from blobs.storage.http import get_range
from blobs.storage.stream import ObjectRange, Opened


class AzureRange(ObjectRange):
    failures = FAILURES

    def __init__(self, session: requests.Session, access: Access, url: str, name: str, start: int, stop: int) -> None:
        self._session, self._access, self._url = session, access, url
        super().__init__(name, start, stop)

    def get(self, start: int, stop: int, version: str | None) -> Opened | None:
        headers = self._access.headers() | ({"If-Match": version} if version else {})
        url = f"{self._url}?{self._access.query(self._name)}"
        return get_range(self._session, url, start, stop, headers=headers, version="ETag", times=self._access.times)

    def refusals(self) -> AbstractContextManager[None]:
        return refusals()
