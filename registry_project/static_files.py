"""Static files straight from the packages that bring them, with the hash of their content in their names.

Nothing is collected or built: an installed wheel and a checkout serve the same. `{% static %}` gives the hashed name,
which browsers keep for ever; files that refer to each other by plain names find them too, for a minute.
"""

import hashlib
from functools import cache
from os import stat_result
from pathlib import Path, PurePosixPath

from django.contrib.staticfiles import finders
from django.contrib.staticfiles.storage import StaticFilesStorage
from whitenoise.middleware import WhiteNoiseMiddleware  # type: ignore[import-untyped]

_DIGITS = 12


class HashedFiles(StaticFilesStorage):
    def url(self, name: str | None) -> str:
        """The address of a file; raises ValueError for one that no package has."""
        return super().url(_found(name or ""))


class StaticFiles(WhiteNoiseMiddleware):  # type: ignore[misc]
    def add_file_to_dictionary(self, url: str, path: str, stat_cache: dict[str, stat_result] | None = None) -> None:
        super().add_file_to_dictionary(url, path, stat_cache=stat_cache)
        super().add_file_to_dictionary(_hashed(url, path), path, stat_cache=stat_cache)


@cache
def _found(name: str) -> str:
    path = finders.find(name)
    if not path:
        raise ValueError(f"there is no static file {name!r}")
    return _hashed(name, str(path))


def _hashed(name: str, path: str) -> str:
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()[:_DIGITS]
    plain = PurePosixPath(name)
    return str(plain.with_name(f"{plain.stem}.{digest}{plain.suffix}"))
