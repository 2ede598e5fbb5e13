"""Facts in few words: ages instead of moments, names instead of digests."""

import hashlib
from datetime import UTC, datetime

from oci.names import RepositoryName
from registry_gc.retention.documents import parse_policy
from registry_gc.retention.evaluator import evaluate
from registry_gc.retention.facts import ManifestFact, RepositoryFacts, TagFact
from registry_gc.retention.inheritance import Layer, Level, effective_policy
from registry_gc.retention.verdicts import Cause
from registry_project.config.values import parse_duration

NOW = datetime(2026, 9, 1, 3, 0, tzinfo=UTC)
REPOSITORY = "alpha/app"


def ago(age):
    return NOW - parse_duration(age)


def digest(name):
    return "sha256:" + hashlib.sha256(name.encode()).hexdigest()


def fallback(name, suffix=""):
    """The tag under which the referrers of `name` are found, or its signature."""
    return digest(name).replace(":", "-") + suffix


def tag(name, pushed, pulled=None, *, of=None, protected=""):
    """A tag of the manifest `of`, by default of one of its own."""
    return TagFact(name, digest(of or name), ago(pushed), ago(pulled) if pulled else None, protected)


def manifest(name, pushed="0", *, children=(), subject="", untagged=None, pulled=None):
    return ManifestFact(
        digest=digest(name),
        pushed_at=ago(pushed),
        pulled_at=ago(pulled) if pulled else None,
        children=tuple(digest(child) for child in children),
        subject=digest(subject) if subject else "",
        untagged_at=ago(untagged) if untagged else None,
    )


def facts(tags, manifests=(), name=REPOSITORY):
    return RepositoryFacts(name, tags, {fact.digest: fact for fact in manifests})


def layer(rules, *, level=Level.TEAM, owner="alpha", version=1, **head):
    return Layer(level, parse_policy({**head, "rules": rules}), version, owner)


def rules_of(*layers, name=REPOSITORY):
    return effective_policy(repository=RepositoryName.parse(name), layers=layers).rules


def judge(rules, tags, manifests=(), *, now=NOW):
    return evaluate(facts=facts(tags, manifests), rules=rules_of(layer(rules)), now=now)


def outcome(verdict):
    """`keep`, `keep by 1` (the rule's number), `keep as protected`, `delete with its subject`."""
    if verdict.cause is Cause.PROTECTED:
        return "keep as protected"
    if verdict.cause is Cause.SUBJECT:
        return f"{verdict.action} with its subject"
    return f"{verdict.action} by {verdict.rule.number}" if verdict.rule else verdict.action.value


def outcomes(evaluation):
    """By tag; an untagged manifest stands under its digest."""
    return {verdict.tag or verdict.digest: outcome(verdict) for verdict in evaluation.verdicts}
