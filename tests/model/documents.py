"""The few contents and manifests that the steps choose from: few, so that they meet each other again."""

from collections.abc import Sequence
from typing import Any

from oci import media_types
from tests.factories import descriptor, digest_of, encode, image_manifest, index_manifest
from tests.model.shelf import Document

CONFIGS = [b"{}", b'{"os":"linux"}']
LAYERS = [b"layer one", b"layer two", b"third layer", b"the fourth, longest layer"]
CONTENTS = [*CONFIGS, *LAYERS]
CONTENT_OF = {digest_of(content): content for content in CONTENTS}
NAMES = ["alice/app", "alice/other", "bob/app"]
TAGS = ["latest", "v1", "v2"]
IMAGES = 32

# The registry asks for children of this platform and takes an index without others.
NEEDED = {"platform": {"os": "linux", "architecture": "amd64"}}
SPARSE = {"platform": {"os": "linux", "architecture": "s390x"}}


def _subject_of(subject: Document | None) -> dict[str, Any]:
    return {"subject": _descriptor_of(subject)} if subject else {}


def _descriptor_of(document: Document, **more: Any) -> dict[str, Any]:
    return descriptor(document.payload, document.media_type, **more)


def image(number: int, subject: Document | None = None) -> Document:
    config = CONFIGS[number % len(CONFIGS)]
    layers = [layer for place, layer in enumerate(LAYERS) if (number // len(CONFIGS)) >> place & 1]
    payload = encode(image_manifest(config, layers, **_subject_of(subject)))
    blobs = tuple(digest_of(content) for content in dict.fromkeys([config, *layers]))
    return Document(
        digest_of(payload),
        payload,
        media_types.OCI_MANIFEST,
        blobs=blobs,
        needed=frozenset(blobs),
        subject=subject.digest if subject else "",
    )


def index(needed: Sequence[Document], sparse: Sequence[Document] = (), subject: Document | None = None) -> Document:
    # One entry for each child: a digest that is named twice is one child.
    entries = {child.digest: _descriptor_of(child, **SPARSE) for child in sparse}
    entries |= {child.digest: _descriptor_of(child, **NEEDED) for child in needed}
    payload = encode(index_manifest(entries.values(), **_subject_of(subject)))
    return Document(
        digest_of(payload),
        payload,
        media_types.OCI_INDEX,
        children=tuple(entries),
        needed=frozenset(child.digest for child in needed),
        subject=subject.digest if subject else "",
    )


def build_cache(number: int) -> Document:
    """An index whose children are blobs, as BuildKit pushes its cache."""
    chosen = [content for place, content in enumerate(LAYERS) if number >> place & 1] or LAYERS[:1]
    entries = [descriptor(content, **NEEDED) for content in chosen]
    payload = encode(index_manifest(entries, annotations={"cache": "yes"}))
    blobs = tuple(digest_of(content) for content in chosen)
    return Document(digest_of(payload), payload, media_types.OCI_INDEX, blobs=blobs, needed=frozenset(blobs))
