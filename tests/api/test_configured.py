"""What the configuration changes about every answer; each case is a process that starts with that environment."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
TEXT = "text/plain; charset=utf-8"
# Prints what each request of the command line got; COOKIE gives the cookies in place of the body.
PROGRAM = """
import json, sys
import django
django.setup()
from tests.factories import Registry
registry = Registry()
answers = []
for step in sys.argv[1:]:
    method, path, body = step.split(" ", 2)
    if method == "COOKIE":
        answers.append([200, {}, registry._client.get(path).cookies.output(header="").strip()])
        continue
    answer = registry.request(method, path, body.encode())
    answers.append([answer.status, dict(answer.headers), answer.body.decode(errors="replace")])
print(json.dumps(answers))
"""


def run(folder, *command, **environ):
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("REGISTRY_")}
    process = subprocess.run(
        [sys.executable, *command],
        cwd=PROJECT,
        env=inherited
        | {
            "DJANGO_SETTINGS_MODULE": "registry_project.settings",
            "REGISTRY_DATABASE_URL": f"sqlite:///{folder}/lading.db",
            "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": str(folder / "data"),
            "REGISTRY_LOG_LEVEL": "error",
            "REGISTRY_LOG_ACCESSLOG_DISABLED": "true",
        }
        | environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


@pytest.fixture(scope="module")
def migrated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("migrated")
    run(folder, "manage.py", "migrate", "--verbosity=0")
    return folder


@pytest.fixture
def configured(migrated, tmp_path):
    shutil.copytree(migrated, tmp_path, dirs_exist_ok=True)

    def ask(*steps, **environ):
        return json.loads(run(tmp_path, "-c", PROGRAM, *steps, **environ).splitlines()[-1])

    return ask


PING, START = "GET /v2/ ", "POST /v2/a/b/blobs/uploads/ "


def test_headers_of_the_configuration_are_on_every_answer(configured):
    answers = configured(
        PING,
        "GET /v2/no/such/tags/list ",
        "GET /healthz ",
        "OPTIONS /v2/ ",
        **{
            "REGISTRY_HTTP_HEADERS_Access-Control-Allow-Origin": '["*"]',
            "REGISTRY_HTTP_HEADERS_Access-Control-Allow-Methods": '["HEAD", "GET"]',
        },
    )
    assert [status for status, _, _ in answers] == [200, 404, 200, 405]
    for _, headers, _ in answers:
        assert headers["Access-Control-Allow-Origin"] == "*"
        assert headers["Access-Control-Allow-Methods"] == "HEAD, GET"


def test_prefix_stands_before_every_route_and_location(configured):
    answers = configured(
        "GET /registry/v2/ ",
        PING,
        "POST /registry/v2/a/b/blobs/uploads/ ",
        "GET /registry/v2/nothing ",
        REGISTRY_HTTP_PREFIX="/registry/",
    )
    assert [status for status, _, _ in answers] == [200, 404, 202, 404]
    assert answers[2][1]["Location"].startswith("/registry/v2/a/b/blobs/uploads/")
    assert json.loads(answers[3][2])["errors"][0]["code"] == "UNSUPPORTED"
    assert answers[0][1]["Docker-Distribution-Api-Version"] == "registry/2.0"


@pytest.mark.parametrize(
    ("relative", "begin"), [("false", "https://registry.example.org/v2/a/b/"), ("true", "/v2/a/b/")]
)
def test_configured_host_stands_in_locations_unless_they_are_relative(configured, relative, begin):
    ((_, headers, _),) = configured(
        START, REGISTRY_HTTP_HOST="https://registry.example.org", REGISTRY_HTTP_RELATIVEURLS=relative
    )
    assert headers["Location"].startswith(begin)


def test_deleting_is_off_until_the_compose_environment_says_otherwise(configured):
    manifest = '{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []}'
    steps = (f"PUT /v2/a/b/manifests/latest {manifest}", "DELETE /v2/a/b/manifests/latest ")
    assert [status for status, _, _ in configured(*steps)] == [201, 405]
    assert [status for status, _, _ in configured(*steps, REGISTRY_STORAGE_DELETE_ENABLED="true")] == [201, 202]


def test_read_only_mode(configured):
    answers = configured(START, PING, "GET /v2/_catalog ", REGISTRY_STORAGE_MAINTENANCE_READONLY='{"enabled": true}')
    assert [status for status, _, _ in answers] == [405, 200, 200]


def test_sparse_indexes_may_be_allowed(configured):
    index = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [
                {
                    "mediaType": "application/vnd.oci.image.manifest.v1+json",
                    "digest": "sha256:" + "0" * 64,
                    "size": 2,
                }
            ],
        }
    )
    step = f"PUT /v2/a/b/manifests/latest {index}"
    assert configured(step)[0][0] == 404
    assert configured(step, REGISTRY_VALIDATION_MANIFESTS_INDEXES_PLATFORMS="none")[0][0] == 201
    assert configured(step, REGISTRY_VALIDATION_DISABLED="true")[0][0] == 201


def test_page_limits(configured):
    manifest = '{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []}'
    answers = configured(
        *(f"PUT /v2/a/b/manifests/{tag} {manifest}" for tag in "cab"),
        "GET /v2/a/b/tags/list?n=100 ",
        "GET /v2/_catalog?n=100 ",
        REGISTRY_TAGS_MAXTAGS="2",
        REGISTRY_CATALOG_MAXENTRIES="1",
    )
    assert json.loads(answers[3][2])["tags"] == ["a", "b"]
    assert "n=2&last=b" in answers[3][1]["Link"]
    assert "Link" not in answers[4][1]


PAGES = ("GET /registry/api/v1/docs ", "GET /registry/api/v1/nothing ", "GET /api/v1/docs ", "GET /registry/nothing ")


def test_prefix_stands_before_the_management_api_and_its_files(configured):
    docs, unknown, outside, page = configured(*PAGES, REGISTRY_HTTP_PREFIX="/registry/")
    assert docs[0] == 200
    files = re.findall(r'(?:src|href)="([^"]+)"', docs[2])
    assert all(file.startswith("/registry/static/") for file in files[:-1])
    assert files[-1] == "/registry/api/v1/schema"
    assert (unknown[0], unknown[1]["Content-Type"]) == (404, "application/problem+json")
    assert [(answer[0], answer[1]["Content-Type"]) for answer in (outside, page)] == [(404, TEXT)] * 2
    answers = configured(*(f"GET {file} " for file in files), REGISTRY_HTTP_PREFIX="/registry/")
    assert [status for status, _, _ in answers] == [200] * len(files)
    paths = json.loads(answers[-1][2])["paths"]
    assert "/registry/api/v1/schema" in paths
    assert {path.startswith("/registry/api/v1/") for path in paths} == {True}


@pytest.mark.parametrize(
    ("environ", "name", "attributes"),
    [
        ({}, "lading-csrf", {"path=/"}),
        ({"REGISTRY_HTTP_HOST": "http://registry.example.org"}, "lading-csrf", {"path=/"}),
        ({"REGISTRY_HTTP_HOST": "https://registry.example.org"}, "__Host-lading-csrf", {"path=/", "secure"}),
        (
            {"REGISTRY_HTTP_TLS_CERTIFICATE": "/cert.pem", "REGISTRY_HTTP_TLS_KEY": "/key.pem"},
            "__Host-lading-csrf",
            {"path=/", "secure"},
        ),
        (
            {"REGISTRY_HTTP_HOST": "https://registry.example.org", "REGISTRY_HTTP_PREFIX": "/registry/"},
            "__Secure-lading-csrf",
            {"path=/registry/", "secure"},
        ),
    ],
    ids=["plain", "http", "proxy", "tls", "prefix"],
)
def test_cookies_are_as_safe_as_the_address_allows(configured, environ, name, attributes):
    prefix = environ.get("REGISTRY_HTTP_PREFIX", "/")
    ((_, _, cookie),) = configured(f"COOKIE {prefix}api/v1/docs ", **environ)
    given, _, rest = cookie.partition("=")
    found = {part.strip().lower() for part in rest.split(";")[1:]}
    assert given == name
    assert {part for part in found if not part.startswith(("expires", "max-age"))} == {
        "httponly",
        "samesite=lax",
        *attributes,
    }
