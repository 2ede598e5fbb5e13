"""From a file and the environment to a Configuration."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from registry_project.config import messages
from registry_project.config.checks import check_auth, check_rules, check_storage, note_oddities
from registry_project.config.configuration import Configuration, Sections
from registry_project.config.errors import ConfigurationError, Finding, Mistake
from registry_project.config.overrides import apply_overrides, named_choice
from registry_project.config.storage import NOT_DRIVERS
from registry_project.config.tree import Node, YamlMistake, deepest, plain, read_yaml
from registry_project.config.unknown import prune

PATH_VARIABLE = "REGISTRY_CONFIGURATION_PATH"


def load_configuration(path: Path | None, environ: Mapping[str, str]) -> Configuration:
    """This will read config.yml and apply the `REGISTRY_…` variables of `environ`.

    Without `path` the file is the one that REGISTRY_CONFIGURATION_PATH names, and without that there are only
    defaults and variables. Raises ConfigurationError, which lists every mistake; what is merely odd is in
    `warnings` of the result.
    """
    if path is None and environ.get(PATH_VARIABLE):
        path = Path(environ[PATH_VARIABLE])
    warnings: list[str] = []
    root = _read_file(path, warnings)
    unknown, mistakes = apply_overrides(root, Sections, environ, warnings)
    warnings += [messages.unknown_variable(name) for name in unknown]
    _move_old_level(root)
    drivers = [key for key in _choices(root, "storage") if key not in NOT_DRIVERS]
    findings: list[Finding] = [*check_storage(drivers), *check_auth(_choices(root, "auth"))]
    mistakes += [messages.mistake(root, *finding) for finding in findings]
    findings = []
    prune(root, Sections, warnings, findings)
    config = _validate(root, tuple(dict.fromkeys(warnings)), findings)
    mistakes += [messages.mistake(root, *finding) for finding in findings]
    if mistakes:
        raise ConfigurationError(mistakes)
    return config.model_copy(update={"warnings": (*config.warnings, *note_oddities(config))})


def _read_file(path: Path | None, warnings: list[str]) -> Node:
    if path is None:
        return Node({}, "defaults")
    try:
        text = path.read_text(encoding="utf-8")
        root = read_yaml(text, lambda line: f"{path} line {line}", warnings)
    except OSError as error:
        raise _unreadable(path, f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise _unreadable(path, "is not UTF-8 text") from error
    except YamlMistake as error:
        raise _unreadable(path, f"is not valid YAML: {error}", error.line) from error
    if root.is_null:
        return Node({}, str(path))
    if not isinstance(root.content, dict):
        raise _unreadable(path, "expected keys such as `version:` and `storage:`", 1)
    for name in ("storage", "auth"):
        if name in root.content:
            root.content[name] = named_choice(root.content[name], name)
    return root


def _unreadable(path: Path, reason: str, line: int | None = None) -> ConfigurationError:
    place = str(path) if line is None else f"{path} line {line}"
    return ConfigurationError([Mistake("the configuration file", None, reason, place)])


def _move_old_level(root: Node) -> None:
    """Read Distribution 2's `loglevel` as `log.level`, which wins where both are given."""
    assert isinstance(root.content, dict)
    old = root.content.pop("loglevel", None)
    log = root.content.setdefault("log", Node({}, root.place))
    if log.is_null:
        log.content = {}
    if old is None or old.is_null or not isinstance(log.content, dict):
        return
    newer = log.content.get("level")
    if newer is None or newer.is_null:
        log.content["level"] = old


def _choices(root: Node, name: str) -> list[str]:
    """Keys below `name`; one without a value (`auth: {none: }`) is a choice just as `{none: {}}` is."""
    node, taken = deepest(root, (name,))
    if not taken or not isinstance(node.content, dict):
        return []
    for child in node.content.values():
        child.content = {} if child.is_null else child.content
    return list(node.content)


def _validate(root: Node, warnings: tuple[str, ...], findings: list[Finding]) -> Configuration:
    """Build the model, adding what is wrong to `findings`; wrong values give way to defaults for the later rules."""
    fields: Any = plain(root)
    while True:
        try:
            config = Configuration.model_validate({**fields, "warnings": warnings})
        except ValidationError as error:
            # A value whose parts were wrong may be wrong as a whole too, so there can be another round.
            found = error.errors()
            findings += [(i["loc"], _expectation(i["type"], i["msg"], i.get("ctx", {}))) for i in found]
            removed = [_cut(fields, item["loc"]) for item in found]
            if not any(removed):
                fields = {}
        else:
            break
    known = {path for path, _ in findings}
    findings += [finding for finding in check_rules(config) if finding[0] not in known]
    return config


def _expectation(kind: str, message: str, context: Mapping[str, object]) -> str:
    if kind == "value_error":
        return str(context["error"])
    if kind in ("model_type", "dict_type", "model_attributes_type"):
        return "expected keys and values below it"
    if kind in ("list_type", "tuple_type"):
        return "expected a list"
    return message


def _cut(fields: Any, path: tuple[str | int, ...]) -> bool:
    """Remove the value at `path`, or the whole list that holds it. False when it is gone already."""
    for depth, step in enumerate(path):
        if not isinstance(fields, dict) or step not in fields:
            return False
        following = path[depth + 1 : depth + 2]
        if not following or isinstance(following[0], int):
            del fields[step]
            return True
        fields = fields[step]
    return False
