"""Fetching tokens as clients do, and forging them."""

import base64
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import jwt
from django.utils import timezone

from accounts.keys import get_signer
from accounts.tokens import TYPE
from tests.factories import Answer, Registry

FORM = "application/x-www-form-urlencoded"


def ask(client: Registry, *scopes: str, **parameters: str) -> Answer:
    """GET /auth/token with the client's credentials."""
    query = urlencode([("service", "lading"), *(("scope", scope) for scope in scopes), *parameters.items()])
    return client.get(f"/auth/token?{query}")


def post_form(client: Registry, *scopes: str, content_type: str = FORM, **fields: str) -> Answer:
    body = urlencode([*fields.items(), *(("scope", scope) for scope in scopes)]).encode()
    return client.post("/auth/token", body, Content_Type=content_type)


def fetch(client: Registry, *scopes: str) -> Registry:
    """The same registry with a token of the client's for these scopes."""
    answer = ask(client, *scopes)
    assert answer.status == 200, answer
    return client.bearing(answer.json()["token"])


def claims_of(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def access_of(answer: Answer) -> dict[str, list[str]]:
    """`type:name` to actions, as the token says it."""
    assert answer.status == 200, answer
    return {f"{each['type']}:{each['name']}": each["actions"] for each in claims_of(answer.json()["token"])["access"]}


def sign(claims: Mapping[str, Any], *, key: Any = None, algorithm: str | None = "ES256", **header: Any) -> str:
    """A token of these claims, by our own current key if no other is given."""
    signer = get_signer(now=timezone.now())
    headers = {"kid": signer.kid, "typ": TYPE, **header}
    return sign_raw(json.dumps(claims).encode(), {"alg": algorithm, **headers}, key or signer.key, algorithm or "none")


def sign_raw(payload: bytes, header: Mapping[str, Any] | bytes, key: Any, algorithm: str) -> str:
    """A token of exactly this payload and header, whatever a library would say about them."""
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    signed = f"{segment(encoded)}.{segment(payload)}"
    if algorithm == "none":
        return f"{signed}."
    implementation = jwt.get_algorithm_by_name(algorithm)
    return f"{signed}.{segment(implementation.sign(signed.encode(), implementation.prepare_key(key)))}"


def segment(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
