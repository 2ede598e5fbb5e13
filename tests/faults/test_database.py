"""Whatever the way to the database does: nobody sees a 500, what was acknowledged stays, and asking again succeeds.

Each operation is repeated until each of its statements has failed once, and done once while all of them fail.
"""

import itertools
import secrets

import pytest

from tests.factories import digest_of
from tests.faults.statement_proxy import KINDS
from tests.live.client import codes, image_payload
from tests.live.inspection import assert_check_finds_nothing, wait_until

# More statements than any operation here makes.
MOST_STATEMENTS = 60
# The others, and faults that last, need minutes: `make faults`.
FAST = {"reset", "lost"}
# Less than the minute after which the claim on an upload runs out that nobody gave back.
PATIENCE_SECONDS = 50


def thorough(value):
    return pytest.param(value, marks=pytest.mark.faults)


@pytest.fixture(params=[kind if kind in FAST else thorough(kind) for kind in KINDS])
def kind(request):
    return request.param


@pytest.fixture(params=["once", thorough("lasting")])
def faults(request, proxy, kind):
    """Functions that let the next statement fail, the one behind it, and so on, as long as there is one."""

    def each():
        if request.param == "lasting":
            # Once is enough: it costs the time-outs of all connections that are tried.
            yield lambda: proxy.fail(kind)
            return
        for number in itertools.count(1):
            assert number < MOST_STATEMENTS
            proxy.struck.clear()
            yield lambda number=number: proxy.fail(kind, first=number, last=number)
            if not proxy.struck:
                assert number > 1
                return

    return each


def succeeded(proxy, answer, *statuses):
    """Whether the request was done; if not, the client was told so and may ask again. Ends the fault."""
    proxy.heal()
    if answer.status_code != 503:
        assert answer.status_code in statuses, answer.text
        return True
    assert codes(answer) == ["UNAVAILABLE"]
    assert answer.headers["Retry-After"]
    return False


def insist(ask, *statuses):
    """Ask until the answer is one of `statuses`, as clients do that were told to come again."""

    def done():
        answer = ask()
        assert answer.status_code in {*statuses, 409, 503}, answer.text
        return answer if answer.status_code in statuses else None

    return wait_until(done, f"answered by one of {statuses}", PATIENCE_SECONDS)


def read(client, path):
    return insist(lambda: client.request("GET", path), 200).content


@pytest.fixture(autouse=True, scope="module")
def _agreement(server, proxy):
    yield
    proxy.heal()
    assert_check_finds_nothing(server)


def test_start_of_an_upload(client, proxy, name, faults):
    for strike in faults():
        strike()
        succeeded(proxy, client.request("POST", f"{name}/blobs/uploads/"), 202)
        insist(lambda: client.request("POST", f"{name}/blobs/uploads/"), 202)


def test_upload(client, proxy, name, faults):
    content = secrets.token_bytes(3000)
    for strike in faults():
        location = client.start_upload(name)
        assert client.patch(location, content[:1000]).status_code == 202
        strike()
        done = succeeded(proxy, client.patch(location, content[1000:], Content_Range="1000-2999"), 202)
        told = insist(lambda location=location: client.request("GET", location), 204).headers["Range"]
        assert told == "0-2999" if done else told in {"0-999", "0-2999"}
        rest = content[int(told.removeprefix("0-")) + 1 :]
        insist(lambda location=location, rest=rest: client.complete(location, digest_of(content), rest), 201)
        assert read(client, f"{name}/blobs/{digest_of(content)}") == content


@pytest.mark.parametrize("sent", ["with the last request", "before"])
def test_finalize(client, proxy, name, faults, sent):
    for strike in faults():
        content = secrets.token_bytes(3000)
        location, last = client.start_upload(name), content
        if sent == "before":
            assert client.patch(location, content).status_code == 202
            last = b""
        strike()
        wanted = (location, digest_of(content), last)
        if not succeeded(proxy, client.complete(*wanted), 201):
            insist(lambda wanted=wanted: client.complete(*wanted), 201)
        assert read(client, f"{name}/blobs/{digest_of(content)}") == content


def test_whole_blob_in_one_request(client, proxy, name, faults):
    for strike in faults():
        content = secrets.token_bytes(3000)

        def push(content=content):
            return client.request(
                "POST", f"{name}/blobs/uploads/", params={"digest": digest_of(content)}, content=content
            )

        strike()
        if not succeeded(proxy, push(), 201):
            insist(push, 201)
        assert read(client, f"{name}/blobs/{digest_of(content)}") == content


def test_mount(client, proxy, name, faults):
    digest = client.push_blob(f"{name}/source", b"mounted")
    for number, strike in enumerate(faults()):
        query = {"mount": digest, "from": f"{name}/source"}
        target = f"{name}/target{number}"
        strike()
        if not succeeded(proxy, client.request("POST", f"{target}/blobs/uploads/", params=query), 201):
            insist(
                lambda target=target, query=query: client.request("POST", f"{target}/blobs/uploads/", params=query), 201
            )
        assert read(client, f"{target}/blobs/{digest}") == b"mounted"


def test_manifest_put(client, proxy, name, faults):
    """The tag moves each time, so that its history is written too."""
    for strike in faults():
        layer = secrets.token_bytes(100)
        for content in (b"{}", layer):
            client.push_blob(name, content)
        payload = image_payload(layer)
        strike()
        if not succeeded(proxy, client.put_manifest(name, "v1", payload), 201):
            insist(lambda payload=payload: client.put_manifest(name, "v1", payload), 201)
        assert read(client, f"{name}/manifests/v1") == payload
        assert read(client, f"{name}/manifests/{digest_of(payload)}") == payload


@pytest.mark.parametrize("kind_of_path", ["manifests/v1", "blobs/", "tags/list"])
def test_get(client, proxy, name, faults, kind_of_path):
    payload = client.push_image(name, "v1", b"layer")
    path = f"{name}/{kind_of_path}" + (digest_of(b"layer") if kind_of_path == "blobs/" else "")
    expected = {"manifests/v1": payload, "blobs/": b"layer"}.get(kind_of_path) or client.request("GET", path).content
    for strike in faults():
        strike()
        answer = client.request("GET", path)
        if succeeded(proxy, answer, 200):
            assert answer.content == expected
        assert read(client, path) == expected


@pytest.mark.parametrize("by", ["tag", "digest"])
def test_delete(client, proxy, name, faults, by):
    for strike in faults():
        layer = secrets.token_bytes(100)
        payload = client.push_image(name, "v1", layer)
        path = f"{name}/manifests/{'v1' if by == 'tag' else digest_of(payload)}"
        strike()
        if not succeeded(proxy, client.request("DELETE", path), 202):
            # It may have been done although the answer was lost.
            insist(lambda path=path: client.request("DELETE", path), 202, 404)
        insist(lambda path=path: client.request("GET", path), 404)
        assert client.has_blob(name, digest_of(layer))


def test_cancelled_upload(client, proxy, name, faults):
    for strike in faults():
        location = client.start_upload(name)
        assert client.patch(location, b"given up").status_code == 202
        strike()
        if not succeeded(proxy, client.request("DELETE", location), 204):
            insist(lambda location=location: client.request("DELETE", location), 204, 404)
        insist(lambda location=location: client.request("GET", location), 404)


def test_a_commit_whose_answer_is_lost_is_among_them(client, proxy, name):
    """What the others rely on: COMMIT is a statement of its own, which the database has carried out."""
    client.push_blob(name, b"{}")
    payload = image_payload()
    for number in range(1, MOST_STATEMENTS):
        insist(lambda: client.request("GET", f"{name}/tags/list"), 200, 404)
        proxy.fail("lost", first=number, last=number)
        answer = client.put_manifest(name, f"v{number}", payload)
        proxy.heal()
        if any(b"COMMIT" in statement for statement in proxy.struck):
            assert answer.status_code == 503
            assert read(client, f"{name}/manifests/v{number}") == payload
            return
    raise AssertionError("no COMMIT was seen")
