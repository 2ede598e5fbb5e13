"""Plain HTTP to an object store, for what its client library would hold in memory: ranges of objects."""

import logging
from typing import Any, TypeVar

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from blobs.storage.stream import Opened
from registry_project.config.stores import KEPT_CONNECTIONS

_ABSENT = {404, 412, 416}
_RETRIED = (408, 429, 500, 502, 503, 504)
Times = tuple[float, float]
Session = TypeVar("Session", bound=Any)

# More transfers than connections are kept are normal here: those beyond are closed after use.
logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)


class Refused(OSError):
    """The store answered a GET by something else than the bytes."""


def with_connections(session: Session, *, retries: int, delay: float = 0.0) -> Session:
    """Let a session keep connections for many threads, and repeat a GET that fails, `delay` seconds later."""
    policy = Retry(
        total=retries,
        allowed_methods={"GET"},
        status_forcelist=_RETRIED,
        backoff_factor=delay,
        backoff_max=5,
        raise_on_status=False,
    )
    adapter = HTTPAdapter(pool_connections=4, pool_maxsize=KEPT_CONNECTIONS, max_retries=policy)
    for scheme in ("https://", "http://"):
        session.mount(scheme, adapter)
    return session


def get_range(
    session: requests.Session,
    url: str,
    start: int,
    stop: int,
    *,
    headers: dict[str, str],
    version: str,
    times: Times,
) -> Opened | None:
    """GET bytes `start` to `stop` (exclusive); None when they are not there.

    `version` is the header that names what is read, `times` the seconds to connect and to wait for bytes.
    """
    answer = session.get(
        url,
        headers={**headers, "Range": f"bytes={start}-{stop - 1}", "Accept-Encoding": "identity"},
        stream=True,
        timeout=times,
    )
    size = answer.headers.get("Content-Length")
    if answer.status_code in {200, 206} and size is not None:
        return Opened(answer.raw, int(size), answer.headers.get(version))
    answer.close()
    if answer.status_code in _ABSENT:
        return None
    raise Refused(f"the object store answered {answer.status_code}")
