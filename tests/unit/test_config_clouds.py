"""The sections `storage.gcs` and `storage.azure`: what they take, and what becomes of it."""

import json
import re

import pytest

from registry_project.config import ConfigurationError, load_configuration, store_checks
from registry_project.config.stores import django_storage

MINIMUM = {
    "gcs": {"bucket": "images"},
    "azure": {"accountname": "account", "accountkey": "a2V5", "container": "images"},
}
KEY = {"client_email": "a@example.org", "private_key": "very-secret", "token_uri": "https://example.org"}
PREFIX = "REGISTRY_STORAGE_"


def load(driver, **keys):
    keys = MINIMUM[driver] | keys
    environ = {f"{PREFIX}{driver}_{key}".upper(): value for key, value in keys.items()}
    # The default, a file on one machine, is warned of.
    environ["REGISTRY_DATABASE_URL"] = "postgresql://database.example.org/lading"
    return load_configuration(None, {"REGISTRY_STORAGE": driver, **environ})


def options(driver, **keys):
    return django_storage(load(driver, **keys).storage)["OPTIONS"]


def test_defaults_are_those_of_distribution():
    gcs, azure = load("gcs"), load("azure")
    assert (gcs.warnings, azure.warnings) == ((), ())
    assert (gcs.storage.place, azure.storage.place) == ("gs://images", "azure://account/images")
    assert options("gcs")["chunksize"] == 16 * 1024 * 1024
    found = options("azure")
    assert found["service_url"] == "https://account.blob.core.windows.net"
    assert (found["retries"], found["retry_delay"], found["verify"]) == (5, 0.1, True)


@pytest.mark.parametrize(
    ("driver", "keys", "expected"),
    [
        ("gcs", {"rootdirectory": "/a/b/"}, {"location": "a/b"}),
        ("gcs", {"chunksize": "4M"}, {"chunksize": 4 * 1024 * 1024}),
        ("gcs", {"credentials": json.dumps(KEY)}, {"service_account": KEY}),
        ("gcs", {"endpoint": "http://localhost:4443", "useragent": "mine"}, {"user_agent": "mine"}),
        ("azure", {"rootdirectory": "/a/b/"}, {"location": "a/b"}),
        ("azure", {"realm": "core.chinacloudapi.cn"}, {"service_url": "https://account.blob.core.chinacloudapi.cn"}),
        ("azure", {"serviceurl": "http://localhost:10000/a/"}, {"service_url": "http://localhost:10000/a"}),
        ("azure", {"max_retries": "-1", "retry_delay": "2s"}, {"retries": 0, "retry_delay": 2.0}),
        ("azure", {"skipverify": "true"}, {"verify": False}),
        ("azure", {"credentials_type": "default_credentials"}, {"account_key": None, "client_secret": None}),
        ("azure", {"credentials_type": "shared_key"}, {"account_key": "a2V5"}),
    ],
)
def test_keys_reach_the_store(driver, keys, expected):
    assert expected.items() <= options(driver, **keys).items()


def test_file_of_a_service_account_is_read(tmp_path):
    path = tmp_path / "key.json"
    path.write_text(json.dumps(KEY))
    assert options("gcs", keyfile=str(path))["service_account"] == KEY


def test_client_secret_is_three_keys():
    keys = {"clientid": "app", "tenantid": "tenant", "secret": "very-secret", "type": "client_secret"}
    found = options("azure", accountkey="", **{f"credentials_{key}": keys[key] for key in keys})
    assert found["account_key"] is None
    assert found["client_secret"].clientid == "app"


@pytest.mark.parametrize(
    ("driver", "keys", "wrong"),
    [
        ("gcs", {"bucket": ""}, "bucket"),
        ("gcs", {"chunksize": "1000"}, "chunksize"),
        ("gcs", {"keyfile": "/no/such/file"}, "keyfile"),
        ("gcs", {"keyfile": "/etc/hostname", "credentials": json.dumps(KEY)}, "keyfile"),
        ("gcs", {"credentials": '{"type": "authorized_user"}'}, "credentials"),
        ("azure", {"container": ""}, "container"),
        ("azure", {"accountname": ""}, "accountname"),
        ("azure", {"accountkey": "no base64!"}, "accountkey"),
        ("azure", {"credentials_type": "password"}, "credentials.type"),
        ("azure", {"credentials_type": "client_secret", "credentials_clientid": "a", "credentials_tenantid": "t"},
         "credentials.type"),
        ("azure", {"credentials_type": "shared_key", "accountkey": ""}, "credentials.type"),
        ("azure", {"accountkey": "", "serviceurl": "http://localhost:10000/a"}, "serviceurl"),
        ("azure", {"max_retries": "1000"}, "max_retries"),
    ],
)  # fmt: skip
def test_refuses(driver, keys, wrong):
    with pytest.raises(ConfigurationError) as caught:
        load(driver, **keys)
    assert {mistake.key for mistake in caught.value.mistakes} == {f"storage.{driver}.{wrong}"}


@pytest.mark.parametrize("content", ["", "[]", "{}", "not JSON"])
def test_refuses_a_file_that_is_no_key(tmp_path, content):
    path = tmp_path / "key.json"
    path.write_text(content)
    with pytest.raises(ConfigurationError, match=re.escape("storage.gcs.keyfile")):
        load("gcs", keyfile=str(path))


def test_keys_without_effect_say_why():
    warnings = load("gcs", maxconcurrency="25").warnings
    warnings += load("azure", copy_status_poll_max_retry="10", copy_status_poll_delay="1s").warnings
    assert len(warnings) == 3
    assert all("has no effect" in warning for warning in warnings)


@pytest.mark.parametrize("driver", MINIMUM)
def test_missing_library_names_the_command(driver, monkeypatch):
    monkeypatch.setattr(store_checks, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=re.escape(f"pip install 'lading[{driver}]'")):
        load(driver)


def test_secrets_are_not_shown():
    gcs = load("gcs", credentials=json.dumps(KEY)).storage
    azure = load("azure", credentials_secret="very-secret").storage
    assert "very-secret" not in repr(gcs) + repr(azure)
    assert "a2V5" not in repr(azure)
    with pytest.raises(ConfigurationError) as caught:
        load("azure", accountkey="secret, but wrong")
    assert "secret, but" not in str(caught.value)


def test_nginx_sends_files_only():
    for driver in MINIMUM:
        environ = {f"{PREFIX}{driver}_{key}".upper(): value for key, value in MINIMUM[driver].items()}
        with pytest.raises(ConfigurationError, match=re.escape("web.accel")):
            load_configuration(None, {"REGISTRY_STORAGE": driver, "REGISTRY_WEB_ACCEL": "/blobs/", **environ})
