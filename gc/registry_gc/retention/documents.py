"""From a document to a policy, or to everything that is wrong with it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import yaml
from pydantic import BaseModel, ValidationError

from registry_gc.retention.policy import MOST_RULES, Action, NewestSemver, Policy, Rule
from registry_gc.retention.values import TEXT_MAX_LENGTH, Unexpected, shown
from registry_project.config.tree import Node, YamlMistake, read_yaml
from registry_project.config.values import Scalar

YAML_MAX_LENGTH = 256 * 1024
_LONGEST_NAME = 100
_Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong or odd. `rule` counts from 1, as verdicts do; `path` is the document's own."""

    path: str
    text: str
    rule: int | None = None
    rule_name: str = ""
    field: str = ""

    def __str__(self) -> str:
        name = f" ({self.rule_name})" if self.rule_name else ""
        parts = [f"rule {self.rule}{name}" if self.rule else "", self.field, self.text]
        return ": ".join(part for part in parts if part)


class PolicyInvalid(ValueError):
    """Its text lists every finding, one a line."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        super().__init__("\n".join(str(finding) for finding in findings))
        self.findings = tuple(findings)


def parse_policy(document: object) -> Policy:
    """Read a policy from parsed JSON; raises PolicyInvalid."""
    if not isinstance(document, dict):
        raise PolicyInvalid(
            [Finding("", str(Unexpected("an object with enabled, schedule, brake_percent and rules", document)))]
        )
    rules = document.get("rules")
    if isinstance(rules, list | tuple) and len(rules) > MOST_RULES:
        # Not one finding for each of a million.
        raise PolicyInvalid([Finding("rules", f"expected at most {MOST_RULES} rules, not {len(rules)}", field="rules")])
    try:
        return Policy.model_validate(document)
    except ValidationError as error:
        raise PolicyInvalid(list(_findings(error, document))) from error


def read_policy(text: str) -> Policy:
    """Read a policy from YAML, and so from JSON as well; raises PolicyInvalid."""
    if len(text) > YAML_MAX_LENGTH:
        raise PolicyInvalid([Finding("", f"expected at most {YAML_MAX_LENGTH} characters")])
    notes: list[str] = []
    try:
        # A few aliases of aliases stand for more than any memory holds.
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            raise PolicyInvalid([Finding("", "expected YAML without aliases")])
        document = _leaves(read_yaml(text, lambda line: f"line {line}", notes))
    except YamlMistake as error:
        place = "" if error.line is None else f" at line {error.line}"
        raise PolicyInvalid([Finding("", f"not valid YAML{place}: {error}")]) from error
    except yaml.YAMLError as error:
        raise PolicyInvalid([Finding("", f"not valid YAML: {' '.join(str(error).split())[:200]}")]) from error
    except RecursionError as error:
        raise PolicyInvalid([Finding("", "nested too deeply")]) from error
    if notes:
        raise PolicyInvalid([Finding("", note.removesuffix("; the last one counts")) for note in notes])
    return parse_policy(document)


def _leaves(node: Node) -> object:
    """Dicts and lists with Scalars in them, and None for what has no value."""
    if isinstance(node.content, dict):
        return {key: _leaves(child) for key, child in node.content.items()}
    if isinstance(node.content, list):
        return [_leaves(child) for child in node.content]
    return None if node.is_null else node.content


def list_oddities(policy: Policy) -> list[Finding]:
    """What is allowed and hardly meant."""
    keeps = [rule for rule in policy.rules if rule.action is Action.KEEP]
    found = []
    if keeps and len(keeps) == len(policy.rules):
        found.append(Finding("rules", "no rule deletes anything"))
    for number, rule in enumerate(policy.rules, start=1):
        path = f"rules[{number - 1}]"
        first = policy.rules.index(rule) + 1
        if first < number:
            found.append(Finding(path, f"says the same as rule {first}", number, rule.name))
        if not keeps and rule.action is Action.DELETE and not _has_conditions(rule):
            found.append(Finding(path, "deletes every tag that matches, and no rule keeps any", number, rule.name))
    return found


def _has_conditions(rule: Rule) -> bool:
    return bool(rule.pushed_before or rule.pulled_before or rule.untagged)


def _findings(error: ValidationError, document: dict[str, object]) -> Iterable[Finding]:
    for item in error.errors(include_url=False):
        location = tuple(item["loc"])
        context = item.get("ctx", {})
        if item["type"] == "rule":
            for field, text in context["mistakes"].items():
                yield _finding((*location, field), text, document)
        else:
            yield _finding(location, _expected(item["type"], item["msg"], context, location, item["input"]), document)


def _expected(kind: str, message: str, context: dict[str, object], location: _Path, raw: object) -> str:
    if kind == "value_error":
        return str(context["error"])
    if kind == "missing":
        return "expected a value"
    if kind == "extra_forbidden":
        known = list(_model_at(location).model_fields)
        close = get_close_matches(str(location[-1]), known, 1)
        return "unknown" + (f"; did you mean {close[0]}?" if close else f"; expected one of {', '.join(known)}")
    if kind in ("model_type", "dict_type", "model_attributes_type"):
        return str(Unexpected("keys with values", raw))
    if kind in ("tuple_type", "list_type"):
        return str(Unexpected("a list", raw))
    return f"{message}, not {shown(raw)}"


def _model_at(location: _Path) -> type[BaseModel]:
    if location[0] != "rules" or len(location) < 3:
        return Policy
    return NewestSemver if location[2] == "newest_semver" and len(location) > 3 else Rule


def _finding(location: _Path, text: str, document: dict[str, object]) -> Finding:
    location = tuple(step if isinstance(step, int) else step[:_LONGEST_NAME] for step in location)
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location).removeprefix(".")
    if len(location) < 2 or location[0] != "rules" or not isinstance(location[1], int):
        return Finding(path, text, field=".".join(str(step) for step in location))
    rules = document["rules"]
    rule = rules[location[1]] if isinstance(rules, list | tuple) else None
    raw = rule.get("name", "") if isinstance(rule, dict) else ""
    name = raw.text if isinstance(raw, Scalar) else raw
    field = ".".join(str(step) for step in location[2:])
    return Finding(
        path,
        text,
        location[1] + 1,
        name if isinstance(name, str) and name.isprintable() and len(name) <= TEXT_MAX_LENGTH else "",
        field,
    )
