"""One line for each request, with the bytes that were really moved."""

import logging
import uuid

import pytest
from django.http import StreamingHttpResponse
from django.test import RequestFactory

from registry_project.context import answering
from registry_project.exchange import Exchange, shown_query
from tests.factories import NAME, digest_of

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_push_and_a_pull_are_told_in_fields(registry, access):
    digest = registry.push_blob(b"content")
    registry.get(f"/v2/{NAME}/blobs/{digest}", User_Agent="docker/1", X_Request_Id="abc-1")
    pushed, pulled = access()
    assert (pushed["method"], pushed["route"], pushed["status"], pushed["bytes_in"]) == ("POST", "blob_upload", 201, 7)
    assert pulled.pop("duration_seconds") > 0
    assert pulled.pop("time")
    assert pulled == {
        "level": "info",
        "msg": f"GET /v2/{NAME}/blobs/{digest} 200",
        "logger": "lading.access",
        "request_id": "abc-1",
        "principal": "",
        "remote": "127.0.0.1",
        "method": "GET",
        "path": f"/v2/{NAME}/blobs/{digest}",
        "route": "blob",
        "repository": NAME,
        "status": 200,
        "bytes_in": 0,
        "bytes_out": 7,
        "user_agent": "docker/1",
    }


def test_head_and_errors_count_what_is_sent(registry, access):
    digest = registry.push_blob(b"content")
    registry.head(f"/v2/{NAME}/blobs/{digest}")
    answer = registry.get(f"/v2/{NAME}/manifests/absent")
    registry.get("/nowhere")
    head, missing, nowhere = access()[-3:]
    assert (head["bytes_out"], head["status"]) == (0, 200)
    assert (missing["bytes_out"], missing["status"], missing["route"]) == (len(answer.body), 404, "manifest")
    assert (nowhere["route"], nowhere["repository"]) == ("unrouted", "")


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, 'a"b', "a\nb"])
def test_an_odd_request_id_is_replaced(registry, access, given):
    answer = registry.get("/v2/", X_Request_Id=given)
    assert uuid.UUID(answer.headers["X-Request-Id"])
    assert access()[-1]["request_id"] == answer.headers["X-Request-Id"]


def test_whatever_is_said_during_a_request_has_its_id(registry, lines, monkeypatch):
    def speak(*_args, **_more):
        logging.getLogger("somebody").warning("said inside")
        raise RuntimeError("broken")

    monkeypatch.setattr("repositories.api.views.get_manifest", speak)
    assert registry.get(f"/v2/{NAME}/manifests/v1", X_Request_Id="r-7").status == 500
    logging.getLogger("somebody").warning("said outside")
    said = {line["msg"]: line.get("request_id") for line in lines.all()}
    assert said["said inside"] == said["unexpected error"] == "r-7"
    assert [line["request_id"] for line in lines.all() if line["logger"] == "django.request"] == ["r-7"]
    assert said["said outside"] is None


def streamed(chunks, length):
    """An exchange whose answer is streamed, as the server sees it."""
    request = RequestFactory().get("/v2/a/b/blobs/x")
    with answering(request.META) as context:
        exchange = Exchange(request, context)
        response = StreamingHttpResponse(iter(chunks))
        response["Content-Length"] = str(length)
        exchange.answered(response)
    return response


def test_a_stream_is_told_when_it_ends(access):
    response = streamed([b"abc", b"def"], 6)
    iterator = iter(response)
    next(iterator)
    assert access() == []
    list(iterator)
    response.close()
    (line,) = access()
    assert (line["bytes_out"], "broken_off_by" in line) == (6, False)


def test_a_client_that_left_is_told(access):
    response = streamed([b"abc", b"def"], 6)
    next(iter(response))
    response.close()
    (line,) = access()
    assert (line["bytes_out"], line["broken_off_by"]) == (3, "client")


def test_bytes_that_were_lost_are_not_blamed_on_the_client(access, lines):
    def broken():
        yield b"abc"
        logging.getLogger("somebody").error("lost")
        raise OSError("gone")

    response = streamed(broken(), 6)
    with pytest.raises(OSError, match="gone"):
        list(response)
    response.close()
    (line,) = access()
    assert (line["bytes_out"], line["broken_off_by"]) == (3, "server")
    (lost,) = [other for other in lines.all() if other["msg"] == "lost"]
    assert lost["request_id"] == line["request_id"]


def test_only_known_parameters_are_shown():
    digest = digest_of(b"x")
    assert shown_query(f"digest={digest}&_state=abc&n=3&token=s3cret") == (
        f"digest={digest}&_state=(hidden)&n=3&token=(hidden)"
    )
