"""What a receiver can check, with the code that docs/notifications.md gives it."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from events.delivery import deliver_waiting
from events.models import WebhookDelivery
from events.receivers import receivers
from events.signatures import HEADER, sign
from tests.events.test_delivery import enqueue

PAGE = Path(__file__).parents[2] / "docs" / "notifications.md"
NOW = 1_767_268_800


@pytest.fixture(scope="module")
def verify():
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    namespace: dict = {}
    exec(example, namespace)
    return namespace["verify"]


def test_the_signature_is_of_the_time_and_the_body():
    # printf '1767268800.{}' | openssl dgst -sha256 -hmac key
    assert sign("key", b"{}", timestamp=NOW) == (
        "t=1767268800,v1=b2f88ba35b688b259658d6309df35f77dcc10bb766c45babee99e5bd6416a982"
    )


@pytest.mark.parametrize(
    ("secret", "body", "now", "valid"),
    [
        ("key", b"{}", NOW, True),
        ("key", b"{}", NOW + 299, True),
        ("key", b"{}", NOW + 301, False),
        ("key", b"{} ", NOW, False),
        ("other", b"{}", NOW, False),
    ],
)
def test_the_documented_check(verify, secret, body, now, valid):
    assert verify(secret, sign("key", b"{}", timestamp=NOW), body, now) is valid


@pytest.mark.parametrize("header", ["", "t=1", "t=x,v1=0", f"t={NOW + 1},v1=00"])
def test_the_documented_check_refuses_other_headers(verify, header):
    assert verify("key", header, b"{}", NOW) is False


@pytest.mark.django_db(transaction=True)
def test_posts_carry_it_where_a_secret_is_set(endpoints, outlet, verify):
    endpoints({"secret": "key", "headers": {"Authorization": ["Bearer abc"], "X-Many": ["a", "b"]}}, {})
    enqueue("{}")
    enqueue("{}", queue="endpoint:e1")
    signed, plain = outlet(), outlet()
    now = datetime.fromtimestamp(NOW, UTC)
    for receiver, client in zip(receivers(), (signed, plain), strict=True):
        assert deliver_waiting(receiver, budget_seconds=9, client=client, clock=lambda: now) == 1
    ((_, _, headers, body),) = signed.posts
    assert verify("key", headers[HEADER], body, NOW)
    assert headers["Authorization"] == "Bearer abc"
    assert headers["X-Many"] == "a, b"
    assert headers["Content-Type"] == "application/vnd.docker.distribution.events.v2+json"
    assert HEADER not in plain.posts[0][2]
    assert not WebhookDelivery.objects.exists()
