"""What a registry must hold, as plain data: no database, no reviews, no locks.

Collection decides by one step up and by dates. This says the same by its meaning: what a root reaches is alive. What
collection may take at a moment is all else, and what it has to leave in the end is exactly what tags reach.
Moments and durations are whole hours; a deadline that is reached is over.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

GRACE, UNTAGGED, TRASH, UPLOAD_LIFETIME, REMEMBERED, LINGER = 4, 6, 8, 5, 1, 2


@dataclass(frozen=True)
class Document:
    """A manifest's bytes and what they name."""

    digest: str
    payload: bytes
    media_type: str
    blobs: tuple[str, ...] = ()
    children: tuple[str, ...] = ()
    # Blobs and children without which the registry refuses it.
    needed: frozenset[str] = frozenset()
    subject: str = ""


@dataclass
class Manifest:
    document: Document
    pushed_at: int
    blobs: set[str] = field(default_factory=set)
    # Children that a client could see since the index came; a deleted one stays among them until it is collected.
    children: set[str] = field(default_factory=set)
    deleted_at: int | None = None
    tag_ended_at: int | None = None
    # Its subject was there and has been collected: it is garbage, however young.
    is_orphan: bool = False


@dataclass
class Tag:
    digest: str
    expires_at: int | None = None
    pushed_at: int = 0


@dataclass
class Ended:
    """What a tag pointed to, and until when it can again."""

    name: str
    digest: str
    until: int


@dataclass
class Upload:
    session: str
    repository: int
    expires_at: int
    content: bytes = b""
    completed: str = ""


@dataclass
class Repository:
    id: int
    name: str
    deleted_at: int | None = None
    is_purged: bool = False
    manifests: dict[str, Manifest] = field(default_factory=dict)
    tags: dict[str, Tag] = field(default_factory=dict)
    history: list[Ended] = field(default_factory=list)
    # Until when each of its blobs is leased.
    links: dict[str, int] = field(default_factory=dict)

    @property
    def team(self) -> str:
        return self.name.partition("/")[0]

    def is_over(self, now: int) -> bool:
        """Whether it is deleted for good: collection may take all that it holds, in whatever pieces."""
        return self.deleted_at is not None and (self.is_purged or self.deleted_at + TRASH <= now)

    def find(self, digest: str) -> Manifest | None:
        """What a client may see under a digest."""
        manifest = self.manifests.get(digest)
        return manifest if manifest and manifest.deleted_at is None else None

    def users_of(self, blob: str) -> list[Manifest]:
        """Manifests that refer to a blob, hidden ones included."""
        return [manifest for manifest in self.manifests.values() if blob in manifest.blobs]

    def tree(self, digest: str) -> list[Manifest]:
        """A manifest and all below it, hidden ones included."""
        found: dict[str, Manifest] = {}
        waiting = [digest]
        while waiting:
            manifest = self.manifests.get(waiting.pop())
            if manifest and manifest.document.digest not in found:
                found[manifest.document.digest] = manifest
                waiting += sorted(manifest.children)
        return list(found.values())

    def restorable(self, digest: str, now: int) -> bool:
        return any(entry.digest == digest and entry.until > now for entry in self.history)

    def alive(self, now: int, *, tags_only: bool = False) -> set[str]:
        """Digests of what must not be collected: what roots reach, downwards by indexes, upwards by subjects.

        Who deletes a manifest by its digest means that: no index and no subject keeps it, only its history and its age.
        """
        reached: set[str] = set()
        if self.is_over(now):
            return reached
        tagged = {tag.digest for tag in self.tags.values()}
        waiting = [
            digest for digest in self.manifests if digest in tagged or (not tags_only and self._is_root(digest, now))
        ]
        while waiting:
            digest = waiting.pop()
            if digest in reached:
                continue
            reached.add(digest)
            below = self.manifests[digest].document.children
            referrers = [m.document.digest for m in self.manifests.values() if m.document.subject == digest]
            waiting += [kept for kept in (*below, *referrers) if self.find(kept)]
        return reached

    def _is_root(self, digest: str, now: int) -> bool:
        manifest = self.manifests[digest]
        if self.restorable(digest, now):
            return True
        if manifest.deleted_at is not None:
            return manifest.deleted_at + TRASH > now
        since = max(manifest.pushed_at, manifest.tag_ended_at or 0)
        return not manifest.is_orphan and since + UNTAGGED > now


@dataclass
class Shelf:
    now: int = 0
    blobs: dict[str, bytes] = field(default_factory=dict)
    repositories: dict[int, Repository] = field(default_factory=dict)
    uploads: list[Upload] = field(default_factory=list)

    def find(self, name: str) -> Repository | None:
        """The repository of a name that is not deleted."""
        return next((r for r in self.repositories.values() if r.name == name and r.deleted_at is None), None)

    def living(self) -> list[Repository]:
        return [repository for repository in self.repositories.values() if repository.deleted_at is None]

    # What clients do.

    def take_blob(self, repository: Repository, digest: str, content: bytes) -> None:
        self.blobs.setdefault(digest, content)
        repository.links[digest] = self.now + GRACE

    def asked_for(self, repository: Repository, digest: str) -> None:
        """A client was told that the blob is there, and may rely on it."""
        if repository.links[digest] <= self.now + GRACE // 2 and not repository.users_of(digest):
            repository.links[digest] = self.now + GRACE

    def missing(self, repository: Repository | None, document: Document) -> set[str]:
        if repository is None:
            return set(document.needed)
        return {digest for digest in document.needed if digest not in repository.links and not repository.find(digest)}

    def put(self, repository: Repository, document: Document, tags: tuple[str, ...]) -> None:
        manifest = repository.manifests.setdefault(document.digest, Manifest(document, self.now))
        manifest.pushed_at, manifest.deleted_at, manifest.is_orphan = self.now, None, False
        manifest.blobs |= {blob for blob in document.blobs if blob in repository.links}
        manifest.children |= {child for child in document.children if repository.find(child)}
        self._came(repository, document.digest)
        for name in tags:
            self.point(repository, name, document.digest)

    def _came(self, repository: Repository, digest: str) -> None:
        """Indexes that have waited for it keep it from now on."""
        for manifest in repository.manifests.values():
            if digest in manifest.document.children:
                manifest.children.add(digest)

    def point(self, repository: Repository, name: str, digest: str) -> None:
        tag = repository.tags.get(name)
        if tag and tag.digest != digest:
            self._remember(repository, name, tag.digest)
        repository.tags[name] = Tag(digest, pushed_at=self.now)

    def end_tag(self, repository: Repository, name: str) -> None:
        self._remember(repository, name, repository.tags.pop(name).digest)

    def _remember(self, repository: Repository, name: str, digest: str) -> None:
        repository.history.append(Ended(name, digest, self.now + TRASH))
        manifest = repository.manifests[digest]
        manifest.tag_ended_at, manifest.is_orphan = self.now, False

    def delete_manifest(self, repository: Repository, digest: str) -> None:
        for name in [name for name, tag in repository.tags.items() if tag.digest == digest]:
            self.end_tag(repository, name)
        repository.manifests[digest].deleted_at = self.now

    def can_restore(self, repository: Repository, digest: str) -> bool:
        return repository.find(digest) is not None or (
            digest in repository.manifests and repository.restorable(digest, self.now)
        )

    def restore(self, repository: Repository, name: str, digest: str) -> None:
        for manifest in repository.tree(digest):
            manifest.deleted_at = None
            self._came(repository, manifest.document.digest)
            for blob in manifest.blobs - repository.links.keys():
                repository.links[blob] = self.now + GRACE
        self.point(repository, name, digest)

    def purge(self, repository: Repository) -> int:
        entries = [entry for entry in repository.history if entry.until > self.now]
        for entry in entries:
            entry.until = self.now
        return len(entries)

    def expired(self) -> list[tuple[Repository, str]]:
        return [
            (repository, name)
            for repository in self.living()
            for name, tag in repository.tags.items()
            if tag.expires_at is not None and tag.expires_at <= self.now
        ]

    # What collection may take.

    def may_unlink(self, repository: Repository, blob: str) -> bool:
        """Asked after the collected manifests were taken away."""
        is_unused = repository.links[blob] <= self.now and not repository.users_of(blob)
        return is_unused or repository.is_over(self.now)

    def may_remove(self, blob: str) -> bool:
        """Asked after the collected manifests and links were taken away."""
        return not any(blob in r.links or r.users_of(blob) for r in self.repositories.values())

    def forget_manifest(self, repository: Repository, digest: str) -> None:
        del repository.manifests[digest]
        repository.history = [entry for entry in repository.history if entry.digest != digest]
        for manifest in repository.manifests.values():
            manifest.children.discard(digest)
            if manifest.document.subject == digest:
                manifest.is_orphan = True

    # What a table must hold.

    def manifest_rows(self) -> Iterator[tuple[int, str, bool]]:
        for repository in self.repositories.values():
            for digest, manifest in repository.manifests.items():
                yield repository.id, digest, manifest.deleted_at is not None

    def reference_rows(self) -> Iterator[tuple[int, str, str]]:
        for repository in self.repositories.values():
            for digest, manifest in repository.manifests.items():
                for blob in manifest.blobs:
                    yield repository.id, digest, blob

    def child_rows(self) -> Iterator[tuple[int, str, str, bool]]:
        """Repository, index, child, and whether the index keeps it or waits for it."""
        for repository in self.repositories.values():
            for digest, manifest in repository.manifests.items():
                for child in manifest.document.children:
                    yield repository.id, digest, child, child in manifest.children

    def tag_rows(self) -> Iterator[tuple[int, str, str]]:
        for repository in self.repositories.values():
            for name, tag in repository.tags.items():
                yield repository.id, name, tag.digest

    def link_rows(self) -> Iterator[tuple[int, str]]:
        for repository in self.repositories.values():
            for blob in repository.links:
                yield repository.id, blob

    def team_rows(self) -> set[tuple[str, str]]:
        """Teams and the blobs that their repositories have or refer to."""
        linked = {(r.team, blob) for r in self.repositories.values() for blob in r.links}
        used = {(r.team, b) for r in self.repositories.values() for m in r.manifests.values() for b in m.blobs}
        return linked | used
