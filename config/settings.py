"""Django's settings. What differs between installations comes from the environment: see `.env.example`."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import django_stubs_ext
from celery.schedules import crontab
from corsheaders.defaults import default_headers
from django.templatetags.static import static
from redis.backoff import NoBackoff
from redis.retry import Retry

from config import logs
from config.environment import POSTGRESQL, read_environment
from config.postgresql import CONNECT_TIMEOUT, WatchfulConnection

django_stubs_ext.monkeypatch()  # admin.ModelAdmin[Device] and the like, before any app is loaded

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = BASE_DIR / "data"
environment = read_environment(BASE_DIR, DATA_DIR)

SECRET_KEY = environment.secret_key
DEBUG = environment.debug
PORT = environment.port
ALLOWED_HOSTS = environment.allowed_hosts
CSRF_TRUSTED_ORIGINS = environment.csrf_trusted_origins
OPEN_REGISTRATION = environment.open_registration
DATA_UPLOAD_MAX_MEMORY_SIZE = environment.max_body_size
MAX_BATCH_ROWS = environment.max_batch_rows
BROKER_URL = environment.broker_url
METRICS_TOKEN = environment.metrics_token
CITUS = environment.citus
ANALYSIS_RETENTION_DAYS = environment.analysis_retention_days
READING_RETENTION_DAYS = environment.reading_retention_days

INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",
    "unfold.contrib.filters",
    "config.apps.OfficeConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "corsheaders",
    "django_filters",
    "knox",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    # Against the arrows: a template of an app fills the place that an app it knows has left for it.
    "analytics",
    "devices",
    "users",
]
MIDDLEWARE = [
    "config.metrics.requests",
    "config.logs.requests",
    "config.headers.protective_headers",
    *(["corsheaders.middleware.CorsMiddleware"] if environment.cors_allowed_origins else []),
    "django.middleware.security.SecurityMiddleware",
    "config.bodies.whole_bodies",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "config.faults.DatabaseFaults",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "config.redirects.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "config.problems.ProblemMiddleware",
]
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "config" / "templates"],
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

SQLITE_OPTIONS: dict[str, Any] = {
    # WAL lets readers and one writer work side by side; FULL makes a COMMIT durable; IMMEDIATE takes
    # the write lock at BEGIN, where waiting for it is possible, and not in the middle, where it is not.
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
    "transaction_mode": "IMMEDIATE",
    "timeout": 3,  # seconds; a caller gets 503 in less than five, whatever happens
}
POSTGRESQL_OPTIONS: dict[str, Any] = {
    # A caller gets 503 in less than five seconds, whatever happens: no wait is without a bound, nor long. Whatever the
    # pool waits for between two attempts to connect, nobody is answered after the server's return.
    "pool": {
        "min_size": 1,
        "max_size": environment.database_pool_size,
        "timeout": 2,
        "reconnect_timeout": 2,
        "connection_class": WatchfulConnection,
    },
    "connect_timeout": CONNECT_TIMEOUT,
    # A host that is gone without a goodbye; WatchfulConnection sees to one that is frozen.
    "keepalives_idle": 2,
    "keepalives_interval": 1,
    "keepalives_count": 2,
    "tcp_user_timeout": 4000,  # milliseconds
    # A COMMIT is on disk when it returns, whatever the server's default says. Compiling a look-up that the planner
    # thinks large costs more than the look-up.
    "options": "-c lock_timeout=3s -c synchronous_commit=on -c jit=off",
}
DATABASES: dict[str, dict[str, Any]] = {"default": environment.database}
if environment.replica:  # analytics are answered from it, see devices/replica.py
    DATABASES["replica"] = environment.replica | {"TEST": {"MIRROR": "default"}}
    DATABASE_ROUTERS = ["devices.replica.Router"]
if DATABASES["default"]["ENGINE"] == POSTGRESQL:
    for database in DATABASES.values():
        database |= {"CONN_MAX_AGE": 0, "CONN_HEALTH_CHECKS": True}
        database["OPTIONS"] = database.get("OPTIONS", {}) | POSTGRESQL_OPTIONS
else:
    DATABASES["default"]["OPTIONS"] = SQLITE_OPTIONS
    Path(DATABASES["default"]["NAME"]).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "users.User"
AUTHENTICATION_BACKENDS = ["users.authentication.PasswordBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = LOGOUT_REDIRECT_URL = "sign-in"
LOGIN_REDIRECT_URL = "devices"

# Counts of wrong credentials, see users/failures.py: in Redis for all processes, else in each process.
FAILURE_LIMIT = environment.failure_limit
FAILURE_LIMIT_PER_ADDRESS = environment.failure_limit_per_address
CACHES: dict[str, dict[str, Any]] = {
    "process": {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        "LOCATION": "process",
        "OPTIONS": {"MAX_ENTRIES": 100_000},
    }
}
CACHES["default"] = CACHES["process"]
# Requests wait for Redis: not long, and once.
REDIS_OPTIONS = {"socket_connect_timeout": 0.5, "socket_timeout": 0.5, "retry": Retry(NoBackoff(), 0)}
if environment.cache_url:
    CACHES["default"] = {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": environment.cache_url,
        "OPTIONS": REDIS_OPTIONS,
    }

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True

UNFOLD = {
    "SITE_TITLE": "Device monitoring",
    "SITE_HEADER": "Device monitoring",
    "SITE_SYMBOL": "sensors",
    "SITE_URL": "/",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("analytics/icon.svg")}],
    "SIDEBAR": {"show_search": False, "show_all_applications": False},
    "DASHBOARD_CALLBACK": "config.start_page.with_figures",
}

STATIC_URL = "static/"
WHITENOISE_USE_FINDERS = True  # served straight from the packages: no collected copy that could be stale

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "devices.authentication.DeviceKeyAuthentication",
        "users.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_PARSER_CLASSES": ["config.parsers.JSONParser"],
    "DEFAULT_PAGINATION_CLASS": "users.pagination.KeysetPagination",
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "config.schema.Schema",
    "EXCEPTION_HANDLER": "config.problems.exception_handler",
    "DEFAULT_METADATA_CLASS": "config.metadata.Metadata",
    "NUM_PROXIES": environment.trusted_proxies,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
REST_KNOX = {
    "TOKEN_TTL": timedelta(days=30),
    "TOKEN_LIMIT_PER_USER": 20,  # knox loads all of a user's tokens on each request
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Device monitoring",
    "DESCRIPTION": "Readings in, every one kept; exact analytics out.",
    "VERSION": "1",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,  # it says each choice twice
    "ENUM_NAME_OVERRIDES": {
        "AnalysisStatus": "analytics.models.Analysis.Status",
        "Interval": "analytics.buckets.INTERVALS",
    },
    # One request type per operation, or generated clients break.
    "PARSER_WHITELIST": ["config.parsers.JSONParser", "devices.formats.JSONReadingsParser"],
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "config.schema.complete",
    ],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}

# Messages only wake workers up; analyses are rows, and the rows decide: see analytics/analyses.py.
CELERY_BROKER_URL = BROKER_URL
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # a worker waits for its broker for ever
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_TIMEOUT = 2
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "socket_timeout": 5,  # a broker that has stopped answers nothing, and would be waited for without end
    "socket_connect_timeout": 2,
    "health_check_interval": 5,
    "visibility_timeout": 300,
    "unacked_restore_throttle": 1,
}
CELERY_TASK_PUBLISH_RETRY = False  # what is not published is found by the sweeper
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
# Two queues, read in turns: upkeep does not wait behind a thousand analyses.
CELERY_TASK_CREATE_MISSING_QUEUES = False
CELERY_TASK_DEFAULT_QUEUE = "upkeep"
CELERY_TASK_QUEUES = {name: {"exchange": name, "routing_key": name} for name in ("upkeep", "analyses")}
CELERY_TASK_ROUTES = {"analytics.tasks.run_analysis": {"queue": "analyses"}}
CELERY_BEAT_SCHEDULER = "celery.beat:Scheduler"  # in memory; its file would be lost or torn by a kill
CELERY_BEAT_SCHEDULE = {
    # With an expiry, so that those which no worker took do not pile up.
    "sweep analyses": {"task": "analytics.tasks.sweep_analyses", "schedule": 5, "options": {"expires": 5}},
    "build rollups": {"task": "analytics.tasks.build_rollups", "schedule": 60, "options": {"expires": 60}},
    "refresh figures": {"task": "analytics.tasks.refresh_figures", "schedule": 60, "options": {"expires": 60}},
    "prune readings": {
        "task": "analytics.tasks.prune_readings", "schedule": 300, "options": {"expires": 300},
    },
    "keep months ahead": {
        "task": "analytics.tasks.keep_months_ahead", "schedule": crontab(hour="3", minute="41"),
        "options": {"expires": 3600},
    },
    "prune analyses": {
        "task": "analytics.tasks.prune_analyses", "schedule": crontab(minute="17"), "options": {"expires": 3600},
    },
}  # fmt: skip

# Where HTTPS_ONLY is on, `check --deploy` has no warning. The API is never redirected: a POST would become a GET.
SECURE_SSL_REDIRECT = environment.https_only
SECURE_REDIRECT_EXEMPT = [r"^api/", r"^health/", r"^metrics$"]
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if environment.https_only else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = environment.https_only
SECURE_HSTS_PRELOAD = environment.https_only
SESSION_COOKIE_SECURE = environment.https_only
CSRF_COOKIE_SECURE = environment.https_only
X_FRAME_OPTIONS = "DENY"
CSRF_FAILURE_VIEW = "config.problems.csrf_failure"

# For scripts of other sites, with a token or a key: a session's cookie is not for them.
CORS_ALLOWED_ORIGINS = environment.cors_allowed_origins
CORS_URLS_REGEX = r"^/api/"
CORS_ALLOW_HEADERS = [*default_headers, "content-encoding", "x-request-id"]
CORS_EXPOSE_HEADERS = ["Location", "Retry-After", "X-Request-ID"]

LOGGING = logs.configured(environment.log_level, environment.log_format)
