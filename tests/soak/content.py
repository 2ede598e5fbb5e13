"""The small worlds that clients share: few layers, few images, so that they meet; what an old world held goes."""

import hashlib
import json
import random
from dataclasses import dataclass

REPOSITORIES = ("soak/app", "soak/base", "other/app")
TAGS = ("t0", "t1", "t2", "t3")
LAYERS, IMAGES = 10, 12
LARGEST = 200_000
_SPECIFICATION = "application/vnd.oci.image"
IMAGE, INDEX = f"{_SPECIFICATION}.manifest.v1+json", f"{_SPECIFICATION}.index.v1+json"
_CONFIG, _LAYER = f"{_SPECIFICATION}.config.v1+json", f"{_SPECIFICATION}.layer.v1.tar"


@dataclass(frozen=True)
class Document:
    """A manifest or an index as it is pushed, with what it needs: blobs by digest, and manifests."""

    payload: bytes
    media_type: str
    blobs: dict[str, bytes]
    manifests: tuple["Document", ...] = ()
    subject: str = ""

    @property
    def digest(self) -> str:
        return digest_of(self.payload)

    @property
    def children(self) -> list[str]:
        return [*self.blobs, *(child.digest for child in self.manifests)]


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def layer(world: str, number: int) -> bytes:
    choice = random.Random(f"layer {world} {number}")
    return choice.randbytes(choice.randrange(1, LARGEST))


def image(world: str, number: int) -> Document:
    choice = random.Random(f"image {world} {number}")
    layers = [layer(world, chosen) for chosen in choice.sample(range(LAYERS), choice.randrange(1, 4))]
    return _image(json.dumps({"image": number}).encode(), layers)


def index(world: str, numbers: list[int]) -> Document:
    images = tuple(image(world, number) for number in numbers)
    entries = [_descriptor(each.payload, IMAGE) for each in images]
    return _document({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}, {}, images)


def referrer(subject: Document, content: bytes) -> Document:
    """A signature or the like: an artifact whose subject it names, which need not be there."""
    fields = {
        "artifactType": "application/vnd.example.note",
        "subject": _descriptor(subject.payload, subject.media_type),
    }
    return _image(b"{}", [content], **fields)


def image_without(content: bytes) -> Document:
    """An image with a layer that nobody ever pushes."""
    whole = _image(b"{}", [content])
    return Document(whole.payload, whole.media_type, {digest_of(b"{}"): b"{}", digest_of(content): content})


def _image(config: bytes, layers: list[bytes], **more: object) -> Document:
    fields = {
        "schemaVersion": 2,
        "mediaType": IMAGE,
        "config": _descriptor(config, _CONFIG),
        "layers": [_descriptor(each, _LAYER) for each in layers],
        **more,
    }
    return _document(fields, {digest_of(each): each for each in (config, *layers)})


def _document(fields: dict[str, object], blobs: dict[str, bytes], manifests: tuple[Document, ...] = ()) -> Document:
    subject = fields.get("subject")
    named = str(subject["digest"]) if isinstance(subject, dict) else ""
    return Document(json.dumps(fields).encode(), str(fields["mediaType"]), blobs, manifests, named)


def _descriptor(content: bytes, media_type: str) -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}
