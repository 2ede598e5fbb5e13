"""Blob stores over the object stores that tests start."""

import secrets

from blobs.storage.s3 import S3BlobStore
from blobs.storage.s3_client import RegistryS3Storage
from registry_project.config import load_configuration
from registry_project.config.stores import django_storage
from tests.s3_server import S3Server


def make_s3_store(server: S3Server, **keys: str) -> S3BlobStore:
    """A store under a prefix of its own; `keys` are those of storage.s3 in the configuration."""
    environ = server.environ(**{"rootdirectory": f"/{secrets.token_hex(4)}", "chunksize": "5242880", **keys})
    storage = django_storage(load_configuration(None, environ).storage)
    return S3BlobStore(RegistryS3Storage(**storage["OPTIONS"]))
