"""Rules of the sections of object stores, and of what sends clients elsewhere. Each yields (path, what is wrong)."""

import json
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path as FilePath

from registry_project.config.configuration import Configuration
from registry_project.config.errors import Finding, Path
from registry_project.config.middleware import StorageMiddleware
from registry_project.config.object_stores import GCS, S3, Azure

MOST_RETRIES = 20


def check_stores(config: Configuration) -> Iterator[Finding]:
    storage = config.storage
    if storage.objects is not None and config.web.accel:
        yield ("web", "accel"), "expected storage.filesystem: nginx can send files only"
    if storage.s3 is not None:
        yield from _s3(storage.s3)
    if storage.gcs is not None:
        yield from _gcs(storage.gcs)
    if storage.azure is not None:
        yield from _azure(storage.azure)
    for index, middleware in enumerate(config.middleware.storage):
        if not middleware.disabled:
            yield from _storage_middleware(middleware, ("middleware", "storage", index))


def _s3(s3: S3) -> Iterator[Finding]:
    path: Path = ("storage", "s3")
    if not s3.bucket:
        yield (*path, "bucket"), "expected the name of a bucket"
    for given, missing in (("accesskey", "secretkey"), ("secretkey", "accesskey")):
        if getattr(s3, given) and not getattr(s3, missing):
            yield (*path, given), f"expected storage.s3.{missing} as well"
    if s3.keyid and not s3.encrypt:
        yield (*path, "keyid"), "expected storage.s3.encrypt: true as well; without it nothing is encrypted with it"
    if s3.accelerate and s3.forcepathstyle:
        yield (*path, "accelerate"), "cannot be had together with storage.s3.forcepathstyle"


def _gcs(gcs: GCS) -> Iterator[Finding]:
    path: Path = ("storage", "gcs")
    yield from _client_library(path, "gcs", "google.cloud.storage")
    if not gcs.bucket:
        yield (*path, "bucket"), "expected the name of a bucket"
    if gcs.keyfile and gcs.credentials:
        yield (*path, "keyfile"), "expected no storage.gcs.credentials beside it"
    elif gcs.keyfile or gcs.credentials:
        name, key = ("keyfile", _json_file(gcs.keyfile)) if gcs.keyfile else ("credentials", gcs.credentials)
        if isinstance(key, str):
            yield (*path, name), key
        elif missing := [part for part in ("client_email", "private_key", "token_uri") if not key.get(part)]:
            yield (*path, name), f"expected the key of a service account, which has {', '.join(missing)} as well"


def _json_file(path: FilePath) -> dict[str, object] | str:
    """What the file holds, or what is wrong with it."""
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    except ValueError:
        return "expected JSON"
    return content if isinstance(content, dict) else "expected a JSON object"


def _azure(azure: Azure) -> Iterator[Finding]:
    path: Path = ("storage", "azure")
    yield from _client_library(
        path, "azure", "azure.storage.blob", *([] if azure.signs_in_by_key else ["azure.identity"])
    )
    if not azure.accountname:
        yield (*path, "accountname"), "expected the name of a storage account"
    if not azure.container:
        yield (*path, "container"), "expected the name of a container"
    if azure.credentials.type == "shared_key" and not azure.accountkey:
        yield (*path, "credentials", "type"), "expected storage.azure.accountkey as well"
    if azure.accountkey and not re.fullmatch(r"[A-Za-z0-9+/]+={0,2}", azure.accountkey):
        yield (*path, "accountkey"), "expected a key in base64"
    if azure.credentials.type == "client_secret":
        for name in ("clientid", "tenantid", "secret"):
            if not getattr(azure.credentials, name):
                yield (*path, "credentials", "type"), f"expected storage.azure.credentials.{name} as well"
    if not azure.signs_in_by_key and azure.serviceurl and azure.serviceurl.startswith("http:"):
        yield (*path, "serviceurl"), "expected https://, since tokens are never sent in the clear"
    if not -1 <= azure.max_retries <= MOST_RETRIES:
        yield (*path, "max_retries"), f"expected a number from -1 to {MOST_RETRIES}"


def _client_library(path: Path, extra: str, *modules: str) -> Iterator[Finding]:
    """Only who uses a store pays for its client library."""
    if missing := next((module for module in modules if not _is_installed(module)), None):
        yield path, f"the client library {missing} is not installed: pip install 'lading[{extra}]'"


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _storage_middleware(middleware: StorageMiddleware, path: Path) -> Iterator[Finding]:
    options = middleware.options
    if middleware.name not in ("redirect", "cloudfront"):
        yield (*path, "name"), "expected redirect or cloudfront"
        return
    if options.baseurl is None:
        yield (*path, "options", "baseurl"), "expected the address that clients are sent to"
    if middleware.name == "cloudfront":
        if options.privatekey is None:
            yield (*path, "options", "privatekey"), "expected the path of a private key, PEM"
        if not options.keypairid:
            yield (*path, "options", "keypairid"), "expected the id of the key"
