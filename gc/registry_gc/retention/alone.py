"""What one deletion alone would take along, if everything else stayed as it is."""

from collections import Counter, defaultdict

from registry_gc.retention.facts import RepositoryFacts
from registry_gc.retention.graph import Graph
from registry_gc.retention.verdicts import Verdict


class Alone:
    """A repository, asked which manifests nothing would keep without one of its tags or untagged manifests."""

    def __init__(self, facts: RepositoryFacts) -> None:
        self._graph = Graph(facts)
        followers = self._graph.subjects
        self._names = Counter(tag.digest for tag in facts.tags if tag.protected or tag.name not in followers)
        self._keepers: dict[str, list[str]] = defaultdict(list)
        for keeper, kept in self._graph.links():
            self._keepers[kept].append(keeper)

    def gone_with(self, verdict: Verdict) -> set[str]:
        """Digests: the manifest with what is below it and refers to it, as far as nothing else keeps them.

        What follows its subject goes with that, and takes nothing along by itself.
        """
        concerned = self._graph.below(verdict.digest)
        own = 1 if verdict.tag and verdict.tag not in self._graph.subjects else 0
        staying = set()
        for digest in concerned:
            names = self._names[digest] - (own if digest == verdict.digest else 0)
            if names > 0 or any(keeper not in concerned for keeper in self._keepers[digest]):
                staying |= self._graph.below(digest)
        return concerned - staying
