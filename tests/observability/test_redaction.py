"""Canaries: secrets that go through the registry and must not come out in its log."""

import base64
import logging

import pytest

from registry_project.logs import JsonFormatter, LogstashFormatter, TextFormatter, redacted
from tests.factories import NAME

CANARY = "c4n4ryS3cr3tValue"
BASIC = base64.b64encode(f"alice:{CANARY}".encode()).decode()
JWT = f"eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ{CANARY}.{CANARY}"

TEXTS = [
    f"Authorization: Bearer {CANARY}",
    f"authorization: Basic {BASIC}",
    f"could not reach https://alice:{CANARY}@store.example.org/x",
    f"could not reach redis://:{CANARY}@cache:6379/0",
    f"GET /v2/a/blobs/uploads/1?_state={CANARY}&digest=sha256:ab",
    f"https://s3/x?X-Amz-Credential={CANARY}%2F2026&X-Amz-Signature={CANARY}",
    f"https://cdn/x?Expires=1&Signature={CANARY}&Key-Pair-Id=K",
    f"https://blob/x?sv=1&sig={CANARY}",
    f"connection failed: host=db password={CANARY} dbname=lading",
    f"{{'password': '{CANARY}', 'name': 'alice'}}",
    f'{{"access_token": "{CANARY}", "expires_in": 60}}',
    f"token {JWT} is not valid",
    f"no user lading_pat_{CANARY}",
]


@pytest.mark.parametrize("text", TEXTS)
def test_a_secret_does_not_pass_the_formatters(text):
    for formatter in (TextFormatter(), JsonFormatter(), LogstashFormatter()):
        record = logging.LogRecord("x", logging.ERROR, "f.py", 1, "said: %s", (text,), None)
        record.extra_field = text
        try:
            raise ValueError(text)
        except ValueError as error:
            record.exc_info = (type(error), error, error.__traceback__)
        line = formatter.format(record)
        assert CANARY not in line
        assert BASIC not in line
        assert "(hidden)" in line


@pytest.mark.parametrize(
    "text",
    [
        "pushed sha256:0123456789abcdef0123456789abcdef to alice/app",
        "https://registry.example.org/v2/a/b/manifests/v1?n=3",
        "the token endpoint answered 401",
        "a basic image with a signature",
        "secret storage: none",
    ],
)
def test_other_words_stay(text):
    assert redacted(text) == text


@pytest.mark.django_db(transaction=True)
def test_nothing_that_a_client_sends_as_secret_is_logged(registry, lines, monkeypatch):
    def explode(*_args, **_more):
        raise RuntimeError(f"while asking https://alice:{CANARY}@store/?X-Amz-Signature={CANARY}")

    secrets = {"Authorization": f"Basic {BASIC}", "Cookie": f"sessionid={CANARY}", "X_Request_Id": "r-1"}
    location = registry.start_upload()
    registry.patch(f"{location}?_state={CANARY}", b"x", **secrets)
    registry.put(f"{location}?digest=sha256:ab&_state={CANARY}", **secrets)
    registry.get(f"/v2/?service=x&account=a&password={CANARY}", Authorization=f"Bearer {JWT}")
    monkeypatch.setattr("repositories.api.views.get_manifest", explode)
    assert registry.get(f"/v2/{NAME}/manifests/v1", **secrets).status == 500
    assert len(lines.all()) >= 5
    assert "RuntimeError" in lines.text
    assert CANARY not in lines.text
    assert BASIC not in lines.text
