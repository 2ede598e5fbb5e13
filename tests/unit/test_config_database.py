import sqlite3

import pytest

from registry_project.config import django_database, load_configuration


def test_a_postgresql_address_becomes_a_pooled_connection():
    url = "postgresql://lading:p%40ss%2Fword@db.example.org:5433/registry?sslmode=require&application_name=lading"
    assert django_database(url, pool_max=7) == {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "registry",
        "USER": "lading",
        "PASSWORD": "p@ss/word",
        "HOST": "db.example.org",
        "PORT": "5433",
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": False,
        "OPTIONS": {
            "sslmode": "require",
            "application_name": "lading",
            "connect_timeout": 5,
            "server_side_binding": True,
            "prepare_threshold": 2,
            "pool": {"min_size": 1, "max_size": 7, "timeout": 10, "reconnect_timeout": 4},
        },
    }


@pytest.mark.parametrize(
    ("url", "host", "user", "port"),
    [
        ("postgres:///registry?host=/run/postgresql", "/run/postgresql", "", ""),
        ("postgresql://%2Frun%2Fpostgresql/registry", "/run/postgresql", "", ""),
        ("postgres:///registry?host=/run/postgresql&port=5433&user=bob", "/run/postgresql", "bob", "5433"),
        ("postgres://bob@[::1]:5433/registry", "::1", "bob", "5433"),
        ("postgres://bob@a:1,b:2/registry", "a,b", "bob", "1,2"),
        ("POSTGRES://a/registry", "a", "", ""),
    ],
)
def test_reads_every_form_that_libpq_reads(url, host, user, port):
    database = django_database(url, pool_max=1)
    assert (database["HOST"], database["USER"], database["PORT"], database["NAME"]) == (host, user, port, "registry")


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:////srv/lading.db", "/srv/lading.db"),
        ("sqlite:///data/lading.db", "data/lading.db"),
        ("sqlite:////srv/with%20space%3F.db", "/srv/with space?.db"),
    ],
)
def test_a_sqlite_address_names_a_file(url, path):
    assert django_database(url, pool_max=1)["NAME"] == path


def test_sqlite_serialises_writers_and_survives_a_power_cut(tmp_path):
    database = django_database(f"sqlite:///{tmp_path}/x.db", pool_max=1)
    assert database["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
    assert (database["OPTIONS"]["timeout"], database["CONN_MAX_AGE"]) == (30, None)
    connection = sqlite3.connect(database["NAME"])
    for command in database["OPTIONS"]["init_command"].split(";"):
        connection.execute(command)
    pragmas = {
        name: connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "foreign_keys")
    }
    connection.close()
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


@pytest.mark.parametrize("folder", ["/srv/plain", "/srv/with space", "/srv/a%20b", "/srv/what?#", "/srv/ä"])
def test_the_default_file_lies_in_the_root_directory_whatever_its_name(folder):
    config = load_configuration(None, {"REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": f"'{folder}'"})
    assert django_database(config.database_url(), pool_max=1)["NAME"] == f"{folder}/lading.db"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "lading.db",
        "mysql://a/b",
        "postgres://a",
        "postgres://a/",
        "postgres://a:port/b",
        "postgres://a/b?nonsense=1",
        "postgres://a/b?sslmode",
        "sqlite:lading.db",
        "sqlite://lading.db",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite:////srv/",
        "sqlite:////srv/x.db?mode=ro",
    ],
)
def test_refuses_other_addresses(url):
    with pytest.raises(ValueError, match="expected"):
        django_database(url, pool_max=1)
