"""The `log` section."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from registry_project.config.section import GoName, Ignored, Secret, Section
from registry_project.config.values import Flag, Plain, Text

Level = Literal["error", "warn", "info", "debug"]
LEVELS = "expected error, warn, info or debug"


def _level(raw: object) -> object:
    level = str(raw).lower()
    if level not in ("error", "warn", "info", "debug"):
        raise ValueError(LEVELS)
    return level


def _formatter(raw: object) -> object:
    if str(raw) not in ("text", "json", "logstash"):
        raise ValueError("expected text, json or logstash")
    return str(raw)


def _hook_type(raw: object) -> object:
    if str(raw) != "mail":
        raise ValueError("expected mail, the only kind of hook")
    return str(raw)


LogLevel = Annotated[Level, BeforeValidator(_level)]


class AccessLog(Section):
    disabled: Flag = False
    """`true` writes no access log."""


class Smtp(Section):
    addr: Text = ""
    """Mail server as `host:port`; port 25 when it is left out."""
    username: Text = ""
    """Name to sign in with; empty means no sign-in."""
    password: Annotated[Text, Secret()] = Field(default="", repr=False)
    """Password to sign in with."""
    insecure: Flag = False
    """`true` accepts any certificate of the mail server, and signs in even without TLS."""


class MailOptions(Section):
    smtp: Smtp = Smtp()
    """The mail server."""
    from_: Text = Field(default="", alias="from")
    """Sender's address."""
    to: tuple[Text, ...] = ()
    """Recipients' addresses."""


class LogHook(Section):
    disabled: Flag = False
    """`true` switches this hook off."""
    type: Annotated[Literal["mail"], BeforeValidator(_hook_type)] = "mail"
    """Kind of hook: `mail`."""
    levels: tuple[LogLevel, ...] = ()
    """Levels that are mailed, such as `error`."""
    options: Annotated[MailOptions, GoName("MailOptions")] = MailOptions()
    """Where the mail goes."""


class LogSection(Section):
    level: LogLevel = "info"
    """Least severe level that is written: `error`, `warn`, `info` or `debug`."""
    formatter: Annotated[Literal["text", "json", "logstash"], BeforeValidator(_formatter)] = "text"
    """Form of a line: `text`, `json` or `logstash`."""
    fields: dict[str, Plain] = Field(default_factory=dict)
    """Fixed fields that are added to every line."""
    accesslog: AccessLog = AccessLog()
    """The access log."""
    reportcaller: Flag = False
    """`true` adds the function, file and line that wrote the message."""
    hooks: tuple[LogHook, ...] = ()
    """Further receivers of messages."""


class Reporting(Section):
    """Error reporting of Distribution 2."""

    bugsnag: Annotated[dict[str, Plain], Ignored("Lading reports to no outside service")] = Field(default_factory=dict)
    """Bugsnag, in Distribution 2."""
    newrelic: Annotated[dict[str, Plain], Ignored("Lading reports to no outside service")] = Field(default_factory=dict)
    """New Relic, in Distribution 2."""
