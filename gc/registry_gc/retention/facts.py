"""What an evaluation knows of a repository. Light, because a repository may hold 200,000 tags."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

# Signatures, attestations and SBOMs of cosign, and the tag that stands in for the referrers list.
_FALLBACK = re.compile(r"(sha256|sha512)-([0-9a-f]{64}|[0-9a-f]{128})(?:\.(?:sig|att|sbom))?\Z")


class TagFact(NamedTuple):
    """A tag; `pushed_at` is when the registry saw the push, `protected` says by what it is protected."""

    name: str
    digest: str
    pushed_at: datetime
    pulled_at: datetime | None = None
    protected: str = ""


class ManifestFact(NamedTuple):
    """What a manifest has to do with others. One without children and subject need only be told when it is untagged.

    `untagged_at` is when its last tag ended, or None where it never had one; `pulled_at` has pulls by any name.
    """

    digest: str
    pushed_at: datetime
    pulled_at: datetime | None = None
    children: tuple[str, ...] = ()
    subject: str = ""
    untagged_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class RepositoryFacts:
    name: str
    tags: Sequence[TagFact]
    manifests: Mapping[str, ManifestFact] = field(default_factory=dict)


def fallback_subject(tag: str) -> str | None:
    """The digest whose signature, attestation, SBOM or list of referrers a tag is by its name."""
    found = _FALLBACK.match(tag)
    if not found or len(found[2]) != (64 if found[1] == "sha256" else 128):
        return None
    return f"{found[1]}:{found[2]}"


def used_at(
    pushed_at: datetime, pulled_at: datetime | None, manifest: ManifestFact | None, facts: RepositoryFacts
) -> datetime:
    """The last pull, or the push where none came after it.

    A pull of the manifest under any name counts, and a pull of a child for its index: clusters pull by digest, and
    nobody can tell which tag they came by.
    """
    moments = [pushed_at, pulled_at]
    if manifest:
        moments.append(manifest.pulled_at)
        children = (facts.manifests.get(child) for child in manifest.children)
        moments += [child.pulled_at for child in children if child]
    return max(moment for moment in moments if moment)
