"""Images to push, made without any registry: small ones, an index, and a real root file system."""

import io
import secrets
import subprocess
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.clients.layouts import Layout, LayoutWriter

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "client-packages"
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
        found = next(CACHE.glob(f"{name}_*.deb"), None)
    if found is None:
        raise FileNotFoundError(f"apt-get left no file of the package {name}")
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
