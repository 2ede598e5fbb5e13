"""The key that signs sessions and tokens of pages: configured, or made once and kept.

Settings only read; `lading serve` makes the key before it starts the processes that need the same one.
"""

import logging
import os
import secrets
from collections.abc import MutableMapping
from contextlib import suppress
from pathlib import Path

from registry_project.config import Configuration, ConfigurationError
from registry_project.config.errors import Mistake
from registry_project.config.http import SHORTEST_SECRET

log = logging.getLogger("lading.server")

_VARIABLE = "LADING_SECRET_KEY"
_FILE = "lading.secret"


def find_secret_key(config: Configuration, environ: MutableMapping[str, str]) -> str:
    """This will give the key in effect, or a random one where nobody has made one yet."""
    if config.http.secret:
        return config.http.secret
    if handed := environ.get(_VARIABLE):
        return handed
    folder = _folder(config)
    kept = _read(folder / _FILE) if folder else None
    return kept or secrets.token_urlsafe(48)


def keep_secret_key(config: Configuration, environ: MutableMapping[str, str]) -> None:
    """This will make the key unless it is there, beside the SQLite file or in the root directory of the storage.

    Where there is neither, or no file can be written, `environ` hands a random one to the child processes. Raises
    ConfigurationError for a file that holds no key.
    """
    if config.http.secret:
        return
    folder = _folder(config)
    key = None
    if folder is not None:
        try:
            key = _made(folder / _FILE)
        except OSError as error:
            log.warning("the key of sessions cannot be kept in %s: %s", folder, error.strerror)
    if key is None:
        key = secrets.token_urlsafe(48)
        log.warning(
            "http.secret is not set: everybody is signed out when this server restarts, and several servers would not "
            "know each other's sessions"
        )
    environ[_VARIABLE] = key


def _folder(config: Configuration) -> Path | None:
    url = config.database_url()
    if url.lower().startswith("sqlite:"):
        from registry_project.config import django_database

        return Path(django_database(url, pool_max=1)["NAME"]).absolute().parent
    return config.storage.filesystem.rootdirectory if config.storage.s3 is None else None


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None


def _made(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{secrets.token_urlsafe(48)}\n")
            file.flush()
            os.fsync(file.fileno())
        # Only a name is added, and only if nobody else has: two servers that start at once take the same key.
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
    key = path.read_text().strip()
    if len(key) < SHORTEST_SECRET:
        advice = f"expected a key of at least {SHORTEST_SECRET} characters; remove the file, and a new one is made"
        raise ConfigurationError([Mistake(str(path), "(hidden)", advice, "key of sessions")])
    return key
