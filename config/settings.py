"""Django's settings, made of what `config/env.py` read."""

import sys
from datetime import timedelta

from kombu.entity import Queue

from config import env
from config.unfold import UNFOLD as UNFOLD

BASE_DIR = env.ROOT
ENVIRONMENT = env.from_process()

DATABASES = {"default": env.database(ENVIRONMENT)}
if (REPLICA := env.replica(ENVIRONMENT)) is not None:
    DATABASES["replica"] = REPLICA
DATABASE_ROUTERS = ["krakendata.db.router.ReplicaRouter"]
SECRET_KEY = env.secret_key(ENVIRONMENT)
REDIS_URL = env.redis_url(ENVIRONMENT)
KRAKENDATA = env.krakendata(ENVIRONMENT)
DEBUG = ENVIRONMENT.flag("DEBUG", default=False)
ALLOWED_HOSTS = ENVIRONMENT.words("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = ENVIRONMENT.words("CSRF_TRUSTED_ORIGINS", "")
# Behind a proxy that speaks HTTPS to the world, cookies travel by HTTPS alone.
IS_BEHIND_HTTPS = bool(CSRF_TRUSTED_ORIGINS) and all(
    each.startswith("https://") for each in CSRF_TRUSTED_ORIGINS
)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = IS_BEHIND_HTTPS
# A session that nobody uses ends in a working week, not in Django's two.
SESSION_COOKIE_AGE = int(timedelta(days=5).total_seconds())
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
# The proxy says how the world asked it; whoever reaches this server without it gains nothing by saying the same.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if IS_BEHIND_HTTPS else None
SECURE_SSL_REDIRECT = IS_BEHIND_HTTPS and ENVIRONMENT.flag("HTTPS_REDIRECT", default=True)
SECURE_HSTS_SECONDS = ENVIRONMENT.whole_number("HSTS_SECONDS", 2_592_000) if IS_BEHIND_HTTPS else 0
# These two would bind all hosts of the domain, of which this server is one: not ours to say.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
DEFAULT_EXCEPTION_REPORTER_FILTER = "config.reports.SecretsHidden"

# Three orders matter: daphne's runserver before staticfiles', unfold before the admin it dresses, and
# krakendata after django_celery_beat, whose admin pages it registers again.
INSTALLED_APPS = [
    "daphne",
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    # Without its own files the page to try the API on would load its scripts from other hosts.
    "ninja",
    "django_celery_beat",
    "krakendata",
]
# Balancers and Prometheus ask by addresses, over HTTP, without a session: they are answered first. The page for when
# the database is away is last: nearest to the pages that find it so.
MIDDLEWARE = [
    "krakendata.metrics.middleware.machines",
    "krakendata.security.content_policy.content_policy_middleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "krakendata.security.operator_log.operator_log_middleware",
    "krakendata.security.away.DatabaseAway",
]
ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        # A page of the admin's own can be replaced from here alone: unfold stands before krakendata.
        "DIRS": [BASE_DIR / "config" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.debug",
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]

# Django sets the process's own clock to TIME_ZONE, America/Chicago unless told otherwise.
TIME_ZONE = "UTC"
USE_TZ = True
LANGUAGE_CODE = "en-us"
USE_I18N = False

STATIC_URL = "static/"
COLLECTED_FILES = BASE_DIR / "static"
# Collected files bear fingerprints in their names; where none were collected they are served as they lie.
IS_COLLECTED = (COLLECTED_FILES / "staticfiles.json").exists() or "collectstatic" in sys.argv
# whitenoise warns of a root that is not there.
STATIC_ROOT = COLLECTED_FILES if IS_COLLECTED else None
WHITENOISE_USE_FINDERS = not IS_COLLECTED
STATICFILES_BACKEND = (
    "whitenoise.storage.CompressedManifestStaticFilesStorage"
    if IS_COLLECTED
    else "django.contrib.staticfiles.storage.StaticFilesStorage"
)
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": STATICFILES_BACKEND},
}

CELERY_BROKER_URL = env.broker_url(REDIS_URL)
CELERY_RESULT_BACKEND = CELERY_BROKER_URL
# A state that cannot be told at once is not told: the run in the database has it too.
CELERY_RESULT_BACKEND_TRANSPORT_OPTIONS = {"retry_policy": {"max_retries": 1, "interval_max": 0.1}}
CELERY_RESULT_EXPIRES = timedelta(days=1)
# Longer than a share: a message that comes back sooner would find its work going on, and leave.
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": max(timedelta(hours=1), 3 * KRAKENDATA["WORKER_SHARE"]).total_seconds()
}
# Redis may restart while a task has something to queue: half a minute is more than that takes.
CELERY_TASK_PUBLISH_RETRY_POLICY = {
    "max_retries": 12,
    "interval_start": 0.1,
    "interval_step": 0.5,
    "interval_max": 3,
}
# What takes long waits in a line of its own, so that some workers can be kept for what is due every minute.
CELERY_TASK_DEFAULT_QUEUE = "krakendata"
CELERY_TASK_QUEUES = [Queue(name) for name in ("krakendata", "krakendata.long")]  # type: ignore[no-untyped-call]
CELERY_TASK_ROUTES = {
    f"krakendata.tasks.{name}": {"queue": "krakendata.long"}
    for name in (
        *("backfill", "import_files", "import_watched_folder", "audit"),
        *("check_upload", "replay_rejects", "dismiss_rejects"),
    )
}
# A worker takes one message for each of its processes: what waits behind a long one another worker may take.
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
# Tasks wait for the exchange, not for a processor.
CELERY_WORKER_CONCURRENCY = 4
# Beat notes at once what it has started, not every three minutes: the desk tells by it whether the timetable goes on.
CELERY_BEAT_SYNC_EVERY = 1
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
CELERY_TIMEZONE = TIME_ZONE
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        # redis-py 8 ends a quiet connection after 5 seconds unless told not to.
        "CONFIG": {"hosts": [{"address": REDIS_URL, "socket_timeout": None}]},
    }
}
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    # httpx has a line for every call.
    "loggers": {"httpx": {"level": "WARNING"}},
}
