"""The `lading` program as a person meets it."""

import os
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[2]


def test_a_database_that_is_not_there_is_told_in_two_lines(tmp_path):
    url = f"sqlite:///{tmp_path}/nowhere/lading.sqlite3"
    result = subprocess.run(
        [sys.executable, str(PROJECT / "manage.py"), "audit"],
        cwd=tmp_path,
        env={**os.environ, "REGISTRY_DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert f"the database {tmp_path}/nowhere/lading.sqlite3 cannot be reached" in result.stderr
    assert "Traceback" not in result.stderr
