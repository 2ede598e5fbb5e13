"""The key that signs sessions: whoever needs the same one finds it, and nobody else can read it."""

import stat

import pytest

from registry_project.config import ConfigurationError, load_configuration
from registry_project.secret_key import find_secret_key, keep_secret_key

OTHER_DATABASE = {"REGISTRY_DATABASE_URL": "postgresql://host/name"}
S3 = {
    **OTHER_DATABASE,
    "REGISTRY_STORAGE": "s3",
    "REGISTRY_STORAGE_S3_BUCKET": "bucket",
    "REGISTRY_STORAGE_S3_REGION": "eu-central-1",
}


def configured(folder, **environ):
    if environ.get("REGISTRY_STORAGE") != "s3":
        environ["REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY"] = str(folder / "data")
    return load_configuration(None, environ)


def kept(config):
    """The key of a server, as its child processes find it."""
    environ = {}
    keep_secret_key(config, environ)
    key = find_secret_key(config, environ)
    assert len(key) >= 32
    return key


def test_configured_key_is_taken_and_no_file_made(tmp_path):
    config = configured(tmp_path, REGISTRY_HTTP_SECRET="0123456789abcdef")
    keep_secret_key(config, {})
    assert find_secret_key(config, {}) == "0123456789abcdef"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("secret", ["", " ", "0123456789abcde", "short           "])
def test_blank_or_short_key_stops_the_start(tmp_path, secret):
    path = tmp_path / "config.yml"
    path.write_text(f"http: {{secret: {secret!r}}}")
    with pytest.raises(ConfigurationError, match="expected at least 16 characters") as caught:
        load_configuration(path, {})
    assert "http.secret" in str(caught.value)
    assert "0123456789" not in str(caught.value)


def test_blank_variable_is_as_none(tmp_path):
    assert configured(tmp_path, REGISTRY_HTTP_SECRET="").http.secret is None


@pytest.mark.parametrize("environ", [{}, OTHER_DATABASE], ids=["sqlite", "files"])
def test_key_lies_in_the_root_directory_for_its_owner_alone(tmp_path, environ, caplog):
    config = configured(tmp_path, **environ)
    key = kept(config)
    (path,) = (tmp_path / "data").iterdir()
    assert path.name == "lading.secret"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert kept(config) == key == find_secret_key(config, {})
    assert caplog.text == ""


def test_key_lies_beside_the_sqlite_file(tmp_path):
    config = configured(tmp_path, REGISTRY_DATABASE_URL=f"sqlite:///{tmp_path}/elsewhere/lading.db")
    kept(config)
    assert (tmp_path / "elsewhere" / "lading.secret").exists()
    assert not (tmp_path / "data").exists()


def test_without_a_place_children_get_it_and_one_warning_tells(tmp_path, caplog):
    config = configured(tmp_path, **S3)
    assert kept(config) != kept(config)
    assert caplog.text.count("http.secret is not set") == 2


def test_place_that_cannot_be_written_is_as_none(tmp_path, caplog):
    (tmp_path / "data").write_text("a file where the folder should be")
    kept(configured(tmp_path))
    assert "cannot be kept" in caplog.text
    assert "http.secret is not set" in caplog.text


def test_damaged_file_stops_the_start(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "lading.secret").write_text("\n")
    with pytest.raises(ConfigurationError, match="remove the file"):
        keep_secret_key(configured(tmp_path), {})


def test_asking_makes_nothing(tmp_path):
    config = configured(tmp_path)
    assert find_secret_key(config, {}) != find_secret_key(config, {})
    assert list(tmp_path.iterdir()) == []
