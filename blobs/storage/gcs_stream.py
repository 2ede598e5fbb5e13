"""Reading a range of an object in Google Cloud Storage."""

from contextlib import AbstractContextManager
from typing import Any

from blobs.storage.gcs_client import FAILURES, refusals
from blobs.storage.http import get_range
from blobs.storage.stream import ObjectRange, Opened


class GCSRange(ObjectRange):
    failures = FAILURES

    def __init__(self, session: Any, url: str, name: str, start: int, stop: int) -> None:
        self._session, self._url = session, url
        super().__init__(name, start, stop)

    def get(self, start: int, stop: int, version: str | None) -> Opened | None:
        unchanged = f"&ifGenerationMatch={version}" if version else ""
        return get_range(self._session, self._url + unchanged, start, stop, headers={}, version="x-goog-generation")

    def refusals(self) -> AbstractContextManager[None]:
        return refusals()
