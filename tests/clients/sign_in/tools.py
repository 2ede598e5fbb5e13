"""Eight programs and the same five things in the words of each: sign in, sign out, push, pull.

Every program is asked for plain HTTP, where it does not take it by itself. Images are pushed as the tag v1.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.clients.layouts import Layout
from tests.clients.programs import Client

Run = Callable[..., str]

# In the words of the programs, that this is for somebody who is signed in.
_NOT_SIGNED_IN = ("unauthorized", "denied", "authentication required", "no basic auth", "credential not found")


def says_to_sign_in(message: str) -> bool:
    return any(words in message.lower() for words in _NOT_SIGNED_IN)


class Tool:
    """`refused` says the same things and expects them to fail; all return what the program wrote."""

    name = ""
    checks_at_login = True
    """whether `login` asks the registry, or only writes a file"""
    tells_why_uploads_fail = True
    """whether a reason comes through that is only known when the bytes are there"""

    def __init__(self, client: Client, host: str, folder: Path, run: Run | None = None) -> None:
        self.client, self.host, self.folder = client, host, folder
        self.run: Run = run or client

    @property
    def refused(self) -> "Tool":
        return type(self)(self.client, self.host, self.folder, self.client.fails)

    def login(self, username: str, secret: str) -> str:
        return self.run("login", "--tls-verify=false", f"-u={username}", "--password-stdin", self.host, given=secret)

    def logout(self) -> str:
        return self.run("logout", self.host)

    def push(self, image: Layout, repository: str) -> str:
        raise NotImplementedError

    def pull(self, repository: str) -> str:
        raise NotImplementedError

    def pushed(self, repository: str) -> tuple[str, str]:
        """The repository and the tag that a push makes."""
        return repository, "v1"


class Skopeo(Tool):
    name = "skopeo"

    def push(self, image: Layout, repository: str) -> str:
        options = ("--dest-tls-verify=false", "--preserve-digests")
        return self.run("copy", *options, image.reference, f"docker://{self.host}/{repository}:v1")

    def pull(self, repository: str) -> str:
        source = f"docker://{self.host}/{repository}:v1"
        return self.run("copy", "--src-tls-verify=false", source, f"dir:{self.folder}/skopeo")


class Podman(Tool):
    name = "podman"

    def push(self, image: Layout, repository: str) -> str:
        identity = image.image.config["digest"].removeprefix("sha256:")
        self.client("pull", image.reference)
        try:
            return self.run("push", "--tls-verify=false", identity, f"docker://{self.host}/{repository}:v1")
        finally:
            self.client("image", "rm", "--force", identity)

    def pull(self, repository: str) -> str:
        return self.run("pull", "--tls-verify=false", f"{self.host}/{repository}:v1")


class Buildah(Podman):
    name = "buildah"

    def push(self, image: Layout, repository: str) -> str:
        identity = self.client("pull", image.reference).strip()
        return self.run("push", "--tls-verify=false", identity, f"docker://{self.host}/{repository}:v1")

    def pull(self, repository: str) -> str:
        return self.run("pull", "--policy=always", "--tls-verify=false", f"{self.host}/{repository}:v1")


class Docker(Tool):
    name = "docker"

    def login(self, username: str, secret: str) -> str:
        return self.run("login", f"-u={username}", "--password-stdin", self.host, given=secret)

    def push(self, image: Layout, repository: str) -> str:
        name = f"{self.host}/{repository}:v1"
        self.client("import", self.layer(image), name)
        try:
            return self.run("push", name)
        finally:
            self.client("image", "rm", name)

    def layer(self, image: Layout) -> Path:
        """`docker import` takes the files of an image, and needs no other program."""
        return image.path(image.image.layers[0]["digest"])

    def pull(self, repository: str) -> str:
        return self.run("pull", f"{self.host}/{repository}:v1")


class Crane(Tool):
    name = "crane"
    checks_at_login = False

    def login(self, username: str, secret: str) -> str:
        return self.run("auth", "login", self.host, f"-u={username}", "--password-stdin", given=secret)

    def logout(self) -> str:
        return self.run("auth", "logout", self.host)

    def push(self, image: Layout, repository: str) -> str:
        return self.run("push", image.folder, f"{self.host}/{repository}:v1")

    def pull(self, repository: str) -> str:
        return self.run("pull", f"{self.host}/{repository}:v1", self.folder / "crane.tar")


class Oras(Tool):
    name = "oras"

    def login(self, username: str, secret: str) -> str:
        return self.run("login", "--plain-http", f"-u={username}", "--password-stdin", self.host, given=secret)

    def push(self, image: Layout, repository: str) -> str:
        source = ("--from-oci-layout", f"{image.folder}:{image.tag}")
        return self.run("copy", *source, "--to-plain-http", f"{self.host}/{repository}:v1")

    def pull(self, repository: str) -> str:
        target = ("--to-oci-layout", f"{self.folder}/oras:v1")
        return self.run("copy", "--from-plain-http", f"{self.host}/{repository}:v1", *target)


class Regctl(Tool):
    name = "regctl"
    tells_why_uploads_fail = False

    def login(self, username: str, secret: str) -> str:
        return self.run("registry", "login", self.host, f"--user={username}", "--pass-stdin", given=secret)

    def logout(self) -> str:
        return self.run("registry", "logout", self.host)

    def push(self, image: Layout, repository: str) -> str:
        return self.run("image", "copy", f"ocidir://{image.folder}:{image.tag}", f"{self.host}/{repository}:v1")

    def pull(self, repository: str) -> str:
        return self.run("image", "copy", f"{self.host}/{repository}:v1", f"ocidir://{self.folder}/regctl:v1")


class Helm(Tool):
    name = "helm"

    def login(self, username: str, secret: str) -> str:
        options = ("--plain-http", f"--username={username}", "--password-stdin")
        return self.run("registry", "login", self.host, *options, given=secret)

    def logout(self) -> str:
        return self.run("registry", "logout", self.host)

    def push(self, image: Layout, repository: str) -> str:
        chart = self.folder / f"chart-{image.image.config['digest'][-12:]}"
        chart.mkdir()
        (chart / "Chart.yaml").write_text(f"apiVersion: v2\nname: harbour\nversion: 1.0.0\ndescription: {chart.name}\n")
        self.client("package", chart)
        return self.run("push", "harbour-1.0.0.tgz", f"oci://{self.host}/{repository}", "--plain-http")

    def pull(self, repository: str) -> str:
        chart = f"oci://{self.host}/{repository}/harbour"
        return self.run("pull", chart, "--version=1.0.0", "--plain-http", f"--destination={self.folder}")

    def pushed(self, repository: str) -> tuple[str, str]:
        return f"{repository}/harbour", "1.0.0"


TOOLS: dict[str, type[Tool]] = {
    tool.name: tool for tool in (Docker, Podman, Buildah, Skopeo, Helm, Crane, Oras, Regctl)
}


def write_config(tool: Tool, auths: Mapping[str, Mapping[str, str]]) -> None:
    """This will write by hand what `login` of docker writes; most of the others read it as well."""
    Path(tool.client.environ["DOCKER_CONFIG"], "config.json").write_text(json.dumps({"auths": auths}))
