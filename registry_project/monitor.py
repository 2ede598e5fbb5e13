"""The health monitor of this process."""

from functools import cache

from django.conf import settings

from blobs.storage import get_store
from registry_project.health import HealthMonitor


@cache
def monitor() -> HealthMonitor:
    """The one monitor; its checks run in the background from the first call on."""
    health = HealthMonitor(settings.CONFIGURATION.health, check_storage=lambda: get_store().check())
    health.start()
    return health
