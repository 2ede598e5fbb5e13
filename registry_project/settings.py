"""Django's settings, all of them derived from the one typed configuration."""

import os
import re
import sys
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import urlsplit

from registry_project.config import ConfigurationError, django_database, load_configuration
from registry_project.config.auth import Auth, Htpasswd, Lading, Token
from registry_project.config.stores import django_storage
from registry_project.logs import logging_settings
from registry_project.networks import AllowList
from registry_project.openapi_settings import spectacular_settings
from registry_project.secret_key import find_secret_key

BASE_DIR = Path(__file__).resolve().parent.parent

try:
    CONFIGURATION = load_configuration(None, os.environ)
except ConfigurationError as error:
    sys.exit(str(error))

SECRET_KEY = find_secret_key(CONFIGURATION, os.environ)
DEBUG = False
# Answers never repeat the Host header, so any name may lead here.
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "registry_project.urls"
WSGI_APPLICATION = "registry_project.wsgi.application"
USE_TZ = True
TIME_ZONE = "UTC"
USE_I18N = False

INSTALLED_APPS = [
    # First, because its `check` extends Django's.
    "blobs",
    "repositories",
    "accounts",
    "events",
    "registry_gc.collection",
    "registry_gc.retention",
    "registry_project",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "accounts.oidc.apps.AllauthAccounts",
    "allauth.socialaccount",
    "accounts.oidc.apps.OidcConfig",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
]
MIDDLEWARE = ["registry_project.middleware.RegistryMiddleware", "registry_project.browsers.BrowserMiddleware"]
# What the protocol does without, the first one outermost.
BROWSER_MIDDLEWARE = [
    "registry_project.static_files.StaticFiles",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
AUTH_USER_MODEL = "accounts.User"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.PBKDF2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {
        "NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator",
        "OPTIONS": {"user_attributes": ["username"]},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "accounts.passwords.LengthInBytes"},
]
SOCIALACCOUNT_ADAPTER = "accounts.oidc.adapter.Adapter"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
HTTP_PREFIX = CONFIGURATION.http.prefix

# Browsers: a cookie's name says what it may be trusted with ("Cookies: HTTP State Management Mechanism", prefixes).
_secure = CONFIGURATION.http.is_https
_cookie = "lading-" if not _secure else "__Host-lading-" if HTTP_PREFIX == "/" else "__Secure-lading-"
SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = f"{_cookie}session", f"{_cookie}csrf"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _secure
SESSION_COOKIE_PATH = CSRF_COOKIE_PATH = HTTP_PREFIX
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
CSRF_FAILURE_VIEW = "registry_project.browsers.csrf_failure"
if CONFIGURATION.http.host:
    # Behind a proxy that ends TLS this, and not what arrives, is what browsers call us.
    CSRF_TRUSTED_ORIGINS = ["{0.scheme}://{0.netloc}".format(urlsplit(CONFIGURATION.http.host))]
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
STATIC_URL = f"{HTTP_PREFIX}static/"
STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.AppDirectoriesFinder"]
WHITENOISE_USE_FINDERS = True
WHITENOISE_ALLOW_ALL_ORIGINS = False

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["accounts.api.authentication.RegistryAuthentication"],
    "UNAUTHENTICATED_USER": None,
    "UNAUTHENTICATED_TOKEN": None,
    "DEFAULT_SCHEMA_CLASS": "registry_project.openapi.EndpointSchema",
}
SPECTACULAR_SETTINGS = spectacular_settings(HTTP_PREFIX, SESSION_COOKIE_NAME)

DATABASES = {
    "default": django_database(
        CONFIGURATION.database_url(),
        pool_max=CONFIGURATION.database.pool.max,
        timeout=CONFIGURATION.database.timeout,
    ),
}
STORAGES = {
    "blobs": django_storage(CONFIGURATION.storage),
    "staticfiles": {"BACKEND": "registry_project.static_files.HashedFiles"},
}
LOGGING = logging_settings(CONFIGURATION.log)
LOGGING_CONFIG = "logging.config.dictConfig"

# What domain functions and views read, in the words of the domain.
# Without a choice only this machine can reach the registry, and everyone may do everything.
AUTH_KIND = CONFIGURATION.auth_kind or "none"
_auth = CONFIGURATION.auth or Auth()
LADING_AUTH = _auth.lading or Lading()
HTPASSWD_AUTH = _auth.htpasswd or Htpasswd()
TOKEN_AUTH = _auth.token or Token()
LIMITS = CONFIGURATION.limits
TRUSTED_PROXIES = tuple(ip_network(text) for text in CONFIGURATION.web.proxies)
TEAM_CREATION = CONFIGURATION.teams.creation
TEAM_QUOTA = CONFIGURATION.teams.quota
_origin = "" if CONFIGURATION.http.relativeurls or not CONFIGURATION.http.host else CONFIGURATION.http.host
PUBLIC_BASE = f"{_origin}{HTTP_PREFIX}".rstrip("/")
RESPONSE_HEADERS = {name: ", ".join(values) for name, values in CONFIGURATION.http.headers.items()}
READ_ONLY = CONFIGURATION.storage.maintenance.readonly.enabled
DELETE_ENABLED = CONFIGURATION.storage.delete.enabled
REDIRECT_BLOBS = not CONFIGURATION.storage.redirect.disable
SIGNED_URLS = timedelta(minutes=20)
# The last one that is switched on, or None: the store's own signed addresses.
REDIRECT_THROUGH = next((item for item in reversed(CONFIGURATION.middleware.storage) if not item.disabled), None)
ACCEL_LOCATION = CONFIGURATION.web.accel
CATALOG_MAX = CONFIGURATION.catalog.maxentries
TAGS_MAX = CONFIGURATION.tags.maxtags
UPLOAD_PARTS = CONFIGURATION.web.uploadparts
UPLOAD_LIFETIME = CONFIGURATION.storage.maintenance.uploadpurging.age
UPLOAD_PURGING = CONFIGURATION.storage.maintenance.uploadpurging.enabled
UPLOAD_PURGING_DRY_RUN = CONFIGURATION.storage.maintenance.uploadpurging.dryrun
UPLOAD_PURGING_INTERVAL = CONFIGURATION.storage.maintenance.uploadpurging.interval
GC_GRACE = CONFIGURATION.gc.grace
GC_UNTAGGED = CONFIGURATION.gc.untagged
GC_INTERVAL = CONFIGURATION.gc.interval
# Signed addresses are good for as long as they say, whatever becomes of their blob.
_signed = REDIRECT_THROUGH.options.duration if REDIRECT_THROUGH else SIGNED_URLS
GC_LINGER = max(CONFIGURATION.gc.linger, _signed + timedelta(hours=1)) if CONFIGURATION.gc.linger else timedelta()
TRASH_KEEP = CONFIGURATION.trash.keep
PULLS_IGNORED_AGENTS = CONFIGURATION.pulls.ignoreagents
PULLS_IGNORED_ACCOUNTS = frozenset(CONFIGURATION.pulls.ignoreaccounts)
SCRUB_ENABLED = CONFIGURATION.scrub.enabled
SCRUB_INTERVAL = CONFIGURATION.scrub.interval
SCRUB_RATE = CONFIGURATION.scrub.rate
AUDIT_KEEP = CONFIGURATION.audit.keep
NOTIFICATIONS = CONFIGURATION.notifications
EGRESS = AllowList(CONFIGURATION.egress.allow, CONFIGURATION.egress.ports)


@dataclass(frozen=True, slots=True)
class UrlRules:
    allow: tuple[re.Pattern[str], ...]
    deny: tuple[re.Pattern[str], ...]


_validation = CONFIGURATION.validation
_urls, _indexes = _validation.manifests.urls, _validation.manifests.indexes
# None: no rules. Without any pattern every http(s) address passes, see docs/configuration.md.
MANIFEST_URLS = (
    None if _validation.disabled else UrlRules(tuple(map(re.compile, _urls.allow)), tuple(map(re.compile, _urls.deny)))
)
# The platforms whose manifests must be there before their index; None: all.
INDEX_PLATFORMS: frozenset[str] | None = None
if _validation.disabled or _indexes.platforms == "none":
    INDEX_PLATFORMS = frozenset()
elif _indexes.platforms == "list":
    INDEX_PLATFORMS = frozenset(f"{entry.os}/{entry.architecture}" for entry in _indexes.platformlist)

CELERY_BROKER_URL = CONFIGURATION.celery.broker
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
