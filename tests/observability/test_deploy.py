"""The dashboard and the alerts name only metrics that the program exports."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from registry_project.config.other import Notifications
from registry_project.metrics import (
    COLLECTORS,
    background_round,
    blob_scrubbed,
    event_posted,
    flush,
    handler_meters,
    pool_connections,
    pull_ignored,
    render,
    request_began,
    request_ended,
    targets_reviewed,
)
from tests.observability.test_metrics import samples

DEPLOY = Path(__file__).parents[2] / "deploy"
DASHBOARD = DEPLOY / "grafana" / "lading.json"
RULES = DEPLOY / "prometheus" / "lading.rules.yml"
_METRIC = re.compile(r"\b(?:lading|registry)_[a-z0-9_]+\b")
_SELECTOR = re.compile(r"\b((?:lading|registry)_[a-z0-9_]+)\{([^}]*)\}")
_BY = re.compile(r"by \(([^)]*)\)")
# Prometheus adds it to every series.
_OF_THE_SCRAPE = {"instance"}


def dashboard_expressions():
    dashboard = json.loads(DASHBOARD.read_text())
    yield from ((panel["title"], target["expr"]) for panel in dashboard["panels"] for target in panel["targets"])
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["definition"]


def rule_expressions():
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        yield from ((rule["alert"], rule["expr"]) for rule in group["rules"])


EXPRESSIONS = [*dashboard_expressions(), *rule_expressions()]


@pytest.fixture
def exported(registry, settings, monkeypatch):
    """Label names by name of every series that the program exports."""
    endpoint = {"name": "listener", "url": "https://hooks.example.org/"}
    settings.NOTIFICATIONS = Notifications.model_validate({"endpoints": [endpoint]})
    monkeypatch.setattr(COLLECTORS[0], "_read_at", float("-inf"))
    digest = registry.push_blob(b"x")
    registry.get(f"/v2/alice/app/blobs/{digest}")
    registry.get("/v2/alice/app/manifests/v1")
    background_round("blobs.drain_deletions", seconds=1, succeeded=True)
    background_round("blobs.drain_deletions", seconds=1, succeeded=False)
    event_posted("listener", 200)
    blob_scrubbed("intact", size=1)
    pull_ignored("trivy")
    targets_reviewed("blob", collected=1, kept=0, postponed=0, size=1)
    pool_connections.labels("open").set(1)
    labels = {}
    for name, pairs in samples(render()):
        labels.setdefault(name, set()).update(key for key, _ in pairs)
    return labels


@pytest.mark.django_db(transaction=True)
def test_every_metric_and_label_exists(exported):
    assert len(EXPRESSIONS) > 20
    for title, expression in EXPRESSIONS:
        names = set(_METRIC.findall(expression))
        assert names, title
        assert names <= set(exported), title
        known = set().union(*(exported[name] for name in names)) | _OF_THE_SCRAPE
        for name, selectors in _SELECTOR.findall(expression):
            used = set(re.findall(r"([a-z_]+)\s*(?:=~|!~|!=|=)", selectors))
            assert used <= exported[name] | _OF_THE_SCRAPE, title
        for listed in _BY.findall(expression):
            assert {label.strip() for label in listed.split(",")} <= known, title


@pytest.mark.django_db(transaction=True)
def test_the_documentation_lists_every_metric(exported):
    page = (DEPLOY.parent / "docs" / "observability.md").read_text()
    listed = set(re.findall(r"^\| `((?:lading|registry)_[a-z_]+)` \|", page, re.MULTILINE))
    series = {name for name in exported if not name.endswith("_created")}
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in series} == listed


def test_the_dashboard_can_be_imported():
    dashboard = json.loads(DASHBOARD.read_text())
    assert {"title", "uid", "schemaVersion", "panels", "templating", "time"} <= set(dashboard)
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))
    for panel in dashboard["panels"]:
        assert panel["datasource"]["uid"] == "${datasource}", panel["title"]
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]


def test_rules_say_what_to_do():
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in {"warning", "critical"}
            assert rule["annotations"]["summary"].strip()


def test_promtool_accepts_the_files():
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not installed (apt-get install prometheus)")
    for kind, file in (("rules", RULES), ("config", RULES.with_name("prometheus.yml"))):
        done = subprocess.run(
            [program, "check", kind, str(file)], capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.django_db(transaction=True)
def test_promtool_accepts_what_is_exported():
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not installed (apt-get install prometheus)")
    handler_meters("base")
    request_began("base")
    request_ended("base", "GET", 200, seconds=0.1, bytes_in=0, bytes_out=2)
    flush()
    done = subprocess.run([program, "check", "metrics"], input=render(), capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
