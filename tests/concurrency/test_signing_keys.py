"""Processes that need a key to sign with at the same moment."""

import threading

from django.db import connection
from django.utils import timezone

from accounts.keys import get_signer, rotate_keys
from accounts.models import SigningKey
from registry_project.database import writing


def test_the_first_key_is_made_once():
    """Whoever needs one while another process makes it waits, and finds that one."""
    found = []

    def sign():
        found.append(get_signer(now=timezone.now()).kid)
        connection.close()

    thread = threading.Thread(target=sign)
    with writing():
        made = rotate_keys(now=timezone.now())
        thread.start()
        thread.join(1)
    thread.join()
    assert found == [made]
    assert SigningKey.objects.count() == 1
