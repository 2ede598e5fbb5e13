"""The first start of a registry with accounts."""

import re
import subprocess

import httpx

from tests.live.conftest import QUICK
from tests.live_server import PROJECT, live_server

PASSWORD = "quiet-violet-otter"


def test_the_first_password_is_printed_once_and_commands_make_more_users(database):
    with live_server(database=database, environ={**QUICK, "REGISTRY_AUTH": "lading"}) as server:
        (password,) = re.findall(r"The first administrator is admin, with the password\n  (\S+)\n", server.log())
        assert httpx.get(f"{server.url}/v2/_catalog", auth=("admin", password)).status_code == 200
        server.restart()
        assert server.log().count("The first administrator") == 1
        assert server.log().count(password) == 1
        created = subprocess.run(
            [PROJECT / ".venv" / "bin" / "lading", "create-user", "dora", "--password-stdin"],
            input=f"{PASSWORD}\n",
            env=server.environ,
            cwd=PROJECT,
            text=True,
            capture_output=True,
            check=True,
        )
        assert created.stdout == "dora can sign in.\n"
        assert httpx.get(f"{server.url}/v2/", auth=("dora", PASSWORD)).status_code == 200
        assert httpx.get(f"{server.url}/v2/", auth=("dora", "x")).status_code == 401
