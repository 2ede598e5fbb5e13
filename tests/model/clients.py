"""Steps of clients: pushes of every kind, moves, deletions, and their undoing."""

from datetime import timedelta

from django.utils import timezone
from hypothesis import strategies as st
from hypothesis.stateful import precondition

from accounts.rights import ANONYMOUS
from oci.digests import Digest
from oci.errors import ManifestUnknown
from oci.names import RepositoryName, TagName
from oci.patterns import Glob
from registry_project.problems import NotFound
from repositories.bulk_deletes import Selection, delete_tags
from repositories.errors import RepositoryTaken
from repositories.expiry import set_expiry
from repositories.history import restore_tag
from repositories.removal import delete_repository, purge_repository, restore_repository
from repositories.trash import purge_trash
from tests.factories import ABSENT, digest_of
from tests.model.documents import CONTENT_OF, CONTENTS, IMAGES, NAMES, TAGS, build_cache, image, index
from tests.model.machine import Machine, pick, step, which
from tests.model.shelf import REMEMBERED, UPLOAD_LIFETIME, Document, Repository, Upload

names = st.sampled_from(NAMES)
contents = st.sampled_from(CONTENTS)
images = st.integers(0, IMAGES - 1)
maybe_tag = st.sampled_from([None, *TAGS])
tags = st.sampled_from(TAGS)


def has_repositories(machine: Machine) -> bool:
    return bool(machine.shelf.living())


def has_manifests(machine: Machine) -> bool:
    return any(visible(repository) for repository in machine.shelf.living())


def has_tags(machine: Machine) -> bool:
    return any(repository.tags for repository in machine.shelf.living())


def visible(repository: Repository) -> list[Document]:
    return [manifest.document for digest, manifest in repository.manifests.items() if repository.find(digest)]


class Pushes(Machine):
    """What brings something into the registry."""

    def push_content(self, name: str, content: bytes) -> None:
        digest = self.registry.push_blob(content, name)
        repository = self.made(name)
        self.shelf.take_blob(repository, digest, content)
        self.shelf.uploads.append(Upload("", repository.id, self.shelf.now + REMEMBERED, completed=digest))

    def ask_or_push(self, name: str, content: bytes) -> None:
        """As clients do: a blob that the registry has is not sent."""
        digest = digest_of(content)
        repository = self.shelf.find(name)
        answer = self.registry.head(f"/v2/{name}/blobs/{digest}")
        if repository is None or digest not in repository.links:
            assert answer.status == 404
            self.push_content(name, content)
        else:
            assert answer.status == 200
            self.shelf.asked_for(repository, digest)

    def push_document(self, name: str, document: Document, tag: str | None) -> None:
        """Push a manifest whose blobs may be missing."""
        self.known(document)
        missing = self.shelf.missing(self.shelf.find(name), document)
        answer = self.registry.put_manifest(document.payload, tag, name, Content_Type=document.media_type)
        if missing:
            assert (answer.status, answer.codes) == (404, ["MANIFEST_BLOB_UNKNOWN"]), answer
            assert {each["digest"] for each in answer.detail} == missing
            return
        assert (answer.status, answer.headers["Docker-Content-Digest"]) == (201, document.digest), answer
        assert answer.headers.get("OCI-Subject", "") == document.subject
        self.shelf.put(self.made(name), document, (tag,) if tag else ())

    def push_image_and_blobs(self, name: str, document: Document, tag: str | None) -> None:
        for blob in document.blobs:
            self.ask_or_push(name, CONTENT_OF[blob])
        self.push_document(name, document, tag)

    @step(name=names, content=contents)
    def push_blob(self, name, content):
        self.push_content(name, content)

    @step(name=names, number=images, tag=maybe_tag)
    def push_image(self, name, number, tag):
        self.push_image_and_blobs(name, image(number), tag)

    @precondition(has_manifests)
    @step(name=names, number=images, tag=maybe_tag, chosen=which)
    def push_referrer(self, name, number, tag, chosen):
        repository = self.shelf.find(name)
        # One in a few refers to what has not come yet.
        subjects = [*(visible(repository) if repository else []), image(chosen)]
        self.push_image_and_blobs(name, image(number, pick(subjects, chosen)), tag)

    @precondition(has_manifests)
    @step(chosen=which, number=images)
    def push_fallback_tag(self, chosen, number):
        repository = pick([each for each in self.shelf.living() if visible(each)], chosen)
        subject = pick(visible(repository), number)
        self.push_image_and_blobs(repository.name, image(number), subject.digest.replace(":", "-") + ".sig")

    @precondition(has_manifests)
    @step(chosen=which, first=which, second=which, tag=maybe_tag, is_ring=st.booleans())
    def push_index(self, chosen, first, second, tag, is_ring):
        repository = pick([each for each in self.shelf.living() if visible(each)], chosen)
        children = [pick(visible(repository), first), pick(visible(repository), second)]
        self.push_document(repository.name, index(children, subject=children[0] if is_ring else None), tag)

    @step(name=names, chosen=which, number=images, tag=maybe_tag)
    def push_sparse_index(self, name, chosen, number, tag):
        repository = self.shelf.find(name)
        # What is hidden or gone, what never came, and what is there.
        absent = [*self.documents[-8:], image(number)]
        children = visible(repository)[:1] if repository else []
        self.push_document(name, index(children, sparse=[pick(absent, chosen)]), tag)

    @step(name=names, number=which, tag=maybe_tag)
    def push_build_cache(self, name, number, tag):
        self.push_image_and_blobs(name, build_cache(number), tag)

    @precondition(lambda self: bool(self.documents))
    @step(name=names, chosen=which, tag=maybe_tag)
    def push_again_without_blobs(self, name, chosen, tag):
        self.push_document(name, pick(self.documents[-16:], chosen), tag)

    @step(name=names, content=contents, source=st.sampled_from([None, *NAMES]))
    def mount_blob(self, name, content, source):
        digest = digest_of(content)
        holders = [each for each in self.shelf.living() if digest in each.links and source in {None, each.name}]
        origin = f"&from={source}" if source else ""
        answer = self.registry.post(f"/v2/{name}/blobs/uploads/?mount={digest}{origin}")
        assert answer.status == (201 if holders else 202), answer
        repository = self.made(name)
        if holders:
            self.shelf.take_blob(repository, digest, content)
        else:
            self.open_upload(repository, answer.headers["Location"])

    def open_upload(self, repository: Repository, location: str) -> None:
        session = location.rpartition("/")[2]
        self.shelf.uploads.append(Upload(session, repository.id, self.shelf.now + UPLOAD_LIFETIME))

    def address_of(self, upload: Upload) -> str:
        """Under the name that its repository has by now."""
        return f"/v2/{self.shelf.repositories[upload.repository].name}/blobs/uploads/{upload.session}"

    @step(name=names)
    def start_upload(self, name):
        location = self.registry.start_upload(name)
        self.open_upload(self.made(name), location)

    def open_uploads(self) -> list[Upload]:
        return [upload for upload in self.shelf.uploads if not upload.completed]

    @precondition(lambda self: bool(self.open_uploads()))
    @step(chosen=which, content=contents, half=st.booleans())
    def append_chunk(self, chosen, content, half):
        upload = pick(self.open_uploads(), chosen)
        start = len(upload.content)
        chunk = content[start : start + len(content) // 2] if half else content[start:]
        answer = (
            self.registry.patch(self.address_of(upload), chunk, Content_Range=f"{start}-{start + len(chunk) - 1}")
            if chunk
            else self.registry.patch(self.address_of(upload))
        )
        if self.shelf.repositories[upload.repository].deleted_at is not None:
            assert answer.status == 404, answer
            return
        assert answer.status == 202, answer
        upload.content += chunk
        upload.expires_at = self.shelf.now + UPLOAD_LIFETIME

    @precondition(lambda self: bool(self.open_uploads()))
    @step(chosen=which, is_right=st.booleans())
    def complete_upload(self, chosen, is_right):
        upload = pick(self.open_uploads(), chosen)
        repository = self.shelf.repositories[upload.repository]
        # What is not one of the contents yet becomes one by its last bytes.
        content = next((each for each in CONTENTS if each.startswith(upload.content)), upload.content)
        # What chunks of several contents make is none of them, and of no use.
        digest = digest_of(content) if is_right and content in CONTENTS else ABSENT
        answer = self.registry.put(f"{self.address_of(upload)}?digest={digest}", content[len(upload.content) :])
        if repository.deleted_at is not None:
            assert answer.status == 404, answer
        elif digest != ABSENT:
            assert answer.status == 201, answer
            upload.completed, upload.expires_at = digest, self.shelf.now + REMEMBERED
            self.shelf.take_blob(repository, digest, content)
        else:
            assert (answer.status, answer.codes) == (400, ["DIGEST_INVALID"]), answer
            self.shelf.uploads.remove(upload)

    @precondition(lambda self: bool(self.open_uploads()))
    @step(chosen=which)
    def cancel_upload(self, chosen):
        upload = pick(self.open_uploads(), chosen)
        answer = self.registry.delete(self.address_of(upload))
        if self.shelf.repositories[upload.repository].deleted_at is not None:
            assert answer.status == 404, answer
            return
        assert answer.status == 204, answer
        self.shelf.uploads.remove(upload)


class Deletions(Machine):
    """What takes something away, and what brings it back."""

    @precondition(has_tags)
    @step(chosen=which, tag=which)
    def delete_tag(self, chosen, tag):
        repository = pick([each for each in self.shelf.living() if each.tags], chosen)
        name = pick(sorted(repository.tags), tag)
        assert self.registry.delete(f"/v2/{repository.name}/manifests/{name}").status == 202
        self.shelf.end_tag(repository, name)

    @precondition(has_manifests)
    @step(chosen=which, manifest=which)
    def delete_manifest(self, chosen, manifest):
        repository = pick([each for each in self.shelf.living() if visible(each)], chosen)
        digest = pick(visible(repository), manifest).digest
        assert self.registry.delete(f"/v2/{repository.name}/manifests/{digest}").status == 202
        self.shelf.delete_manifest(repository, digest)

    @step(name=names, content=contents)
    def delete_blob(self, name, content):
        digest = digest_of(content)
        repository = self.shelf.find(name)
        answer = self.registry.delete(f"/v2/{name}/blobs/{digest}")
        if repository and any(manifest.deleted_at is None for manifest in repository.users_of(digest)):
            assert answer.status == 405, answer
        elif repository and digest in repository.links:
            assert answer.status == 202, answer
            del repository.links[digest]
        else:
            assert answer.status == 404, answer

    @precondition(has_repositories)
    @step(chosen=which, number=which, tag=tags)
    def restore_tag(self, chosen, number, tag):
        repository = pick(self.shelf.living(), chosen)
        digest = pick([*repository.manifests, ABSENT], number)
        expected = self.shelf.can_restore(repository, digest)
        try:
            restore_tag(
                repository_id=repository.id, name=TagName(tag), digest=Digest.parse(digest), principal=ANONYMOUS
            )
        except ManifestUnknown:
            assert not expected
            return
        assert expected
        self.shelf.restore(repository, tag, digest)

    @precondition(has_repositories)
    @step(chosen=which)
    def purge_trash(self, chosen):
        repository = pick(self.shelf.living(), chosen)
        assert purge_trash(repository_id=repository.id) == self.shelf.purge(repository)

    @precondition(has_tags)
    @step(chosen=which, tag=which, hours=st.integers(1, 12))
    def set_expiry(self, chosen, tag, hours):
        repository = pick([each for each in self.shelf.living() if each.tags], chosen)
        name = pick(sorted(repository.tags), tag)
        set_expiry(
            repository_id=repository.id,
            name=TagName(name),
            expires_at=timezone.now() + timedelta(hours=hours),
            principal=ANONYMOUS,
        )
        repository.tags[name].expires_at = self.shelf.now + hours

    @precondition(has_tags)
    @step(chosen=which, pattern=st.sampled_from(["v*", "sha256-*", "**"]), hours=st.integers(1, 8))
    def delete_many_tags(self, chosen, pattern, hours):
        repository = pick([each for each in self.shelf.living() if each.tags], chosen)
        selection = Selection(match=Glob(pattern), pushed_before=timezone.now() - timedelta(hours=hours))
        done = delete_tags(repository_id=repository.id, selection=selection, principal=ANONYMOUS)
        start = pattern.rstrip("*")
        old = [
            name
            for name, tag in repository.tags.items()
            if name.startswith(start) and tag.pushed_at <= self.shelf.now - hours
        ]
        assert done.deleted == sorted(old)
        for name in old:
            self.shelf.end_tag(repository, name)

    @precondition(has_repositories)
    @step(chosen=which)
    def delete_repository(self, chosen):
        repository = pick(self.shelf.living(), chosen)
        delete_repository(repository_id=repository.id, principal=ANONYMOUS)
        repository.deleted_at = self.shelf.now
        answer = self.registry.get(f"/v2/{repository.name}/tags/list")
        assert (answer.status, answer.codes) == (404, ["NAME_UNKNOWN"]), answer

    @precondition(lambda self: any(each.deleted_at is not None for each in self.shelf.repositories.values()))
    @step(chosen=which, other_name=st.booleans())
    def restore_repository(self, chosen, other_name):
        repository = pick([each for each in self.shelf.repositories.values() if each.deleted_at is not None], chosen)
        name = f"{repository.team}/back" if other_name else repository.name
        try:
            restore_repository(repository_id=repository.id, name=RepositoryName(name))
        except NotFound:
            assert repository.is_over(self.shelf.now)
            return
        except RepositoryTaken:
            assert self.shelf.find(name)
            return
        assert not repository.is_over(self.shelf.now)
        assert self.shelf.find(name) is None
        repository.deleted_at, repository.name = None, name

    @precondition(lambda self: any(each.deleted_at is not None for each in self.shelf.repositories.values()))
    @step(chosen=which)
    def purge_repository(self, chosen):
        repository = pick([each for each in self.shelf.repositories.values() if each.deleted_at is not None], chosen)
        purge_repository(repository_id=repository.id)
        repository.is_purged = True

    @precondition(has_repositories)
    @step(chosen=which)
    def pull_everything(self, chosen):
        self.pull_all_of(pick(self.shelf.living(), chosen))
