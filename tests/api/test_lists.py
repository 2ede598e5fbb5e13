"""The tag list and the catalog: byte order, pages, links (end-8)."""

import random
import re

import pytest

from oci.names import RepositoryName
from repositories.models import Repository, Tag
from tests.factories import NAME

pytestmark = pytest.mark.django_db
# In byte order, which no language's order is.
ORDERED = ["0", "A", "B", "B-1", "B.1", "Z", "_", "a", "a-b", "a.b", "a0", "aB", "a_b", "ab", "b", "ba", "z" * 128]


@pytest.fixture
def tagged(registry):
    """A repository with all of ORDERED, pushed in another order."""
    names = random.Random(7).sample(ORDERED, len(ORDERED))
    image = registry.push_image(None)
    # A few at a time, so that neither age nor row order is the order of names.
    for start in range(0, len(names), 3):
        query = "&".join(f"tag={name}" for name in names[start : start + 3])
        assert registry.put_manifest(image.payload, f"{image.digest}?{query}").status == 201
    return f"/v2/{NAME}/tags/list"


def tags(registry, path):
    answer = registry.get(path)
    assert answer.status == 200, answer
    return answer.json()["tags"], answer.headers.get("Link")


def follow(link):
    """The address of the next page; only the path is ours to follow."""
    match = re.fullmatch(r'<(/v2/[^>]+)>; rel="next"', link)
    assert match, link
    return match[1]


def test_order_is_by_bytes():
    assert sorted(ORDERED, key=str.encode) == ORDERED


def test_lists_all_in_byte_order(registry, tagged):
    answer = registry.get(tagged)
    assert answer.json() == {"name": NAME, "tags": ORDERED}
    assert "Link" not in answer.headers
    assert answer.headers["Content-Type"] == "application/json"


def test_repository_without_tags_has_an_empty_list(registry):
    registry.push_image(None)
    assert registry.get(f"/v2/{NAME}/tags/list").json() == {"name": NAME, "tags": []}


def test_unknown_repository_is_404(registry):
    answer = registry.get("/v2/no/such/tags/list?n=1")
    assert (answer.status, answer.codes) == (404, ["NAME_UNKNOWN"])


@pytest.mark.parametrize("size", [1, 2, 5, len(ORDERED) - 1, len(ORDERED), len(ORDERED) + 1])
def test_chain_of_pages_shows_each_tag_once(registry, tagged, size):
    path, seen, pages = f"{tagged}?n={size}", [], 0
    while path:
        page, link = tags(registry, path)
        assert len(page) == size or link is None
        seen += page
        pages += 1
        path = link and follow(link)
    assert seen == ORDERED
    assert pages == -(-len(ORDERED) // size)


def test_last_is_exclusive_and_need_not_exist(registry, tagged):
    assert tags(registry, f"{tagged}?last=a")[0] == ORDERED[ORDERED.index("a") + 1 :]
    assert tags(registry, f"{tagged}?last=a-")[0] == ORDERED[ORDERED.index("a-b") :]
    assert tags(registry, f"{tagged}?last=a-&n=2") == (
        ["a-b", "a.b"],
        f'<{tagged}?n=2&last=a.b>; rel="next"',
    )
    assert tags(registry, f"{tagged}?last={'z' * 128}") == ([], None)
    assert tags(registry, f"{tagged}?last=")[0] == ORDERED


def test_n_of_zero_is_an_empty_page_without_link(registry, tagged):
    assert tags(registry, f"{tagged}?n=0") == ([], None)


@pytest.mark.parametrize("value", ["-1", "abc", "", "1.5", "1e3", "0x10", "%C2%B2", "%D9%A3", "1%00", "+1", " 1"])
@pytest.mark.parametrize("path", [f"/v2/{NAME}/tags/list", "/v2/_catalog"])
def test_n_that_is_no_number_is_400(registry, path, value):
    registry.push_image()
    answer = registry.get(f"{path}?n={value}")
    assert answer.status == 400
    assert set(answer.codes) <= {"PAGINATION_NUMBER_INVALID", "UNSUPPORTED"}


@pytest.mark.parametrize("parameter", ["n=1&n=2", "last=a&last=b", "last=%00", "last=" + "a" * 5000])
@pytest.mark.parametrize("path", [f"/v2/{NAME}/tags/list", "/v2/_catalog"])
def test_ambiguous_or_unprintable_parameters_are_400(registry, path, parameter):
    registry.push_image()
    assert registry.get(f"{path}?{parameter}").status == 400


@pytest.mark.parametrize("value", ["4", "99999", "9" * 18, "9" * 400])
def test_oversized_n_is_clamped_and_linked(registry, tagged, settings, value):
    settings.TAGS_MAX = 4
    page, link = tags(registry, f"{tagged}?n={value}")
    assert page == ORDERED[:4]
    assert follow(link) == f"{tagged}?n=4&last=B-1"


@pytest.mark.parametrize("last", ["a'; DROP TABLE repositories_tag; --", "%25", "a%5C", "é", "__startswith"])
def test_last_is_a_value_and_nothing_else(registry, tagged, last):
    assert registry.get(f"{tagged}?last={last.replace(' ', '%20').replace(';', '%3B')}").status == 200
    assert Tag.objects.count() == len(ORDERED)


def test_deleted_tag_is_not_listed(registry, tagged):
    registry.delete(f"/v2/{NAME}/manifests/a-b")
    assert tags(registry, tagged)[0] == [name for name in ORDERED if name != "a-b"]


REPOSITORIES = ["a-b/c", "a/b", "a0/b", "library-x", "one", "zz/top/of/it"]


@pytest.fixture
def catalog(registry):
    for name in random.Random(7).sample(REPOSITORIES, len(REPOSITORIES)):
        registry.push_image("latest", name)
    registry.start_upload("empty/because/nothing/was/pushed")
    return "/v2/_catalog"


def test_catalog_lists_repositories_that_hold_something(registry, catalog):
    answer = registry.get(catalog)
    assert answer.json() == {"repositories": REPOSITORIES}
    assert "Link" not in answer.headers


@pytest.mark.parametrize("size", [1, 2, 4, 6, 7])
def test_chain_of_catalog_pages_shows_each_repository_once(registry, catalog, size):
    path, seen = f"{catalog}?n={size}", []
    while path:
        answer = registry.get(path)
        seen += answer.json()["repositories"]
        path = "Link" in answer.headers and follow(answer.headers["Link"])
    assert seen == REPOSITORIES


def test_catalog_page_is_clamped(registry, catalog, settings):
    settings.CATALOG_MAX = 2
    for query in ("", "?n=2", "?n=100"):
        answer = registry.get(catalog + query)
        assert answer.json() == {"repositories": REPOSITORIES[:2]}
        assert follow(answer.headers["Link"]) == "/v2/_catalog?n=2&last=a%2Fb"


def test_catalog_leaves_out_what_was_emptied_or_deleted(registry, catalog):
    image = registry.push_image(None, "one")
    registry.delete(f"/v2/one/manifests/{image.digest}")
    Repository.objects.filter(name="a/b").update(deleted_at="2026-01-01T00:00:00Z")
    assert registry.get(catalog).json()["repositories"] == ["a-b/c", "a0/b", "library-x", "zz/top/of/it"]


def test_catalog_of_nothing(registry):
    assert registry.get("/v2/_catalog").json() == {"repositories": []}


def test_team_of_a_repository_is_its_first_component(registry, catalog):
    teams = dict(Repository.objects.values_list("name", "team__slug"))
    assert teams["one"] == teams["library-x"] == "library"
    assert teams["zz/top/of/it"] == "zz"
    assert all(RepositoryName(name).team_slug == slug for name, slug in teams.items())
