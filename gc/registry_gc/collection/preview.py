"""Looking ahead: what a run would collect at this moment, without a lock and without a change."""

from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime

from django.conf import settings

from blobs.models import Blob, RepositoryBlob
from registry_gc.collection.models import Kind
from registry_gc.collection.repositories import is_over, is_purged
from registry_gc.collection.reviews import Claim, list_reviews
from registry_gc.collection.rings import find_ring
from registry_gc.collection.rounds import BATCH
from registry_gc.collection.standings import SUBJECT_COLLECTED, Rules, Standing, read_standings
from registry_gc.collection.sweep import list_suspects
from registry_project.database import database_now
from repositories.models import Manifest, ManifestBlob, ManifestChild, Repository


@dataclass(frozen=True, slots=True)
class Candidate:
    """Something that would go; `size` in bytes, `repository` empty for a blob."""

    kind: Kind
    digest: str
    size: int
    repository: str = ""


def preview_run(*, rules: Rules, undated: Collection[Kind] = ()) -> Iterator[Candidate]:
    """Yield what `run_until_idle` would collect with the same arguments, and what the sweep before it would find."""
    now = database_now()
    ended = Repository.objects.filter(is_over(now) | is_purged())
    look = _Look(rules, frozenset(undated), now, ended=frozenset(ended.values_list("pk", flat=True)))
    yield from look.ended_repositories()
    yield from look.manifests()
    yield from look.blobs()


@dataclass(slots=True)
class _Look:
    rules: Rules
    undated: frozenset[Kind]
    now: datetime
    ended: frozenset[int]
    gone: set[int] = field(default_factory=set)

    def ended_repositories(self) -> Iterator[Candidate]:
        held = Manifest.objects.filter(repository__in=self.ended).order_by("repository", "pk")
        rows = held.values_list("pk", "repository__name", "digest", "size")
        for manifest_id, name, digest, size in rows.iterator(chunk_size=BATCH):
            self.gone.add(manifest_id)
            yield Candidate(Kind.MANIFEST, digest, size, name)

    def manifests(self) -> Iterator[Candidate]:
        for claim in self._claims(Kind.MANIFEST):
            waiting = deque([claim])
            while waiting:
                claim = waiting.popleft()
                for standing in self._goes(claim):
                    self.gone.add(standing.id)
                    name = Repository.objects.values_list("name", flat=True).get(pk=standing.repository_id)
                    yield Candidate(Kind.MANIFEST, standing.digest, standing.size, name)
                    if self._follows(Kind.MANIFEST):
                        waiting.extend(self._kept_by(standing))

    def blobs(self) -> Iterator[Candidate]:
        ids = [claim.target_id for claim in self._claims(Kind.BLOB)]
        if self._follows(Kind.BLOB):
            ids += ManifestBlob.objects.filter(manifest__in=self.gone).values_list("blob_id", flat=True)
            ids += RepositoryBlob.objects.filter(repository__in=self.ended).values_list("blob_id", flat=True)
        for blob in Blob.objects.filter(pk__in=set(ids)).order_by("pk").iterator(chunk_size=BATCH):
            if self._is_free(blob):
                yield Candidate(Kind.BLOB, blob.digest, blob.size)

    def _claims(self, kind: Kind) -> Iterator[Claim]:
        last = 0
        while claims := list_reviews(kind, after_id=last, limit=BATCH):
            yield from (claim for claim in claims if kind in self.undated or claim.due_at <= self.now)
            last = claims[-1].target_id
        if self._follows(kind):
            for found in list_suspects(kind, rules=self.rules):
                yield from (self._made_up(kind, target_id, "swept") for target_id in found)

    def _follows(self, kind: Kind) -> bool:
        """Whether what a collection arms is looked at by the same run."""
        return kind in self.undated or not settings.GC_GRACE

    def _made_up(self, kind: Kind, target_id: int, reason: str) -> Claim:
        return Claim(kind, target_id, version=0, attempts=0, reason=reason, now=self.now, due_at=self.now)

    def _goes(self, claim: Claim) -> list[Standing]:
        if claim.target_id in self.gone:
            return []
        found = read_standings(Manifest.objects.filter(pk=claim.target_id))
        if found and claim.reason == SUBJECT_COLLECTED and found[0].has_subject:
            # Its subject is among what would be gone by then.
            found = [replace(found[0], has_subject=False)]
        if not found or found[0].kept_until(now=self.now, reason=claim.reason, rules=self.rules) is not None:
            return []
        if not found[0].has_keeper or self._keepers(found[0]) <= self.gone:
            return found
        ring = find_ring(found[0], claim=claim, rules=self.rules)
        return read_standings(Manifest.objects.filter(pk__in=set(ring) - self.gone))

    def _keepers(self, standing: Standing) -> set[int]:
        parents = ManifestChild.objects.filter(child=standing.id).values_list("parent_id", flat=True)
        subject = Manifest.objects.filter(repository=standing.repository_id, digest=standing.subject_digest)
        return {*parents, *subject.values_list("pk", flat=True)}

    def _kept_by(self, standing: Standing) -> Iterator[Claim]:
        children = ManifestChild.objects.filter(parent=standing.id, child__isnull=False)
        for child_id in children.values_list("child_id", flat=True):
            yield self._made_up(Kind.MANIFEST, int(str(child_id)), "parent-collected")
        referrers = Manifest.objects.filter(repository=standing.repository_id, subject_digest=standing.digest)
        for referrer_id in referrers.values_list("pk", flat=True):
            yield self._made_up(Kind.MANIFEST, referrer_id, SUBJECT_COLLECTED)

    def _is_free(self, blob: Blob) -> bool:
        links = RepositoryBlob.objects.filter(blob=blob).exclude(repository__in=self.ended)
        leased = links.filter(leased_until__gt=self.now)
        users = ManifestBlob.objects.filter(blob=blob).values_list("manifest_id", flat=True)
        return not leased.exists() and all(user in self.gone for user in users.iterator(chunk_size=BATCH))
