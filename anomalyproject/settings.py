"""All settings, in one file. Every value that a deployment may change comes from the environment.

Development is the default and answers on loopback only. With DEBUG=0, SECRET_KEY,
ARTIFACT_SIGNING_KEYS and ALLOWED_HOSTS must be given: docs/deployment.md has the table.
"""

import hashlib
import ipaddress
import os
from pathlib import Path

from csp.constants import NONE, SELF, UNSAFE_EVAL, UNSAFE_INLINE
from django.core.exceptions import ImproperlyConfigured
from django.templatetags.static import static
from django.utils.translation import gettext_lazy as _

from anomalyproject.env import (
    arm_failpoints,
    env_bool,
    env_cache,
    env_choice,
    env_database,
    env_int,
    env_list,
    env_logging,
    env_networks,
    env_rate,
    env_secret,
    env_storage,
    env_str,
)
from anomalyproject.logs import logging_config

BASE_DIR = Path(__file__).resolve().parent.parent
VERSION = "1.0.0"
APP_NAME = "Equipment Anomaly Training Pipeline"

# --- Where it runs -----------------------------------------------------------------------------

DEBUG = env_bool("DEBUG", default=True)
HOST = env_str("HOST", "127.0.0.1")
PORT = env_int("PORT", default=5000, minimum=1)
LOOPBACK_HOSTS = ["localhost", "127.0.0.1", "[::1]"]
ALLOWED_HOSTS = env_list("ALLOWED_HOSTS", ",".join(LOOPBACK_HOSTS) if DEBUG else "")
CSRF_TRUSTED_ORIGINS = env_list("CSRF_TRUSTED_ORIGINS")

_development_secrets = BASE_DIR / ".secrets" if DEBUG else None
SECRET_KEY = env_secret("SECRET_KEY", development_directory=_development_secrets)
# Those that no other machine has.
GENERATED_SECRETS = [
    name for name in ("SECRET_KEY", "ARTIFACT_SIGNING_KEYS") if DEBUG and not env_str(name).strip(", ")
]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


# The guide's curl calls carry no credentials. They work as printed in development, where the
# server listens on loopback and the caller is on loopback; nowhere else.
OPEN_DEVELOPMENT_MODE = DEBUG and _is_loopback(HOST)
# The older service's clients read and predict without credentials. Outside that mode they need some,
# unless the operator decides otherwise.
ANONYMOUS_READ = env_bool("ANONYMOUS_READ", default=OPEN_DEVELOPMENT_MODE)
# While the database does not answer, /predict goes on: for callers whose credentials it confirmed that many
# seconds ago at most, with the model that it said was active that many seconds ago at most.
KNOWN_CALLER_SECONDS = env_int("KNOWN_CALLER_SECONDS", default=300)
LAST_KNOWN_MODEL_SECONDS = env_int("LAST_KNOWN_MODEL_SECONDS", default=3600)
# How many proxies of ours stand in front: what they say of the client's address and of TLS is believed.
TRUSTED_PROXIES = env_int("TRUSTED_PROXIES", default=int(env_bool("BEHIND_PROXY", default=False)))
# From where they connect; by default from this machine or a private network.
TRUSTED_PROXY_NETWORKS = env_networks(
    "TRUSTED_PROXY_NETWORKS",
    "127.0.0.0/8,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,100.64.0.0/10,169.254.0.0/16,::1,fc00::/7,fe80::/10",
)

arm_failpoints(debug=DEBUG)  # for `make faults` alone

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "unfold.contrib.import_export",
    "unfold.contrib.simple_history",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "training",  # before django_q: its qcluster command supervises django_q's
    "predictions",
    "axes",
    "csp",
    "django_filters",
    "django_q",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "import_export",
    "rest_framework",
    "rest_framework.authtoken",
    "simple_history",
]

MIDDLEWARE = [
    "predictions.metrics.count_requests",
    "training.api.request_log.log_requests",
    "training.api.errors.errors_in_form",  # outside of the others: sees what all the others answer
    "training.api.errors.refuse_without_database",  # outside of what asks it
    "training.api.addresses.distrust_strangers",
    "training.api.bodies.BodiesMiddleware",
    "training.api.headers.security_headers",  # these four also mark static files and early refusals
    "csp.middleware.CSPMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "training.api.methods.KnownMethodsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "training.api.language.AdminLocaleMiddleware",
    "training.api.hosts.HostMiddleware",  # Django's CommonMiddleware
    "django.middleware.csrf.CsrfViewMiddleware",
    "training.admin.addresses.AdminAddressMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "simple_history.middleware.HistoryRequestMiddleware",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "anomalyproject.urls"
WSGI_APPLICATION = "anomalyproject.wsgi.application"
APPEND_SLASH = False  # the guide's paths are exact

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# --- Data --------------------------------------------------------------------------------------

DATABASES = {
    "default": env_database("DATABASE_URL", default=f"sqlite:///{BASE_DIR / 'db.sqlite3'}"),
}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # IMMEDIATE and WAL let many processes write without lock errors; FULL keeps accepted
    # records through a power cut.
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
    }
else:
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
    # JIT would compile the counts of long lists, which takes longer than counting. A server that does not
    # answer is given up soon, whether it never did or its packets get lost.
    DATABASES["default"]["OPTIONS"] = {
        "options": "-c jit=off",
        "connect_timeout": env_int("DATABASE_CONNECT_TIMEOUT", default=3, minimum=2),
        "tcp_user_timeout": 15_000,  # milliseconds
        **DATABASES["default"].get("OPTIONS", {}),
    }
# Throttles, and what the start page remembers for a minute: of all nodes, or of each process alone.
# Sessions and failed logins are in the database anyhow.
# Two installations on one Redis leave each other's keys alone: their nodes share a SECRET_KEY, they do not.
_own_prefix = f"anomalies-{hashlib.sha256(SECRET_KEY.encode()).hexdigest()[:12]}"
CACHES = {"default": env_cache("REDIS_URL", prefix=env_str("REDIS_PREFIX", _own_prefix))}
# Seconds that a statement of a web request may take; 0: as long as it likes. Predictions and probes wait 2 s.
DATABASE_PATIENCE = env_int("DATABASE_PATIENCE", default=30)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

MEDIA_ROOT = Path(env_str("MEDIA_ROOT", str(BASE_DIR / "media")))  # never served over HTTP
# The path that the proxy serves it under, such as /anomalies; gunicorn reads it, too.
SCRIPT_NAME = env_str("SCRIPT_NAME").rstrip("/")
FORCE_SCRIPT_NAME = SCRIPT_NAME or None
STATIC_URL = f"{SCRIPT_NAME}/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
WHITENOISE_USE_FINDERS = DEBUG
# Seconds that the object storage has for an answer, three times at most.
ARTIFACT_STORAGE_TIMEOUT = env_int("ARTIFACT_STORAGE_TIMEOUT", default=5, minimum=1)
ARTIFACT_CACHE_LIMIT = (
    env_int("ARTIFACT_CACHE_MIB", default=4096, minimum=1) * 1024 * 1024
)  # bytes, the copies of one kind that a node keeps of what is in object storage
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    # Model versions, backups and the files of imports.
    "artifacts": env_storage("ARTIFACT_STORAGE", timeout=ARTIFACT_STORAGE_TIMEOUT),
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}

# --- The training loop -------------------------------------------------------------------------

# Which end of the 1-to-5 scale is the most serious. The customer's data: 5 (DESIGN §2).
SCORE_DIRECTION = env_choice(
    "SCORE_DIRECTION", choices=("5_is_most_critical", "1_is_most_critical"), default="5_is_most_critical"
)
# The lowest criticality (the sum of the three scores, 3 to 15) of each band of risk.
RISK_BANDS = {
    "normal": 3,
    "high": env_int("RISK_HIGH_FROM", default=7, minimum=4),
    "critical": env_int("RISK_CRITICAL_FROM", default=9, minimum=5),
}
if not RISK_BANDS["high"] < RISK_BANDS["critical"] <= 15:
    raise ImproperlyConfigured("RISK_HIGH_FROM must be below RISK_CRITICAL_FROM, and that at most 15")

# Of the anomalies: how many in a hundred are scored by two reviewers, the second blind to the first.
DOUBLE_REVIEW_PERCENT = env_int("DOUBLE_REVIEW_PERCENT", default=0)
if DOUBLE_REVIEW_PERCENT > 100:
    raise ImproperlyConfigured("DOUBLE_REVIEW_PERCENT must be at most 100")
REVIEW_LEASE = env_int("REVIEW_LEASE", default=600, minimum=10)  # seconds that an anomaly is one reviewer's

# Newest first: the first key signs, all of them verify, so that keys can be rotated.
ARTIFACT_SIGNING_KEYS = env_list("ARTIFACT_SIGNING_KEYS") or [
    env_secret("ARTIFACT_SIGNING_KEYS", development_directory=_development_secrets)
]
KEEP_MODEL_VERSIONS = env_int("KEEP_MODEL_VERSIONS", default=10, minimum=1)
KEEP_BACKUPS = env_int("KEEP_BACKUPS", default=20, minimum=1)
# Beside these, the newest of each of the last days and weeks that have one.
KEEP_DAILY_MODEL_VERSIONS = env_int("KEEP_DAILY_MODEL_VERSIONS", default=7)
KEEP_WEEKLY_MODEL_VERSIONS = env_int("KEEP_WEEKLY_MODEL_VERSIONS", default=4)
KEEP_DAILY_BACKUPS = env_int("KEEP_DAILY_BACKUPS", default=7)
KEEP_WEEKLY_BACKUPS = env_int("KEEP_WEEKLY_BACKUPS", default=4)

TRAINING_BATCH_LIMIT = 1_000  # records, the guide's
PREDICTION_BATCH_LIMIT = 6_000  # anomalies, the older service's
PREDICTION_CHARACTERS_LIMIT = 2_000_000  # of all their texts: six times as long as the plant's on average
REQUEST_BODY_LIMIT = 8 * 1024 * 1024  # bytes of a list of records
SMALL_BODY_LIMIT = 64 * 1024  # bytes where one small object is expected: scores and a reason
IMPORT_LIMIT = (
    env_int("IMPORT_LIMIT_MIB", default=64, minimum=1) * 1024 * 1024
)  # bytes, the files of one import
IMPORT_ROWS = env_int("IMPORT_ROWS", default=200_000, minimum=1)  # of one import in the admin

TRAINING_TIMEOUT = env_int("TRAINING_TIMEOUT", default=3600, minimum=1)  # seconds, one attempt
TRAINING_WAIT = env_int("TRAINING_WAIT", default=300)  # seconds that POST /train waits
# Of the threads of a web process, those in which POST /train may wait: the others are for predictions.
TRAINING_WAITERS = max(1, env_int("WEB_THREADS", default=16, minimum=1) * 3 // 4)
TRAINING_CLAIM_WAIT = env_int("TRAINING_CLAIM_WAIT", default=10, minimum=1)  # seconds
TRAINING_QUEUE_LIMIT = env_int("TRAINING_QUEUE_LIMIT", default=60, minimum=1)  # seconds unclaimed
TRAINING_LEASE = env_int("TRAINING_LEASE", default=15, minimum=3)  # seconds without a heartbeat
TRAINING_MAX_ATTEMPTS = 2

TRAINING_SCHEDULE = env_str("TRAINING_SCHEDULE", "0 2 * * 0")  # cron, UTC: Sunday 02:00
TRAINING_SCHEDULE_MINIMUM = env_int("TRAINING_SCHEDULE_MINIMUM", default=10, minimum=1)

# The session row is the truth; the queue message only rings. workers=1 and a claim by
# compare-and-set keep it to one training; the retry clock must outlast the longest one.
Q_CLUSTER = {
    "name": "training",
    "orm": "default",
    "workers": 1,
    "timeout": TRAINING_TIMEOUT * TRAINING_MAX_ATTEMPTS + 120,
    "retry": TRAINING_TIMEOUT * TRAINING_MAX_ATTEMPTS + 240,
    "max_attempts": 1,
    "ack_failures": True,
    "catch_up": False,
    "time_zone": "UTC",
    "label": _("Queue"),
}

# Long work that the queue's watch has done beside the worker, on every node: command, and whether it has any.
QUEUE_COMPANIONS = {
    "run_prediction_jobs": "predictions.jobs.somebody_waits",
    "keep_files": "training.upkeep.is_due",
    "repair_version": "training.repairs.is_due",
    "run_quality_checks": "training.quality_checks.somebody_waits",
}

QUALITY_REPORT_SCHEDULE = env_str("QUALITY_REPORT_SCHEDULE", "0 4 * * 0")  # cron, UTC: Sunday 04:00
QUALITY_CHECK_TIMEOUT = env_int("QUALITY_CHECK_TIMEOUT", default=14_400, minimum=1)  # seconds, one attempt
QUALITY_REPORTS = {  # by kind, what makes it
    "labels": "training.label_quality.report_label_quality",
    "drift": "predictions.drift.report_drift",
}

BACKUP_EVERY_DAYS = env_int("BACKUP_EVERY_DAYS", default=7)  # the queue makes one then; 0: never
VERIFY_EVERY_HOURS = env_int("VERIFY_EVERY_HOURS", default=24)  # what serves, and the newest backup; 0: never
DISK_FREE_MIB = env_int("DISK_FREE_MIB", default=1024)  # less free space is a finding

PREDICTION_JOB_ROWS = 1_000_000  # of one file
PREDICTION_JOB_LIMIT = (
    env_int("PREDICTION_JOB_LIMIT_MIB", default=512, minimum=1) * 1024 * 1024
)  # bytes of one file
PREDICTION_PROCESSES = env_int("PREDICTION_PROCESSES", default=os.cpu_count() or 1, minimum=1)  # a node
KEEP_PREDICTION_JOBS = env_int("KEEP_PREDICTION_JOBS", default=7, minimum=1)  # days

# --- Notices -----------------------------------------------------------------------------------

PUBLIC_URL = env_str("PUBLIC_URL").rstrip("/")  # what links in notices begin with; none without it
# Webhooks reach the Internet by TLS; these networks too, and there without TLS if need be.
WEBHOOK_ALLOWED_NETWORKS = env_networks("WEBHOOK_ALLOWED_NETWORKS")
NOTICE_TIMEOUT = env_int("NOTICE_TIMEOUT", default=10, minimum=1)  # seconds, one attempt
KEEP_DELIVERIES = env_int("KEEP_DELIVERIES", default=90, minimum=1)  # days

EMAIL_HOST = env_str("EMAIL_HOST")  # without it e-mails wait, and the delivery log says why
EMAIL_PORT = env_int("EMAIL_PORT", default=587, minimum=1)
EMAIL_HOST_USER = env_str("EMAIL_HOST_USER")
EMAIL_HOST_PASSWORD = env_str("EMAIL_HOST_PASSWORD")
EMAIL_USE_SSL = env_bool("EMAIL_USE_SSL", default=False)
EMAIL_USE_TLS = env_bool("EMAIL_USE_TLS", default=not EMAIL_USE_SSL)
if EMAIL_USE_SSL and EMAIL_USE_TLS:
    raise ImproperlyConfigured("EMAIL_USE_SSL and EMAIL_USE_TLS exclude each other")
EMAIL_TIMEOUT = NOTICE_TIMEOUT
DEFAULT_FROM_EMAIL = env_str("DEFAULT_FROM_EMAIL", "anomalies@localhost")

# --- Operation -----------------------------------------------------------------------------------

# Who may read /metrics without credentials.
METRICS_ALLOWED_NETWORKS = env_networks("METRICS_ALLOWED_NETWORKS", "127.0.0.0/8,::1")

# --- People ------------------------------------------------------------------------------------

AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
AXES_FAILURE_LIMIT = env_int("LOGIN_FAILURE_LIMIT", default=5, minimum=1)
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_VERBOSE = False  # one line less at every start
AXES_ENABLE_ADMIN = False  # training.admin.people shows the attempts, in the look of the rest
AXES_LOCKOUT_CALLABLE = "training.admin.login.locked_out"
AXES_CLIENT_IP_CALLABLE = "training.api.addresses.lockout_address"
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("fr", "Français")]
LOCALE_PATHS = [BASE_DIR / "locale"]
TIME_ZONE = "UTC"
USE_TZ = True

# --- HTTP --------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "training.api.authentication.WatchedTokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["training.api.parsers.BoundedJSONParser"],
    "DEFAULT_FILTER_BACKENDS": [
        "django_filters.rest_framework.DjangoFilterBackend",
        "rest_framework.filters.SearchFilter",
        "rest_framework.filters.OrderingFilter",
    ],
    "DEFAULT_PAGINATION_CLASS": "training.api.pagination.PageNumberPagination",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_THROTTLE_CLASSES": ["training.api.throttles.CallerThrottle"],
    "EXCEPTION_HANDLER": "training.api.errors.exception_handler",
}
# Of one user, or of one address where nobody is known; in development nobody is counted. Logins and wrong
# tokens are counted by address.
THROTTLES = {
    scope: env_rate(f"THROTTLE_{scope.upper()}", default="off" if DEBUG else rate)
    for scope, rate in {
        "login": "30/minute",
        "read": "1200/minute",
        "write": "300/minute",
        "predict": "1200/minute",
        # What is asked for beside the call: the records that a request brings, and their characters.
        "write_records": "120000/minute",
        "write_characters": "12000000/minute",
        "predict_records": "120000/minute",
        "predict_characters": "12000000/minute",
    }.items()
}
SPECTACULAR_SETTINGS = {
    "TITLE": APP_NAME,
    "VERSION": VERSION,
    "DESCRIPTION": "Send `Authorization: Token …`, or log in to the admin and use its session. "
    "Every error is `{success: false, error, validation_errors?}`; the older service's routes "
    "answer `{error, message, validation_errors?}`.",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "ENUM_NAME_OVERRIDES": {
        "QualityKindEnum": "training.models.QualityReport.Kind",
        "LogKindEnum": "training.models.SessionLogEntry.Kind",
    },
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024  # bytes of a form without its files
FILE_UPLOAD_HANDLERS = [
    "training.admin.upload_limit.BoundedUploadHandler",
    "django.core.files.uploadhandler.MemoryFileUploadHandler",
    "django.core.files.uploadhandler.TemporaryFileUploadHandler",
]

SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_AGE = 12 * 3_600  # seconds: a shift
SECRET_KEY_FALLBACKS = env_list("SECRET_KEY_FALLBACKS")  # older ones: sessions of before a rotation go on
if not DEBUG:
    SECURE_SSL_REDIRECT = env_bool("SECURE_SSL_REDIRECT", default=True)
    # Asked from inside, without TLS.
    SECURE_REDIRECT_EXEMPT = [rf"^{f'{SCRIPT_NAME}/'[1:]}(livez|readyz|health|metrics)$"]
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
    SECURE_HSTS_SECONDS = env_int("SECURE_HSTS_SECONDS", default=31_536_000)
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True

# No scripts but our own files. unfold's pages are driven by Alpine, which evaluates the expressions
# in their attributes (unsafe-eval), and carry their colours in a style element (unsafe-inline).
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF, UNSAFE_EVAL],
        "style-src": [SELF, UNSAFE_INLINE],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [SELF],
        "form-action": [SELF],
        "frame-src": [NONE],
        "frame-ancestors": [NONE],
    }
}

# --- The admin -------------------------------------------------------------------------------

SIMPLE_HISTORY_REVERT_DISABLED = True  # scores change through a review alone
IMPORT_EXPORT_EXPORT_PERMISSION_CODE = "view"

UNFOLD = {
    "SITE_TITLE": _("Equipment anomalies"),
    "SITE_HEADER": _("Equipment anomalies"),
    "SITE_SUBHEADER": _("Review and training"),
    "SITE_SYMBOL": "monitor_heart",
    "SITE_URL": None,
    "SITE_FAVICONS": [
        {
            "rel": "icon",
            "type": "image/svg+xml",
            "href": lambda _request: static("training/favicon.svg"),
        }
    ],
    "SHOW_LANGUAGES": True,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_BACK_BUTTON": True,
    "STYLES": [lambda _request: static("training/admin.css")],
    "DASHBOARD_CALLBACK": "predictions.start_page.start_page",
    "COLORS": {
        "primary": {
            "50": "oklch(97% .014 254.604)",
            "100": "oklch(93.2% .032 255.585)",
            "200": "oklch(88.2% .059 254.128)",
            "300": "oklch(80.9% .105 251.813)",
            "400": "oklch(70.7% .165 254.624)",
            "500": "oklch(62.3% .214 259.815)",
            "600": "oklch(54.6% .245 262.881)",
            "700": "oklch(48.8% .243 264.376)",
            "800": "oklch(42.4% .199 265.638)",
            "900": "oklch(37.9% .146 265.522)",
            "950": "oklch(28.2% .091 267.935)",
        }
    },
    "SIDEBAR": {"navigation": "training.admin.navigation.navigation"},
}

# --- Logs ----------------------------------------------------------------------------------------

LOGGING = logging_config(**env_logging())
DEFAULT_EXCEPTION_REPORTER_FILTER = "training.api.bug_reports.Discreet"
