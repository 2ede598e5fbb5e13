"""The `lading` console script: the same commands as manage.py."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "registry_project.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
