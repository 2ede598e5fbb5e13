import pytest

from tests.retention.builders import judge, outcomes
from tests.retention.scenarios import SCENARIOS


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_judges_as_people_expect(scenario):
    evaluation = judge(scenario.rules, scenario.tags, scenario.manifests)
    assert outcomes(evaluation) == scenario.expected
    assert all(verdict.reason.endswith(".") for verdict in evaluation.verdicts)


def test_scenarios_are_many_and_have_names_of_their_own():
    assert len({scenario.name for scenario in SCENARIOS}) == len(SCENARIOS) >= 40
