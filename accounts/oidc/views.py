"""Where a browser leaves for a provider, and where it comes back."""

import logging
import re

from allauth.core import context
from allauth.socialaccount.adapter import get_adapter
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from accounts.oidc.adapter import refusal
from accounts.oidc.provider import LadingAdapter, find_provider

log = logging.getLogger("lading.accounts")

# A path of this registry: one slash, and nothing that a browser reads as another host.
_PATH = re.compile(r"/(?![/\\])[!-\[\]-~]*")


@never_cache
@require_GET
def login(request: HttpRequest, provider_id: str) -> HttpResponse:
    _check(provider_id)
    with context.request_context(request):
        provider = get_adapter().get_provider(request, provider_id)
        try:
            response: HttpResponse = provider.begin(request, safe_path(request.GET.get("next", "")))
        except OAuth2Error as error:
            log.warning("a sign-in by %s failed: %s", provider_id, error)
            return refusal()
        return response


@never_cache
@require_GET
def callback(request: HttpRequest, provider_id: str) -> HttpResponse:
    _check(provider_id)
    with context.request_context(request):
        view = OAuth2CallbackView.adapter_view(LadingAdapter(request, provider_id))
        response: HttpResponse = view(request)
        return response


def safe_path(path: str) -> str:
    """Where to go after the sign-in: the path, or the start page where it could lead elsewhere."""
    prefix: str = settings.HTTP_PREFIX
    return path if _PATH.fullmatch(path) and path.startswith(prefix) else prefix


def _check(provider_id: str) -> None:
    if find_provider(provider_id) is None:
        raise Http404
