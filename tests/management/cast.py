"""Speaking JSON to the management API as everybody of the cast."""

import json

API = "/api/v1"


def send(client, method, path, /, **fields):
    """`fields` are the body of a write."""
    body = json.dumps(fields).encode() if method in {"POST", "PUT", "PATCH"} else b""
    return client.request(method, f"{API}/{path}", body, Content_Type="application/json" if body else "")


def ask(people, method, path, /, **fields):
    """The status that each of them gets, in the order of the dictionary."""
    return {name: send(client, method, path, **fields).status for name, client in people.items()}


def told(answer):
    """What kind of problem it is."""
    return (answer.status, answer.json()["type"].removeprefix("/problems/"))
