"""Lading's own sections."""

import os
import re
from datetime import timedelta
from typing import Annotated, Literal

from limits import RateLimitItem
from limits import parse as parse_rate
from pydantic import BeforeValidator, ConfigDict, Field

from registry_project.config.section import Ignored, Secret, Section
from registry_project.config.values import (
    Duration,
    DurationOrNever,
    Flag,
    Positive,
    Text,
    Untyped,
    parse_size,
    parse_text,
)
from registry_project.networks import find_network


class Pool(Section):
    max: Positive = 20
    """Most connections that one web process keeps to PostgreSQL."""


class Database(Section):
    url: Annotated[Text | None, Secret()] = Field(default=None, repr=False)
    """`postgresql://user:password@host:5432/name` or `sqlite:////absolute/path`; unset, `lading.db` in the root
    directory."""
    pool: Pool = Pool()
    """Connection pool."""
    timeout: Duration = timedelta(seconds=30)
    """PostgreSQL: longest that one statement may take, except in migrations; then the request is answered 503. `0`
    means no limit."""


class Celery(Section):
    broker: Annotated[Text | None, Secret()] = Field(default=None, repr=False)
    """`redis://host:6379/0`; unset, the server does the background work itself."""
    metrics: Text | None = None
    """Address, `host:port`, on which each Celery worker shows its metrics to Prometheus; unset, nowhere. It asks for no
    login, so only operators may reach it."""


class Collection(Section):
    grace: Duration = timedelta(hours=24)
    """How long a blob stays after its upload, mount or last use."""
    untagged: DurationOrNever = timedelta(days=7)
    """How long an untagged manifest stays; `never` keeps it for ever."""
    interval: Duration = timedelta(seconds=5)
    """Pause between two rounds."""
    linger: Duration = timedelta(hours=2)
    """How long the bytes of a collected blob stay, for downloads that began before; never less than an hour longer than
    signed addresses live, except `0`."""


def _reading_rate(raw: object) -> object:
    size = parse_size(raw)
    if size is not None and size < 1:
        raise ValueError("expected a size such as 20MB, or nothing for no limit")
    return size


class Scrub(Section):
    enabled: Flag = True
    """`false` never reads stored blobs again to see whether they are still right."""
    interval: Duration = timedelta(days=30)
    """How long after a blob was read its turn comes again, as far as `rate` allows."""
    rate: Annotated[int | None, BeforeValidator(_reading_rate)] = 10 * 2**20
    """Most bytes to read per second, of all hosts together, such as `20MB`; `null`, no limit."""


class Audit(Section):
    keep: DurationOrNever = timedelta(days=365)
    """How long an event of the audit log stays, on PostgreSQL up to a month longer; `never` removes none."""


def _allowed(raw: object) -> object:
    text = parse_text(raw).lower()
    if find_network(text) is None and not re.fullmatch(r"(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*", text):
        raise ValueError("expected a network such as 10.0.0.0/8, an address, or a host such as hooks.example.org")
    if re.fullmatch(r"[0-9.]+(/[0-9]+)?", text) and find_network(text) is None:
        raise ValueError("expected a network whose address has no bits behind its length, such as 10.0.0.0/8")
    return text


class Egress(Section):
    allow: tuple[Annotated[str, BeforeValidator(_allowed)], ...] = ()
    """Networks (`10.0.0.0/8`), addresses and hosts (`hooks.example.org`, `*.example.org`) that may be called although
    they are not on the public internet. The addresses of `notifications.endpoints` need not stand here."""
    ports: tuple[Positive, ...] = ()
    """Ports that may be called beside 80 and 443."""


class Trash(Section):
    keep: Duration = timedelta(days=7)
    """How long a deleted or moved tag can be restored."""


def _agent(raw: object) -> object:
    text = parse_text(raw).lower()
    if not re.fullmatch(r"[a-z0-9._-]+", text):
        raise ValueError("expected a word of letters, digits and . _ - such as trivy")
    return text


def _account(raw: object) -> object:
    text = parse_text(raw)
    if not text:
        raise ValueError("expected the name of a user or robot, such as payments+scanner")
    return text


class Pulls(Section):
    ignoreagents: tuple[Annotated[str, BeforeValidator(_agent)], ...] = (
        "trivy",
        "grype",
        "syft",
        "regsync",
        "watchtower",
        "diun",
        "renovatebot",
    )
    """Programs whose pulls are no use: whole words of their `User-Agent`, in any case. A list replaces this one, and
    `[]` ignores none."""
    ignoreaccounts: tuple[Annotated[str, BeforeValidator(_account)], ...] = ()
    """Users and robots whose pulls are no use, such as `payments+scanner`."""


def _available_cores() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, 4)


def _creation(raw: object) -> object:
    text = parse_text(raw)
    if text not in ("administrators", "everyone"):
        raise ValueError("expected administrators or everyone")
    return text


def _network(raw: object) -> object:
    text = parse_text(raw)
    if find_network(text) is None:
        raise ValueError("expected an address or a network such as 10.0.0.0/8")
    return text


def _location(raw: object) -> object:
    text = parse_text(raw)
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+/", text):
        raise ValueError("expected a path that begins and ends with /, such as /-/files/")
    return text


class Web(Section):
    workers: Positive = Field(default_factory=_available_cores)
    """Processes that answer requests; as many as there are processor cores, at most 4."""
    threads: Positive = 512
    """Most requests that one process answers at a time."""
    uploadparts: Positive = 64
    """Parts of uploads to an object store that one process keeps in memory at a time, each `chunksize` large. A larger
    upload beyond them waits, and gets 503 after 15 seconds."""
    proxies: tuple[Annotated[str, BeforeValidator(_network)], ...] = ()
    """Addresses and networks of proxies in front, whose `X-Forwarded-For` is believed; by default nobody's is."""
    accel: Annotated[str | None, BeforeValidator(_location)] = None
    """Internal location of an nginx that sends the files of `storage.filesystem` itself, such as `/-/files/`; unset,
    Lading sends them. See docs/serving-bytes.md."""


def _rate(raw: object) -> object:
    text = parse_text(raw)
    try:
        return parse_rate(text) if text else None
    except ValueError as error:
        raise ValueError("expected a rate such as 100/second or 6000/minute") from error


Rate = Annotated[RateLimitItem | None, BeforeValidator(_rate)]


class Limits(Section):
    model_config = ConfigDict(arbitrary_types_allowed=True)

    requests: Rate = None
    """Most requests of one user or robot, such as `6000/minute`; unset, no limit. Counted over all hosts where
    `celery.broker` is a Redis, else by each process."""
    anonymous: Rate = None
    """Most requests of one address that does not sign in; unset, no limit."""


class Teams(Section):
    creation: Annotated[Literal["administrators", "everyone"], BeforeValidator(_creation)] = "administrators"
    """Who may create teams: `administrators`, or `everyone` who has an account, who then owns the team."""
    quota: Annotated[int | None, BeforeValidator(parse_size)] = None
    """Quota of new teams, such as `500GB`; unset, none."""


class Admin(Section):
    username: Text = "admin"
    """Name of the first administrator, who is made where no administrator exists."""
    password: Annotated[Text, Secret()] = Field(default="", repr=False)
    """Password of the first administrator; unset, a random one is printed once. It has no effect once there is one."""


Retention = Annotated[Untyped, Ignored("it has no effect yet")]
