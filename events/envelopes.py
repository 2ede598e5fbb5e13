"""Events in the words of CNCF Distribution's notifications, schema version 2."""

import json
import re
import socket
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import Any

from django.conf import settings

from registry_project.context import RequestContext, current_request

CONTENT_TYPE = "application/vnd.docker.distribution.events.v2+json"
_HOST = re.compile(r"[A-Za-z0-9.:\[\]_-]+\Z")
# In the order of the specification; other fields of a descriptor are not passed on.
_DESCRIPTOR_FIELDS = ("mediaType", "digest", "size", "urls", "annotations", "data", "platform", "artifactType")


class Action(StrEnum):
    PUSH = "push"
    PULL = "pull"
    MOUNT = "mount"
    DELETE = "delete"
    QUARANTINE = "quarantine"


@dataclass(frozen=True, slots=True)
class Target:
    """What an event is about; `path` stands behind /v2/ and becomes the URL. Sizes in bytes."""

    repository: str
    media_type: str = ""
    digest: str = ""
    size: int = 0
    tag: str = ""
    from_repository: str = ""
    path: str = ""
    references: Sequence[Mapping[str, Any]] = ()


def envelope(event_id: uuid.UUID, action: Action, target: Target, *, actor: str, now: datetime) -> str:
    """This will give the JSON of an envelope with one event; fields without a value are left out as Go does."""
    request = current_request()
    event = {
        "id": str(event_id),
        "timestamp": now.isoformat().replace("+00:00", "Z"),
        "action": action.value,
        "target": _target(target, request),
        "request": _request(request),
        "actor": _filled(name=actor or (request.principal if request else "")),
        "source": {"addr": source_address(), "instanceID": instance_id()},
    }
    return json.dumps({"events": [event]}, ensure_ascii=False, separators=(",", ":"))


def _target(target: Target, request: RequestContext | None) -> dict[str, Any]:
    return {
        "mediaType": target.media_type,
        "digest": target.digest,
        "size": target.size,
        **_filled(
            length=target.size,
            repository=target.repository,
            fromRepository=target.from_repository,
            url=_url(target.path, request) if target.path else "",
            tag=target.tag,
            references=list(target.references),
        ),
    }


def _request(request: RequestContext | None) -> dict[str, str]:
    if request is None:
        return {"id": "", "method": "", "useragent": ""}
    return {
        "id": request.id,
        **_filled(addr=request.address, host=request.host),
        "method": request.method,
        "useragent": request.user_agent,
    }


def _filled(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value}


def _url(path: str, request: RequestContext | None) -> str:
    """On `http.host`, else on the host that the client called, else without one."""
    place = f"{settings.PUBLIC_BASE}/v2/{path}"
    if "://" in place or settings.CONFIGURATION.http.relativeurls or request is None or not _HOST.match(request.host):
        return place
    return f"{request.scheme}://{request.host}{place}"


def references_of(payload: bytes) -> list[dict[str, Any]]:
    """The descriptors that a manifest names, as it writes them: config and layers, or manifests."""
    document = json.loads(payload)
    named = [document.get("config"), *(document.get("layers") or ()), *(document.get("manifests") or ())]
    return [
        {field: item[field] for field in _DESCRIPTOR_FIELDS if field in item}
        for item in named
        if isinstance(item, dict)
    ]


@cache
def instance_id() -> str:
    """This process, until it ends."""
    return str(uuid.uuid4())


@cache
def source_address() -> str:
    listen = settings.CONFIGURATION.http.listen
    return f"{socket.gethostname()}:{listen.port}" if listen else socket.gethostname()
