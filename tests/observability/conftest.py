"""What the registry says of itself, caught where it is said."""

import io
import json
import logging

import pytest

from registry_project.logs import ACCESS_LOGGER, JsonFormatter, RequestFilter


class Lines:
    """What a configured handler writes, as JSON objects."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    @property
    def text(self):
        return self.stream.getvalue()

    def all(self):
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture
def lines():
    """Everything that is logged while the test runs, the access log too."""
    caught = Lines()
    handler = logging.StreamHandler(caught.stream)
    handler.setFormatter(JsonFormatter())
    handler.addFilter(RequestFilter())
    loggers = [logging.getLogger(), logging.getLogger(ACCESS_LOGGER)]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
    yield caught
    for logger, level in zip(loggers, levels, strict=True):
        logger.removeHandler(handler)
        logger.setLevel(level)


@pytest.fixture
def access(lines):
    """Reads the access log: the lines so far."""
    return lambda: [line for line in lines.all() if line["logger"] == ACCESS_LOGGER]
