"""The measurements, and the rounds in which every registry takes its turn at each."""

import os
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from tests.bench.images import LAYER_TYPE, MANIFEST_TYPE, MIB, REPOSITORY, TAG, new_blob, new_image
from tests.bench.processes import PeakMemory, cpu_seconds, proportional_bytes, resident_bytes, tree
from tests.bench.systems import System
from tests.bench.transfers import Span, fill, time_download, time_pushes, time_upload
from tests.bench.wire import Question, load
from tests.bench.workers import Workers, workers

PARALLEL = 4
SETTLE_SECONDS = 2.0


@dataclass(frozen=True)
class Scale:
    """How much is measured; sizes in bytes."""

    rounds: int = 5
    seconds: float = 1.5
    connections: int = 32
    download: int = 256 * MIB
    upload: int = 128 * MIB
    pushes: int = 10

    @property
    def disk_bytes(self) -> int:
        """What one registry stores."""
        return self.download + self.rounds * self.upload * (1 + PARALLEL)


QUICK = Scale(rounds=3, seconds=0.7, upload=64 * MIB, pushes=4)


@dataclass
class Figures:
    """The values of each measurement, by its key; one a round, or a single one."""

    system: System
    values: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def median(self, key: str) -> float | None:
        return statistics.median(self.values[key]) if self.values[key] else None

    def spread(self, key: str) -> float:
        """Half the distance between the largest and the smallest value, as a part of the median."""
        values = self.values[key]
        return (max(values) - min(values)) / 2 / statistics.median(values)


class Course:
    """The fixtures all registries were filled with, and one method for each measurement."""

    def __init__(self, scale: Scale, one: Workers, four: Workers) -> None:
        self.scale, self.one, self.four = scale, one, four
        self.image = new_image(layers=10, layer_size=1024)
        self.large = new_blob(scale.download)

    def fill(self, figures: Figures) -> None:
        system = figures.system
        time.sleep(SETTLE_SECONDS)
        figures.values["memory_idle"].append(resident_bytes(tree(system.pid)) / MIB)
        if system.database:
            figures.values["memory_database"].append(proportional_bytes(tree(system.database)) / MIB)
        fill(system.host, system.port, self.image, [self.large])
        self._load(system, "GET", f"manifests/{TAG}", MANIFEST_TYPE, self.image.manifest.content, seconds=0.3)

    def manifest_by_tag(self, figures: Figures) -> None:
        self._measure_load(figures, "manifest_tag", "GET", f"manifests/{TAG}")

    def manifest_by_digest(self, figures: Figures) -> None:
        self._measure_load(figures, "manifest_digest", "GET", f"manifests/{self.image.manifest.digest}")

    def manifest_head(self, figures: Figures) -> None:
        self._measure_load(figures, "manifest_head", "HEAD", f"manifests/{TAG}")

    def small_blob(self, figures: Figures) -> None:
        layer = self.image.layers[0]
        self._measure_load(figures, "blob_small", "GET", f"blobs/{layer.digest}", LAYER_TYPE, layer.content)

    def large_blob(self, figures: Figures) -> None:
        system, blob = figures.system, self.large
        address = (system.host, system.port, f"/v2/{REPOSITORY}/blobs/{blob.digest}", len(blob.content))
        self.one.run(time_download, *address, blob.digest)
        with self._peak(figures, "memory_download"):
            (span,) = self.one.run(time_download, *address, None)
        figures.values["blob_large"].append(len(blob.content) / 1e6 / span.seconds)

    def upload(self, figures: Figures) -> None:
        self._measure_upload(figures, "upload_one", self.one)

    def parallel_upload(self, figures: Figures) -> None:
        with self._peak(figures, "memory_upload"):
            self._measure_upload(figures, "upload_four", self.four)

    def push(self, figures: Figures) -> None:
        os.sync()
        system, count = figures.system, self.scale.pushes
        before = cpu_seconds(system.costs)
        (span,) = self.one.run(time_pushes, system.host, system.port, count, 3, 64 * 1024)
        figures.values["push"].append(count / span.seconds)
        figures.values["push_cpu"].append((cpu_seconds(system.costs) - before) / count * 1000)

    def measurements(self) -> list[Callable[[Figures], None]]:
        return [
            self.manifest_by_tag,
            self.manifest_by_digest,
            self.manifest_head,
            self.small_blob,
            self.large_blob,
            self.upload,
            self.parallel_upload,
            self.push,
        ]

    def _measure_load(
        self,
        figures: Figures,
        key: str,
        method: str,
        path: str,
        accept: str = MANIFEST_TYPE,
        body: bytes | None = None,
    ) -> None:
        costs = figures.system.costs
        before = cpu_seconds(costs)
        expected = self.image.manifest.content if body is None else body
        answers, seconds, slow = self._load(figures.system, method, path, accept, expected, self.scale.seconds)
        figures.values[key].append(answers / seconds)
        figures.values[f"{key}_cpu"].append((cpu_seconds(costs) - before) / answers * 1000)
        figures.values[f"{key}_slow"].append(slow * 1000)

    def _load(
        self, system: System, method: str, path: str, accept: str, body: bytes, seconds: float
    ) -> tuple[int, float, float]:
        question = Question(system.host, system.port, method, f"/v2/{REPOSITORY}/{path}", accept, body)
        (result,) = self.one.run(load, question, self.scale.connections, seconds)
        return result.answers, result.seconds, result.slowest_percent

    def _measure_upload(self, figures: Figures, key: str, clients: Workers) -> None:
        os.sync()  # or the disk would still write what the registry before this one was sent
        system = figures.system
        before = cpu_seconds(system.costs)
        size = self.scale.upload
        results: list[tuple[Span, str]] = clients.run(time_upload, system.host, system.port, size)
        cpu = cpu_seconds(system.costs) - before
        spans = [span for span, _ in results]
        seconds = max(span.ended for span in spans) - min(span.began for span in spans)
        sent = size * len(spans)
        figures.values[key].append(sent / 1e6 / seconds)
        figures.values[f"{key}_cpu"].append(cpu / (sent / 1e9))
        for _, digest in results:
            self.one.run(time_download, system.host, system.port, f"/v2/{REPOSITORY}/blobs/{digest}", size, digest)

    @contextmanager
    def _peak(self, figures: Figures, key: str) -> Iterator[None]:
        memory = PeakMemory()
        with memory.watch(figures.system.pid):
            yield
        figures.values[key].append(memory.peak / MIB)


def run(systems: list[System], scale: Scale, tell: Callable[[str], None]) -> list[Figures]:
    """This will take all rounds, the registries alternating within each measurement. Raises WrongAnswer."""
    with ExitStack() as stack:
        one, four = (stack.enter_context(workers(count)) for count in (1, PARALLEL))
        course = Course(scale, one, four)
        all_figures = [Figures(system) for system in systems]
        for figures in all_figures:
            tell(f"filling {figures.system.name}")
            course.fill(figures)
        for number in range(1, scale.rounds + 1):
            tell(f"round {number} of {scale.rounds}")
            for measure in course.measurements():
                for figures in all_figures:
                    measure(figures)
        return all_figures
