"""The Django project: settings, typed configuration, URLs, the server and its Celery app."""

import sys
from pathlib import Path

# `gc` is a built-in module, so the folder gc/ can never be imported as one. In a checkout it is a second
# source root that holds the package registry_gc; an installed wheel needs nothing.
_gc_root = Path(__file__).resolve().parent.parent / "gc"
if (_gc_root / "registry_gc").is_dir() and str(_gc_root) not in sys.path:
    sys.path.append(str(_gc_root))

from registry_project.celery import app as celery_app  # noqa: E402 - `celery -A registry_project` looks here

__all__ = ["celery_app"]
