"""The files of deploy/, the Dockerfile and docker-compose.yml: they parse, and name only what exists."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from registry_project.config import check_exposure, load_configuration
from tests.live_server import PROJECT

DEPLOY = PROJECT / "deploy"
KUBERNETES = sorted((DEPLOY / "kubernetes").glob("*.y*ml"))
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
VARIABLES = {"POSTGRES_PASSWORD": "p", "S3_ACCESS_KEY": "k", "S3_SECRET_KEY": "s"}


def documents(path: Path) -> list[dict]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def interpolated(text: str, variables: dict[str, str]) -> str:
    """What compose does with ${NAME}, ${NAME:-default} and ${NAME:?message}."""
    return re.sub(
        r"\$\{(\w+)(?::([-?])([^}]*))?\}",
        lambda found: variables.get(found[1]) or (found[3] if found[2] == "-" else ""),
        text,
    )


def accepted(environ: dict[str, str], path: Path | None = None):
    config = load_configuration(path, {**environ, "REGISTRY_AUTH": environ.get("REGISTRY_AUTH", "none")})
    assert config.warnings == ()
    check_exposure(config)
    return config


@pytest.mark.parametrize("storage", ["filesystem", "s3"])
def test_compose_configures_lading_by_keys_that_exist(storage):
    compose = yaml.safe_load(
        interpolated((PROJECT / "docker-compose.yml").read_text(), VARIABLES | {"LADING_STORAGE": storage})
    )
    for name in ("web", "worker", "beat"):
        service = compose["services"][name]
        mounts = dict(reversed(volume.split(":")[:2]) for volume in service["volumes"])
        config = accepted(service["environment"], PROJECT / mounts["/etc/lading/config.yml"])
        assert (config.storage.s3 is None) == (storage == "filesystem")
        assert config.celery.broker is not None
        assert config.database_url().startswith("postgresql://")


def test_compose_hardens_and_watches_every_service():
    compose = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())
    for name, service in compose["services"].items():
        assert service["read_only"] is True, name
        assert "restart" in service, name
        if name not in ("s3", "bucket", "web"):  # web has the image's own check
            assert "healthcheck" in service, name
        for dependency in service.get("depends_on", ()):
            assert dependency in compose["services"], name
    bound = [port for service in compose["services"].values() for port in service.get("ports", ())]
    assert bound == ["${LADING_LISTEN:-127.0.0.1:5000}:8080"]


def test_compose_itself_reads_it(tmp_path):
    if not shutil.which("docker") or subprocess.run(["docker", "compose", "version"], capture_output=True).returncode:
        pytest.skip("docker compose is missing")
    for profile in ([], ["--profile", "s3"]):
        command = ["docker", "compose", "-f", str(PROJECT / "docker-compose.yml"), *profile, "config", "--quiet"]
        answer = subprocess.run(
            command,
            capture_output=True,
            text=True,
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", **VARIABLES, "HOME": str(tmp_path)},
        )
        assert answer.returncode == 0, answer.stderr


def test_the_images_own_configuration_works_and_is_not_open_by_itself():
    path = DEPLOY / "image" / "config.yml"
    accepted({}, path)
    with pytest.raises(Exception, match="without auth"):
        check_exposure(load_configuration(path, {}))


def test_dockerfile_copies_what_is_in_its_context():
    """.dockerignore must leave what the Dockerfile and the wheel need."""
    text = (PROJECT / "Dockerfile").read_text()
    ignored = (PROJECT / ".dockerignore").read_text().split()
    for source in re.findall(r"^COPY (?!--from)(\S+) \S+$", text, re.MULTILINE):
        assert (PROJECT / source).exists(), source
        assert source.split("/")[0] not in ignored, source
    assert "!deploy/image" in ignored
    for needed in ("README.md", "pyproject.toml", "manage.py", "requirements", "registry_project", "gc"):
        assert needed not in ignored
    assert not re.search(r"find.links|index.url", text, re.IGNORECASE)
    assert re.search(r"^USER 1000", text, re.MULTILINE)
    assert text.count("--require-hashes") == text.count("-r requirements/") == 3


@pytest.mark.parametrize("path", KUBERNETES, ids=lambda path: path.name)
def test_manifests_of_kubernetes_have_what_each_object_needs(path):
    for document in documents(path):
        assert document["apiVersion"]
        assert document["kind"]
        if document["kind"] == "Kustomization":
            assert all((path.parent / name).is_file() for name in document["resources"])
        elif document["kind"] != "Namespace":
            assert document["metadata"]["namespace"] == "lading"


def kubernetes_objects() -> dict[tuple[str, str], dict]:
    found = [document for path in KUBERNETES for document in documents(path) if document["kind"] != "Kustomization"]
    return {(document["kind"], document["metadata"]["name"]): document for document in found}


def test_the_configuration_of_kubernetes_is_valid_with_the_secrets_of_the_example(tmp_path):
    objects = kubernetes_objects()
    path = tmp_path / "config.yml"
    path.write_text(objects["ConfigMap", "lading"]["data"]["config.yml"])
    config = accepted(objects["Secret", "lading"]["stringData"], path)
    assert config.storage.s3.secretkey == "change-me"
    grace = objects["Deployment", "web"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    # The pause before SIGTERM counts too.
    assert grace >= config.http.draintimeout.total_seconds() + 15


def test_pods_are_restricted_selected_and_find_what_they_mount():
    objects = kubernetes_objects()
    for (kind, name), document in objects.items():
        if kind != "Deployment":
            continue
        template = document["spec"]["template"]
        assert document["spec"]["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
        pod = template["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        volumes = {volume["name"] for volume in pod["volumes"]}
        for container in pod["containers"] + pod.get("initContainers", []):
            assert container["securityContext"]["readOnlyRootFilesystem"] is True, name
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
            assert all(("Secret", source["secretRef"]["name"]) in objects for source in container["envFrom"])
    web = objects["Deployment", "web"]["spec"]["template"]
    assert objects["Service", "web"]["spec"]["selector"].items() <= web["metadata"]["labels"].items()
    backend = objects["Ingress", "lading"]["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]
    assert backend == {"name": "web", "port": {"name": objects["Service", "web"]["spec"]["ports"][0]["name"]}}


def test_the_configuration_of_systemd_is_valid():
    config = accepted({}, DEPLOY / "systemd" / "config.yml")
    assert config.http.listen.is_loopback
    limit = re.search(r"^TimeoutStopSec=(\d+)", (DEPLOY / "systemd" / "lading.service").read_text(), re.MULTILINE)
    assert int(limit[1]) > config.http.draintimeout.total_seconds()


def test_systemd_takes_the_units(tmp_path):
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is missing")
    for unit in UNITS:
        # The programs are not installed here, and verify looks for them.
        (tmp_path / unit.name).write_text(
            re.sub(r"^ExecStart=/opt/\S+", "ExecStart=/bin/true", unit.read_text(), flags=re.MULTILINE)
        )
    command = ["systemd-analyze", "verify", *(str(tmp_path / unit.name) for unit in UNITS)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stderr) == (0, "")


def test_units_share_their_hardening():
    for unit in UNITS:
        text = unit.read_text()
        for line in ("ProtectSystem=strict", "NoNewPrivileges=yes", "User=lading", "SystemCallFilter=@system-service"):
            assert line in text, unit.name
