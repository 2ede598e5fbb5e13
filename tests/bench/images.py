"""What the servers are filled with, and what is pushed to them: made up, incompressible, new each time."""

import hashlib
import json
import os
from dataclasses import dataclass

REPOSITORY = "library/bench"
TAG = "latest"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True)
class Blob:
    content: bytes
    digest: str

    @classmethod
    def of(cls, content: bytes) -> "Blob":
        return cls(content, "sha256:" + hashlib.sha256(content).hexdigest())

    def descriptor(self, media_type: str) -> dict[str, object]:
        return {"mediaType": media_type, "digest": self.digest, "size": len(self.content)}


@dataclass(frozen=True)
class Image:
    """Layers first and the config after them, in the order in which docker pushes them; then the manifest."""

    layers: tuple[Blob, ...]
    config: Blob
    manifest: Blob

    @property
    def blobs(self) -> tuple[Blob, ...]:
        return (*self.layers, self.config)


def new_blob(size: int) -> Blob:
    """This will make a blob of `size` bytes that no server has seen."""
    block = os.urandom(min(size, MIB))
    return Blob.of((os.urandom(32) + block * (size // len(block) + 1))[:size])


def new_image(layers: int, layer_size: int) -> Image:
    """This will make an image of `layers` new layers; with ten layers its manifest has about 2 KB."""
    made = tuple(new_blob(layer_size) for _ in range(layers))
    diff_ids = [layer.digest for layer in made]
    config = Blob.of(_json({"architecture": "amd64", "os": "linux", "rootfs": {"diff_ids": diff_ids}}))
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": config.descriptor(CONFIG_TYPE),
        "layers": [layer.descriptor(LAYER_TYPE) for layer in made],
    }
    return Image(made, config, Blob.of(_json(manifest)))


def _json(document: dict[str, object]) -> bytes:
    return json.dumps(document, indent=2).encode()
