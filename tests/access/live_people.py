"""The standing cast on a live server, whose database is not that of the tests; it makes its administrator itself."""

import subprocess
import sys

from tests.live_server import PROJECT, LiveServer

_SECONDS = 120
CAST = """
from tests.people import make_user, make_team
make_user("charlie")
make_team(alice="owner", mallory="maintainer", bob="developer", rita="reader")
"""


def run_in(server: LiveServer, code: str) -> str:
    """What Python code prints that runs with the server's settings."""
    return _run(server, "shell", "-v", "0", "-c", code)


def run_command(server: LiveServer, *command: str) -> str:
    """What a `lading` command prints with the server's settings."""
    return _run(server, *command)


def _run(server: LiveServer, *arguments: str) -> str:
    result = subprocess.run(
        [sys.executable, str(PROJECT / "manage.py"), *arguments],
        cwd=PROJECT,
        env=server.environ,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout
