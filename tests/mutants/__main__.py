"""`python -m tests.mutants [--model] [name …]`: do the tests notice the faults? Fails if they miss one.

Works on a copy of the tree in a temporary folder. With `--model`, the model of `tests/model` is asked alone about
the faults that it has to notice.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.mutants.faults import FAULTS, MODEL
from tests.mutants.tree import copy_to, mutated

# Of one run of a fault's tests; one that hangs is noticed too, but not by what was promised.
SECONDS = 180
# Of all tests together, before there is a fault.
ALL_SECONDS = 1800
_FAILED = 1  # pytest's status where tests failed; all others are no test's word


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--model", action="store_true", help="ask the model alone")
    parser.add_argument("names", nargs="*", help="parts of the names of faults")
    options = parser.parse_args(arguments)
    chosen = [fault for fault in FAULTS if not options.names or any(name in fault.name for name in options.names)]
    if options.model:
        chosen = [fault for fault in chosen if fault.in_model]
    began, survivors = time.monotonic(), []
    with tempfile.TemporaryDirectory(prefix="lading-mutants-") as folder:
        copy = copy_to(Path(folder))
        tests = [MODEL] if options.model else sorted({test for fault in chosen for test in fault.tests})
        status, told = run(copy, tests, fresh=True)
        if status:
            print(f"without a fault the tests must pass:\n{told}", file=sys.stderr)
            return 2
        for fault in chosen:
            with mutated(copy, fault):
                status, told = run(copy, [MODEL] if options.model else fault.tests)
            survivors += [fault.name] if status != _FAILED else []
            print(f"{'caught' if status == _FAILED else 'SURVIVED':9} {fault.name}: {told}", flush=True)
    print(f"{len(chosen)} faults, {len(survivors)} missed, {time.monotonic() - began:.0f} s")
    return 1 if survivors else 0


def run(copy: Path, tests: Sequence[str], *, fresh: bool = False) -> tuple[int, str]:
    """pytest's status, and which test said what."""
    options = ["-q", "-x", "--tb=line", "--show-capture=no", "-p", "no:cacheprovider", "--reuse-db"]
    seconds = ALL_SECONDS if fresh else SECONDS
    command = [sys.executable, "-m", "pytest", *options, *(["--create-db"] if fresh else []), *tests]
    # The copy comes before what is installed of the working tree.
    environment = os.environ | {"PYTHONPATH": f"{copy}:{copy / 'gc'}", "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        ran = subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        return -1, f"not done after {seconds} seconds"
    lines = ran.stdout.splitlines()
    failed = [line for line in lines if line.startswith("FAILED")]
    return ran.returncode, (failed or ["\n".join(lines[-20:]) if ran.returncode else lines[-1]])[0]


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
