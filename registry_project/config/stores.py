"""From the `storage` section to Django's STORAGES."""

import json
from typing import Any

from registry_project.config.object_stores import GCS, S3, Azure
from registry_project.config.storage import StorageSection

# Bounds on how long a store that hangs can hold a request up: three attempts fit into an upload's claim of 60 s.
CONNECT_SECONDS = 5
READ_SECONDS = 15
ATTEMPTS = 3
KEPT_CONNECTIONS = 100


def django_storage(storage: StorageSection) -> dict[str, Any]:
    """This will give the entry of STORAGES for blobs: `BACKEND` and its `OPTIONS`."""
    if storage.s3 is not None:
        return {"BACKEND": "blobs.storage.s3_client.RegistryS3Storage", "OPTIONS": _s3_options(storage.s3)}
    if storage.gcs is not None:
        return {"BACKEND": "blobs.storage.gcs_client.RegistryGCSStorage", "OPTIONS": _gcs_options(storage.gcs)}
    if storage.azure is not None:
        return {"BACKEND": "blobs.storage.azure_client.RegistryAzureStorage", "OPTIONS": _azure_options(storage.azure)}
    return {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": str(storage.filesystem.rootdirectory)},
    }


def _s3_options(s3: S3) -> dict[str, Any]:
    # Only who uses S3 pays for its client library.
    from botocore.config import Config  # type: ignore[import-untyped]

    options: dict[str, Any] = {
        "bucket_name": s3.bucket,
        "endpoint_url": _address(s3.regionendpoint, secure=s3.secure),
        "redirect_endpoint": _address(s3.redirectendpoint, secure=s3.secure),
        "use_ssl": s3.secure,
        "verify": False if s3.skipverify else None,
        "location": s3.rootdirectory.strip("/"),
        "chunksize": s3.chunksize,
        "object_parameters": _object_parameters(s3),
        "client_config": Config(
            # Other stores sign for whatever region is named.
            region_name=s3.region or ("us-east-1" if s3.regionendpoint else None),
            signature_version="s3v4",
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
            max_pool_connections=KEPT_CONNECTIONS,
            tcp_keepalive=True,
            user_agent_extra=s3.useragent or None,
            use_dualstack_endpoint=s3.usedualstack,
            use_fips_endpoint=s3.usefipsendpoint,
            # Newer checksums are unknown to many compatible stores; the signature covers each part's SHA-256.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={
                "addressing_style": "path" if s3.forcepathstyle else "auto",
                "use_accelerate_endpoint": s3.accelerate,
                "payload_signing_enabled": True,
            },
        ),
    }
    if s3.accesskey:
        options |= {"access_key": s3.accesskey, "secret_key": s3.secretkey, "security_token": s3.sessiontoken or None}
    return options


def _gcs_options(gcs: GCS) -> dict[str, Any]:
    return {
        "bucket_name": gcs.bucket,
        "location": gcs.rootdirectory.strip("/"),
        "chunksize": gcs.chunksize,
        "service_account": json.loads(gcs.keyfile.read_bytes()) if gcs.keyfile else gcs.credentials,
        "endpoint": gcs.endpoint,
        "user_agent": gcs.useragent,
        "times": (CONNECT_SECONDS, READ_SECONDS),
    }


def _azure_options(azure: Azure) -> dict[str, Any]:
    return {
        "account_name": azure.accountname,
        "account_key": azure.accountkey if azure.signs_in_by_key else None,
        "client_secret": azure.credentials if azure.credentials.type == "client_secret" else None,
        "azure_container": azure.container,
        "location": azure.rootdirectory.strip("/"),
        "chunksize": azure.chunksize,
        "service_url": (azure.serviceurl or f"https://{azure.accountname}.blob.{azure.realm}").rstrip("/"),
        "retries": max(azure.max_retries, 0),
        "retry_delay": azure.retry_delay.total_seconds(),
        "verify": not azure.skipverify,
        "times": (CONNECT_SECONDS, READ_SECONDS),
    }


def _address(endpoint: str | None, *, secure: bool) -> str | None:
    if endpoint is None or "://" in endpoint:
        return endpoint
    return f"{'https' if secure else 'http'}://{endpoint}"


def _object_parameters(s3: S3) -> dict[str, str]:
    parameters = {}
    if s3.storageclass not in ("", "NONE", "STANDARD"):
        parameters["StorageClass"] = s3.storageclass
    if s3.objectacl not in ("", "private"):
        parameters["ACL"] = s3.objectacl
    if s3.encrypt:
        parameters["ServerSideEncryption"] = "aws:kms" if s3.keyid else "AES256"
        if s3.keyid:
            parameters["SSEKMSKeyId"] = s3.keyid
    return parameters
