"""The `log` section as Django's LOGGING: text, JSON or logstash lines, the access log, and mail for bad news.

Messages go to standard error, the access log (logger `lading.access`) to standard output, as in Distribution.
Attributes given by `extra=` become fields of the line.
"""

import json
import logging
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from registry_project.config.log import LogHook, LogSection
from registry_project.context import current_request

ACCESS_LOGGER = "lading.access"

_NUMBERS = {"error": logging.ERROR, "warn": logging.WARNING, "info": logging.INFO, "debug": logging.DEBUG}
# What logging itself puts on a record; `request` is Django's, and an object rather than a field.
_OWN_ATTRIBUTES = frozenset(
    {*logging.makeLogRecord({}).__dict__, "message", "asctime", "taskName", "request", "color_message"}
)


_PLAIN = re.compile(r"[\w\-./@^+:]+", re.ASCII)
_HIDDEN = "(hidden)"
# What would let a reader of the log act for somebody else. Nothing of ours writes it; messages of libraries might.
_SECRETS = re.compile(
    r"(?P<scheme>\b(?:bearer|basic)\s+)[\w.~+/=-]{8,}"
    r"|(?P<user>://)[^/\s@\"']+@"
    r"|(?P<name>\b(?:x-amz-(?:signature|credential|security-token)|signature|sig|_state|state|token|access_token"
    r"|refresh_token|password|passwd|secret|secret_key|api_?key)[\"']?\s*[=:]\s*[\"']?)[^\s&\"',;)}]+"
    r"|\blading_(?:pat|rob|ref)_\w+"
    r"|\beyJ[\w-]{5,}\.[\w-]+\.[\w-]*",
    re.IGNORECASE,
)


def redacted(text: str) -> str:
    """This will hide credentials: of Authorization headers and addresses, tokens, and the signatures of signed URLs."""
    return _SECRETS.sub(_hide, text)


def _hide(match: re.Match[str]) -> str:
    kept = match["scheme"] or match["user"] or match["name"] or ""
    return f"{kept}{_HIDDEN}{'@' if match['user'] else ''}"


def level_name(number: int) -> str:
    """This will give Distribution's name of a level: error, warn, info or debug."""
    return next((name for name, least in _NUMBERS.items() if number >= least), "debug")


class LineFormatter(logging.Formatter):
    """One line per message, with the fields of the configuration and of the call."""

    names = {"time": "time", "level": "level", "logger": "logger", "message": "msg"}

    def __init__(self, *, fields: dict[str, object] | None = None, report_caller: bool = False) -> None:
        super().__init__()
        self.fields = fields or {}
        self.report_caller = report_caller

    def pairs(self, record: logging.LogRecord) -> dict[str, object]:
        written = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        pairs: dict[str, object] = {
            self.names["time"]: written.replace("+00:00", "Z"),
            self.names["level"]: level_name(record.levelno),
            self.names["message"]: record.getMessage()
            if record.name == ACCESS_LOGGER
            else redacted(record.getMessage()),
            self.names["logger"]: record.name,
        }
        if self.report_caller:
            pairs["func"] = record.funcName
            pairs["file"] = f"{record.pathname}:{record.lineno}"
        given = ((name, value) for name, value in record.__dict__.items() if name not in _OWN_ATTRIBUTES)
        for name, value in (*self.fields.items(), *given):
            if record.name != ACCESS_LOGGER and isinstance(value, str):
                value = redacted(value)
            pairs[name if name not in pairs or name in self.fields else f"fields.{name}"] = value
        return pairs

    def traceback(self, record: logging.LogRecord) -> str:
        trace = self.formatException(record.exc_info) if record.exc_info else ""
        return redacted("\n".join(part for part in (trace, record.stack_info or "") if part))


class TextFormatter(LineFormatter):
    """`time="…" level=info msg="…" logger=…`, with a traceback on the lines below."""

    def format(self, record: logging.LogRecord) -> str:
        line = " ".join(f"{name}={_quoted(value)}" for name, value in self.pairs(record).items())
        trace = self.traceback(record)
        return f"{line}\n{trace}" if trace else line


class JsonFormatter(LineFormatter):
    """One JSON object per line; a traceback is its `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        pairs = self.pairs(record)
        trace = self.traceback(record)
        if trace:
            pairs["exception"] = trace
        return _json(pairs)


class LogstashFormatter(JsonFormatter):
    """JSON with the field names of logstash, version 1."""

    names = {"time": "@timestamp", "level": "level", "logger": "logger_name", "message": "message"}

    def pairs(self, record: logging.LogRecord) -> dict[str, object]:
        return {"@version": "1", **super().pairs(record)}


def _quoted(value: object) -> str:
    text = str(value)
    if _PLAIN.fullmatch(text):
        return text
    return _json(text)


# JSON leaves these as they are, but terminals obey some of them and log readers break lines at others.
_CONTROLS = {number: f"\\u{number:04x}" for number in (*range(0x7F, 0xA0), 0x2028, 0x2029)}


def _json(value: object) -> str:
    """JSON on one line whatever a client sent, so that no text can forge a second line."""
    return json.dumps(value, default=str, ensure_ascii=False).translate(_CONTROLS)


class RequestFilter(logging.Filter):
    """Lets everything pass, and gives what is said during a request the request's id."""

    def filter(self, record: logging.LogRecord) -> bool:
        # Django speaks of failed requests after the middleware is done with them.
        exchange = getattr(getattr(record, "request", None), "exchange", None)
        context = exchange.context if exchange else current_request()
        if context is not None and not hasattr(record, "request_id"):
            record.request_id = context.id
        return True


class LevelFilter(logging.Filter):
    """Lets only the named levels pass."""

    def __init__(self, levels: tuple[str, ...]) -> None:
        super().__init__()
        self.levels = frozenset(levels)

    def filter(self, record: logging.LogRecord) -> bool:
        return level_name(record.levelno) in self.levels


def logging_settings(log: LogSection) -> dict[str, Any]:
    """This will give the dictionary for Django's LOGGING (logging.config.dictConfig, version 1)."""
    hooks = {f"hook{index}": hook for index, hook in enumerate(log.hooks) if not hook.disabled}
    quiet = {"handlers": [], "level": "NOTSET", "propagate": True}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "line": {
                "()": f"registry_project.logs.{log.formatter.capitalize()}Formatter",
                "fields": dict(log.fields),
                "report_caller": log.reportcaller,
            }
        },
        "filters": {
            "request": {"()": "registry_project.logs.RequestFilter"},
            **{
                name: {"()": "registry_project.logs.LevelFilter", "levels": hook.levels} for name, hook in hooks.items()
            },
        },
        "handlers": {
            "messages": _stream("stderr"),
            "access": {"class": "logging.NullHandler"} if log.accesslog.disabled else _stream("stdout"),
            **dict(_mail_handlers(hooks)),
        },
        "root": {"level": _NUMBERS[log.level], "handlers": ["messages", *hooks]},
        "loggers": {
            ACCESS_LOGGER: {"level": "INFO", "handlers": ["access"], "propagate": False},
            # Django's own handlers would write each message a second time.
            "django": quiet,
            "django.server": quiet,
            # It warns about each 404, which is the usual answer to "do you have this blob?".
            "django.request": {**quiet, "level": "ERROR"},
        },
    }


def _stream(name: str) -> dict[str, Any]:
    return {
        "class": "logging.StreamHandler",
        "stream": f"ext://sys.{name}",
        "formatter": "line",
        "filters": ["request"],
    }


def _mail_handlers(hooks: dict[str, LogHook]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, hook in hooks.items():
        options = hook.options
        host, _, port = options.smtp.addr.partition(":")
        yield (
            name,
            {
                "()": "registry_project.mail_log.MailHandler",
                "filters": [name, "request"],
                "formatter": "line",
                "mailhost": (host, int(port or 25)),
                "fromaddr": options.from_,
                "toaddrs": list(options.to),
                "credentials": (options.smtp.username, options.smtp.password) if options.smtp.username else None,
                "insecure": options.smtp.insecure,
            },
        )
