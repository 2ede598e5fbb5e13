"""The `lading` console script: the same commands as manage.py."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "registry_project.settings")
    # The settings are read before the command's arguments are, so `serve config.yml` is told to them here.
    words = [word for word in sys.argv[2:] if not word.startswith("-") and not word.isdigit()]
    # Distribution's options stand before the file: `registry garbage-collect -m config.yml`.
    if words and (sys.argv[1] == "garbage-collect" or (sys.argv[1] == "serve" and sys.argv[2] == words[0])):
        os.environ["REGISTRY_CONFIGURATION_PATH"] = words[0]
    from django.core.management import execute_from_command_line
    from django.db import OperationalError, connection

    try:
        execute_from_command_line(sys.argv)
    except OperationalError as error:
        if connection.connection is not None:
            raise
        # Mostly a command that was started in another folder, or without the server's variables.
        place = connection.settings_dict["NAME"]
        sys.exit(
            f"lading: the database {place} cannot be reached: {error}\n"
            "Commands read the server's configuration: run them in its folder, with its variables."
        )
