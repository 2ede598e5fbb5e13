"""A client of the soak: one process that pushes, moves, deletes and pulls at random, and writes down each request.

It goes on where it is refused, as docker does, and takes a lost answer for what it is: unknown.
"""

import json
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, urlsplit

from tests.soak import content
from tests.soak.content import Document, digest_of
from tests.soak.journal import Journal
from tests.soak.wire import Answer, Wire

REFUSALS = (429, 503, 507)
TRIES, PUSHES = 6, 12
LONGEST_PAUSE_SECONDS = 2.0
WORLD_SECONDS = 5


class GaveUp(Exception):
    """The act cannot go on; the next one may."""


class Client:
    def __init__(self, *, host: str, seed: int, number: int, journal: Path, until: float) -> None:
        self.seed, self.number, self.until = seed, number, until
        self.choice = random.Random(f"client {seed} {number}")
        self.journal, self.wire = Journal(journal), Wire(host)
        self.turn = 0

    def run(self) -> None:
        acts: dict[Callable[[], None], int] = {
            self.push_image: 10,
            self.push_index: 3,
            self.push_referrer: 3,
            self.retag: 4,
            self.pull: 10,
            self.delete_tag: 3,
            self.delete_manifest: 2,
            self.delete_blob: 1,
            self.delete_repository: 1,
            self.restore_tag: 3,
            self.push_without_layer: 1,
            self.misplace_chunk: 1,
            self.send_wrong_bytes: 1,
            self.abandon_upload: 1,
            self.delete_and_restore_repository: 2,
        }
        while time.monotonic() < self.until:
            self.turn += 1
            try:
                self.choice.choices(list(acts), list(acts.values()))[0]()
            except GaveUp:
                continue

    # Requests

    def ask(
        self,
        kind: str,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        headers: dict[str, str] | None = None,
        **what: object,
    ) -> Answer:
        """One request, again while it is refused. Raises GaveUp where the answer is lost, or refusals do not end."""
        for _ in range(TRIES):
            number = self.journal.invoke(kind, **what)
            answer = self.wire.send(method, path, body, **(headers or {}))
            if answer is None:
                self.journal.complete(number, "unknown")
                time.sleep(0.2)
                raise GaveUp
            self.journal.complete(
                number,
                "ok" if answer.status < 400 else "fail",
                status=answer.status,
                codes=answer.codes if answer.status >= 400 else [],
                **_found(kind, answer),
            )
            if answer.status not in REFUSALS:
                return answer
            time.sleep(min(answer.retry_after, LONGEST_PAUSE_SECONDS))
            if time.monotonic() > self.until + 10:
                break
        raise GaveUp

    @property
    def world(self) -> str:
        """What everybody pushes at the time, so that all of it is garbage some time later."""
        return f"{self.seed} {int(time.monotonic() // WORLD_SECONDS)}"

    def pick(self) -> tuple[str, str]:
        return self.choice.choice(content.REPOSITORIES), self.choice.choice(content.TAGS)

    def image(self) -> Document:
        return content.image(self.world, self.choice.randrange(content.IMAGES))

    # Pushing

    def bring(self, name: str, digest: str, body: bytes, *, trusting: bool) -> None:
        """Let a repository have a blob: it is there, or is mounted, or sent in one of the ways there are."""
        what = {"repository": name, "digest": digest}
        if trusting and self.ask("head-blob", "HEAD", f"/v2/{name}/blobs/{digest}", **what).status == 200:
            return
        way = self.choice.randrange(5)
        uploads = f"/v2/{name}/blobs/uploads/"
        if way == 0:
            origin = self.choice.choice(content.REPOSITORIES)
            answer = self.ask("mount-blob", "POST", f"{uploads}?mount={digest}&from={origin}", **what)
            if answer.status == 201:
                return
        elif way == 1:
            self.expect(self.ask("push-blob", "POST", f"{uploads}?digest={digest}", body, **what), 201)
            return
        else:
            answer = self.ask("start-upload", "POST", uploads, repository=name)
        location = self.location(answer)
        sent = 0
        if way in {3, 4}:
            step = max(1, len(body) // (way - 1))
            while sent < len(body) - step:
                part = body[sent : sent + step]
                headers = {"Content_Range": f"{sent}-{sent + len(part) - 1}"}
                answer = self.ask(
                    "append-chunk", "PATCH", location, part, headers=headers, repository=name, upload=location
                )
                location, sent = self.location(answer), sent + len(part)
        separator = "&" if "?" in location else "?"
        path = f"{location}{separator}digest={digest}"
        headers = {"Content_Range": f"{sent}-{len(body) - 1}"}
        self.expect(self.ask("push-blob", "PUT", path, body[sent:], headers=headers, upload=location, **what), 201)

    def push(self, name: str, reference: str, document: Document) -> None:
        """Push a manifest with all it needs, and again where something of it was collected meanwhile."""
        for attempt in range(PUSHES):
            for child in document.manifests:
                self.push(name, "", child)
            for digest, body in document.blobs.items():
                self.bring(name, digest, body, trusting=attempt == 0 or self.choice.random() < 0.3)
            answer = self.put_manifest(name, reference, document)
            if answer.status == 201:
                if self.choice.random() < 0.3 and reference:
                    self.pull_tag(name, reference)
                return
        raise GaveUp

    def put_manifest(self, name: str, reference: str, document: Document) -> Answer:
        return self.ask(
            "push-manifest",
            "PUT",
            f"/v2/{name}/manifests/{reference or document.digest}",
            document.payload,
            headers={"Content_Type": document.media_type},
            repository=name,
            tag=reference,
            digest=document.digest,
            children=document.children,
            subject=document.subject,
        )

    def push_image(self) -> None:
        name, tag = self.pick()
        self.push(name, tag if self.choice.random() < 0.9 else "", self.image())

    def push_index(self) -> None:
        name, tag = self.pick()
        self.push(name, tag, content.index(self.world, self.choice.sample(range(content.IMAGES), 2)))

    def push_referrer(self) -> None:
        name, tag = self.pick()
        subject = self.image()
        if self.choice.random() < 0.7:
            self.push(name, tag, subject)
        self.push(name, "", content.referrer(subject, f"note {self.seed} {self.choice.randrange(4)}".encode()))

    def retag(self) -> None:
        name, tag = self.pick()
        source = self.choice.choice(content.TAGS)
        answer = self.get_manifest(name, source)
        if answer.status == 200:
            manifest = json.loads(answer.body)
            needed = [entry["digest"] for entry in manifest.get("manifests", [])]
            needed += [
                entry["digest"] for entry in [*manifest.get("layers", []), *filter(None, [manifest.get("config")])]
            ]
            subject = manifest.get("subject", {}).get("digest", "")
            document = Document(answer.body, manifest["mediaType"], dict.fromkeys(needed, b""), (), subject)
            self.put_manifest(name, tag, document)

    # Pulling

    def get_manifest(self, name: str, reference: str, **what: object) -> Answer:
        what = what or {"tag": reference}
        return self.ask("pull-manifest", "GET", f"/v2/{name}/manifests/{reference}", repository=name, **what)

    def pull(self) -> None:
        self.pull_tag(*self.pick())

    def pull_tag(self, name: str, tag: str) -> None:
        since = time.monotonic()
        answer = self.get_manifest(name, tag)
        if answer.status == 200:
            self.pull_below(name, tag, answer, since)

    def pull_below(self, name: str, tag: str, answer: Answer, since: float, image: str = "") -> None:
        manifest, parent = json.loads(answer.body), digest_of(answer.body)
        image = image or parent
        via = {"tag": tag, "image": image, "parent": parent, "since": since}
        for entry in manifest.get("manifests", []):
            digest = entry["digest"]
            child = self.get_manifest(name, digest, digest=digest, **via)
            if child.status == 200:
                self.pull_below(name, tag, child, since, image)
        for entry in [*filter(None, [manifest.get("config")]), *manifest.get("layers", [])]:
            digest = entry["digest"]
            path = f"/v2/{name}/blobs/{digest}"
            if self.ask("pull-blob", "GET", path, repository=name, digest=digest, **via).status != 200:
                return

    # Deleting and restoring

    def delete_tag(self) -> None:
        name, tag = self.pick()
        self.ask("delete-tag", "DELETE", f"/v2/{name}/manifests/{tag}", repository=name, tag=tag)

    def delete_manifest(self) -> None:
        name, tag = self.pick()
        answer = self.get_manifest(name, tag)
        if answer.status == 200:
            digest = digest_of(answer.body)
            self.ask("delete-manifest", "DELETE", f"/v2/{name}/manifests/{digest}", repository=name, digest=digest)

    def delete_blob(self) -> None:
        name, _ = self.pick()
        digest = digest_of(content.layer(self.world, self.choice.randrange(content.LAYERS)))
        self.ask("delete-blob", "DELETE", f"/v2/{name}/blobs/{digest}", repository=name, digest=digest)

    def delete_repository(self) -> None:
        # One of them stays most of the time, so that its tags grow old.
        name = self.choice.choice(content.REPOSITORIES[1:])
        self.ask("delete-repository", "DELETE", f"/api/v1/repositories/{name}", repository=name)

    def restore_tag(self) -> None:
        name, tag = self.pick()
        answer = self.get_manifest(name, tag)
        if answer.status != 200:
            return
        digest = digest_of(answer.body)
        self.ask("delete-tag", "DELETE", f"/v2/{name}/manifests/{tag}", repository=name, tag=tag)
        path = f"/api/v1/repositories/{name}/-/tags/{tag}/restore"
        body = json.dumps({"digest": digest}).encode()
        self.ask("restore-tag", "POST", path, body, headers=_JSON, repository=name, tag=tag, digest=digest)

    def delete_and_restore_repository(self) -> None:
        """In a repository of its own, whose tags nobody else moves: what was there must be there again."""
        team, name = "solo", f"solo/{self.number}-{self.turn}"
        tags = {tag: content.image(f"{self.seed} solo", number) for number, tag in enumerate(content.TAGS[:2])}
        for tag, document in tags.items():
            self.push(name, tag, document)
        self.expect(self.ask("delete-repository", "DELETE", f"/api/v1/repositories/{name}", repository=name), 204)
        answer = self.ask("list-trash", "GET", f"/api/v1/teams/{team}/trash?search={quote(name, safe='')}")
        found = json.loads(answer.body).get("results", []) if answer.status == 200 else []
        for row in [row for row in found if row["name"] == name]:
            path = f"/api/v1/teams/{team}/trash/{row['id']}/restore"
            held = {tag: document.digest for tag, document in tags.items()}
            self.ask("restore-repository", "POST", path, b"{}", headers=_JSON, repository=name, tags=held)
        for tag in tags:
            self.pull_tag(name, tag)
        if self.choice.random() < 0.8:
            self.ask("delete-repository", "DELETE", f"/api/v1/repositories/{name}", repository=name)

    # What must be refused, and what nobody finishes

    def push_without_layer(self) -> None:
        name, tag = self.pick()
        document = content.image_without(f"never pushed {self.number} {self.turn}".encode())
        self.bring(name, digest_of(b"{}"), b"{}", trusting=True)
        self.put_manifest(name, tag, document)

    def misplace_chunk(self) -> None:
        name, _ = self.pick()
        location = self.location(self.ask("start-upload", "POST", f"/v2/{name}/blobs/uploads/", repository=name))
        headers = {"Content_Range": "5-9"}
        self.ask("misplace-chunk", "PATCH", location, b"wrong", headers=headers, repository=name)
        self.ask("cancel-upload", "DELETE", location, repository=name)

    def send_wrong_bytes(self) -> None:
        name, _ = self.pick()
        digest = digest_of(f"promised {self.number} {self.turn}".encode())
        path = f"/v2/{name}/blobs/uploads/?digest={digest}"
        self.ask("push-wrong-bytes", "POST", path, b"something else", repository=name, digest=digest)

    def abandon_upload(self) -> None:
        name, _ = self.pick()
        location = self.location(self.ask("start-upload", "POST", f"/v2/{name}/blobs/uploads/", repository=name))
        self.ask("append-chunk", "PATCH", location, self.choice.randbytes(5000), repository=name)

    def expect(self, answer: Answer, status: int) -> None:
        if answer.status != status:
            raise GaveUp

    def location(self, answer: Answer) -> str:
        if answer.status != 202:
            raise GaveUp
        parts = urlsplit(answer.headers["location"])
        return f"{parts.path}?{parts.query}" if parts.query else parts.path


_JSON = {"Content_Type": "application/json"}


def _found(kind: str, answer: Answer) -> dict[str, str]:
    if not kind.startswith("pull-") or answer.status != 200:
        return {}
    return {"found": digest_of(answer.body)}


def main() -> None:
    options = json.loads(sys.argv[1])
    Client(**{**options, "journal": Path(options["journal"])}).run()


if __name__ == "__main__":
    main()
