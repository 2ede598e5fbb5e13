"""Each mistake names its key, its value, what was expected, and its place; all of them at once."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from registry_project.config import ConfigurationError, check_exposure, load_configuration
from registry_project.config.configuration import Sections
from registry_project.config.schema import dotted_keys, keys_of


def mistakes_of(path, environ=None):
    with pytest.raises(ConfigurationError) as caught:
        load_configuration(path, environ or {})
    return caught.value.mistakes


def write(tmp_path, text):
    path = tmp_path / "config.yml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "key", "value", "line", "expected"),
    [
        ("version: 0.2", "version", '"0.2"', 1, "expected 0.1"),
        ("log:\n  level: loud", "log.level", '"loud"', 2, "expected error, warn, info or debug"),
        ("loglevel: loud", "log.level", '"loud"', 1, "expected error, warn, info or debug"),
        ("log:\n  formatter: xml", "log.formatter", '"xml"', 2, "expected text, json or logstash"),
        ("log:\n  hooks:\n  - type: pager\n    disabled: true", "log.hooks.0.type", '"pager"', 3, "expected mail"),
        ("log:\n  hooks:\n  - type: mail", "log.hooks.0.options.smtp.addr", None, 3, "expected host:port"),
        ("storage:\n  delete:\n    enabled: maybe", "storage.delete.enabled", '"maybe"', 3, "expected true or false"),
        ("storage:\n  delete: true", "storage.delete", '"true"', 2, "expected keys and values below it"),
        ("storage:\n  filesystem: [a]", "storage.filesystem", None, 2, "expected keys and values below it"),
        ("storage: s3", "storage.s3.bucket", None, 1, "expected the name of a bucket"),
        ("pulls:\n  ignoreagents: [a/1]", "pulls.ignoreagents.0", '"a/1"', 2, "expected a word of letters"),
        ("pulls:\n  ignoreaccounts: ['']", "pulls.ignoreaccounts.0", '""', 2, "expected the name of a user or robot"),
        ("storage: gcs", "storage.gcs.bucket", None, 1, "expected the name of a bucket"),
        ("storage: azure", "storage.azure.container", None, 1, "expected the name of a container"),
        ("storage: inmemory", "storage.inmemory", None, 1, "the storage driver inmemory is not available: the data"),
        ("storage:\n  swift: {}", "storage.swift", None, 2, "the storage driver swift is gone"),
        (
            "storage:\n  delte: {enabled: true}",
            "storage.delte",
            None,
            2,
            "expected a storage driver: filesystem, s3, gcs or azure. Did",
        ),
        (
            "storage:\n  maintenance:\n    uploadpurging:\n      age: 7",
            "storage.maintenance.uploadpurging.age",
            '"7"',
            4,
            "expected a duration with its unit",
        ),
        ("auth: silly", "auth.silly", None, 1, "expected a kind of auth"),
        ("auth:\n  htpasswd: {realm: a}", "auth.htpasswd.path", None, 2, "expected the path of a password file"),
        ("auth:\n  token: {}", "auth.token.realm", None, 2, "expected a value, as the token server has it"),
        ("auth:\n  token: {}", "auth.token", None, 2, "expected auth.token.rootcertbundle or auth.token.jwks"),
        (
            "auth:\n  token:\n    signingalgorithms: [HS256]",
            "auth.token.signingalgorithms",
            None,
            3,
            "expected algorithms of RS256",
        ),
        ("auth:\n  lading:\n    service: a b", "auth.lading.service", '"a b"', 3, "expected letters, digits"),
        ("auth:\n  lading:\n    expiration: 1s", "auth.lading.expiration", '"1s"', 3, "expected a minute or more"),
        ("auth:\n  lading:\n    keyrotation: 1m", "auth.lading.keyrotation", '"1m"', 3, "expected an hour or more"),
        ("auth:\n  lading:\n    oidc:\n    - name: A b", "auth.lading.oidc.0.name", '"A b"', 4, "expected a name"),
        ("auth:\n  lading:\n    oidc:\n    - name: a", "auth.lading.oidc.0.issuer", None, 4, "expected a value"),
        (
            "auth:\n  lading:\n    oidc:\n    - groups: {a: payments}",
            "auth.lading.oidc.0.groups.a",
            '"payments"',
            4,
            "expected team:role",
        ),
        ("auth:\n  lading:\n    oidc:\n    - name: ldap", "auth.lading.oidc.0.name", '"ldap"', 4, "expected a name"),
        (
            "auth:\n  lading:\n    ldap:\n      url: ldaps://a\n      starttls: true",
            "auth.lading.ldap.starttls",
            '"true"',
            5,
            "expected ldap:// in",
        ),
        (
            "auth:\n  lading:\n    ldap:\n      url: ldap://a http://b",
            "auth.lading.ldap.url",
            '"ldap://a http://b"',
            4,
            "expected an address such as",
        ),
        (
            "auth:\n  lading:\n    ldap:\n      userfilter: (uid=x)",
            "auth.lading.ldap.userfilter",
            '"(uid=x)"',
            4,
            "expected %(user)s",
        ),
        (
            "auth:\n  lading:\n    issuers:\n    - issuer: https://a\n    - issuer: https://a",
            "auth.lading.issuers.1.issuer",
            '"https://a"',
            5,
            "expected another issuer",
        ),
        ("admin:\n  username: Admin", "admin.username", "(hidden)", 2, "expected lower-case letters"),
        ("admin:\n  password: " + "x" * 1025, "admin.password", "(hidden)", 2, "expected at most 1024 bytes"),
        ("auth:\n  lading:\n    ldap: {url: x}", "auth.lading.ldap.url", '"x"', 3, "expected an address such as"),
        (
            "auth:\n  lading:\n    issuers: [{}]",
            "auth.lading.issuers.0.issuer",
            None,
            3,
            "expected the issuer's address",
        ),
        ("teams:\n  creation: nobody", "teams.creation", '"nobody"', 2, "expected administrators or everyone"),
        ("teams:\n  quota: 5 apples", "teams.quota", '"5 apples"', 2, "expected a size such as"),
        ("http:\n  addr: 5000", "http.addr", '"5000"', 2, "expected host:port"),
        ("http:\n  net: unix", "http.addr", None, 1, "expected the path of the socket"),
        ("http:\n  net: udp", "http.net", '"udp"', 2, "expected tcp or unix"),
        ("http:\n  host: example.org", "http.host", '"example.org"', 2, "expected an address such as https://"),
        ("http:\n  prefix: registry", "http.prefix", '"registry"', 2, "expected a path that begins with /"),
        ('http:\n  headers:\n    X-A: ["a\\r\\nb"]', "http.headers", None, 2, "expected values without line breaks"),
        ("http:\n  headers:\n    'X A': [b]", "http.headers", None, 2, "expected header names"),
        ("http:\n  headers:\n    X-A: {b: c}", "http.headers.X-A", None, 3, "expected a list"),
        ("http:\n  tls:\n    certificate: /c", "http.tls.certificate", '"/c"', 3, "expected http.tls.key as well"),
        ("http:\n  tls:\n    key: /k", "http.tls.key", '"/k"', 3, "expected http.tls.certificate as well"),
        ("http:\n  tls:\n    clientcas: [/a, /b]", "http.tls.clientcas", None, 3, "expected one file"),
        ("http:\n  tls:\n    minimumtls: tls1.0", "http.tls.minimumtls", '"tls1.0"', 3, "expected tls1.2 or tls1.3"),
        (
            "http:\n  tls:\n    clientauth: request-client-cert",
            "http.tls.clientauth",
            '"request-client-cert"',
            3,
            "not available here",
        ),
        (
            "http:\n  tls:\n    clientauth: require-and-verify-client-cert",
            "http.tls.clientauth",
            '"require-and-verify-client-cert"',
            3,
            "expected http.tls.clientcas as well",
        ),
        (
            "http:\n  tls:\n    letsencrypt:\n      hosts: [a.example.org]",
            "http.tls.letsencrypt",
            None,
            3,
            "certificates from Let's Encrypt are not available",
        ),
        ("catalog:\n  maxentries: many", "catalog.maxentries", '"many"', 2, "expected a whole number"),
        ("catalog:\n  maxentries: 1:30", "catalog.maxentries", '"1:30"', 2, "expected a whole number"),
        ("tags:\n  maxtags: 1.5", "tags.maxtags", '"1.5"', 2, "expected a whole number"),
        (
            "validation:\n  manifests:\n    urls:\n      allow: ['a', '(']",
            "validation.manifests.urls.allow.1",
            '"("',
            4,
            "expected a regular expression",
        ),
        (
            "validation:\n  manifests:\n    urls:\n      deny: ['[[:alpha:]]']",
            "validation.manifests.urls.deny.0",
            '"[[:alpha:]]"',
            4,
            "expected a regular expression",
        ),
        (
            "validation:\n  manifests:\n    indexes:\n      platforms: list",
            "validation.manifests.indexes.platforms",
            '"list"',
            4,
            "expected entries in validation.manifests.indexes.platformlist",
        ),
        ("health:\n  tcp:\n  - addr: ':80'", "health.tcp.0.addr", '":80"', 3, "expected host:port"),
        ("health:\n  http:\n  - uri: file:///x", "health.http.0.uri", '"file:///x"', 3, "expected an address"),
        ("health:\n  file:\n  - interval: 5s", "health.file.0.file", None, 3, "expected a path"),
        ("gc:\n  untagged: sometimes", "gc.untagged", '"sometimes"', 2, "expected a duration"),
        ("web:\n  threads: 0", "web.threads", '"0"', 2, "expected a whole number, 1 or more"),
        ("celery:\n  metrics: localhost", "celery.metrics", '"localhost"', 2, "expected"),
        ("celery:\n  broker: localhost", "celery.broker", "(hidden)", 2, "expected an address such as redis://"),
        ("proxy:\n  remoteurl: https://a.example.org", "proxy", None, 1, "a pull-through cache is not available"),
        ("policy:\n  repository:\n    classes: [image]", "policy.repository.classes", None, 3, "limiting a registry"),
        ("- a", "the configuration file", None, 1, "expected keys such as"),
        ("a: b\nc: [d", "the configuration file", None, 2, "is not valid YAML"),
        ("a: &x {b: *x}", "the configuration file", None, 1, "is not valid YAML"),
        ("? [a]\n: b", "the configuration file", None, 1, "is not valid YAML: a key must be a plain word"),
    ],
)
def test_names_key_value_and_line(tmp_path, text, key, value, line, expected):
    path = write(tmp_path, text)
    found = {mistake.key: mistake for mistake in mistakes_of(path)}
    assert key in found
    assert found[key].expected.startswith(expected)
    assert (found[key].value, found[key].place) == (value, f"{path} line {line}")
    assert f"config.yml line {line}" in str(found[key])


def test_lists_every_mistake_of_file_and_environment_at_once(tmp_path):
    path = write(tmp_path, "log:\n  level: loud\nhttp:\n  addr: x\n  tls:\n    key: /k\nauth: silly\n")
    found = mistakes_of(path, {"REGISTRY_GC_GRACE": "5", "REGISTRY_HEALTH_TCP_7_ADDR": "a:1"})
    assert {mistake.key for mistake in found} == {
        "log.level",
        "http.addr",
        "http.tls.key",
        "auth.silly",
        "gc.grace",
        "health.tcp.7.addr",
    }
    text = str(ConfigurationError(found))
    assert text.startswith("The configuration has 6 mistakes:\n")
    assert all(str(mistake) in text for mistake in found)
    assert 'environment variable REGISTRY_GC_GRACE: gc.grace is "5"' in text


def test_finds_what_is_wrong_with_a_whole_after_its_parts(tmp_path):
    path = write(tmp_path, "http: {headers: {'X A': [b], X-B: {c: d}}}")
    assert [mistake.key for mistake in mistakes_of(path)] == ["http.headers.X-B", "http.headers"]


def test_a_value_within_a_variable_has_the_variable_as_its_place():
    (mistake,) = mistakes_of(None, {"REGISTRY_HTTP": "{addr: x}"})
    assert str(mistake).startswith('environment variable REGISTRY_HTTP: http.addr is "x": expected')


def test_explains_the_trap_of_two_storage_drivers(tmp_path):
    path = write(tmp_path, "storage:\n  filesystem:\n    rootdirectory: /srv\n")
    found = {m.key: m for m in mistakes_of(path, {"REGISTRY_STORAGE_S3_BUCKET": "b"})}
    assert "exactly one storage driver, not filesystem, s3" in found["storage"].expected
    assert "REGISTRY_STORAGE=name replaces the file's driver" in found["storage"].expected


def test_refuses_two_kinds_of_auth(tmp_path):
    path = write(tmp_path, "auth: {none: {}, silly: {}}")
    assert "exactly one kind, not none, silly" in {m.key: m for m in mistakes_of(path)}["auth"].expected


@pytest.mark.parametrize(
    "url",
    [
        "postgres://user:hunter2@db",
        "postgres://user:hunter2%zz@db/name",
        "postgres://user:hunter2/x@db/name",
        "postgres://user:hunter2@db/name?nonsense=1",
        "mysql://user:hunter2@db/name",
        "hunter2",
    ],
)
def test_never_shows_a_secret(url):
    environ = {
        "REGISTRY_DATABASE_URL": url,
        "REGISTRY_REDIS": "hunter2",
        "REGISTRY_PROXY_PASSWORD": "hunter2",
        "REGISTRY_ADMIN": "hunter2",
        "REGISTRY_AUTH": "none",
        "REGISTRY_CELERY_BROKER": "hunter2",
        "REGISTRY_NOTIFICATIONS_ENDPOINTS": "[{url: hunter2}]",
        "REGISTRY_STORAGE_S3_SECRETKEY": "hunter2",
        "REGISTRY_HTTP_SECRET": "[hunter2]",
        "REGISTRY_HEALTH_HTTP_0_URI": "ftp://user:hunter2@example.org/",
        "REGISTRY_HTTP_HOST": "ftp://user:hunter2@example.org/",
    }
    with pytest.raises(ConfigurationError) as caught:
        load_configuration(None, environ)
    assert "database.url" in {mistake.key for mistake in caught.value.mistakes}
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("text", ["proxy: {remoteurl: ''}", "policy: {repository: {classes: []}}", "proxy: {}"])
def test_what_is_refused_may_stand_empty(tmp_path, text):
    load_configuration(write(tmp_path, text), {})


def test_the_model_s_own_text_shows_no_secret():
    config = load_configuration(
        None,
        {
            "REGISTRY_DATABASE_URL": "postgres://user:hunter2@db/name",
            "REGISTRY_HTTP_SECRET": "hunter2-hunter2-hunter2",
            "REGISTRY_REDIS_PASSWORD": "hunter2",
            "REGISTRY_ADMIN_PASSWORD": "hunter2",
            "REGISTRY_CELERY_BROKER": "redis://:hunter2@cache",
        },
    )
    assert "hunter2" not in repr(config)
    assert "hunter2" not in str(config.warnings)


def test_says_which_file_cannot_be_read(tmp_path):
    (mistake,) = mistakes_of(tmp_path / "missing.yml")
    assert str(mistake) == f"{tmp_path}/missing.yml: the configuration file: cannot be read: No such file or directory"
    (tmp_path / "latin.yml").write_bytes(b"log: {level: \xff}")
    (mistake,) = mistakes_of(tmp_path / "latin.yml")
    assert mistake.expected == "is not UTF-8 text"


@pytest.mark.parametrize("addr", [":5000", "0.0.0.0:5000", "[::]:5000", "registry.example.org:5000"])
def test_refuses_to_open_an_unprotected_registry_to_others(addr):
    with pytest.raises(ConfigurationError, match="REGISTRY_AUTH=none"):
        check_exposure(load_configuration(None, {"REGISTRY_HTTP_ADDR": addr}))
    check_exposure(load_configuration(None, {"REGISTRY_HTTP_ADDR": addr, "REGISTRY_AUTH": "none"}))


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"REGISTRY_HTTP_ADDR": "localhost:1"},
        {"REGISTRY_HTTP_ADDR": "[::1]:1"},
        {"REGISTRY_HTTP_NET": "unix", "REGISTRY_HTTP_ADDR": "/run/lading.sock"},
    ],
)
def test_this_machine_needs_no_auth(environ):
    check_exposure(load_configuration(None, environ))


@pytest.mark.parametrize("text", ["auth: none", "auth: {none: }", "auth: {none: {}}", "auth:\n  none:\n"])
def test_reads_every_spelling_of_no_auth(tmp_path, text):
    assert load_configuration(write(tmp_path, text), {}).auth_kind == "none"


def test_a_key_without_a_value_is_as_good_as_no_key(tmp_path):
    path = write(tmp_path, "auth:\nhttp:\n  addr:\nlog:\nstorage:\n  filesystem:\n")
    config = load_configuration(path, {})
    assert (config.auth_kind, config.http.addr) == (None, "127.0.0.1:5000")
    assert config.storage.filesystem.rootdirectory == Path("data").absolute()


def documents():
    """Trees of known and unknown keys with values of every kind, right or wrong."""
    words = st.sampled_from(
        sorted({part.removesuffix("[]") for key in dotted_keys(Sections) for part in key.split(".")})
    )
    scalars = st.sampled_from(
        [
            None,
            True,
            0,
            -1,
            10**30,
            1.5,
            "",
            "x",
            "none",
            "s3",
            "5s",
            "/p",
            ":5000",
            "https://a/",
            "filesystem",
            "never",
        ]
    )
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words | st.text(max_size=3), inner, max_size=4),
        max_leaves=12,
    )


def shaped(draw, section):
    """A section with some of its own keys, most of them with values of the kind that the key wants."""
    tree = {}
    for key in draw(st.lists(st.sampled_from(keys_of(section)), max_size=4, unique_by=lambda key: key.name)):
        nested = key.shape.nested
        if nested and draw(st.booleans()):
            tree[key.name] = shaped(draw, nested) if key.shape.section else [shaped(draw, nested)]
        else:
            tree[key.name] = draw(documents())
    return tree


@settings(deadline=None, max_examples=100)
@given(data=st.data())
def test_any_document_is_accepted_or_refused_with_places(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "any.yml"
    path.write_text(yaml.safe_dump(shaped(data.draw, Sections)))
    try:
        load_configuration(path, {})
    except ConfigurationError as error:
        mistakes = error.mistakes
    else:
        return
    assert mistakes
    assert all(mistake.place.startswith(str(path)) for mistake in mistakes)
    assert all(mistake.key and mistake.expected for mistake in mistakes)


@settings(deadline=None, max_examples=100)
@given(
    st.dictionaries(
        st.lists(
            st.sampled_from(
                ["HTTP", "LOG", "HEALTH", "AUTH", "STORAGE", "TCP", "HOOKS", "HEADERS", "0", "1", "x", "REDIS", ""]
            ),
            min_size=1,
            max_size=4,
        ).map("_".join),
        st.sampled_from(["", "a", "[a]", "{a: b}", "{", "none", "[{addr: a:1}]", "\0", "!!python/name:os.system"]),
        max_size=5,
    )
)
def test_any_environment_is_accepted_or_refused_with_places(variables):
    environ = {f"REGISTRY_{name}": value for name, value in variables.items()}
    try:
        load_configuration(None, environ)
    except ConfigurationError as error:
        places = [mistake.place.removeprefix("environment variable ") for mistake in error.mistakes]
    else:
        places = []
    assert [place for place in places if place not in environ] == []
