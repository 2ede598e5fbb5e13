"""The configuration's rules for manifests, `validation.manifests`."""

from urllib.parse import urlsplit

from django.conf import settings

from oci.documents import Descriptor, ManifestDocument
from oci.errors import ManifestInvalid


def check_urls(document: ManifestDocument) -> None:
    """Raise ManifestInvalid for an address of a layer that `urls.allow` and `urls.deny` do not let pass."""
    rules = settings.MANIFEST_URLS
    if rules is None:
        return
    for layer in document.layers:
        for url in layer.urls:
            if not _is_plain_web_address(url):
                raise ManifestInvalid({"url": url, "reason": "expected http or https without a fragment"})
            if rules.allow and not any(pattern.search(url) for pattern in rules.allow):
                raise ManifestInvalid({"url": url, "reason": "not allowed by validation.manifests.urls.allow"})
            if any(pattern.search(url) for pattern in rules.deny):
                raise ManifestInvalid({"url": url, "reason": "forbidden by validation.manifests.urls.deny"})


def _is_plain_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and not parts.fragment


def must_hold_child(child: Descriptor) -> bool:
    """Whether an index may only be pushed after this entry, by `validation.manifests.indexes`."""
    platforms = settings.INDEX_PLATFORMS
    if platforms is None:
        return True
    os_and_architecture = "/".join(child.platform.split("/")[:2])
    return os_and_architecture in platforms
