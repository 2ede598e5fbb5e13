"""The WSGI application that Granian serves."""

import os
from collections.abc import Iterable
from typing import Any, cast

from registry_project.lifeline import end_with_parent

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "registry_project.settings")
end_with_parent()

from django.core.handlers.wsgi import WSGIHandler  # noqa: E402 - the settings come first
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import HttpResponse  # noqa: E402

handler: WSGIHandler = get_wsgi_application()

from accounts.last_use import write_uses  # noqa: E402 - the apps come first
from registry_project.notes import keep_writing  # noqa: E402
from repositories.pulls import write_pulls  # noqa: E402

keep_writing(write_uses, name="last-use")
keep_writing(write_pulls, name="pulls")


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Answer one request.

    Granian sends a list at once and iterates over anything else; Django's responses are anything else.
    """
    response = handler(environ, start_response)
    if getattr(response, "streaming", False):
        return response
    response.close()
    return [cast("HttpResponse", response).content]
