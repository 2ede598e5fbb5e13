"""Several clients at once, as a build farm has them."""

import secrets
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.clients.images import random_image, small_image

PUSHES = 12
MIB = 1 << 20


@pytest.fixture
def at_once():
    def run(work, items):
        with ThreadPoolExecutor(PUSHES) as pool:
            return list(pool.map(work, items))

    return run


def test_one_image_into_many_repositories(client, host, registry, repository, scratch_folder, at_once):
    layout = random_image(scratch_folder / "image", size=8 * MIB)
    crane = client("crane")
    names = [f"{repository}/{number}" for number in range(PUSHES)]
    at_once(lambda name: crane("push", layout.folder, f"{host}/{name}:v1"), names)
    for name in names:
        registry.assert_holds(name, "v1", layout)


def test_one_image_into_one_repository(client, host, registry, repository, scratch_folder, at_once):
    layout = random_image(scratch_folder / "image", size=8 * MIB)
    crane = client("crane")
    tags = sorted(f"v{number}" for number in range(PUSHES))
    at_once(lambda tag: crane("push", layout.folder, f"{host}/{repository}:{tag}"), tags)
    assert registry.tags(repository) == tags
    registry.assert_holds(repository, tags[0], layout)


def test_many_images_under_one_tag(client, host, registry, repository, tmp_path, at_once):
    layouts = [small_image(tmp_path / str(number), seed=secrets.token_hex(8)) for number in range(PUSHES)]
    oras = client("oras")

    def push(layout) -> None:
        source = f"{layout.folder}:{layout.tag}"
        oras("copy", "--from-oci-layout", source, "--to-plain-http", f"{host}/{repository}:latest")

    at_once(push, layouts)
    last = registry.manifest(repository, "latest").headers["docker-content-digest"]
    assert last in {layout.digest for layout in layouts}
    for layout in layouts:
        registry.assert_holds(repository, layout.digest, layout)


def test_pull_while_the_tag_moves(client, host, registry, repository, tmp_path, at_once):
    layouts = [small_image(tmp_path / str(number), seed=secrets.token_hex(8)) for number in range(2)]
    crane = client("crane")
    for layout in layouts:
        crane("push", layout.folder, f"{host}/{repository}:latest")
    digests = [layout.digest for layout in layouts]

    def work(number: int) -> str | None:
        if number % 2:
            crane("tag", f"{host}/{repository}@{digests[number % 4 // 2]}", "latest")
            return None
        crane("pull", "--format=oci", f"{host}/{repository}:latest", tmp_path / f"pulled-{number}")
        return crane("digest", f"{host}/{repository}:latest").strip()

    seen = {digest for digest in at_once(work, range(2 * PUSHES)) if digest}
    assert seen <= set(digests)
    assert registry.tags(repository) == ["latest"]
