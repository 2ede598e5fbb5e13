"""Which repositories somebody may see: narrowed down by the database, decided by `accounts.rights` alone."""

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from django.db.models import Exists, OuterRef, Q, QuerySet

from accounts.models import Visibility
from accounts.rights import Action, Credential, RepositoryTarget, decide
from oci.names import LIBRARY_TEAM
from oci.patterns import Glob
from repositories.models import Manifest, Repository

_BATCH = 200
_LITERAL = re.compile(r"[^*?]*")
_PUBLIC = Q(visibility=Visibility.PUBLIC) | Q(visibility="", team__visibility=Visibility.PUBLIC)


def list_readable_names(credential: Credential, *, last: str, limit: int) -> list[str]:
    """Names behind `last` in byte order, of repositories that hold a manifest and that the credential may pull.

    A bearer token's scopes do not matter here: the list has a scope of its own.
    """
    held = Manifest.objects.filter(repository=OuterRef("pk"), deleted_at=None)
    holder = replace(credential, scopes=None)
    candidates = narrow(holder, Repository.objects.filter(Exists(held), deleted_at=None))
    return list(islice(_readable(holder, candidates, last), limit))


def narrow(credential: Credential, repositories: "QuerySet[Repository]") -> "QuerySet[Repository]":
    """Leave out most of what the credential may not pull and nothing that it may; `decide` has the last word."""
    limit = credential.limit
    patterns = limit.patterns if limit else ()
    unlimited = replace(credential, limit=replace(limit, patterns=())) if limit else credential
    if not decide(unlimited, Action.PULL, RepositoryTarget("any/thing", "any")).allowed:
        repositories = repositories.filter(_PUBLIC | _granted(credential))
    if patterns:
        repositories = repositories.filter(_PUBLIC | _any(Q(name__startswith=_literal(each)) for each in patterns))
    return repositories


def target_of(repository: Repository) -> RepositoryTarget:
    """A repository whose team was selected with it, as rights see it."""
    visibility = repository.visibility or repository.team.visibility
    return RepositoryTarget(repository.name, repository.team.slug, public=visibility == Visibility.PUBLIC)


def _readable(credential: Credential, candidates: "QuerySet[Repository]", last: str) -> Iterator[str]:
    ordered = candidates.select_related("team").order_by("name")
    while True:
        batch = list(ordered.filter(name__gt=last)[:_BATCH])
        for repository in batch:
            if decide(credential, Action.PULL, target_of(repository)).allowed:
                yield repository.name
        if len(batch) < _BATCH:
            return
        last = batch[-1].name


def _granted(credential: Credential) -> Q:
    return _any(
        Q(team__slug=grant.team) & _inside(grant.team, _literal(grant.pattern) if grant.pattern else "")
        for grant in credential.grants
    )


def _inside(team: str, prefix: str) -> Q:
    inside = Q(name__startswith=f"{team}/{prefix}")
    return inside | Q(name__startswith=prefix) if team == LIBRARY_TEAM else inside


def _literal(pattern: Glob) -> str:
    match = _LITERAL.match(pattern.text)
    return match[0] if match else ""


def _any(conditions: Iterator[Q]) -> Q:
    combined = Q(pk__in=[])
    for condition in conditions:
        combined |= condition
    return combined
