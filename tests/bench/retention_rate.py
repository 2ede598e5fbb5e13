"""How fast retention judges tags, and in how much memory; arguments: tags, and tags in each repository."""

import resource
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from oci.names import RepositoryName
from registry_gc.retention.brakes import brakes
from registry_gc.retention.documents import parse_policy
from registry_gc.retention.evaluator import evaluate
from registry_gc.retention.facts import ManifestFact, RepositoryFacts, TagFact
from registry_gc.retention.inheritance import Layer, Level, effective_policy
from registry_gc.retention.verdicts import Verdict

NOW = datetime(2026, 9, 1, tzinfo=UTC)
POLICY = {
    "rules": [
        {
            "action": "keep",
            "name": "releases",
            "tags_regex": r"v?[0-9]+\.[0-9]+\.[0-9]+",
            "newest_semver": {"count": 3},
        },
        {"action": "keep", "name": "builds", "tags": "build-*", "newest": 10},
        {"action": "keep", "name": "in use", "pulled_within": "30d"},
        {"action": "delete", "name": "pull requests", "tags": "pr-*", "pushed_before": "7d"},
        {"action": "delete", "name": "old", "tags": ["build-*", "*.*.*"], "pushed_before": "60d"},
        {"action": "delete", "untagged": "7d"},
    ]
}


def repository(number: int, tags: int) -> RepositoryFacts:
    """A tenth are indexes with two children, and another tenth signatures."""
    rows, manifests = [], {}
    for place in range(tags):
        digest = f"sha256:{number:032x}{place:032x}"
        pushed = NOW - timedelta(minutes=place * 7 % 500_000)
        match place % 10:
            case 0:
                children = tuple(f"sha256:{number:032x}{child}{place:031x}" for child in "ab")
                manifests[digest] = ManifestFact(digest, pushed, children=children)
                manifests.update((child, ManifestFact(child, pushed)) for child in children)
                name = f"{place // 1000}.{place // 100 % 10}.{place}"
            case 1:
                name = f"sha256-{number:032x}{place - 1:032x}.sig"
            case 2 | 3 | 4:
                name = f"pr-{place}"
            case _:
                name = f"build-{place}"
        pulled = NOW - timedelta(days=place % 200) if place % 3 else None
        rows.append(TagFact(name, digest, pushed, pulled))
    return RepositoryFacts(f"team/app-{number}", rows, manifests)


def judged(count: int, per_repository: int) -> Iterator[Verdict]:
    layer = Layer(Level.TEAM, parse_policy(POLICY), 1, "team")
    for number in range(count // per_repository):
        facts = repository(number, per_repository)
        rules = effective_policy(repository=RepositoryName.parse(facts.name), layers=[layer]).rules
        yield from evaluate(facts=facts, rules=rules, now=NOW).verdicts


def generated(count: int, per_repository: int) -> float:
    """Seconds of processor time that making the facts takes, which is no part of judging."""
    start = time.process_time()
    for number in range(count // per_repository):
        repository(number, per_repository)
    return time.process_time() - start


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    per_repository = int(sys.argv[2]) if len(sys.argv) > 2 else 5_000
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start = time.process_time()
    braked = brakes(judged(count, per_repository), brake_percent=50)
    spent = time.process_time() - start - generated(count, per_repository)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{count} tags, {per_repository} in each repository: {count / spent:.0f} tags a second of processor time")
    print(
        f"{len(braked)} repositories would brake; at most {peak:.0f} MiB, of which {base:.0f} MiB before the first tag"
    )


if __name__ == "__main__":
    main()
