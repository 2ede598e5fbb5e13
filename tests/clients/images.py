"""OCI image layouts to push, made without any registry: small ones, an index, and a real root file system.

Source: image-spec, "Image Layout Specification".
"""

import gzip
import hashlib
import io
import json
import secrets
import subprocess
import tarfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, TypedDict

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "client-packages"
CONFIG = "application/vnd.oci.image.config.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CREATED = "2024-01-01T00:00:00Z"
DOWNLOAD_SECONDS = 300
FALLBACK_LAYER_BYTES = 120_000_000

# One layer each; True: compressed. The uncompressed ones make the image large on the wire, and show that
# nobody compresses on the way.
ROOT_FILE_SYSTEM: tuple[tuple[bool, tuple[str, ...]], ...] = (
    (True, ("libc6", "libtinfo6", "bash", "coreutils", "libselinux1", "libpcre2-8-0", "libacl1", "libattr1")),
    (True, ("perl-base",)),
    (True, ("python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib")),
    (True, ("cpp-12",)),
    (False, ("gcc-12",)),
    (False, ("libllvm14",)),
)


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


def small_image(folder: Path, *, seed: str, tag: str = "v1", layers: int = 2) -> Layout:
    """This will make an image of a few kilobytes that is another one for every seed."""
    writer = LayoutWriter(folder)
    image = writer.add_image([writer.add_layer(_file(f"etc/{seed}-{n}", seed)) for n in range(layers)])
    return writer.close(tag, [image])


def image_index(folder: Path, *, seed: str, tag: str = "multi") -> Layout:
    """This will make an index of two platforms whose images share their lowest layer."""
    writer = LayoutWriter(folder)
    shared = writer.add_layer(_file("etc/shared", seed))
    images = [
        writer.add_image([shared, writer.add_layer(_file(f"etc/{name}", f"{name} {seed}"))], architecture=name)
        for name in ("amd64", "arm64")
    ]
    return writer.close(tag, images, index=True)


def random_image(folder: Path, *, size: int, tag: str = "random") -> Layout:
    """This will make an image of one layer of `size` bytes that no registry can have seen."""
    writer = LayoutWriter(folder)
    image = writer.add_image([writer.add_layer(_entry("random", secrets.token_bytes(size)), compress=False)])
    return writer.close(tag, [image])


def root_file_system(folder: Path, *, tag: str = "root") -> Layout:
    """This will make an image of Debian packages' contents, more than 200 MB in six layers.

    Where the packages cannot be downloaded, the machine's own programs and libraries stand in for them.
    """
    writer = LayoutWriter(folder)
    try:
        packages = {name: _package(name) for _, names in ROOT_FILE_SYSTEM for name in names}
    except (OSError, subprocess.SubprocessError) as problem:
        fills = [(False, _folder_part(Path("/usr/lib"), n)) for n in range(2)]
        fills += [(True, _folder_part(Path("/usr/bin"), 0))]
        source = f"this machine's /usr/lib and /usr/bin, because Debian's packages were not to be had: {problem}"
    else:
        fills = [(compress, _unpacked([packages[name] for name in names])) for compress, names in ROOT_FILE_SYSTEM]
        source = "Debian packages: " + ", ".join(sorted(path.name for path in packages.values()))
    image = writer.add_image([writer.add_layer(fill, compress=compress) for compress, fill in fills])
    return writer.close(tag, [image], source=source)


def _file(name: str, text: str) -> Callable[[tarfile.TarFile], None]:
    return _entry(name, "".join(f"{text} {line}\n" for line in range(200)).encode())


def _entry(name: str, data: bytes) -> Callable[[tarfile.TarFile], None]:
    def fill(tar: tarfile.TarFile) -> None:
        entry = tarfile.TarInfo(name)
        entry.size = len(data)
        tar.addfile(entry, io.BytesIO(data))

    return fill


def _package(name: str) -> Path:
    """The .deb of a package, from the cache or from Debian's archive as apt is set up here."""
    CACHE.mkdir(parents=True, exist_ok=True)
    found = next(CACHE.glob(f"{name}_*.deb"), None)
    if found is None:
        subprocess.run(
            ["apt-get", "download", name],
            cwd=CACHE,
            check=True,
            capture_output=True,
            timeout=DOWNLOAD_SECONDS,
        )
        found = next(CACHE.glob(f"{name}_*.deb"))
    return found


def _unpacked(packages: Iterable[Path]) -> Callable[[tarfile.TarFile], None]:
    def fill(tar: tarfile.TarFile) -> None:
        folders: set[str] = set()
        for package in packages:
            command = ["dpkg-deb", "--fsys-tarfile", package]
            with (
                subprocess.Popen(command, stdout=subprocess.PIPE) as process,
                tarfile.open(mode="r|", fileobj=process.stdout) as contents,
            ):
                for entry in contents:
                    entry.name = entry.name.removeprefix("./")
                    if entry.name in {"", "."} or entry.name in folders:
                        continue
                    if entry.isdir():
                        folders.add(entry.name)
                    if entry.islnk():
                        entry.linkname = entry.linkname.removeprefix("./")
                    tar.addfile(entry, contents.extractfile(entry) if entry.isreg() else None)
                # A tar may end with more padding than its reader needs, and the writer must not be cut off.
                while process.stdout.read(1 << 20):
                    pass
            if process.returncode:
                raise AssertionError(f"dpkg-deb could not read {package.name}")

    return fill


def _folder_part(folder: Path, part: int) -> Callable[[tarfile.TarFile], None]:
    """The `part`-th stretch of about FALLBACK_LAYER_BYTES of the plain files below `folder`."""

    def fill(tar: tarfile.TarFile) -> None:
        position = 0
        for path in sorted(folder.rglob("*")):
            if path.is_symlink() or not path.is_file():
                continue
            if position // FALLBACK_LAYER_BYTES == part:
                tar.add(path, str(path.relative_to("/")), recursive=False)
            position += path.stat().st_size

    return fill
