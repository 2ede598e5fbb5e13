"""Reading a range of an object in S3."""

from contextlib import AbstractContextManager
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]
from urllib3.exceptions import HTTPError

from blobs.storage.s3_client import is_absent, refusals
from blobs.storage.stream import ObjectRange, Opened


class S3Range(ObjectRange):
    failures = (BotoCoreError, ClientError, HTTPError, OSError)

    def __init__(self, client: Any, place: dict[str, str], start: int, stop: int) -> None:
        self._client, self._place = client, place
        super().__init__(place["Key"], start, stop)

    def get(self, start: int, stop: int, version: str | None) -> Opened | None:
        unchanged = {"IfMatch": version} if version else {}
        try:
            answer = self._client.get_object(**self._place, Range=f"bytes={start}-{stop - 1}", **unchanged)
        except ClientError as error:
            if is_absent(error):
                return None
            raise
        return Opened(answer["Body"], answer["ContentLength"], answer.get("ETag"))

    def refusals(self) -> AbstractContextManager[None]:
        return refusals()
