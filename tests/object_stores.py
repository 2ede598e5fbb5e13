"""Blob stores over the object stores that tests start."""

import secrets
from typing import Any, Protocol

from django.utils.module_loading import import_string

from registry_project.config import load_configuration
from registry_project.config.stores import django_storage


class Server(Protocol):
    def environ(self, **keys: str) -> dict[str, str]: ...


# The smallest parts that each takes, so that few bytes suffice for many of them.
_SMALLEST = {"s3": "5242880", "gcs": "262144", "azure": "262144"}


def make_object_store(server: Server, **keys: str) -> Any:
    """A store under a prefix of its own; `keys` are those of its section in the configuration."""
    driver = server.environ()["REGISTRY_STORAGE"]
    environ = server.environ(**{"rootdirectory": f"/{secrets.token_hex(4)}", "chunksize": _SMALLEST[driver], **keys})
    storage = django_storage(load_configuration(None, environ).storage)
    return import_string(storage["BACKEND"])(**storage["OPTIONS"]).make_blob_store()
