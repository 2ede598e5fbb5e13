"""Typed configuration: Distribution's config.yml and `REGISTRY_…` variables, with Lading's own sections.

docs/configuration.md describes every key; docs/decisions/0003-configuration.md says why it is built this way.
"""

from registry_project.config.checks import check_exposure
from registry_project.config.configuration import AuthKind, Configuration
from registry_project.config.database import django_database
from registry_project.config.errors import ConfigurationError, Mistake
from registry_project.config.http import Listen
from registry_project.config.loading import load_configuration

__all__ = [
    "AuthKind",
    "Configuration",
    "ConfigurationError",
    "Listen",
    "Mistake",
    "check_exposure",
    "django_database",
    "load_configuration",
]
