"""Reading a range of an object in Google Cloud Storage."""

from contextlib import AbstractContextManager
from typing import Any

from blobs.storage.gcs_client import FAILURES, refusals
from blobs.storage.http import Times, get_range
from blobs.storage.stream import ObjectRange, Opened


class GCSRange(ObjectRange):
    failures = FAILURES

    def __init__(self, session: Any, url: str, name: str, start: int, stop: int, times: Times) -> None:
        self._session, self._url, self._times = session, url, times
        super().__init__(name, start, stop)

    def get(self, start: int, stop: int, version: str | None) -> Opened | None:
        unchanged = f"&ifGenerationMatch={version}" if version else ""
        url = self._url + unchanged
        return get_range(self._session, url, start, stop, headers={}, version="x-goog-generation", times=self._times)

    def refusals(self) -> AbstractContextManager[None]:
        return refusals()
