"""OCI image layouts: folders of blobs that the clients push from and pull into.

Source: image-spec, "Image Layout Specification".
"""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, TypedDict

CONFIG = "application/vnd.oci.image.config.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CREATED = "2024-01-01T00:00:00Z"


class Descriptor(TypedDict, total=False):
    mediaType: str
    digest: str
    size: int
    platform: dict[str, str]
    annotations: dict[str, str]


@dataclass
class Image:
    """One image of a layout. `diff_ids` are the digests of the uncompressed layers, lowest first."""

    manifest: Descriptor
    config: Descriptor
    layers: list[Descriptor]
    diff_ids: list[str]

    @property
    def blobs(self) -> dict[str, int]:
        return {blob["digest"]: blob["size"] for blob in [self.config, *self.layers]}


@dataclass
class Layout:
    """An image layout with one tag. `source` says what the layers were made of."""

    folder: Path
    tag: str
    top: Descriptor
    images: list[Image] = field(default_factory=list)
    source: str = ""

    @property
    def image(self) -> Image:
        return self.images[0]

    @property
    def digest(self) -> str:
        return self.top["digest"]

    @property
    def reference(self) -> str:
        return f"oci:{self.folder}:{self.tag}"

    @property
    def manifests(self) -> dict[str, int]:
        """Sizes of the index, if there is one, and of the manifests, by digest."""
        return {item["digest"]: item["size"] for item in [self.top, *(i.manifest for i in self.images)]}

    @property
    def blobs(self) -> dict[str, int]:
        return {digest: size for image in self.images for digest, size in image.blobs.items()}

    def read(self, digest: str) -> bytes:
        return self.path(digest).read_bytes()

    def path(self, digest: str) -> Path:
        return blob_path(self.folder, digest)


class _HashingFile(io.RawIOBase):
    """Passes bytes on and remembers their SHA-256 and their number."""

    def __init__(self, target: IO[bytes]) -> None:
        self.target, self.hash, self.size = target, hashlib.sha256(), 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.target.write(data)
        self.hash.update(data)
        self.size += len(data)
        return len(data)

    @property
    def digest(self) -> str:
        return f"sha256:{self.hash.hexdigest()}"


class LayoutWriter:
    """Collects the blobs of one layout in `folder`, which must not exist yet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "blobs" / "sha256").mkdir(parents=True)
        (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')

    def add_json(self, media_type: str, value: dict[str, Any]) -> Descriptor:
        data = json.dumps(value, indent=1).encode()
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        blob_path(self.folder, digest).write_bytes(data)
        return {"mediaType": media_type, "digest": digest, "size": len(data)}

    def add_layer(self, fill: Callable[[tarfile.TarFile], None], *, compress: bool = True) -> tuple[Descriptor, str]:
        """This will store the tar that `fill` writes, and return its descriptor and its diff id."""
        unnamed = self.folder / "new-layer"
        with unnamed.open("wb") as file:
            stored = _HashingFile(file)
            # No name and no time in the gzip header: the same content gives the same digest.
            packed = gzip.GzipFile("", "wb", 6, stored, mtime=0) if compress else stored
            plain = _HashingFile(packed)
            with tarfile.open(mode="w|", fileobj=plain, bufsize=1 << 20, format=tarfile.PAX_FORMAT) as tar:
                fill(tar)
            if compress:
                packed.close()
        unnamed.rename(blob_path(self.folder, stored.digest))
        media_type = f"{LAYER}+gzip" if compress else LAYER
        return {"mediaType": media_type, "digest": stored.digest, "size": stored.size}, plain.digest

    def add_image(
        self, layers: Sequence[tuple[Descriptor, str]], *, architecture: str = "amd64", **manifest: Any
    ) -> Image:
        diff_ids = [diff_id for _, diff_id in layers]
        config = self.add_json(
            CONFIG,
            {
                "created": CREATED,
                "architecture": architecture,
                "os": "linux",
                "config": {"Cmd": ["/bin/bash"], "Env": ["PATH=/usr/bin:/bin"]},
                "rootfs": {"type": "layers", "diff_ids": diff_ids},
                "history": [{"created": CREATED, "created_by": f"layer {n}"} for n in range(len(layers))],
            },
        )
        descriptors = [descriptor for descriptor, _ in layers]
        top = self.add_json(
            MANIFEST,
            {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": descriptors, **manifest},
        )
        top["platform"] = {"os": "linux", "architecture": architecture}
        return Image(top, config, descriptors, diff_ids)

    def close(self, tag: str, images: list[Image], *, index: bool = False, source: str = "") -> Layout:
        """This will write index.json, which names one image, or one index of all of them."""
        top = images[0].manifest
        if index:
            children = [image.manifest for image in images]
            top = self.add_json(INDEX, {"schemaVersion": 2, "mediaType": INDEX, "manifests": children})
        named = {**top, "annotations": {"org.opencontainers.image.ref.name": tag}}
        (self.folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [named]}))
        return Layout(self.folder, tag, top, images, source)


def blob_path(folder: Path, digest: str) -> Path:
    return folder / "blobs" / "sha256" / digest.removeprefix("sha256:")
