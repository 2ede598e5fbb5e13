"""The facts of stored repositories, some small ones at a time, by as many statements for many as for one.

A repository is read as a whole, because its newest tags are known only then: 200,000 tags take about 200 MB.
Nothing is locked: what changes between two statements is judged as it was or as it is.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast

from django.utils.dateparse import parse_datetime

from oci.names import RepositoryName
from registry_gc.retention.facts import ManifestFact, RepositoryFacts, TagFact
from registry_project.database import any_of, fetch_all
from repositories.models import Repository, TagRule
from repositories.tag_rules import TagRules

# Tags and manifests that are read together, and repositories.
MOST_ROWS = 20_000
MOST_REPOSITORIES = 200

_SIZES = """
    SELECT r.id, (SELECT COUNT(*) FROM repositories_tag t WHERE t.repository_id = r.id)
        + (SELECT COUNT(*) FROM repositories_manifest m WHERE m.repository_id = r.id)
    FROM repositories_repository r WHERE r.id {chosen}"""
_TAGS = """
    SELECT t.repository_id, t.name, m.digest, m.id, t.pushed_at, t.pulled_at
    FROM repositories_tag t JOIN repositories_manifest m ON m.id = t.manifest_id
    WHERE t.repository_id {chosen} ORDER BY t.repository_id, t.name"""
# Tagged ones without relations and pulls tell nothing that their tags do not.
_MANIFESTS = """
    SELECT repository_id, id, digest, pushed_at, pulled_at, subject_digest, untagged_at FROM (
        SELECT m.repository_id, m.id, m.digest, m.pushed_at, m.pulled_at, m.subject_digest,
            EXISTS (SELECT 1 FROM repositories_tag t WHERE t.manifest_id = m.id) AS tagged,
            (SELECT MAX(h.ended_at) FROM repositories_taghistory h WHERE h.manifest_id = m.id) AS untagged_at
        FROM repositories_manifest m WHERE m.repository_id {chosen} AND m.deleted_at IS NULL
    ) AS found
    WHERE NOT tagged OR pulled_at IS NOT NULL OR subject_digest <> ''
        OR EXISTS (SELECT 1 FROM repositories_manifestchild c WHERE c.parent_id = found.id AND c.child_id IS NOT NULL)
    ORDER BY repository_id, digest"""
_CHILDREN = """
    SELECT p.repository_id, p.digest, c.digest FROM repositories_manifest p
    JOIN repositories_manifestchild c ON c.parent_id = p.id
    WHERE p.repository_id {chosen} AND p.deleted_at IS NULL AND c.child_id IS NOT NULL ORDER BY c.id"""


@dataclass(frozen=True, slots=True)
class StoredFacts:
    """What is known of a repository, and the ids of the manifests that it is about."""

    repository: Repository
    facts: RepositoryFacts
    manifest_ids: Mapping[str, int]


def read_facts(repositories: Sequence[Repository]) -> Iterator[StoredFacts]:
    """The facts of each of the repositories, which are few enough to be asked for together, in their order."""
    if not repositories:
        return
    rules = list(TagRule.objects.filter(team__in={repository.team_id for repository in repositories}))
    for batch in _batches(repositories):
        yield from _read(batch, rules)


def _batches(repositories: Sequence[Repository]) -> Iterator[list[Repository]]:
    sizes = dict(cast("list[tuple[int, int]]", _rows(_SIZES, repositories)))
    batch: list[Repository] = []
    rows = 0
    for repository in repositories:
        size = sizes.get(repository.pk, 0)
        if batch and rows + size > MOST_ROWS:
            yield batch
            batch, rows = [], 0
        batch.append(repository)
        rows += size
    yield batch


def _read(batch: Sequence[Repository], rules: Sequence[TagRule]) -> Iterator[StoredFacts]:
    tags: dict[int, list[TagFact]] = defaultdict(list)
    manifests: dict[int, dict[str, ManifestFact]] = defaultdict(dict)
    ids: dict[int, dict[str, int]] = defaultdict(dict)
    protecting = {repository.pk: _protecting(repository, rules) for repository in batch}
    for row in _rows(_TAGS, batch):
        where, name, digest, manifest_id, pushed_at, pulled_at = cast("tuple[int, str, str, int, object, object]", row)
        protected = protecting[where].protected_by(name)
        by = f"by the tag rule {protected}" if protected else ""
        tags[where].append(TagFact(name, digest, _moment(pushed_at), _moment_or_none(pulled_at), by))
        ids[where][digest] = manifest_id
    children: dict[tuple[int, str], list[str]] = defaultdict(list)
    for where, parent, child in cast("list[tuple[int, str, str]]", _rows(_CHILDREN, batch)):
        children[where, parent].append(child)
    for row in _rows(_MANIFESTS, batch):
        where, manifest_id, digest, pushed_at, pulled_at, subject, untagged_at = cast(
            "tuple[int, int, str, object, object, str, object]", row
        )
        manifests[where][digest] = ManifestFact(
            digest=digest,
            pushed_at=_moment(pushed_at),
            pulled_at=_moment_or_none(pulled_at),
            children=tuple(children.pop((where, digest), ())),
            subject=subject,
            untagged_at=_moment_or_none(untagged_at),
        )
        ids[where][digest] = manifest_id
    for repository in batch:
        # Taken out, so that what was judged does not wait for the rest.
        facts = RepositoryFacts(repository.name, tags.pop(repository.pk, []), manifests.pop(repository.pk, {}))
        yield StoredFacts(repository, facts, ids.pop(repository.pk, {}))


def _protecting(repository: Repository, rules: Sequence[TagRule]) -> TagRules:
    return TagRules(RepositoryName(repository.name), [rule for rule in rules if rule.team_id == repository.team_id])


def _rows(sql: str, repositories: Sequence[Repository]) -> list[tuple[object, ...]]:
    condition, ids = any_of([repository.pk for repository in repositories])
    return fetch_all(sql.format(chosen=condition), [ids])


def _moment_or_none(value: object) -> datetime | None:
    return None if value is None else _moment(value)


def _moment(value: object) -> datetime:
    # SQLite's moments are in UTC and do not say so; computed ones are text.
    moment = value if isinstance(value, datetime) else parse_datetime(str(value))
    assert moment is not None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
