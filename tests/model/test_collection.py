"""Collection against its model: any steps in any order, each of which must leave what the model says.

`make model` runs many examples, others each time; those of `make test` are always the same.
"""

import os
from datetime import timedelta

import hypothesis
import pytest
from django.db import connection
from hypothesis import HealthCheck, Phase
from hypothesis.stateful import run_state_machine_as_test

from tests.model.clients import Deletions, Pushes
from tests.model.machine import FIRED
from tests.model.shelf import GRACE, LINGER, TRASH, UNTAGGED, UPLOAD_LIFETIME
from tests.model.workers import Workers

EXAMPLES = int(os.environ.get("LADING_MODEL_EXAMPLES", "4"))
STEPS = 200
SEED = 20
THOROUGH = EXAMPLES >= 20


class Registry(Pushes, Deletions, Workers):
    pass


@pytest.fixture
def machine(transactional_db, registry, settings):
    settings.GC_GRACE, settings.GC_UNTAGGED = timedelta(hours=GRACE), timedelta(hours=UNTAGGED)
    settings.TRASH_KEEP, settings.GC_LINGER = timedelta(hours=TRASH), timedelta(hours=LINGER)
    settings.UPLOAD_LIFETIME = timedelta(hours=UPLOAD_LIFETIME)
    # What stands in an index for this platform has to be there, and nothing else.
    settings.INDEX_PLATFORMS = frozenset({"linux/amd64"})
    delays = {
        name: getattr(settings, name)
        for name in ("GC_GRACE", "GC_UNTAGGED", "TRASH_KEEP", "GC_LINGER", "UPLOAD_LIFETIME")
    }

    class Configured(Registry):
        def __init__(self):
            for name, delay in delays.items():
                setattr(settings, name, delay)
            super().__init__()

        def without_delays(self):
            for name in delays:
                setattr(settings, name, timedelta())

    return Configured


@pytest.mark.timeout(0)
def test_any_steps_leave_what_the_model_says(machine, capsys):
    FIRED.update(dict.fromkeys(FIRED, 0))
    options = hypothesis.settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    if not THOROUGH:
        machine = hypothesis.seed(SEED)(machine)
    try:
        run_state_machine_as_test(machine, settings=options)
    finally:
        told = tell()
        with capsys.disabled():
            print(told)
    if THOROUGH:
        assert [name for name, count in FIRED.items() if not count] == []


def tell() -> str:
    steps = {name: count for name, count in FIRED.items() if name not in {"examples", "ended"}}
    seed = "chosen at random" if THOROUGH else SEED
    lines = [
        f"\n{FIRED['examples']} examples on {connection.vendor}, {FIRED['ended']} to their end,"
        f" {sum(steps.values())} steps, seed {seed}",
        *(f"{count:8} {name}" for name, count in sorted(steps.items())),
    ]
    return "\n".join(lines)
