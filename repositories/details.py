"""What a manifest is made of, and what stands in relation to it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from django.db.models import QuerySet

from blobs.queries import get_blob
from blobs.storage import get_store
from oci.digests import Digest
from oci.documents import ManifestDocument, parse_manifest
from oci.errors import BlobUnknown, ManifestInvalid, ManifestUnknown
from oci.names import RepositoryName
from oci.strict_json import parse_object
from registry_project.database import release_connection
from repositories.models import Manifest, ManifestChild, Tag

LARGEST_CONFIG = 4 * 1024 * 1024
# Of tags, parents, referrers and children each.
MOST_RELATED = 1000
_CONFIGS = frozenset({"application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"})


@dataclass(frozen=True, slots=True)
class RelatedManifest:
    """A manifest in the repository, or with an empty media type one that an index names and the repository lacks."""

    digest: str
    media_type: str = ""
    artifact_type: str = ""
    size_bytes: int = 0
    platform: str = ""


@dataclass(frozen=True, slots=True)
class ManifestDetails:
    manifest: Manifest
    document: ManifestDocument
    tags: list[str]
    children: list[RelatedManifest]
    parents: list[RelatedManifest]
    referrers: list[RelatedManifest]
    config: Mapping[str, Any] | None = None

    @property
    def history(self) -> list[Mapping[str, Any]]:
        """The steps of the build as the config tells them."""
        steps = self.config.get("history") if self.config else None
        return [step for step in steps if isinstance(step, dict)] if isinstance(steps, list) else []


def get_details(*, repository_id: int, name: RepositoryName, digest: Digest) -> ManifestDetails:
    """Raise ManifestUnknown. The config is None where there is none, or none that is JSON of at most 4 MiB."""
    manifest = Manifest.objects.filter(repository_id=repository_id, digest=str(digest), deleted_at=None).first()
    if manifest is None:
        raise ManifestUnknown({"digest": str(digest)})
    document = parse_manifest(bytes(manifest.payload), manifest.media_type)
    entries = ManifestChild.objects.filter(parent=manifest).select_related("child").defer("child__payload")
    parents = _living(Manifest.objects.filter(child_references__child=manifest).distinct())
    referrers = _living(Manifest.objects.filter(repository_id=repository_id, subject_digest=str(digest)))
    tags = Tag.objects.filter(manifest=manifest).order_by("name").values_list("name", flat=True)
    details = ManifestDetails(
        manifest,
        document,
        tags=list(tags[:MOST_RELATED]),
        children=[_child(entry) for entry in entries.order_by("pk")[:MOST_RELATED]],
        parents=_related(parents),
        referrers=_related(referrers),
    )
    return replace(details, config=_read_config(name, document))


def _living(manifests: "QuerySet[Manifest]") -> "QuerySet[Manifest]":
    return manifests.filter(deleted_at=None).defer("payload", "annotations").order_by("pk")


def _related(manifests: "QuerySet[Manifest]") -> list[RelatedManifest]:
    return [_described(manifest) for manifest in manifests[:MOST_RELATED]]


def _child(entry: ManifestChild) -> RelatedManifest:
    if entry.child is None or entry.child.deleted_at is not None:
        return RelatedManifest(entry.digest, platform=entry.platform)
    return _described(entry.child, platform=entry.platform)


def _described(manifest: Manifest, platform: str = "") -> RelatedManifest:
    kind = manifest.artifact_type or manifest.config_media_type
    return RelatedManifest(manifest.digest, manifest.media_type, kind, manifest.size + manifest.total_size, platform)


def _read_config(name: RepositoryName, document: ManifestDocument) -> Mapping[str, Any] | None:
    config = document.config
    if config is None or config.media_type not in _CONFIGS or config.size > LARGEST_CONFIG:
        return None
    try:
        blob = get_blob(name, config.digest)
    except BlobUnknown:
        return None
    # What the manifest says of its size is the pusher's word.
    if blob.size > LARGEST_CONFIG:
        return None
    release_connection()
    try:
        return parse_object(_read(blob.storage_key, blob.size))
    except ManifestInvalid:
        return None


def _read(storage_key: str, size: int) -> bytes:
    stream = get_store().open_range(storage_key, 0, size)
    try:
        pieces: Iterable[bytes] = stream
        return b"".join(pieces)
    finally:
        stream.close()
