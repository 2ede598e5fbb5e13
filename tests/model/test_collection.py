"""Collection against its model: any steps in any order, each of which must leave what the model says.

`make model` runs many examples, others each time; those of `make test` are always the same.
"""

import logging
import os

import hypothesis
import pytest
from django.db import connection
from hypothesis import HealthCheck, Phase
from hypothesis.stateful import run_state_machine_as_test

from tests.model.clients import Deletions, Pushes
from tests.model.machine import DELAYS, FIRED
from tests.model.workers import Workers

EXAMPLES = int(os.environ.get("LADING_MODEL_EXAMPLES", "4"))
STEPS = 200
SEED = 20
THOROUGH = EXAMPLES >= 20


class Registry(Pushes, Deletions, Workers):
    pass


@pytest.fixture
def _registry_with_delays(transactional_db, registry, settings):
    for name, delay in DELAYS.items():
        setattr(settings, name, delay)
    # What stands in an index for this platform has to be there, and nothing else.
    settings.INDEX_PLATFORMS = frozenset({"linux/amd64"})
    # Of thousands of requests; failures of the collection stand in its table.
    logging.disable(logging.ERROR)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.timeout(0)
@pytest.mark.usefixtures("_registry_with_delays")
def test_any_steps_leave_what_the_model_says(capsys):
    FIRED.update(dict.fromkeys(FIRED, 0))
    options = hypothesis.settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        print_blob=True,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    if not THOROUGH:
        hypothesis.seed(SEED)(Registry)
    try:
        run_state_machine_as_test(Registry, settings=options)
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
        f"\n{FIRED['examples']} examples on {connection.vendor}, {FIRED['ended']} to their end, seed {seed}",
        f"{sum(steps.values()):8} steps",
        *(f"{count:8} {name}" for name, count in sorted(steps.items())),
    ]
    return "\n".join(lines)
