"""The first administrator, who is made without anybody to make them."""

import secrets
from dataclasses import dataclass

from django.core.exceptions import ValidationError

from accounts.models import User
from accounts.passwords import check_new_password
from registry_project.database import writing

_RANDOM_BYTES = 18


@dataclass(frozen=True, slots=True)
class FirstAdministrator:
    """`password` is the one that was made up, empty where it was given; `weakness` is what is wrong with that one.

    `taken`: somebody else has the name.
    """

    username: str
    password: str = ""
    weakness: str = ""
    taken: bool = False


def make_first_administrator(*, username: str, password: str) -> FirstAdministrator | None:
    """Make an administrator where no active one exists; None where there is one.

    An account that has the name already is left as it is: whoever got it may have chosen the name for this, and who
    was disabled stays so. Must run alone, such as under the lock of the migrations.
    """
    with writing():
        if User.objects.filter(is_superuser=True, is_active=True).exists():
            return None
        if User.objects.filter(username=username).exists():
            return FirstAdministrator(username, taken=True)
        made_up = "" if password else secrets.token_urlsafe(_RANDOM_BYTES)
        User.objects.create_user(username, password=password or made_up, is_superuser=True)
    return FirstAdministrator(username, made_up, "" if made_up else _weakness(username, password))


def _weakness(username: str, password: str) -> str:
    try:
        check_new_password(username=username, password=password)
    except ValidationError as error:
        return " ".join(error.messages)
    return ""
