"""The soak as a test: shorter, on local files and the embedded worker."""

import subprocess
import sys

import pytest

from tests.live_server import PROJECT

SECONDS, SEED = "25", "20260229"


@pytest.mark.live
@pytest.mark.timeout(290)
def test_a_registry_that_is_broken_again_and_again_keeps_its_promises():
    # How long a recovery takes says how busy the machine is; `make soak` holds it to 30 seconds.
    options = ["--seconds", SECONDS, "--seed", SEED, "--storage", "files", "--worker", "embedded", "--recovery", "120"]
    command = [sys.executable, "-m", "tests.soak", *options]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
