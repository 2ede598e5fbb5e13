import json

import pytest

PLAIN = "--plain-http"


@pytest.fixture
def helm(client):
    return client("helm")


@pytest.fixture
def chart(helm, tmp_path):
    helm("create", "harbour")
    helm("package", "harbour", "--version=1.2.3+build.7")
    return tmp_path / "harbour-1.2.3+build.7.tgz"


def test_chart_comes_back_as_it_was(helm, host, registry, repository, chart, tmp_path):
    helm("push", chart, f"oci://{host}/{repository}", PLAIN)
    # A tag cannot hold a plus, so helm writes an underscore.
    assert registry.tags(f"{repository}/harbour") == ["1.2.3_build.7"]
    (tmp_path / "pulled").mkdir()
    helm("pull", f"oci://{host}/{repository}/harbour", "--version=1.2.3+build.7", PLAIN, "--destination=pulled")
    assert (tmp_path / "pulled" / chart.name).read_bytes() == chart.read_bytes()


def test_manifest_describes_a_chart(helm, host, registry, repository, chart):
    helm("push", chart, f"oci://{host}/{repository}", PLAIN)
    manifest = registry.manifest(f"{repository}/harbour", "1.2.3_build.7").json()
    assert manifest["config"]["mediaType"] == "application/vnd.cncf.helm.config.v1+json"
    config = registry.request("GET", f"/v2/{repository}/harbour/blobs/{manifest['config']['digest']}")
    assert json.loads(config.body)["name"] == "harbour"


def test_newest_version_is_found_among_the_tags(helm, host, repository, tmp_path):
    helm("create", "harbour")
    for version in ("0.9.0", "0.10.0"):
        helm("package", "harbour", f"--version={version}")
        helm("push", f"harbour-{version}.tgz", f"oci://{host}/{repository}", PLAIN)
    shown = helm("show", "chart", f"oci://{host}/{repository}/harbour", PLAIN)
    assert "version: 0.10.0" in shown


def test_template_renders_straight_from_the_registry(helm, host, repository, chart):
    helm("push", chart, f"oci://{host}/{repository}", PLAIN)
    rendered = helm("template", "quay", f"oci://{host}/{repository}/harbour", "--version=1.2.3+build.7", PLAIN)
    assert "name: quay-harbour" in rendered
