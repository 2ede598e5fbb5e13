"""`database.url` as Django's DATABASES entry."""

from datetime import timedelta
from typing import Any
from urllib.parse import unquote, urlsplit

_SQLITE_PRAGMAS = (
    # Readers and the one writer do not block each other.
    "PRAGMA journal_mode=WAL",
    # Each commit reaches the disk before it is acknowledged.
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
)
# A request waits `timeout` seconds for a connection. Attempts to connect follow each other ever more slowly; given up
# after `reconnect_timeout` seconds they begin anew with the next request, so that a database that is back is found.
_POOL = {"min_size": 1, "timeout": 10, "reconnect_timeout": 4}
_CONNECT_SECONDS = 5
_EXPECTED = "expected postgresql://user:password@host:5432/name or sqlite:////absolute/path"


def django_database(url: str, *, pool_max: int, timeout: timedelta = timedelta()) -> dict[str, Any]:
    """This will turn a database address into one value of Django's DATABASES.

    PostgreSQL: libpq's own address syntax, query parameters included (`sslmode`, `application_name`,
    `host=/run/postgresql` for a socket), with a pool of at most `pool_max` connections per process; a statement that
    takes longer than `timeout` fails, zero means no limit.
    SQLite: `sqlite:///relative` or `sqlite:////absolute`. Raises ValueError, whose text never shows the password.
    """
    scheme = url.partition(":")[0].lower()
    if scheme in ("postgres", "postgresql"):
        return _postgresql(url, pool_max, timeout)
    if scheme == "sqlite":
        return _sqlite(url)
    raise ValueError(_EXPECTED)


def _sqlite(url: str) -> dict[str, Any]:
    if not url.lower().startswith("sqlite:///"):
        raise ValueError("expected sqlite:///relative/path or sqlite:////absolute/path")
    parts = urlsplit(url)
    path = unquote(parts.path[1:])
    if parts.query or parts.fragment or not path or path.endswith("/") or path == ":memory:" or "\0" in path:
        raise ValueError("expected sqlite:/// and the path of a file, without parameters")
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": path,
        "CONN_MAX_AGE": None,
        "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 30, "init_command": "; ".join(_SQLITE_PRAGMAS)},
    }


def _postgresql(url: str, pool_max: int, timeout: timedelta) -> dict[str, Any]:
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    scheme, _, rest = url.partition(":")
    try:
        options: dict[str, Any] = dict(conninfo_to_dict(f"{scheme.lower()}:{rest}"))
    except ProgrammingError as error:
        # libpq's other messages repeat parts of the address, and so perhaps of the password.
        reason = str(error).strip()
        told = f" ({reason})" if reason.startswith("invalid URI query parameter") else ""
        raise ValueError(_EXPECTED + told) from None
    name = options.pop("dbname", "")
    if not name:
        raise ValueError("expected the name of a database after the host: postgresql://host/name")
    if any(port and not port.isdecimal() for port in str(options.get("port", "")).split(",")):
        raise ValueError(f"{_EXPECTED}; write special characters of the password as %2F and so on")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": name,
        "USER": options.pop("user", ""),
        "PASSWORD": options.pop("password", ""),
        "HOST": options.pop("host", ""),
        "PORT": str(options.pop("port", "")),
        # The pool keeps connections open. It does not ask each whether it lives, which would cost every request a
        # round trip: the first error makes it look at all of them (registry_project.database).
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": False,
        # Prepared from the second use on: planning costs the server more than running these statements.
        "OPTIONS": {
            **_limits(options, timeout),
            "server_side_binding": True,
            "prepare_threshold": 2,
            "pool": {**_POOL, "max_size": pool_max, **_patience(timeout)},
        },
    }


def _limits(options: dict[str, Any], timeout: timedelta) -> dict[str, Any]:
    """The time limits as options of libpq; those of the address win."""
    limited = {"connect_timeout": _CONNECT_SECONDS, **options}
    if timeout:
        limit = f"-c statement_timeout={timeout // timedelta(milliseconds=1)}"
        limited["options"] = f"{limit} {options.get('options', '')}".strip()
    return limited


def _patience(timeout: timedelta) -> dict[str, Any]:
    if not timeout:
        return {}
    from registry_project.patience import patient_connection

    return {"connection_class": patient_connection(timeout.total_seconds())}
