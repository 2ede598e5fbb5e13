"""People."""

from django.contrib.auth.models import AbstractUser
from django.core.validators import RegexValidator
from django.db import models
from django.utils import timezone

# No `+`, which tells robots from people, and nothing that needs quoting in a shell or a URL.
USERNAME_PATTERN = r"[a-z0-9]+([._-][a-z0-9]+)*"
USERNAME_MAX_LENGTH = 64
# Words that stand for somebody in addresses and in the audit log.
RESERVED_USERNAMES = frozenset({"me", "anonymous", "everyone", "system"})


class User(AbstractUser):
    """A person. `is_superuser` is the instance's administrator; an auditor reads everything and changes nothing.

    Tokens issued before `revoked_before` are dead: a new password or "sign out everywhere" sets it.
    """

    username = models.CharField(
        max_length=150,
        unique=True,
        validators=[
            RegexValidator(rf"^{USERNAME_PATTERN}\Z", "Use lower-case letters, digits, and . _ - between them.")
        ],
    )
    is_auditor = models.BooleanField(default=False)
    revoked_before = models.DateTimeField(default=timezone.now)

    def set_password(self, raw_password: str | None) -> None:
        super().set_password(raw_password)
        # For commands such as `changepassword` too; whoever only renews the hash saves no other field.
        self.revoked_before = timezone.now()

    class Meta(AbstractUser.Meta):
        abstract = False
