"""What the policies of instance, team and repository make together."""

import pytest

from oci.names import RepositoryName
from registry_gc.retention.evaluator import evaluate
from registry_gc.retention.inheritance import Level, effective_policy
from tests.retention.builders import NOW, facts, layer, outcomes, tag

KEEP, FLOOR = {"action": "keep", "tags": "v*"}, {"action": "keep", "tags": "release-*", "locked": True, "name": "floor"}
DELETE, PRUNE = {"action": "delete", "tags": "*"}, {"action": "delete", "tags": "pr-*"}


def instance(*rules, **head):
    return layer(rules, level=Level.INSTANCE, owner="", version=3, **head)


def team(*rules, **head):
    return layer(rules, version=7, **head)


def repository(*rules, **head):
    return layer(rules, level=Level.REPOSITORY, owner="alpha/app", version=2, **head)


def effective(*layers, name="alpha/app"):
    return effective_policy(repository=RepositoryName.parse(name), layers=layers)


def sources(policy):
    return [str(entry) for entry in policy.rules]


def test_without_a_policy_nothing_is_ever_run():
    assert effective().rules == ()
    assert not effective().enabled


def test_the_lowest_policy_replaces_those_above():
    policy = effective(team(PRUNE), instance(KEEP, DELETE))
    assert sources(policy) == ["rule 1 of team alpha's policy v7"]
    assert sources(effective(team(PRUNE), repository(DELETE), instance(KEEP))) == [
        "rule 1 of repository alpha/app's policy v2"
    ]


def test_a_repository_without_a_policy_inherits():
    assert sources(effective(instance(KEEP, DELETE))) == [
        "rule 1 of the instance's policy v3",
        "rule 2 of the instance's policy v3",
    ]


def test_locked_rules_of_all_levels_stay():
    policy = effective(repository(DELETE), instance(KEEP, FLOOR), team(FLOOR, PRUNE))
    assert sources(policy) == [
        "rule 2 'floor' of the instance's policy v3",
        "rule 1 'floor' of team alpha's policy v7",
        "rule 1 of repository alpha/app's policy v2",
    ]


def test_a_floor_holds_against_everything_below():
    rules = effective(instance(FLOOR), repository(DELETE)).rules
    evaluation = evaluate(facts=facts([tag("release-1", "900d"), tag("x", "1d")]), rules=rules, now=NOW)
    assert outcomes(evaluation) == {"release-1": "keep by 1", "x": "delete by 1"}
    assert evaluation.verdicts[0].reason == ("Kept by rule 1 'floor' of the instance's policy v3: matches release-*.")


def test_a_floor_holds_though_its_policy_is_off():
    assert sources(effective(instance(FLOOR, enabled=False), team(DELETE)))[0].startswith("rule 1 'floor'")


def test_a_lower_policy_that_is_off_switches_the_inherited_off():
    policy = effective(instance(FLOOR, DELETE), team(KEEP, FLOOR, DELETE, enabled=False))
    assert not policy.enabled
    assert sources(policy) == ["rule 1 'floor' of the instance's policy v3", "rule 2 'floor' of team alpha's policy v7"]


def test_a_lower_policy_can_switch_on_again():
    assert effective(team(enabled=False), repository(DELETE)).enabled


def test_a_policy_that_deletes_nothing_is_never_run():
    assert not effective(team(KEEP)).enabled


def test_schedule_and_brake_come_from_the_lowest():
    policy = effective(instance(DELETE, brake_percent=10), team(DELETE, schedule="5 4 * * *", brake_percent=80))
    assert (policy.schedule, policy.brake_percent) == ("5 4 * * *", 80)


@pytest.mark.parametrize(
    ("make", "pattern", "name", "expected"),
    [
        (team, "app", "alpha/app", True),
        (team, "alpha/app", "alpha/app", True),
        (team, "**", "alpha/a/b", True),
        (team, "*", "alpha/a/b", False),
        (team, "other", "alpha/app", False),
        (team, "my-image", "my-image", True),
        (instance, "alpha/**", "alpha/a/b", True),
        (instance, "app", "alpha/app", False),
        (instance, "**", "my-image", True),
        (repository, "**", "alpha/app", True),
    ],
)
def test_patterns_of_a_team_are_of_names_inside_it(make, pattern, name, expected):
    assert bool(effective(make({"action": "delete", "repositories": pattern}), name=name).rules) is expected
