"""Defaults, Distribution's own files of both generations, and warnings about what has no effect."""

from datetime import timedelta
from pathlib import Path

import pytest

from registry_project.config import load_configuration

IMAGE_OF_DISTRIBUTION_2 = """
version: 0.1
log:
  fields:
    service: registry
storage:
  cache:
    blobdescriptor: inmemory
  filesystem:
    rootdirectory: /var/lib/registry
http:
  addr: :5000
  headers:
    X-Content-Type-Options: [nosniff]
health:
  storagedriver:
    enabled: true
    interval: 10s
    threshold: 3
"""

OLD_KEYS = """
version: 0.1
loglevel: debug
storage:
  cache:
    layerinfo: redis
  filesystem:
    rootdirectory: /srv/registry
    maxthreads: 50
  maintenance:
    uploadpurging: {enabled: false, age: 24h, interval: 1h, dryrun: true}
    readonly: {enabled: true}
compatibility:
  schema1: {enabled: true, signingkeyfile: /key.json}
reporting:
  newrelic: {licensekey: abc, name: registry}
redis:
  addr: localhost:6379
  pool: {maxidle: 16, idletimeout: 300s}
validation:
  enabled: true
"""

NEW_KEYS = """
version: 0.1
log: {level: INFO, accesslog: {disabled: true}, formatter: logstash, reportcaller: true}
storage:
  filesystem: {rootdirectory: /srv/registry}
  tag: {concurrencylimit: 5}
  redirect: {disable: true}
http:
  addr: 0.0.0.0:443
  prefix: /registry
  host: https://registry.example.org/
  relativeurls: true
  draintimeout: 1m
  http2: {disabled: true}
  h2c: {enabled: false}
  tls:
    certificate: /c.pem
    key: /k.pem
    clientcas: [/ca.pem]
    clientauth: require-and-verify-client-cert
    minimumtls: tls1.3
    letsencrypt: {email: a@example.org, hosts: [registry.example.org]}
  debug: {addr: ":5001", prometheus: {enabled: true, path: /metrics}}
redis:
  addrs: [localhost:6379]
  tls: {certificate: /c}
catalog: {maxentries: 50}
tags: {maxtags: -1}
validation:
  manifests:
    urls: {allow: ["^https?://([^/]+\\\\.)*example\\\\.org/"], deny: ["^https?://www\\\\.example\\\\.org/"]}
    indexes: {platforms: list, platformlist: [{architecture: amd64, os: linux}]}
auth: none
"""


def load(tmp_path, text, environ=None):
    path = tmp_path / "config.yml"
    path.write_text(text)
    return load_configuration(path, environ or {})


def warned(config):
    return [warning.partition(": ")[2].partition(" ")[0] for warning in config.warnings]


def test_starts_without_any_setting():
    config = load_configuration(None, {})
    assert config.warnings == ()
    assert (config.http.addr, config.auth_kind) == ("127.0.0.1:5000", None)
    assert config.storage.filesystem.rootdirectory == Path("data").absolute()
    assert config.database_url() == f"sqlite:///{Path('data').absolute()}/lading.db"
    assert (config.gc.grace, config.gc.untagged) == (timedelta(hours=24), timedelta(days=7))
    assert config.gc.interval == timedelta(seconds=5)
    assert (config.trash.keep, config.celery.broker) == (timedelta(days=7), None)
    assert (config.catalog.maxentries, config.tags.maxtags, config.database.pool.max) == (1000, 1000, 20)
    assert (config.storage.delete.enabled, config.storage.maintenance.readonly.enabled) == (False, False)
    assert config.web.threads == 512
    assert 1 <= config.web.workers <= 4


def test_the_default_folder_follows_the_current_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_configuration(None, {}).storage.filesystem.rootdirectory == tmp_path / "data"
    relative = {"REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": "./here"}
    assert load_configuration(None, relative).storage.filesystem.rootdirectory == tmp_path / "here"


def test_reads_the_file_of_distribution_s_image(tmp_path):
    config = load(tmp_path, IMAGE_OF_DISTRIBUTION_2)
    assert config.http.listen == ("", 5000)
    assert config.http.headers == {"X-Content-Type-Options": ["nosniff"]}
    assert config.log.fields == {"service": "registry"}
    assert config.storage.filesystem.rootdirectory == Path("/var/lib/registry")
    assert config.health.storagedriver.threshold == 3
    assert warned(config) == ["storage.cache"]
    assert config.warnings[0].startswith(f"{tmp_path}/config.yml line 7: storage.cache has no effect: ")


def test_reads_the_keys_of_distribution_2(tmp_path):
    config = load(tmp_path, OLD_KEYS)
    assert config.log.level == "debug"
    purging = config.storage.maintenance.uploadpurging
    assert (purging.enabled, purging.dryrun) == (False, True)
    assert (purging.age, purging.interval) == (timedelta(hours=24), timedelta(hours=1))
    assert config.storage.maintenance.readonly.enabled
    assert sorted(warned(config)) == [
        "compatibility",
        "redis",
        "reporting.newrelic",
        "storage.cache",
        "storage.filesystem.maxthreads",
        "validation.enabled",
    ]


def test_the_newer_name_of_the_log_level_wins(tmp_path):
    assert load(tmp_path, "loglevel: debug\nlog: {level: error}").log.level == "error"
    assert load(tmp_path, "loglevel: debug\nlog: {level: }").log.level == "debug"


def test_reads_the_keys_of_distribution_3(tmp_path):
    config = load(tmp_path, NEW_KEYS)
    assert (config.log.level, config.log.formatter) == ("info", "logstash")
    assert config.log.accesslog.disabled
    assert config.log.reportcaller
    assert config.http.prefix == "/registry/"
    assert config.http.host == "https://registry.example.org"
    assert config.http.draintimeout == timedelta(minutes=1)
    assert config.http.tls.clientcas == (Path("/ca.pem"),)
    assert config.http.tls.minimumtls == "tls1.3"
    assert (config.catalog.maxentries, config.tags.maxtags) == (50, 1000)
    assert config.validation.manifests.indexes.platformlist[0].architecture == "amd64"
    assert config.storage.redirect.disable
    assert config.auth_kind == "none"
    assert sorted(warned(config)) == [
        "http.h2c.enabled",
        "redis",
        "storage.tag.concurrencylimit",
    ]


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("http:\n  adr: ':1'", "config.yml line 2: unknown key http.adr; did you mean http.addr?"),
        ("http:\n  clientcas: [/a]", "config.yml line 2: unknown key http.clientcas; did you mean http.tls.clientcas?"),
        ("HTTP: {}", "config.yml line 1: unknown key HTTP; did you mean http?"),
        ("ducks: quack", "config.yml line 1: unknown key ducks"),
        ("warnings: [a]", "config.yml line 1: unknown key warnings"),
        (
            "health:\n  tcp:\n  - addr: a:1\n    intervall: 1s",
            "config.yml line 4: unknown key health.tcp.0.intervall; did you mean health.tcp.0.interval?",
        ),
        (
            "log: {level: info}\nlog: {level: warn}",
            "config.yml line 1: the key 'log' stands twice; the last one counts",
        ),
    ],
)
def test_warns_once_about_what_nobody_reads(tmp_path, text, warning):
    assert load(tmp_path, text).warnings == (f"{tmp_path}/{warning}",)


@pytest.mark.parametrize(
    ("name", "warning"),
    [
        ("REGISTRY_HTTP_ADR", "unknown key; did you mean REGISTRY_HTTP_ADDR?"),
        ("REGISTRY_HTTP_ADDR_X", "unknown key; did you mean REGISTRY_HTTP_ADDR?"),
        ("REGISTRY_DUCKS", "unknown key"),
        ("REGISTRY_", "unknown key"),
        ("REGISTRY_GC_GRACEPERIOD_SECONDS_X_Y_Z", "unknown key"),
    ],
)
def test_warns_about_a_variable_that_nobody_reads(name, warning):
    assert load_configuration(None, {name: "1"}).warnings == (f"environment variable {name}: {warning}",)


@pytest.mark.parametrize("name", ["REGISTRY_PORT", "REGISTRY_SERVICE_HOST", "REGISTRY_PORT_5000_TCP_ADDR"])
def test_explains_the_variables_of_a_kubernetes_service(name):
    (warning,) = load_configuration(None, {name: "tcp://10.0.0.1:5000"}).warnings
    assert "Kubernetes" in warning


def test_a_section_without_effect_warns_once_and_is_still_checked(tmp_path):
    text = "compatibility:\n  schema1:\n    enabeld: true\n"
    config = load(tmp_path, text)
    assert [w.partition(": ")[2] for w in config.warnings] == [
        "compatibility has no effect: Docker's manifest schema 1 is not served",
        "unknown key compatibility.schema1.enabeld; did you mean compatibility.schema1.enabled?",
    ]


def test_the_environment_names_the_file(tmp_path):
    path = tmp_path / "elsewhere.yml"
    path.write_text("http: {addr: ':1'}")
    environ = {"REGISTRY_CONFIGURATION_PATH": str(path)}
    config = load_configuration(None, environ)
    assert (config.http.addr, config.warnings) == (":1", ())
    other = tmp_path / "given.yml"
    other.write_text("http: {addr: ':2'}")
    assert load_configuration(other, environ).http.addr == ":2"


def test_an_empty_file_is_all_defaults(tmp_path):
    assert load(tmp_path, "") == load_configuration(None, {})
    assert load(tmp_path, "# nothing\n---\n") == load_configuration(None, {})


def test_merge_keys_of_yaml_work_and_own_keys_win(tmp_path):
    text = """
health:
  tcp:
  - &base {addr: "a:1", threshold: 2}
  - {<<: *base, addr: "b:2"}
"""
    checks = load(tmp_path, text).health.tcp
    assert [(check.addr, check.threshold) for check in checks] == [("a:1", 2), ("b:2", 2)]


def test_dates_stay_text_even_those_that_never_were(tmp_path):
    fields = load(tmp_path, "log: {fields: {built: 2023-02-28, never: 2023-02-31, many: 3, on: yes}}").log.fields
    assert fields == {"built": "2023-02-28", "never": "2023-02-31", "many": 3, "on": True}


def test_never_keeps_untagged_manifests(tmp_path):
    assert load(tmp_path, "gc: {untagged: never, grace: 0s}").gc.untagged is None


def test_the_result_cannot_be_changed():
    config = load_configuration(None, {})
    with pytest.raises(ValueError, match="frozen"):
        config.http.addr = ":1"
