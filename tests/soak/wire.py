"""One request over plain HTTP, and what became of it."""

import json
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException

TIMEOUT_SECONDS = 60


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def codes(self) -> list[str]:
        """The codes of an error, of the protocol or the management API."""
        try:
            content = json.loads(self.body)
            found = [error["code"] for error in content["errors"]] if "errors" in content else [content["code"]]
        except (ValueError, KeyError, TypeError):
            return []
        return [str(code) for code in found]

    @property
    def retry_after(self) -> float:
        try:
            return float(self.headers.get("retry-after", ""))
        except ValueError:
            return 0.5


class Wire:
    """A connection that is made anew where it broke."""

    def __init__(self, host: str, *, timeout: float = TIMEOUT_SECONDS) -> None:
        self._host, self._timeout = host, timeout
        self._connection: HTTPConnection | None = None

    def send(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer | None:
        """The answer, or None where nobody knows."""
        if self._connection is None:
            self._connection = HTTPConnection(self._host, timeout=self._timeout)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            self._connection.request(method, path, body or None, named | {"Content-Length": str(len(body))})
            answer = self._connection.getresponse()
            content = answer.read()
        except (OSError, HTTPException):
            self.close()
            return None
        if answer.getheader("Connection", "").lower() == "close":
            self.close()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, content)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
