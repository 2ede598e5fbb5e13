"""docs/configuration.md and the code say the same."""

import re
from pathlib import Path

import yaml

from registry_project.config import check_exposure, load_configuration
from registry_project.config.configuration import Sections
from registry_project.config.documentation import config_schema
from registry_project.config.schema import dotted_keys

PAGE = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()


def test_the_page_has_exactly_the_rows_of_the_model():
    described = list(config_schema(Sections))
    tables = PAGE.partition("## All keys")[2].partition("## What differs")[0]
    rows = {line for line in tables.splitlines() if re.match(r"\| `[a-z0-9._\[\]]+` \|", line)}
    expected = {item.row for item in described}
    assert expected - rows == set(), "write these with python -m registry_project.config.documentation"
    assert rows - expected == set(), "no key of the model has these rows"
    assert len(described) == len(expected)


def test_every_key_says_what_it_means():
    assert [item.key for item in config_schema(Sections) if not item.description.endswith(".")] == []
    assert [item.key for item in config_schema(Sections)] == list(dotted_keys(Sections))


def test_a_default_that_is_named_is_the_default():
    config = load_configuration(None, {})
    # These cannot stand alone: a kind of auth that is not there yet, a store without its bucket, and a mode that
    # needs certificates.
    apart = re.compile(r"auth\..*|storage\.(s3|gcs|azure)\..*|http\.tls\.clientauth|.*\[\].*")
    for item in config_schema(Sections):
        if not item.default or apart.fullmatch(item.key):
            continue
        again = {f"REGISTRY_{item.key.replace('.', '_').upper()}": item.default}
        assert load_configuration(None, again).model_copy(update={"warnings": ()}) == config, item.key


def test_the_examples_of_the_page_work_and_agree(tmp_path):
    compose, file = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    variables = yaml.safe_load(compose)["services"]["registry"]["environment"]
    from_variables = load_configuration(
        None, {**variables, "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": "/var/lib/registry"}
    )
    path = tmp_path / "config.yml"
    path.write_text(file)
    from_file = load_configuration(path, {})
    assert from_file == from_variables
    assert from_file.warnings == ()
    check_exposure(from_file)
