"""Manifests and indexes as the registry reads them (image-spec, manifest.md and image-index.md)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from oci import media_types
from oci.digests import Digest
from oci.errors import DigestInvalid, ManifestInvalid
from oci.strict_json import parse_object

MAX_SIZE = 4 * 1024 * 1024
_MAX_TYPE_LENGTH = 255
# Readers that fold case, such as Go's, would take any spelling of these for the field itself.
_DOCUMENT_FIELDS = (
    "schemaVersion",
    "mediaType",
    "config",
    "layers",
    "manifests",
    "blobs",
    "subject",
    "artifactType",
    "annotations",
)
_DESCRIPTOR_FIELDS = ("mediaType", "digest", "size", "urls", "platform", "artifactType")


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A reference to content; `size` in bytes."""

    media_type: str
    digest: Digest
    size: int
    urls: tuple[str, ...] = ()
    platform: str = ""

    @property
    def may_be_absent(self) -> bool:
        return self.media_type in media_types.NON_DISTRIBUTABLE_LAYERS and bool(self.urls)


@dataclass(frozen=True, slots=True)
class ManifestDocument:
    """What a manifest says of itself; `children` are an index's entries, manifests or blobs."""

    media_type: str
    artifact_type: str = ""
    config: Descriptor | None = None
    layers: tuple[Descriptor, ...] = ()
    children: tuple[Descriptor, ...] = ()
    subject: Digest | None = None
    annotations: dict[str, str] = field(default_factory=dict)

    @property
    def total_size(self) -> int:
        """Bytes of everything that the document names directly."""
        return sum(descriptor.size for descriptor in self.descriptors())

    def descriptors(self) -> Iterator[Descriptor]:
        if self.config:
            yield self.config
        yield from self.layers
        yield from self.children


def parse_manifest(payload: bytes, content_type: str) -> ManifestDocument:
    """Read a pushed manifest; raises ManifestInvalid with the field that is wrong.

    The media type is the request's, else the document's own, else inferred; where both are there they must
    agree. Types that the registry does not know are read leniently: what looks like a descriptor is followed.
    """
    document = parse_object(payload)
    _refuse_other_capitals(document, _DOCUMENT_FIELDS)
    media_type = _media_type(document, content_type)
    known = media_type in media_types.KNOWN_MANIFESTS
    reader = _Reader(strict=known)
    if known and document.get("schemaVersion") != 2:
        raise ManifestInvalid({"field": "schemaVersion", "reason": "expected 2"})
    if "manifests" in document and ("layers" in document or "config" in document):
        raise ManifestInvalid({"reason": "both an index (manifests) and an image (config, layers)"})
    if media_type in media_types.IMAGE_MANIFESTS:
        _require(document, "config", "layers")
    if media_type in media_types.INDEXES:
        _require(document, "manifests")
    config = reader.descriptor(document.get("config"), "config", required=media_type in media_types.IMAGE_MANIFESTS)
    subject = reader.descriptor(document.get("subject"), "subject")
    return ManifestDocument(
        media_type=media_type,
        artifact_type=reader.text(document.get("artifactType"), "artifactType"),
        config=config,
        layers=reader.descriptors(document, "layers") + reader.descriptors(document, "blobs"),
        children=reader.descriptors(document, "manifests"),
        subject=subject.digest if subject else None,
        annotations=reader.annotations(document.get("annotations")),
    )


def _media_type(document: dict[str, object], content_type: str) -> str:
    declared = content_type.split(";")[0].strip().lower()
    own = document.get("mediaType", "")
    if not isinstance(own, str):
        raise ManifestInvalid({"field": "mediaType", "reason": "not a string"})
    if declared and own and declared != own.lower():
        raise ManifestInvalid(
            {
                "field": "mediaType",
                "reason": f"the request's Content-Type is {declared}, the document says {own}",
            }
        )
    media_type = (own or declared)[: _MAX_TYPE_LENGTH + 1]
    if not media_type:
        media_type = media_types.OCI_INDEX if "manifests" in document else media_types.OCI_MANIFEST
    if len(media_type) > _MAX_TYPE_LENGTH or not media_type.isascii() or not media_type.isprintable():
        raise ManifestInvalid({"field": "mediaType", "reason": "too long, or not printable ASCII"})
    if media_type in media_types.SCHEMA_1 or document.get("schemaVersion") == 1:
        raise ManifestInvalid({"reason": "schema 1 manifests are not supported; push schema 2 or OCI"})
    return media_type


def _refuse_other_capitals(fields: dict[str, object], known: Iterable[str]) -> None:
    spellings = {name.lower(): name for name in known}
    for name in fields:
        if spellings.get(name.lower(), name) != name:
            raise ManifestInvalid({"field": name[:_MAX_TYPE_LENGTH], "reason": f"write {spellings[name.lower()]}"})


def _require(document: dict[str, object], *fields: str) -> None:
    for name in fields:
        if name not in document:
            raise ManifestInvalid({"field": name, "reason": "missing"})


class _Reader:
    """Reads the parts of a document: strictly what the specification fixes, leniently any other type."""

    def __init__(self, *, strict: bool) -> None:
        self.strict = strict

    def refuse(self, field_name: str, reason: str) -> None:
        if self.strict:
            raise ManifestInvalid({"field": field_name, "reason": reason})

    def text(self, value: object, field_name: str) -> str:
        if value is None:
            return ""
        if isinstance(value, str) and len(value) <= _MAX_TYPE_LENGTH:
            return value
        self.refuse(field_name, f"expected a string of at most {_MAX_TYPE_LENGTH} characters")
        return ""

    def annotations(self, value: object) -> dict[str, str]:
        if value is None:
            return {}
        if isinstance(value, dict) and all(isinstance(text, str) for text in value.values()):
            return value
        self.refuse("annotations", "expected an object of strings")
        return {}

    def descriptors(self, document: dict[str, object], field_name: str) -> tuple[Descriptor, ...]:
        value = document.get(field_name)
        if value is None:  # Go's JSON writes an empty list that was never made as null.
            return ()
        if not isinstance(value, list):
            self.refuse(field_name, "expected a list")
            return ()
        found = (self.descriptor(item, f"{field_name}[{place}]", required=True) for place, item in enumerate(value))
        return tuple(descriptor for descriptor in found if descriptor)

    def descriptor(self, value: object, field_name: str, *, required: bool = False) -> Descriptor | None:
        if value is None and not required:
            return None
        if not isinstance(value, dict):
            self.refuse(field_name, "expected a descriptor")
            return None
        if self.strict:
            _refuse_other_capitals(value, _DESCRIPTOR_FIELDS)
        digest, size = value.get("digest"), value.get("size")
        if not isinstance(digest, str):
            self.refuse(f"{field_name}.digest", "missing")
            return None
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < 2**63:
            self.refuse(f"{field_name}.size", "expected a number of bytes")
            size = 0
        media_type = self.text(value.get("mediaType"), f"{field_name}.mediaType")
        try:
            parsed = Digest.parse(digest)
        except DigestInvalid as error:
            if self.strict:
                raise ManifestInvalid({"field": f"{field_name}.digest", "reason": str(error.detail)}) from error
            return None
        return Descriptor(media_type, parsed, size, self._urls(value), _platform(value.get("platform")))

    def _urls(self, value: dict[str, object]) -> tuple[str, ...]:
        urls = value.get("urls")
        return tuple(url for url in urls if isinstance(url, str)) if isinstance(urls, list) else ()


def _platform(value: object) -> str:
    """`os/architecture[/variant]`, or nothing."""
    if not isinstance(value, dict):
        return ""
    parts = [value.get("os"), value.get("architecture"), value.get("variant")]
    return "/".join(part for part in parts if isinstance(part, str) and part)[:_MAX_TYPE_LENGTH]
