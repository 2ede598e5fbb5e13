"""The section `storage.s3`: what it takes, and what becomes of it."""

import pytest

from registry_project.config import ConfigurationError, load_configuration
from registry_project.config.stores import django_storage

MINIMUM = {
    "REGISTRY_STORAGE": "s3",
    "REGISTRY_STORAGE_S3_BUCKET": "images",
    "REGISTRY_DATABASE_URL": "postgresql://localhost/lading",
}


def load(**keys):
    return load_configuration(None, MINIMUM | {f"REGISTRY_STORAGE_S3_{key.upper()}": keys[key] for key in keys})


def options(**keys):
    return django_storage(load(**keys).storage)["OPTIONS"]


def test_files_stay_the_default():
    assert django_storage(load_configuration(None, {}).storage)["BACKEND"].endswith("FileSystemStorage")


def test_defaults_are_those_of_distribution():
    config = load()
    assert config.warnings == ()
    assert config.storage.place == "s3://images"
    assert options()["chunksize"] == 10 * 1024 * 1024
    assert options()["object_parameters"] == {}
    assert "access_key" not in options()


def test_warns_of_blobs_elsewhere_and_everything_else_in_a_local_file():
    alone = {name: value for name, value in MINIMUM.items() if "DATABASE" not in name}
    (warning,) = load_configuration(None, alone).warnings
    assert "s3://images" in warning
    assert "/data/lading.db" in warning
    assert "database.url" in warning
    said = {"REGISTRY_DATABASE_URL": "sqlite:////srv/lading.db"}
    assert load_configuration(None, alone | said).warnings == ()


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"encrypt": "true"}, {"ServerSideEncryption": "AES256"}),
        ({"encrypt": "true", "keyid": "k"}, {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "k"}),
        ({"storageclass": "REDUCED_REDUNDANCY"}, {"StorageClass": "REDUCED_REDUNDANCY"}),
        ({"storageclass": "NONE", "objectacl": "private"}, {}),
        ({"objectacl": "bucket-owner-full-control"}, {"ACL": "bucket-owner-full-control"}),
    ],
)
def test_objects_are_made_with(keys, expected):
    assert options(**keys)["object_parameters"] == expected


@pytest.mark.parametrize(
    ("keys", "address"),
    [
        ({}, None),
        ({"regionendpoint": "minio:9000"}, "https://minio:9000"),
        ({"regionendpoint": "minio:9000", "secure": "false"}, "http://minio:9000"),
        ({"regionendpoint": "http://minio:9000/"}, "http://minio:9000"),
    ],
)
def test_address_of_the_store(keys, address):
    assert options(**keys)["endpoint_url"] == address


def test_what_the_client_is_told():
    config = options(
        region="eu-west-3", forcepathstyle="true", useragent="mine", usedualstack="true", usefipsendpoint="true"
    )["client_config"]
    assert (config.region_name, config.user_agent_extra) == ("eu-west-3", "mine")
    assert (config.use_dualstack_endpoint, config.use_fips_endpoint) == (True, True)
    assert config.s3["addressing_style"] == "path"
    assert options(accelerate="true")["client_config"].s3["use_accelerate_endpoint"] is True
    assert options(skipverify="true")["verify"] is False
    assert options(rootdirectory="/a/b/")["location"] == "a/b"
    keys = options(accesskey="a", secretkey="s", sessiontoken="t")
    assert (keys["access_key"], keys["secret_key"], keys["security_token"]) == ("a", "s", "t")


@pytest.mark.parametrize(("text", "size"), [("5242880", 5 << 20), ("16M", 16 << 20), ("32MiB", 32 << 20)])
def test_chunk_sizes(text, size):
    assert load(chunksize=text).storage.s3.chunksize == size


@pytest.mark.parametrize(
    ("keys", "wrong"),
    [
        ({"chunksize": "5242879"}, "chunksize"),
        ({"chunksize": "big"}, "chunksize"),
        ({"accesskey": "a"}, "accesskey"),
        ({"secretkey": "a"}, "secretkey"),
        ({"keyid": "k"}, "keyid"),
        ({"accelerate": "true", "forcepathstyle": "true"}, "accelerate"),
        ({"bucket": ""}, "bucket"),
    ],
)
def test_refuses(keys, wrong):
    with pytest.raises(ConfigurationError) as caught:
        load(**keys)
    assert [mistake.key for mistake in caught.value.mistakes] == [f"storage.s3.{wrong}"]


def test_keys_without_effect_say_why():
    warnings = load(v4auth="false", multipartcopychunksize="33554432", loglevel="debug").warnings
    assert len(warnings) == 3
    assert all("has no effect" in warning for warning in warnings)


def test_secrets_are_not_shown():
    config = load(accesskey="AKIA-key", secretkey="very-secret", sessiontoken="token-secret")
    assert "secret" not in repr(config.storage.s3)
    assert "AKIA" not in repr(config.storage.s3)
