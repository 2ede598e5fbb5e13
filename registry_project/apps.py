from typing import Any

from django.apps import AppConfig
from django.db.models.signals import pre_migrate


class ProjectConfig(AppConfig):
    """Carries the commands that belong to no single app."""

    name = "registry_project"

    def ready(self) -> None:
        pre_migrate.connect(_set_limits, dispatch_uid="lading.migrations")


def _set_limits(using: str = "default", **_: Any) -> None:
    from registry_project.database import lift_time_limit, limit_lock_waits

    if using == "default":
        lift_time_limit()
        limit_lock_waits()
