"""The routes, each name read greedily from the right: `x/manifests/y` and `foo/tags` are legal names."""

from typing import Any

from django.conf import settings
from django.urls import include, path, re_path

from accounts.api.token_endpoint import KeySetView, TokenView
from accounts.oidc import views as oidc
from blobs.api.views import BlobUploadsView, BlobUploadView, BlobView
from oci.views import UnroutedView
from registry_project import endpoints
from registry_project.description import SchemaView, docs
from registry_project.views import alive, bad_request, failed, forbidden, metrics, not_found, ready, root
from repositories.api.views import BaseView, CatalogView, ManifestView, ReferrersView, TagsView

_PREFIX = settings.HTTP_PREFIX.lstrip("/")
_V2 = f"{_PREFIX}v2"
_API = f"{_PREFIX}api/"
_ACCOUNTS = f"{_PREFIX}accounts/"
_NAME = r"(?P<name>.+)"

# Each app's `api.urls` is included here; the paths are fixed by docs/api.md.
_management: list[Any] = [
    path("schema", SchemaView.as_view(), name="schema"),
    path("docs", docs, name="docs"),
    path("", include("accounts.api.urls")),
    # Before those of repositories, whose last one takes every path for a name.
    path("", include("registry_gc.retention.api.urls")),
    path("", include("repositories.api.urls")),
    path("", include("registry_gc.collection.api.urls")),
]

# The names are those of Distribution's routes, which its metrics carry as `handler`.
urlpatterns = [
    re_path(rf"^{_V2}/?$", BaseView.as_view(), name="base"),
    re_path(rf"^{_V2}/_catalog$", CatalogView.as_view(), name="catalog"),
    re_path(rf"^{_V2}/{_NAME}/manifests/(?P<reference>[^/]+)$", ManifestView.as_view(), name="manifest"),
    re_path(rf"^{_V2}/{_NAME}/blobs/uploads/?$", BlobUploadsView.as_view(), name="blob_upload"),
    re_path(
        rf"^{_V2}/{_NAME}/blobs/uploads/(?P<session_id>[^/]+)$", BlobUploadView.as_view(), name="blob_upload_chunk"
    ),
    re_path(rf"^{_V2}/{_NAME}/blobs/(?P<digest>[^/]+)$", BlobView.as_view(), name="blob"),
    re_path(rf"^{_V2}/{_NAME}/tags/list$", TagsView.as_view(), name="tags"),
    re_path(rf"^{_V2}/{_NAME}/referrers/(?P<digest>[^/]+)$", ReferrersView.as_view(), name="referrers"),
    re_path(rf"^{_V2}/", UnroutedView.as_view(), name="unrouted"),
    path(f"{_ACCOUNTS}oidc/<slug:provider_id>/login/", oidc.login, name="openid_connect_login"),
    path(f"{_ACCOUNTS}oidc/<slug:provider_id>/login/callback/", oidc.callback, name="openid_connect_callback"),
    path(f"{_API}v1/", include(_management)),
    re_path(rf"^{_API}", endpoints.UnroutedView.as_view(), name="unrouted"),
    re_path(rf"^{_PREFIX}auth/token$", TokenView.as_view(), name="token"),
    re_path(rf"^{_PREFIX}auth/jwks$", KeySetView.as_view(), name="jwks"),
    re_path(r"^healthz$", alive, name="alive"),
    re_path(r"^readyz$", ready, name="ready"),
    re_path(r"^metrics$", metrics, name="metrics"),
    re_path(r"^$", root, name="root"),
]
handler400 = bad_request
handler403 = forbidden
handler404 = not_found
handler500 = failed
