"""The OpenAPI document, its page, and the static files that the page needs."""

import re
from io import StringIO

import pytest
from django.core.management import call_command
from django.templatetags.static import static
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator

FOREVER = "max-age=315360000, public, immutable"


@pytest.mark.parametrize("urls", ["registry_project.urls", "tests.api.probe"])
def test_document_is_valid_and_made_without_a_warning(urls):
    GENERATOR_STATS.reset()
    call_command("spectacular", urlconf=urls, validate=True, fail_on_warn=True, stdout=StringIO())


@pytest.fixture(params=["registry_project.urls", "tests.api.probe"])
def document(request):
    return SchemaGenerator(urlconf=request.param).get_schema(request=None, public=True)


def operations(document):
    return [operation for path in document["paths"].values() for operation in path.values()]


def test_every_operation_has_a_name_of_its_own_a_sentence_and_problems(document):
    names = [operation["operationId"] for operation in operations(document)]
    assert len(set(names)) == len(names) > 0
    assert all(path.startswith("/api/v1/") for path in document["paths"])
    for operation in operations(document):
        assert operation["description"]
        assert operation["responses"]["default"] == {"$ref": "#/components/responses/Problem"}
    problem = document["components"]["responses"]["Problem"]["content"]
    assert problem["application/problem+json"]["schema"] == {"$ref": "#/components/schemas/Problem"}


def test_parameters_and_pages_are_described_as_they_are_declared():
    document = SchemaGenerator(urlconf="tests.api.probe").get_schema(request=None, public=True)
    operation = document["paths"]["/api/v1/probes"]["get"]
    assert operation["operationId"] == "getProbes"
    parameters = {item["name"]: item["schema"] for item in operation["parameters"]}
    assert list(parameters) == ["search", "visibility", "since", "empty", "sort", "limit", "cursor"]
    assert parameters["limit"] == {"type": "integer", "minimum": 1, "maximum": 200, "default": 50}
    assert parameters["sort"]["enum"] == ["slug", "-slug", "quota", "-quota", "created", "-created"]
    page = document["components"]["schemas"]["PageOfProbe"]
    assert page["required"] == ["next", "results"]
    assert page["properties"]["next"] == {"type": ["string", "null"], "format": "uri-reference"}
    assert page["properties"]["results"]["items"] == {"$ref": "#/components/schemas/Probe"}


def test_document_is_served(registry):
    answer = registry.get("/api/v1/schema")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    assert answer.json()["openapi"] == "3.1.0"


def test_page_needs_nothing_from_elsewhere_and_no_script_of_its_own(registry):
    answer = registry.get("/api/v1/docs")
    page = answer.body.decode()
    assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store")
    files = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert all(file.startswith("/") for file in files)
    assert "<style" not in page
    assert " style=" not in page
    assert re.findall(r"<script[^>]*>(.*?)</script>", page, re.DOTALL) == ["", ""]
    found = [registry.get(file) for file in files]
    assert [answer.status for answer in found] == [200] * len(files)
    assert sum("javascript" in answer.headers["Content-Type"] for answer in found) == 2


def test_static_file_with_its_hash_is_kept_for_ever(registry):
    address = static("registry_project/docs.js")
    assert re.fullmatch(r"/static/registry_project/docs\.[0-9a-f]{12}\.js", address)
    answer = registry.get(address)
    assert (answer.status, answer.headers["Cache-Control"]) == (200, FOREVER)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert registry.get(address, If_None_Match=answer.headers["ETag"]).status == 304
    plain = registry.get("/static/registry_project/docs.js")
    assert (plain.body, plain.headers["Cache-Control"]) == (answer.body, "max-age=60, public")


@pytest.mark.parametrize(
    "path",
    [
        "/static/",
        "/static/nothing.js",
        "/static/registry_project/docs.000000000000.js",
        "/static/../registry_project/settings.py",
        "/static/%2e%2e/settings.py",
        "/static//etc/passwd",
    ],
)
def test_nothing_else_is_there(registry, path):
    assert registry.get(path).status == 404


def test_template_that_names_a_missing_file_fails():
    with pytest.raises(ValueError, match="there is no static file"):
        static("no/such.css")
