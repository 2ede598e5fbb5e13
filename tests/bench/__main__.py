"""`python -m tests.bench [options]`: measures, prints the table, and writes it to docs/performance.md."""

import argparse
import dataclasses
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.bench.chart import chart
from tests.bench.report import circumstances, replace_between_markers, table
from tests.bench.rounds import QUICK, Scale, run
from tests.bench.systems import Skipped, System, all_systems
from tests.bench.wire import WrongAnswer

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = DOCS / "performance.md"
CHART = DOCS / "performance.svg"
BUSY = 0.75  # of a core each; above it the figures say more about the neighbours


def main(arguments: Sequence[str]) -> int:
    options = _options(arguments)
    # Ended by SIGTERM without this, it would leave the registries running.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    scale = QUICK if options.quick else Scale()
    if options.rounds:
        scale = dataclasses.replace(scale, rounds=options.rounds)
    started, load = time.monotonic(), os.getloadavg()[0]
    if load > BUSY * (os.cpu_count() or 1):
        _tell(f"the machine is busy (load average {load:.2f}), so expect noise")
    skipped: dict[str, str] = {}
    try:
        with ExitStack() as stack:
            systems = _start(stack, options, skipped, scale)
            if not systems:
                _tell("nothing to measure")
                return 1
            all_figures = run(systems, scale, _tell)
    except WrongAnswer as error:
        _tell(f"stopped at a wrong answer: {error}")
        return 1
    _tell(f"took {time.monotonic() - started:.0f} s")
    text = f"{table(all_figures)}\n\n{circumstances(all_figures, skipped, scale, load)}"
    print(text)
    if options.write or not (options.quick or options.only or options.set or options.rounds):
        drawing = chart(all_figures)
        if drawing:
            CHART.write_text(drawing)
        picture = f"\n\n![Rates beside docker-registry's]({CHART.name})" if drawing else ""
        replace_between_markers(PAGE, f"\n{text}{picture}\n")
        _tell(f"wrote {PAGE.relative_to(DOCS.parent)}")
    return 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    starters = list(all_systems({}))
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under two minutes; prints and writes nothing")
    parser.add_argument("--rounds", type=int, help="rounds (default 5, with --quick 3)")
    parser.add_argument("--only", action="append", choices=starters, help="leave the others out; repeatable")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="for Lading's environment")
    parser.add_argument("--write", action="store_true", help="write docs/performance.md whatever else is said")
    return parser.parse_args(arguments)


def _start(stack: ExitStack, options: argparse.Namespace, skipped: dict[str, str], scale: Scale) -> list[System]:
    starters = all_systems(dict(one.split("=", 1) for one in options.set))
    chosen = {name: start for name, start in starters.items() if not options.only or name in options.only}
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if free < 2 * scale.disk_bytes * len(chosen):
        raise SystemExit(f"{tempfile.gettempdir()} has too little room; set TMPDIR to a folder with more")
    systems = []
    for name, start in chosen.items():
        try:
            systems.append(stack.enter_context(start()))
        except Skipped as reason:
            skipped[name] = str(reason)
            _tell(f"left out: {name}: {reason}")
    return systems


def _tell(line: str) -> None:
    print(f"bench: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
