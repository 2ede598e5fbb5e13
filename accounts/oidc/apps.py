from allauth.account.apps import AccountConfig
from django.apps import AppConfig


class AllauthAccounts(AccountConfig):
    """The tables that allauth's sign-in by providers needs; nothing of its own sign-in is used."""

    def ready(self) -> None:
        """Its middleware is not wanted: the only views give themselves what it would give them."""


class OidcConfig(AppConfig):
    name = "accounts.oidc"
    label = "accounts_oidc"
