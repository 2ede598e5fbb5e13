import io
import json
import logging
import logging.config
import socketserver
import sys
import threading
from contextlib import contextmanager
from datetime import datetime

import pytest

from registry_project.config import load_configuration
from registry_project.logs import ACCESS_LOGGER, JsonFormatter, LineFormatter, TextFormatter, logging_settings

MOMENT = 1700000000.125


def record(message="hello %s", args=("world",), level=logging.INFO, **extra):
    made = logging.LogRecord("blobs.uploads", level, "/srv/app/uploads.py", 42, message, args, None, func="finish")
    made.created = MOMENT
    made.__dict__.update(extra)
    return made


@contextmanager
def configured(environ, monkeypatch):
    """Python's logging under the given configuration; gives what goes to standard error and output."""
    errors, output = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", errors)
    monkeypatch.setattr(sys, "stdout", output)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    logging.config.dictConfig(logging_settings(load_configuration(None, environ).log))
    try:
        yield errors, output
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        access = logging.getLogger(ACCESS_LOGGER)
        access.handlers, access.propagate = [], True
        logging.getLogger("django.request").setLevel(logging.NOTSET)


def test_text_lines_are_pairs_with_a_utc_time():
    line = TextFormatter(fields={"service": "registry"}).format(record(digest="sha256:ab", size=3))
    assert line == (
        'time=2023-11-14T22:13:20.125Z level=info msg="hello world" logger=blobs.uploads service=registry '
        "digest=sha256:ab size=3"
    )


def test_json_lines_are_objects():
    line = JsonFormatter(fields={"service": "registry"}, report_caller=True).format(record(size=3, path=LineFormatter))
    assert json.loads(line) == {
        "time": "2023-11-14T22:13:20.125Z",
        "level": "info",
        "msg": "hello world",
        "logger": "blobs.uploads",
        "func": "finish",
        "file": "/srv/app/uploads.py:42",
        "service": "registry",
        "size": 3,
        "path": str(LineFormatter),
    }


def test_logstash_lines_have_its_names(monkeypatch):
    with configured({"REGISTRY_LOG_FORMATTER": "logstash", "REGISTRY_LOG_FIELDS_HOST": "a"}, monkeypatch) as (err, _):
        logging.getLogger("x").warning("careful")
    line = json.loads(err.getvalue())
    assert datetime.fromisoformat(line.pop("@timestamp")).utcoffset().total_seconds() == 0
    assert line == {"@version": "1", "level": "warn", "message": "careful", "logger_name": "x", "host": "a"}


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (logging.CRITICAL, "error"),
        (logging.ERROR, "error"),
        (logging.WARNING, "warn"),
        (logging.INFO, "info"),
        (5, "debug"),
    ],
)
def test_levels_have_distribution_s_names(number, name):
    assert json.loads(JsonFormatter().format(record(level=number)))["level"] == name


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
@pytest.mark.parametrize("nasty", ['a\nlevel=error msg="forged"', "\x1b[31m", "a\u2028b", '" x="y', "\r", "\x85"])
def test_a_message_cannot_forge_a_line(formatter, nasty):
    for line in (formatter.format(record("%s", (nasty,))), formatter.format(record(agent=nasty))):
        assert len(line.splitlines()) == 1
        assert "\x1b" not in line
        assert ' x="y' not in line.replace('\\" x=\\"y', "")


def test_a_call_s_field_does_not_replace_what_every_line_has():
    line = json.loads(JsonFormatter(fields={"service": "a"}).format(record(time="x", service="b", msg_id=1)))
    assert (line["fields.time"], line["service"], line["msg_id"]) == ("x", "b", 1)
    assert line["time"].startswith("2023-")


def test_tracebacks_are_kept():
    try:
        raise ValueError("broken")
    except ValueError:
        made = record(exc_info=sys.exc_info())
    assert "ValueError: broken" in json.loads(JsonFormatter().format(made))["exception"]
    first, *rest = TextFormatter().format(made).splitlines()
    assert first.endswith("logger=blobs.uploads")
    assert rest[-1] == "ValueError: broken"


def test_only_messages_of_the_level_and_above_are_written(monkeypatch):
    with configured({"REGISTRY_LOG_LEVEL": "warn"}, monkeypatch) as (err, out):
        logging.getLogger("x").info("quiet")
        logging.getLogger("x").warning("loud")
        logging.getLogger(ACCESS_LOGGER).info("GET /v2/")
    assert "loud" in err.getvalue()
    assert "quiet" not in err.getvalue()
    assert "GET /v2/" in out.getvalue()
    assert "GET /v2/" not in err.getvalue()


def test_the_access_log_can_be_silenced(monkeypatch):
    with configured({"REGISTRY_LOG_ACCESSLOG_DISABLED": "true"}, monkeypatch) as (err, out):
        logging.getLogger(ACCESS_LOGGER).info("GET /v2/")
        logging.getLogger("x").info("said")
    assert "GET" not in out.getvalue() + err.getvalue()
    assert "said" in err.getvalue()


def test_usual_answers_of_django_make_no_noise(monkeypatch):
    # As Django itself sets it up before it applies LOGGING.
    logging.getLogger("django").addHandler(logging.StreamHandler(sys.stderr))
    with configured({}, monkeypatch) as (err, _):
        assert logging.getLogger("django").handlers == []
        logging.getLogger("django.request").warning("Not Found: /v2/")
        logging.getLogger("django.request").error("Internal Server Error: /v2/", extra={"request": object()})
    assert "Not Found" not in err.getvalue()
    assert err.getvalue().count("Internal Server Error") == 1
    assert "object at" not in err.getvalue()


def test_the_settings_are_plain_data():
    environ = {"REGISTRY_LOG_HOOKS": "[{levels: [error], options: {from: a@b.org, to: [c@d.org], smtp: {addr: m}}}]"}
    settings = logging_settings(load_configuration(None, environ).log)
    assert json.loads(json.dumps(settings))["root"]["handlers"] == ["messages", "hook0"]
    assert settings["handlers"]["hook0"]["mailhost"] == ("m", 25)


class MailServer(socketserver.StreamRequestHandler):
    """Just enough SMTP for one message."""

    received: list[str]

    def handle(self):
        self.wfile.write(b"220 ready\r\n")
        lines, in_data = [], False
        for raw in self.rfile:
            line = raw.decode().rstrip("\r\n")
            if in_data:
                in_data = line != "."
                lines.append(line)
                if not in_data:
                    self.server.received.put("\n".join(lines))
                    self.wfile.write(b"250 kept\r\n")
            elif line == "data":
                in_data = True
                self.wfile.write(b"354 go on\r\n")
            else:
                self.wfile.write(b"221 bye\r\n" if line == "quit" else b"250 ok\r\n")


@pytest.fixture
def mail_server():
    import queue

    with socketserver.TCPServer(("127.0.0.1", 0), MailServer) as server:
        server.received = queue.Queue()
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_hook_mails_messages_of_its_levels(mail_server, monkeypatch):
    address = f"127.0.0.1:{mail_server.server_address[1]}"
    hook = f"[{{type: mail, levels: [error], options: {{smtp: {{addr: '{address}'}}, from: a@b.org, to: [c@d.org]}}}}]"
    with configured({"REGISTRY_LOG_HOOKS": hook}, monkeypatch):
        logging.getLogger("blobs").warning("not this")
        logging.getLogger("blobs").error("disk\nfull")
        mail = mail_server.received.get(timeout=30)
        (handler,) = [h for h in logging.getLogger().handlers if h.name == "hook0"]
        handler.waiting.join()
    assert "disk\\nfull" in mail
    assert "From: a@b.org" in mail
    assert "To: c@d.org" in mail
    assert "error in blobs" in mail
    assert mail_server.received.empty()


def test_a_disabled_hook_is_left_out(monkeypatch):
    settings = logging_settings(load_configuration(None, {"REGISTRY_LOG_HOOKS": "[{disabled: true}]"}).log)
    assert settings["root"]["handlers"] == ["messages"]
