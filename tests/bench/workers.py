"""Client processes of their own, so that no client shares an interpreter with another or with the sampler."""

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.pool import Pool
from multiprocessing.synchronize import Barrier
from typing import Any, TypeVar

Result = TypeVar("Result")
MEET_SECONDS = 60
_barrier: Barrier | None = None


class Workers:
    """As many processes as tasks that run at once."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    def run(self, task: Callable[..., Result], *arguments: Any) -> list[Result]:
        """This will run `task` once in every process at the same time, and raise what any of them raises."""
        count = self.pool._processes  # type: ignore[attr-defined]
        return [one.get() for one in [self.pool.apply_async(task, arguments) for _ in range(count)]]


@contextmanager
def workers(count: int) -> Iterator[Workers]:
    context = multiprocessing.get_context("spawn")
    with context.Pool(count, _enter, (context.Barrier(count),)) as pool:
        yield Workers(pool)


def meet() -> None:
    """This will wait until every process of the same Workers has come here."""
    if _barrier:
        _barrier.wait(MEET_SECONDS)


def _enter(barrier: Barrier) -> None:
    global _barrier
    _barrier = barrier
