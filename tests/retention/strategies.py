"""Small repositories and policies in which much meets: few names, few ages."""

from dataclasses import dataclass

from hypothesis import strategies as st

from registry_gc.retention.facts import ManifestFact, RepositoryFacts, TagFact
from tests.retention.builders import REPOSITORY, ago, digest, fallback

IMAGES = ["a", "b", "c", "d"]
INDEXES = ["multi", "nested"]
REFERRERS = ["sbom", "signature"]
NAMES = ["build-1", "build-2", "build-3", "1.0.0", "1.0.1", "v1.1.0", "1.0.2-rc.1", "latest", "pr-1"]
AGES = ["1d", "2d", "3d", "8d"]
PATTERNS = ["*", "*", "*", "build-*", "*.*"]

ages = st.sampled_from(AGES)
moments = st.sampled_from(["1m", "12h", *AGES, "20d"]).map(ago)


@dataclass(frozen=True)
class World:
    facts: RepositoryFacts
    rules: list


@st.composite
def facts(draw):
    """An index of images, one with that index in it, referrers of each, signatures; some protected, some untagged."""
    manifests = {digest(name): ManifestFact(digest(name), draw(moments), draw(st.none() | moments)) for name in IMAGES}
    for name, among in (("multi", IMAGES), ("nested", [*IMAGES, "multi"])):
        children = draw(st.lists(st.sampled_from(among), unique=True, max_size=2))
        manifests[digest(name)] = ManifestFact(
            digest(name), draw(moments), children=tuple(digest(child) for child in children)
        )
    for name, among in (("sbom", [*IMAGES, *INDEXES]), ("signature", [*IMAGES, "sbom", "absent"])):
        manifests[digest(name)] = ManifestFact(
            digest(name), draw(moments), subject=digest(draw(st.sampled_from(among)))
        )
    named = [*IMAGES, *INDEXES, *REFERRERS]
    names = draw(st.lists(st.sampled_from(NAMES), unique=True, min_size=2, max_size=8))
    names += [
        fallback(name, ".sig") for name in draw(st.lists(st.sampled_from([*named, "gone"]), unique=True, max_size=2))
    ]
    tags = [
        TagFact(
            name,
            digest(draw(st.sampled_from(named)) if not name.startswith("sha256-") else f"of {name}"),
            draw(moments),
            draw(st.none() | moments),
            draw(st.sampled_from(["", "", "", "by a rule"])),
        )
        for name in names
    ]
    return RepositoryFacts(REPOSITORY, tags, manifests)


@st.composite
def keep_rules(draw):
    rule = {"action": "keep", "tags": draw(st.sampled_from(PATTERNS))}
    match draw(st.sampled_from(["all", "newest", "semver"])):
        case "newest":
            rule["newest"] = draw(st.integers(1, 3))
        case "semver":
            per, prereleases = draw(st.sampled_from(["minor", "major"])), draw(st.booleans())
            rule["newest_semver"] = {"count": draw(st.integers(1, 2)), "per": per, "prereleases": prereleases}
    for field in draw(
        st.sampled_from([[], ["pushed_within"], ["pulled_within"], ["pushed_before"], ["pulled_before"]])
    ):
        rule[field] = draw(ages)
    return rule


@st.composite
def delete_rules(draw):
    fields = draw(st.lists(st.sampled_from(["pushed_before", "pulled_before"]), unique=True))
    rule = {"action": "delete", **{field: draw(ages) for field in fields}}
    if draw(st.booleans()) and draw(st.booleans()):
        return {**rule, "untagged": draw(ages)}
    return {**rule, "tags": draw(st.sampled_from(PATTERNS))}


rules = st.lists(keep_rules() | delete_rules(), min_size=1, max_size=5)
worlds = st.builds(World, facts(), rules)
