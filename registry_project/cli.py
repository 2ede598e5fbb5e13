"""The `lading` console script: the same commands as manage.py."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "registry_project.settings")
    # The settings are read before the command's arguments are, so `serve config.yml` is told to them here.
    if sys.argv[1:2] == ["serve"] and len(sys.argv) > 2 and not sys.argv[2].startswith("-"):
        os.environ["REGISTRY_CONFIGURATION_PATH"] = sys.argv[2]
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
