from typing import Any

from django.apps import AppConfig
from django.db.models.signals import pre_migrate


class ProjectConfig(AppConfig):
    """Carries the commands that belong to no single app."""

    name = "registry_project"

    def ready(self) -> None:
        pre_migrate.connect(_lift_time_limit, dispatch_uid="lading.migrations")


def _lift_time_limit(using: str = "default", **_: Any) -> None:
    from registry_project.database import lift_time_limit

    if using == "default":
        lift_time_limit()
