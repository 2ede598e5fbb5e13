"""The commands of docs/access.md, run as they stand there, but with passwords where a person would be asked."""

import re
import subprocess

import pytest

from tests.clients.api import Registry
from tests.clients.conftest import watched_server
from tests.clients.programs import PROJECT
from tests.clients.sign_in.conftest import ADMINISTRATOR, PASSWORD

PAGE = (PROJECT / "docs" / "access.md").read_text()
SECONDS = 120
ALICES_PASSWORD = "seven seas and a ship"
# What the page's registry has beside its own commands: two issuers, and the team of the CI recipes.
ISSUERS = """[
    {issuer: "https://token.actions.githubusercontent.com", audience: registry.example.org},
    {issuer: "https://gitlab.example.org", audience: registry.example.org},
]"""


def commands(*programs):
    """The commands of the page that begin with one of the programs, whole even where they go over several lines."""
    blocks = re.findall(r"^```console\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    found = [text for block in blocks for text in re.findall(r"^\$ ((?:.*\\\n)*.*)$", block, re.MULTILINE)]
    return [text for text in found if text.startswith(programs)]


@pytest.fixture(scope="module")
def server():
    environ = {"REGISTRY_AUTH": "lading", "REGISTRY_ADMIN_PASSWORD": PASSWORD, "REGISTRY_AUTH_LADING_ISSUERS": ISSUERS}
    with watched_server(**environ) as running:
        yield running


@pytest.fixture
def alice(server):
    """The page makes her."""
    return Registry(server.host, "alice", ALICES_PASSWORD)


@pytest.fixture
def run(client, daemon, host, new_image):
    """Runs commands of the page in one shell, which ends at the first that fails."""
    docker = client("docker", "--host", daemon.docker)
    layer = new_image()
    docker("import", layer.path(layer.image.layers[0]["digest"]), "my-image")

    def run_all(texts):
        script = "\n".join(texts).replace("127.0.0.1:5000", host)
        for username, password in {"admin": PASSWORD, "alice": ALICES_PASSWORD}.items():
            script = re.sub(rf"^(curl .*?-u {username}) ", rf"\1:'{password}' ", script, flags=re.MULTILINE)
            script = re.sub(rf"^(docker login .*-u {username})$", rf"\1 -p '{password}'", script, flags=re.MULTILINE)
        curl = 'curl() { command curl --silent --show-error --fail-with-body "$@"; echo; }'
        result = subprocess.run(
            ["bash", "-ec", f"{curl}\n{script}"],
            env={**docker.environ, "DOCKER_HOST": daemon.docker},
            cwd=docker.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert result.returncode == 0, f"{script}\n{result.stdout}\n{result.stderr}"
        return result.stdout

    yield run_all
    docker("image", "rm", "--force", "my-image", f"{host}/payments/api:1.0")


def test_every_command_does_what_it_says(run, host, alice):
    names = commands("REGISTRY=")
    known = commands("curl", "docker login 127.0.0.1:5000 -u alice", "docker tag", "docker push")
    own = [text for text in known if "teams/acme" not in text]
    written = run(names + own)
    assert '"allowed":true' in written
    assert '"secret":"lading_rob_' in written
    assert '"action":"manifest.push"' in written
    assert alice.tags("payments/api") == ["1.0"]

    administrator = Registry(host, ADMINISTRATOR, PASSWORD)
    administrator.manage("POST", "teams", name="acme")
    administrator.manage("PUT", "teams/acme/members/alice", role="owner")
    alice.manage("POST", "teams/acme/robots", name="ci", role="developer")
    run(names + [text for text in known if "teams/acme" in text])
    assert len(alice.manage("GET", "teams/acme/robots/ci/identities")["results"]) == 2


def test_the_page_has_the_commands():
    """So that the test above cannot pass by finding none."""
    assert len(commands("curl")) >= 16
    assert len(commands("docker push", "docker tag")) == 2
