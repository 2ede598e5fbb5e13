"""The recipes of docs/retention.md do what they say, and its tables name every key."""

import re
from pathlib import Path

import pytest

from oci.names import RepositoryName
from registry_gc.retention.documents import read_policy
from registry_gc.retention.evaluator import evaluate
from registry_gc.retention.inheritance import Layer, Level, effective_policy
from registry_gc.retention.policy import DEFAULT_BRAKE_PERCENT, DEFAULT_SCHEDULE, MOST_RULES, Policy, Rule
from tests.retention.builders import NOW, digest, facts, fallback, layer, manifest, outcomes, tag

TEXT = (Path(__file__).parents[2] / "docs" / "retention.md").read_text(encoding="utf-8")
RECIPES = dict(re.findall(r"<!-- recipe: ([a-z-]+) -->\n```yaml\n(.*?)```", TEXT, re.DOTALL))


def tags(pattern, ages):
    return [tag(pattern.replace("*", age), age) for age in ages]


def days(*numbers):
    return [f"{number}d" for number in numbers]


# Repository, tags, manifests, and what goes; everything else stays.
EXPECTED = {
    "branches": (
        "alpha/app",
        [*tags("main-*", days(*range(1, 13))), *tags("develop-*", days(*range(1, 12))), tag("v1", "900d")],
        [],
        {"main-11d", "main-12d", "develop-11d"},
    ),
    "pull-requests": (
        "alpha/app",
        [*tags("pr-*", days(1, 6, 8)), tag("mr-2", "9d"), tag(fallback("mr-2", ".sig"), "9d"), tag("x", "9d")],
        [],
        {"pr-8d", "mr-2", fallback("mr-2", ".sig")},
    ),
    "releases": (
        "alpha/app",
        [tag("v1.0.0", "900d"), tag("2.0.0", "900d"), tag("v1.0.0-rc", "91d"), tag("main", "89d"), tag("old", "91d")],
        [],
        {"v1.0.0-rc", "old"},
    ),
    "patches": (
        "alpha/app",
        [
            *(tag(f"1.0.{n}", "60d") for n in range(5)),
            tag("1.1.0", "60d"),
            tag("0.9.0-rc.1", "2d"),
            tag("latest", "9d"),
        ],
        [],
        {"1.0.0", "1.0.1"},
    ),
    "unused": (
        "alpha/app",
        [tag("used", "900d", "89d"), tag("unused", "900d", "91d"), tag("never", "91d"), tag("new", "1d")],
        [],
        {"unused", "never"},
    ),
    "latest": ("alpha/app", [tag("latest", "90d"), tag("stable", "90d"), tag("x", "90d")], [], {"x"}),
    "untagged": (
        "alpha/app",
        [tag("v1", "90d", of="multi")],
        [
            manifest("multi", "90d", children=["child"]),
            manifest("child", "90d"),
            manifest("lost", "8d"),
            manifest("young", "6d"),
            manifest("pinned", "90d", pulled="1d"),
        ],
        {digest("lost")},
    ),
    "old-builds": ("alpha/app", tags("build-*", days(1, 40, 41, 42, 43, 44, 45)), [], {"build-44d", "build-45d"}),
    "floor": ("alpha/app", [tag("a", "900d")], [], set()),
    "candidates": (
        "alpha/app",
        [tag("1.0.0-rc.1", "1d"), tag("1.0.0-rc.2", "2d"), tag("1.1.0-rc.1", "3d"), tag("2.0.0-rc.1", "9d")],
        [],
        {"1.0.0-rc.1"},
    ),
    "caches": ("alpha/cache/app", [tag("a", "2d"), tag("b", "2h")], [], {"a"}),
    "pause": ("alpha/app", [tag("a", "900d")], [], set()),
}


def test_every_recipe_is_tried():
    assert RECIPES.keys() == EXPECTED.keys()
    assert len(RECIPES) >= 10
    assert TEXT.count("```yaml") == len(RECIPES)


def rules_for(repository, *layers):
    return effective_policy(repository=RepositoryName.parse(repository), layers=layers).rules


def recipe_layer(recipe, level=Level.TEAM):
    return Layer(level, read_policy(RECIPES[recipe]), 1, "alpha")


@pytest.mark.parametrize("recipe", EXPECTED)
def test_recipe(recipe):
    repository, judged, manifests, goes = EXPECTED[recipe]
    rules = rules_for(repository, recipe_layer(recipe))
    evaluation = evaluate(facts=facts(judged, manifests, repository), rules=rules, now=NOW)
    assert {verdict.tag or verdict.digest for verdict in evaluation.verdicts if verdict.is_deleted} == goes


def test_the_floor_holds_for_teams():
    rules = rules_for("alpha/app", recipe_layer("floor", Level.INSTANCE), layer([{"action": "delete"}]))
    judged = [tag("pushed", "13d"), tag("pulled", "90d", "2d"), tag("old", "15d")]
    evaluation = evaluate(facts=facts(judged), rules=rules, now=NOW)
    assert outcomes(evaluation) == {"pushed": "keep by 1", "pulled": "keep by 2", "old": "delete by 1"}


def test_the_caches_of_others_stay():
    assert not rules_for("alpha/app", recipe_layer("caches"))


def test_the_tables_name_every_key_and_limit():
    for key in [*Policy.model_fields, *Rule.model_fields]:
        assert re.search(rf"^\| .*`{key}`.*\|", TEXT, re.MULTILINE), key
    assert f"| `schedule` | `{DEFAULT_SCHEDULE}` |" in TEXT
    assert f"| `brake_percent` | `{DEFAULT_BRAKE_PERCENT}` |" in TEXT
    assert f"at most {MOST_RULES} |" in TEXT
