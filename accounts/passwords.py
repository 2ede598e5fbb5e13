"""What a new password must be."""

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError

from accounts.models import User

# Hashing takes long enough as it is.
PASSWORD_MAX_BYTES = 1024


class LengthInBytes:
    """A validator of Django's: at most `PASSWORD_MAX_BYTES` in UTF-8."""

    def validate(self, password: str, user: object = None) -> None:
        if is_too_long(password):
            raise ValidationError(self.get_help_text(), code="password_too_long")

    def get_help_text(self) -> str:
        return f"A password has at most {PASSWORD_MAX_BYTES} bytes."


def is_too_long(password: str) -> bool:
    return len(password.encode()) > PASSWORD_MAX_BYTES


def check_new_password(*, username: str, password: str) -> None:
    """Raise Django's ValidationError, whose `messages` say what is wrong, for a password that is easily guessed."""
    if "\0" in password:
        raise ValidationError("A password holds no NUL.", code="password_nul")
    validate_password(password, User(username=username))
