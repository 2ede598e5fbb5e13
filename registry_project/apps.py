from django.apps import AppConfig


class ProjectConfig(AppConfig):
    """Carries the commands that belong to no single app."""

    name = "registry_project"
