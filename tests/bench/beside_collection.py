"""Pulls and pushes while collection rests and while it works.

`python -m tests.services --durable -- python -m tests.bench.beside_collection`: one server on PostgreSQL with the rows
of 500,000 blobs, of which 60,000 are garbage, takes turns with collection paused and going on.
"""

import argparse
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Sequence

import psycopg

from tests.bench.images import MANIFEST_TYPE, REPOSITORY, TAG, new_image
from tests.bench.stored import Stored, store
from tests.bench.systems import QUIET
from tests.bench.transfers import fill, time_each_push
from tests.bench.wire import Question, load
from tests.bench.workers import Workers, workers
from tests.live_server import live_server

_STORED = Stored(first=0, last=100_000, garbage=4_000, gone=12_000)
_CONNECTIONS = 8
_PUSHES = 30
# A batch that was begun is ended.
_SETTLE_SECONDS = 2.0
_PAUSE = "INSERT INTO gc_collection_collectionpause (id, paused_at, paused_by) VALUES (1, now(), '')"
_RESUME = "DELETE FROM gc_collection_collectionpause"
_REVIEWED = "SELECT coalesce(sum(reviewed), 0) FROM gc_collection_collectionrun"
_STATES = {"at rest": _PAUSE, "at work": _RESUME}


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.beside_collection", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    options = parser.parse_args(arguments)
    image = new_image(layers=10, layer_size=1024)
    environ = QUIET | {"REGISTRY_GC_INTERVAL": "0s"}
    pulls: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    pushes: dict[str, list[float]] = defaultdict(list)
    rates: list[float] = []
    with (
        live_server(database="postgres", environ=environ) as server,
        psycopg.connect(server.environ["REGISTRY_DATABASE_URL"], autocommit=True) as database,
        workers(1) as client,
    ):
        database.execute(_PAUSE)
        store(database, _STORED)
        fill("127.0.0.1", server.port, image, [])
        question = Question(
            "127.0.0.1", server.port, "GET", f"/v2/{REPOSITORY}/manifests/{TAG}", MANIFEST_TYPE, image.manifest.content
        )
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
            for state, change in _STATES.items():
                database.execute(_RESUME)
                database.execute(change)
                time.sleep(_SETTLE_SECONDS)
                before, began = _reviewed(database), time.monotonic()
                pulls[state].append(_pull(client, question, options.seconds))
                pushes[state] += client.run(time_each_push, "127.0.0.1", server.port, _PUSHES, 3, 64 * 1024)[0]
                rate = (_reviewed(database) - before) / (time.monotonic() - began)
                if (rate == 0) is not (state == "at rest"):
                    raise SystemExit(f"{rate:.0f} reviews/s while collection was {state}")
                if rate:
                    rates.append(rate)
    print("| collection | pulls/s | p50, ms | p99, ms | push p50, ms | push p99, ms |\n|---|---:|---:|---:|---:|---:|")
    for state in _STATES:
        rate, middle, slow = (statistics.median(values) for values in zip(*pulls[state], strict=True))
        quantiles = statistics.quantiles(pushes[state], n=100)
        figures = (middle * 1000, slow * 1000, quantiles[49] * 1000, quantiles[98] * 1000)
        print(f"| {state} | {rate:,.0f} | " + " | ".join(f"{figure:.1f}" for figure in figures) + " |")
    print(f"\n{statistics.median(rates):,.0f} reviews/s beside the traffic")
    return 0


def _reviewed(database: psycopg.Connection[tuple[int]]) -> int:
    row = database.execute(_REVIEWED).fetchone()
    assert row is not None
    return int(row[0])


def _pull(client: Workers, question: Question, seconds: float) -> tuple[float, float, float]:
    """Answers a second, and the median and 99th percentile of their latency (seconds)."""
    (result,) = client.run(load, question, _CONNECTIONS, seconds)
    return result.answers / result.seconds, result.median, result.slowest_percent


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
