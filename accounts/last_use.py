"""When secrets were used last, to the minute: noted in memory, written by a thread, never by the request itself."""

from collections import defaultdict
from datetime import datetime

from django.db import models
from django.db.models import Q
from django.utils import timezone

from accounts.models import AccessToken, RobotSecret
from accounts.rights import Kind
from accounts.standing import Proof
from registry_project.database import writing

_MODELS: dict[Kind, type[models.Model]] = {Kind.ACCESS_TOKEN: AccessToken, Kind.ROBOT_SECRET: RobotSecret}
_noted: dict[tuple[Kind, int], datetime] = {}


def note_use(proof: Proof) -> None:
    """This will remember that a secret was used; it costs an assignment."""
    if proof.secret_id is not None and proof.kind in _MODELS:
        _noted[proof.kind, proof.secret_id] = timezone.now()


def write_uses() -> None:
    """This will write what was noted since the last time, one statement a table."""
    used: dict[Kind, list[int]] = defaultdict(list)
    latest: dict[Kind, datetime] = {}
    for kind, secret_id in list(_noted):
        moment = _noted.pop((kind, secret_id))
        used[kind].append(secret_id)
        latest[kind] = max(moment, latest.get(kind, moment))
    for kind, ids in used.items():
        rows = _MODELS[kind]._default_manager.filter(pk__in=ids)
        with writing():
            # In the order of their ids, as every process that writes here does.
            held = rows.select_for_update(no_key=True, skip_locked=True).order_by("pk").values_list("pk", flat=True)
            rows.filter(Q(last_used_at=None) | Q(last_used_at__lt=latest[kind]), pk__in=list(held)).update(
                last_used_at=latest[kind]
            )
