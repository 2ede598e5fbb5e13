"""An image of a real root file system, more than 200 MB, goes through each copying client unchanged."""

from pathlib import Path

import pytest

from tests.clients.images import random_image
from tests.clients.layouts import blob_path

AT_LEAST = 200_000_000


@pytest.fixture
def pulled(scratch_folder) -> Path:
    return scratch_folder / "pulled"


def assert_same_blobs(pulled: Path, layout) -> None:
    for digest, size in {**layout.manifests, **layout.blobs}.items():
        path = blob_path(pulled, digest)
        assert path.stat().st_size == size
        with path.open("rb") as left, layout.path(digest).open("rb") as right:
            while block := left.read(1 << 20):
                assert block == right.read(1 << 20), digest


def assert_uploaded_once(recording, layout) -> None:
    """The registry may hold the same blobs for another repository, and must still be sent all of them."""
    assert recording.uploaded == sum(layout.blobs.values()), recording


def test_image_is_large_and_has_several_layers(root_image):
    assert sum(root_image.blobs.values()) >= AT_LEAST
    assert len(root_image.image.layers) >= 3


def test_skopeo(client, recording, registry, repository, root_image, pulled):
    skopeo = client("skopeo")
    skopeo(
        "copy",
        "--dest-tls-verify=false",
        "--preserve-digests",
        root_image.reference,
        f"docker://{recording.host}/{repository}:root",
    )
    assert_uploaded_once(recording, root_image)
    registry.assert_holds(repository, "root", root_image)
    skopeo(
        "copy",
        "--src-tls-verify=false",
        "--preserve-digests",
        f"docker://{recording.host}/{repository}:root",
        f"oci:{pulled}:root",
    )
    assert_same_blobs(pulled, root_image)


def test_crane(client, recording, registry, repository, root_image, pulled):
    crane = client("crane")
    crane("push", root_image.folder, f"{recording.host}/{repository}:root")
    assert_uploaded_once(recording, root_image)
    registry.assert_holds(repository, "root", root_image)
    crane("pull", "--format=oci", f"{recording.host}/{repository}:root", pulled)
    assert_same_blobs(pulled, root_image)


def test_oras(client, recording, registry, repository, root_image, pulled):
    oras = client("oras")
    target = f"{recording.host}/{repository}:root"
    oras("copy", "--from-oci-layout", f"{root_image.folder}:root", "--to-plain-http", target)
    assert_uploaded_once(recording, root_image)
    registry.assert_holds(repository, "root", root_image)
    oras("copy", "--from-plain-http", target, "--to-oci-layout", f"{pulled}:root")
    assert_same_blobs(pulled, root_image)


def test_regctl_through_a_cut_connection(client, registry, repository, pulled, recording, scratch_folder):
    # Its own image: regctl would mount what other tests have pushed.
    layout = random_image(scratch_folder / "random", size=64_000_000)
    recording.cut_after = 20_000_000
    regctl = client("regctl", f"--host=reg={recording.host},tls=disabled")
    target = f"{recording.host}/{repository}:random"
    regctl("image", "copy", f"ocidir://{layout.folder}:{layout.tag}", target)
    assert len(recording.cuts) == 1, recording
    registry.assert_holds(repository, "random", layout)
    regctl("image", "copy", target, f"ocidir://{pulled}:random")
    assert_same_blobs(pulled, layout)
