"""The folder gc/ is a source root and never a package: `gc` is a built-in module."""

import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]


def python(code, cwd):
    return subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=False, timeout=60
    )


def test_gc_is_still_the_interpreters_own():
    process = python("import registry_project, gc; gc.collect(); print(gc.__spec__.origin)", PROJECT)
    assert process.stdout.strip() == "built-in", process.stderr


def test_folder_is_no_package():
    assert not (PROJECT / "gc" / "__init__.py").exists()
    assert (PROJECT / "gc" / "README.md").is_file()


def test_registry_gc_can_be_imported_wherever_the_project_is_used_from(tmp_path):
    code = (
        f"import sys; sys.path.insert(0, {str(PROJECT)!r}); import registry_project, registry_gc;"
        "print(registry_gc.__file__ or list(registry_gc.__path__)[0])"
    )
    process = python(code, tmp_path)
    assert process.returncode == 0, process.stderr
    assert Path(process.stdout.strip()).is_relative_to(PROJECT / "gc" / "registry_gc")


@pytest.mark.parametrize("app", ["accounts", "blobs", "oci", "registry_project", "repositories"])
def test_apps_are_packages_with_a_sentence_about_them(app):
    text = (PROJECT / app / "__init__.py").read_text()
    assert text.startswith('"""')
