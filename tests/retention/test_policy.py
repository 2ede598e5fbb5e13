"""What a policy may say, and what is told about one that says something else."""

import json
import subprocess
import sys

import pytest
import yaml

from registry_gc.retention.documents import PolicyInvalid, list_oddities, parse_policy, read_policy
from registry_gc.retention.policy import Action

DESIGNED = {
    "enabled": True,
    "schedule": "0 3 * * *",
    "brake_percent": 50,
    "rules": [
        {"action": "keep", "repositories": "**", "tags": "build-*", "newest": 10},
        {"action": "delete", "repositories": "**", "tags": "build-*", "pushed_before": "30d"},
    ],
}


def findings(document):
    with pytest.raises(PolicyInvalid) as caught:
        parse_policy(document)
    assert str(caught.value).splitlines() == [str(finding) for finding in caught.value.findings]
    return [str(finding) for finding in caught.value.findings]


def rule_findings(**rule):
    return findings({"rules": [{"action": "keep", **rule}]})


def test_reads_json_and_the_same_as_yaml():
    policy = parse_policy(DESIGNED)
    assert policy.rules[0].newest == 10
    assert policy.rules[1].action is Action.DELETE
    assert policy == read_policy(json.dumps(DESIGNED)) == read_policy(yaml.safe_dump(DESIGNED))


def test_everything_has_a_default_that_deletes_nothing():
    policy = parse_policy({})
    assert policy.document() == {"enabled": True, "schedule": "0 3 * * *", "brake_percent": 50, "rules": []}


def test_writes_every_key_back():
    rule = {
        "action": "keep",
        "name": "all",
        "comment": "why",
        "locked": True,
        "repositories": ["a/*", "b"],
        "tags": ["v*", "x?"],
        "tags_regex": "v[0-9]+",
        "newest_semver": {"count": 3, "per": "major", "prereleases": True},
        "pushed_within": "1h30m",
        "pulled_within": "90d",
        "pushed_before": "30m",
        "pulled_before": "20m",
    }
    sweep = {"action": "delete", "untagged": "7d", "pulled_before": "3d"}
    document = {"enabled": False, "schedule": "*/10 0-6 1,15 * sun", "brake_percent": 0, "rules": [rule, sweep]}
    assert parse_policy(document).document() == document
    assert parse_policy(parse_policy(document).document()) == parse_policy(document)


def test_a_finding_leads_to_rule_and_field():
    with pytest.raises(PolicyInvalid) as caught:
        parse_policy({"rules": [{"action": "keep"}, {"action": "delete", "name": "old builds", "pushed_before": "x"}]})
    (finding,) = caught.value.findings
    assert str(finding) == "rule 2 (old builds): pushed_before: expected a duration such as 30d or 12h, not 'x'"
    assert (finding.path, finding.rule, finding.field) == ("rules[1].pushed_before", 2, "pushed_before")


def test_tells_all_findings_at_once():
    told = findings({"brake_percent": 101, "rules": [{"action": "kep"}, {"action": "keep", "newest": 0}, 5]})
    assert [line.partition(":")[0] for line in told] == ["brake_percent", "rule 1", "rule 2", "rule 3"]


@pytest.mark.parametrize(
    ("document", "start"),
    [
        ([], "expected an object"),
        (None, "expected an object"),
        ({"rulez": []}, "rulez: unknown; did you mean rules?"),
        ({"rules": {}}, "rules: expected a list"),
        ({"rules": [{}]}, "rule 1: action: expected a value"),
        ({"enabled": "true"}, "enabled: expected true or false, not 'true'"),
        ({"enabled": None}, "enabled: expected true or false, not None"),
        ({"brake_percent": True}, "brake_percent: expected a whole number from 0 to 100"),
        ({"brake_percent": "50"}, "brake_percent: expected a whole number from 0 to 100"),
        ({"rules": [{"action": "keep"}] * 101}, "rules: expected at most 100 rules, not 101"),
    ],
    ids=str,
)
def test_refuses_other_documents(document, start):
    (told,) = findings(document)
    assert told.startswith(start)


@pytest.mark.parametrize(
    "schedule",
    ["", "@daily", "* * * *", "0 3 * * * *", "0 24 * * *", "60 * * * *", "0 0 0 * *", "*/0 * * * *", "1,,2 * * * *",
     "*/5-10 * * * *", "0 3 31 2 *", "0 3 * * nun", "٣ 3 * * *", "0  3 * * *", "-1 * * * *", 5, None,
     "1," * 60 + "1 * * * *"],
    ids=str,
)  # fmt: skip
def test_refuses_what_is_no_schedule(schedule):
    (told,) = findings({"schedule": schedule})
    assert told.startswith("schedule: expected five fields of cron in UTC")


@pytest.mark.parametrize(
    ("rule", "start"),
    [
        ({"pushed_within": "30"}, "pushed_within: expected a duration such as 30d"),
        ({"pushed_within": 30}, "pushed_within: expected a duration such as 30d or 12h, not 30"),
        ({"pushed_within": "0"}, "pushed_within: expected a duration"),
        ({"pushed_within": "-1d"}, "pushed_within: expected a duration"),
        ({"pushed_within": "36501d"}, "pushed_within: expected a duration"),
        ({"pushed_within": "9" * 400 + "d"}, "pushed_within: expected a duration"),
        ({"tags": ""}, "tags: expected a pattern"),
        ({"tags": []}, "tags: expected a pattern or a list of 1 to 20 patterns, not 0"),
        ({"tags": ["a"] * 21}, "tags: expected a pattern or a list of 1 to 20 patterns, not 21"),
        ({"tags": "v[0-9]"}, "tags: expected a pattern of at most 255"),
        ({"tags": "a" * 256}, "tags: expected a pattern of at most 255"),
        ({"tags": {"a": 1}}, "tags: expected a pattern"),
        ({"tags_regex": "("}, "tags_regex: expected a regular expression (RE2), not '(': missing )"),
        ({"tags_regex": ""}, "tags_regex: expected a regular expression"),
        ({"tags_regex": "(?=x)"}, "tags_regex: expected a regular expression (RE2)"),
        ({"tags_regex": r"(a)\1"}, "tags_regex: expected a regular expression (RE2)"),
        ({"tags_regex": "a" * 256}, "tags_regex: expected a regular expression (RE2) of at most 255"),
        ({"tags_regex": "((a{100}){100}){100}"}, "tags_regex: expected a regular expression (RE2)"),
        ({"newest": 0}, "newest: expected a whole number from 1"),
        ({"newest": 1.5}, "newest: expected a whole number from 1"),
        ({"newest": True}, "newest: expected a whole number from 1"),
        ({"newest_semver": 3}, "newest_semver: expected keys with values, not 3"),
        ({"newest_semver": {}}, "newest_semver.count: expected a value"),
        ({"newest_semver": {"count": 1, "per": "patch"}}, "newest_semver.per: expected minor or major, not 'patch'"),
        ({"newest_semver": {"count": 1, "pre": 1}}, "newest_semver.pre: unknown; did you mean per?"),
        ({"name": "a\nb"}, "name: expected one line"),
        ({"name": "a" * 201}, "name: expected one line"),
        ({"older_than": "3d"}, "older_than: unknown; expected one of action, name"),
        ({"tag": "x"}, "tag: unknown; did you mean tags?"),
        ({"newest": 1, "newest_semver": {"count": 1}}, "newest_semver: expected newest or newest_semver"),
        ({"untagged": "7d"}, "untagged: expected only with delete"),
        ({"pushed_within": "7d", "pushed_before": "7d"}, "pushed_before: expected less than pushed_within (7d)"),
        ({"pulled_within": "7d", "pulled_before": "8d"}, "pulled_before: expected less than pulled_within (7d)"),
        ({"pushed_within": "7d", "pulled_before": "8d"}, "pulled_before: expected less than pushed_within (7d)"),
        ({"action": "delete", "newest": 3}, "newest: expected only with keep"),
        ({"action": "delete", "newest_semver": {"count": 3}}, "newest_semver: expected only with keep"),
        ({"action": "delete", "pushed_within": "3d"}, "pushed_within: expected only with keep: here it would delete"),
        ({"action": "delete", "pulled_within": "3d"}, "pulled_within: expected only with keep: here it would delete"),
        ({"action": "delete", "locked": True}, "locked: expected only with keep"),
        ({"action": "delete", "untagged": "59m"}, "untagged: expected a duration such as 30d or 12h, an hour or more"),
        ({"action": "delete", "untagged": "7d", "tags": "x"}, "tags: expected no such condition beside untagged"),
        ({"action": "delete", "untagged": "7d", "tags_regex": "x"}, "tags_regex: expected no such condition"),
    ],
    ids=lambda value: json.dumps(value)[:60] if isinstance(value, dict) else None,
)  # fmt: skip
def test_refuses_what_a_rule_cannot_mean(rule, start):
    (told,) = rule_findings(**rule)
    assert told.startswith(f"rule 1: {start}")


@pytest.mark.parametrize(
    "rule",
    [
        {"action": "delete"},
        {"action": "delete", "tags": "pr-*"},
        {"action": "keep", "pushed_within": "30d", "pushed_before": "7d"},
        {"action": "delete", "untagged": "7d", "pulled_before": "3d", "tags": "*"},
        {"action": "keep", "newest": None},
    ],
    ids=str,
)
def test_accepts_what_a_rule_can_mean(rule):
    assert parse_policy({"rules": [rule]}).rules


def test_takes_yaml_words_as_they_are_written():
    policy = read_policy("rules:\n- {action: keep, tags: [1.10, 2024-01-01], newest: 3}\n")
    assert [glob.text for glob in policy.rules[0].tags] == ["1.10", "2024-01-01"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rules: []\nrules: []", "line 1: the key 'rules' stands twice"),
        ("a: &a [x]\nrules: *a", "expected YAML without aliases"),
        ("[", "not valid YAML"),
        ("a: 1\n---\nb: 2", "not valid YAML"),
        ("!!python/object/apply:os.getcwd []", "expected an object"),
        ("[" * 3000, "not valid YAML"),
        ("[" * 3000 + "]" * 3000, "nested too deeply"),
        ("#" * 300_000, "expected at most 262144 characters"),
        ("rules: [{action: keep, newest: 1:30}]", "rule 1: newest: expected a whole number"),
        ("rules: [{action: keep, tags: yes}]", "rule 1: tags: expected a pattern such as build-*, not True"),
        ("rules: [{action: delete, pushed_before: 30}]", "rule 1: pushed_before: expected a duration"),
        ("rules: [{action: keep, oops: }]", "rule 1: oops: unknown"),
        ("", "expected an object"),
    ],
    ids=lambda text: text[:30],
)
def test_refuses_other_yaml(text, told):
    with pytest.raises(PolicyInvalid) as caught:
        read_policy(text)
    assert str(caught.value).startswith(told)


def test_tells_what_is_hardly_meant():
    keep, delete = {"action": "keep", "tags": "v*"}, {"action": "delete", "name": "all"}
    assert [str(f) for f in list_oddities(parse_policy({"rules": [keep]}))] == ["no rule deletes anything"]
    assert [str(f) for f in list_oddities(parse_policy({"rules": [delete]}))] == [
        "rule 1 (all): deletes every tag that matches, and no rule keeps any"
    ]
    assert [str(f) for f in list_oddities(parse_policy({"rules": [keep, delete, keep]}))] == [
        "rule 3: says the same as rule 1"
    ]
    assert not list_oddities(parse_policy(DESIGNED))


def test_needs_no_configured_django():
    modules = "registry_gc.retention.evaluator, registry_gc.retention.brakes, registry_gc.retention.documents"
    code = f"import sys, {modules}; sys.exit('django.db' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ".:gc"}, check=False).returncode == 0
