"""Endpoints for the process under test, and a client that stands in for the network."""

import pytest

from registry_project.config.other import Notifications
from registry_project.egress import Answer, EgressFailed

URL = "https://hooks.example.org/t0ken/path"


@pytest.fixture
def endpoints(settings):
    """Configure endpoints as config.yml would; each takes a name and a URL where it gives none."""

    def configure(*given, includereferences=False):
        rows = [{"name": f"e{number}", "url": URL, **row} for number, row in enumerate(given)]
        settings.NOTIFICATIONS = Notifications.model_validate(
            {"events": {"includereferences": includereferences}, "endpoints": rows}
        )

    return configure


class Outlet:
    """Takes posts in the place of a server: `answers` are statuses or errors, the last one for ever."""

    def __init__(self, *answers):
        self.answers = list(answers) or [200]
        self.posts = []

    def request(self, method, url, *, headers, body=None):
        self.posts.append((method, url, dict(headers), body))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer == "down":
            raise EgressFailed("connecting failed")
        return Answer(answer, b"")

    @property
    def bodies(self):
        return [body.decode() for *_, body in self.posts]


@pytest.fixture
def outlet():
    return Outlet
