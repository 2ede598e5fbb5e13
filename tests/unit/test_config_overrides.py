"""Environment variables over the file, against a reference that merges plain dictionaries."""

import copy
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from registry_project.config import Configuration, ConfigurationError, load_configuration

FILE = {
    "version": 0.1,
    "log": {"level": "warn", "fields": {"service": "registry"}},
    "storage": {"filesystem": {"rootdirectory": "/srv/a"}, "delete": {"enabled": False}},
    "http": {
        "addr": "localhost:5001",
        "headers": {"X-A": ["one"]},
        "tls": {"certificate": "/c", "key": "/k", "clientcas": ["/ca/0"], "ciphersuites": ["TLS_0"]},
    },
    "health": {"tcp": [{"addr": "db:5432", "threshold": 2}]},
    "gc": {"grace": "3h", "untagged": "never"},
}

VALUES = {
    "LOG_LEVEL": st.sampled_from(["error", "debug", '"info"']),
    "LOG_FIELDS_SERVICE": st.sampled_from(["a", "7", "true"]),
    "LOG_FIELDS_OTHER": st.sampled_from(["x y", "0.5"]),
    "LOG_FIELDS": st.sampled_from(["{host: h}", "{}"]),
    "LOG": st.sampled_from(["{level: error}", "{fields: {host: z}}"]),
    "STORAGE": st.just("filesystem"),
    "STORAGE_FILESYSTEM_ROOTDIRECTORY": st.sampled_from(["/srv/b", "/srv/c d"]),
    "STORAGE_DELETE_ENABLED": st.sampled_from(["true", "false", "'true'"]),
    "STORAGE_MAINTENANCE_UPLOADPURGING_AGE": st.sampled_from(["1h", "2d"]),
    "STORAGE_MAINTENANCE_READONLY": st.sampled_from(["{enabled: true}", ""]),
    "HTTP_ADDR": st.sampled_from([":5002", "'[::1]:1'"]),
    "HTTP_HEADERS_X-A": st.sampled_from(["[two]", '["three", "four"]']),
    "HTTP_HEADERS_X-Other": st.sampled_from(["[five]"]),
    "HTTP_TLS_CLIENTCAS_0": st.just("/ca/zero"),
    "HTTP_TLS_CIPHERSUITES_0": st.just("TLS_A"),
    "HTTP_TLS_CIPHERSUITES_1": st.just("TLS_B"),
    "HTTP_TLS_CERTIFICATE": st.just("/certificate"),
    "HEALTH_TCP_0_ADDR": st.sampled_from(["cache:6379"]),
    "HEALTH_TCP_0_THRESHOLD": st.sampled_from(["1", "5"]),
    "HEALTH_TCP_1": st.sampled_from(["{addr: 'other:1'}"]),
    "AUTH": st.just("none"),
    "GC_GRACE": st.sampled_from(["0s", "1h30m"]),
    "GC_UNTAGGED": st.sampled_from(["never", "1d"]),
}


def reference(tree: dict, variables: dict[str, str]) -> dict:
    """What the file would have to say: the same variables, set in plain dictionaries in the order of their names."""
    tree = copy.deepcopy(tree)
    for name in sorted(variables):
        *parents, last = name.split("_")[1:]
        here = tree
        for part in parents:
            if isinstance(here, list):
                here = here[int(part)]
            else:
                key = part if part in here else part.lower()
                here[key] = {} if here.get(key) is None else here[key]
                here = here[key]
        value = yaml.safe_load(variables[name])
        if name in ("REGISTRY_STORAGE", "REGISTRY_AUTH"):
            value = {value: {}}
        if isinstance(here, list):
            here[int(last) : int(last) + 1] = [value]
        else:
            here[last if parents == ["HTTP", "HEADERS"] else last.lower()] = value
    return tree


def settings_of(config: Configuration) -> dict:
    return config.model_dump(exclude={"warnings"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("configuration")


def write(folder: Path, name: str, tree: dict) -> Path:
    path = folder / name
    path.write_text(yaml.safe_dump(tree))
    return path


@settings(deadline=None)
@given(data=st.data())
def test_a_variable_means_what_the_same_value_in_the_file_means(folder, data):
    names = data.draw(st.lists(st.sampled_from(sorted(VALUES)), unique=True))
    variables = {f"REGISTRY_{name}": data.draw(VALUES[name], label=name) for name in names}
    overridden = load_configuration(write(folder, "file.yml", FILE), variables)
    merged = load_configuration(write(folder, "merged.yml", reference(FILE, variables)), {})
    assert settings_of(overridden) == settings_of(merged)


@settings(deadline=None)
@given(st.sampled_from(["HTTP", "http", "Http"]), st.sampled_from(["RELATIVEURLS", "relativeUrls"]))
def test_keys_match_in_any_case(section, key):
    assert load_configuration(None, {f"REGISTRY_{section}_{key}": "true"}).http.relativeurls


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("REGISTRY_HEALTH_FILECHECKERS_0_FILE", "/down", lambda c: str(c.health.file[0].file) == "/down"),
        ("REGISTRY_HEALTH_FILE_0_FILE", "/down", lambda c: str(c.health.file[0].file) == "/down"),
        ("REGISTRY_HEALTH_HTTPCHECKERS_0_URI", "http://a/", lambda c: c.health.http[0].uri == "http://a/"),
        ("REGISTRY_HEALTH_TCPCHECKERS_0_ADDR", "a:1", lambda c: c.health.tcp[0].addr == "a:1"),
        (
            "REGISTRY_NOTIFICATIONS_EVENTCONFIG_INCLUDEREFERENCES",
            "true",
            lambda c: c.notifications.events.includereferences,
        ),
        (
            "REGISTRY_COMPATIBILITY_SCHEMA1_TRUSTKEY",
            "/key",
            lambda c: c.compatibility.schema1.signingkeyfile == "/key",
        ),
        ("REGISTRY_LOGLEVEL", "debug", lambda c: c.log.level == "debug"),
    ],
)
def test_accepts_the_names_of_distribution_s_fields(name, value, found):
    assert found(load_configuration(None, {name: value}))


def test_the_compose_environment_that_people_copy_has_its_effect():
    config = load_configuration(
        None,
        {
            "REGISTRY_STORAGE_DELETE_ENABLED": "true",
            "REGISTRY_HTTP_HEADERS_Access-Control-Allow-Origin": '["*"]',
            "REGISTRY_HTTP_HEADERS_Access-Control-Allow-Methods": "['HEAD', 'GET', 'OPTIONS', 'DELETE']",
            "PATH": "/bin",
        },
    )
    assert config.storage.delete.enabled is True
    assert config.http.headers == {
        "Access-Control-Allow-Origin": ["*"],
        "Access-Control-Allow-Methods": ["HEAD", "GET", "OPTIONS", "DELETE"],
    }
    assert config.warnings == ()


@pytest.mark.parametrize("text", ["[::1]:5000", "'[::1]:5000'"])
def test_text_that_is_no_yaml_is_taken_as_it_is(text):
    assert load_configuration(None, {"REGISTRY_HTTP_ADDR": text}).http.listen == ("::1", 5000)


def test_a_header_in_another_case_replaces_the_file_s(folder):
    config = load_configuration(write(folder, "case.yml", FILE), {"REGISTRY_HTTP_HEADERS_x-a": "[new]"})
    assert config.http.headers == {"x-a": ["new"]}


def test_another_case_finds_the_file_s_own_key(folder):
    path = write(folder, "fields.yml", {"log": {"fields": {"Service": "a"}}})
    variables = {"REGISTRY_LOG_FIELDS_SERVICE": "b", "REGISTRY_LOG_FIELDS_ZONE": "c"}
    assert load_configuration(path, variables).log.fields == {"Service": "b", "zone": "c"}


def test_choosing_the_storage_by_name_forgets_everything_else_below_it(folder):
    tree = {"storage": {"s3": {"bucket": "b"}, "delete": {"enabled": True}}}
    variables = {"REGISTRY_STORAGE": "filesystem", "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": "/srv/x"}
    storage = load_configuration(write(folder, "choice.yml", tree), variables).storage
    assert (str(storage.filesystem.rootdirectory), storage.delete.enabled) == ("/srv/x", False)


def test_the_eleventh_element_of_a_list_comes_after_the_tenth():
    variables = {f"REGISTRY_HEALTH_FILE_{index}_FILE": f"/f{index}" for index in range(12)}
    files = load_configuration(None, variables).health.file
    assert [str(check.file) for check in files] == [f"/f{index}" for index in range(12)]


def test_text_keeps_the_spelling_that_yaml_would_change():
    config = load_configuration(None, {"REGISTRY_LOG_HOOKS": "[{disabled: true, options: {smtp: {password: 0123}}}]"})
    assert config.log.hooks[0].options.smtp.password == "0123"


@pytest.mark.parametrize("name", ["registry_HTTP_ADDR", "HTTP_ADDR", "XREGISTRY_HTTP_ADDR"])
def test_other_variables_are_not_ours(name):
    config = load_configuration(None, {name: ":1"})
    assert (config.http.addr, config.warnings) == ("127.0.0.1:5000", ())


def test_an_empty_variable_brings_back_the_default(folder):
    config = load_configuration(write(folder, "empty.yml", FILE), {"REGISTRY_HTTP_ADDR": "", "REGISTRY_GC": ""})
    assert config.http.addr == "127.0.0.1:5000"
    assert config.gc.untagged is not None


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("REGISTRY_HEALTH_TCP_1_ADDR", "a:1", "the list has 0 elements, so the next index is 0"),
        ("REGISTRY_HEALTH_TCP_X_ADDR", "a:1", "expected a number, the index of a list, in place of X"),
        ("REGISTRY_HEALTH_TCP_-1_ADDR", "a:1", "expected a number, the index of a list, in place of -1"),
        ("REGISTRY_HTTP_HEADERS_X-A", "[", "the value is not YAML"),
    ],
)
def test_refuses_a_variable_that_cannot_be_applied(name, value, expected):
    with pytest.raises(ConfigurationError) as caught:
        load_configuration(None, {name: value})
    (mistake,) = caught.value.mistakes
    assert mistake.expected.startswith(expected)
    assert mistake.place == f"environment variable {name}"


def test_a_variable_does_not_hide_a_wrong_kind_of_value_in_the_file(folder):
    path = write(folder, "kind.yml", {"http": "localhost"})
    with pytest.raises(ConfigurationError) as caught:
        load_configuration(path, {"REGISTRY_HTTP_ADDR": ":1"})
    assert {mistake.key for mistake in caught.value.mistakes} == {"http", "http.addr"}
