"""The one reader of the environment: variables in, checked values out, or one sentence saying what is wrong.

`Environment` reads variables; `from_process` makes one of the process's own and the project's `.env`, and the
functions below it give what `config/settings.py` asks for. No error shows a value: it may be a secret.
"""

import atexit
import functools
import ipaddress
import os
import re
import secrets
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import dj_database_url
from django.core.exceptions import ImproperlyConfigured
from dotenv import dotenv_values

from krakendata.errors import ConfigurationError
from krakendata.storage.embedded import start_server
from krakendata.storage.embedded_redis import start_redis
from krakendata.types import INTERVALS
from krakendata.uploads import UploadLimits

ROOT = Path(__file__).resolve().parent.parent
EMBEDDED_HOME = ROOT / "var" / "postgres"
ENGINES = {"timescale": "krakendata.db.timescale", "postgresql": "krakendata.db.postgresql"}
DATABASE_URL_EXAMPLE = (
    "timescale://krakendata:PASSWORD@localhost:5432/krakendata, or embedded: for a private server"
)
REPLICA_URL_EXAMPLE = "timescale://reader:PASSWORD@replica:5432/krakendata"
KRAKEN_REST_URL = "https://api.kraken.com"
KRAKEN_WEBSOCKET_URL = "wss://ws.kraken.com/v2"
# The customer's (design.md section 6): a reader of the database is no further behind than this.
LIVE_FLUSH_EVERY = timedelta(seconds=5)
# Long enough that a share's first calls do not count, short enough that pairs take turns and nobody waits for long.
WORKER_SHARE = timedelta(minutes=10)
DURATION_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
YES, NO = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")
# What `openssl rand -hex 24` gives is three times as long; what people make up is shorter.
LEAST_TOKEN_SIGNS = 16
# The shape of the customer's refresh policy for 5m (start 1 hour, end 5 minutes), in buckets.
REFRESH_START_BUCKETS, REFRESH_END_BUCKETS = 12, 1
REFRESH_LEAST_OFTEN = timedelta(hours=1)

for scheme, engine in ENGINES.items():
    dj_database_url.register(scheme, engine)


class SettingError(ConfigurationError, ImproperlyConfigured):
    """A setting is missing or malformed; Django's own error too, so that `manage.py help` still answers."""


@dataclass(frozen=True)
class Environment:
    """Variables by name, each also readable from the file that `NAME_FILE` points at (container secrets)."""

    variables: Mapping[str, str]

    def __repr__(self) -> str:
        """Name the variables only: any value may be a secret."""
        return f"Environment({', '.join(sorted(self.variables))})"

    def has(self, name: str) -> bool:
        return bool(self.variables.get(name) or self.variables.get(f"{name}_FILE"))

    def optional(self, name: str) -> str | None:
        """Give the variable's text, or its file's without the closing newline; None when neither is set."""
        if value := self.variables.get(name, "").strip():
            return value
        path = self.variables.get(f"{name}_FILE")
        if not path:
            return None
        try:
            value = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingError(f"{name}_FILE names a file that cannot be read: {path}.") from error
        if not value:
            raise SettingError(f"{name}_FILE names an empty file: {path}.")
        return value

    def required(self, name: str, example: str) -> str:
        value = self.optional(name)
        if value is None:
            raise SettingError(
                f"{name} is not set: add it to the environment or to .env (or point {name}_FILE at a file), "
                f"for example {name}={example}."
            )
        return value

    def flag(self, name: str, default: bool) -> bool:
        value = self.optional(name)
        if value is None:
            return default
        if value.lower() not in YES + NO:
            raise SettingError(f"{name} is neither yes nor no, for example {name}=true.")
        return value.lower() in YES

    def whole_number(self, name: str, default: int, least: int = 0) -> int:
        value = self.optional(name)
        if value is None:
            return default
        if not value.isascii() or not value.isdigit() or int(value) < least:
            raise SettingError(
                f"{name} is not a whole number of at least {least}, for example {name}={default}."
            )
        return int(value)

    def rate(self, name: str, default: float) -> float:
        """Read times a second, 0.5 say; 0 is no limit."""
        value = self.optional(name)
        if value is None:
            return default
        if re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", value) is None:
            raise SettingError(f"{name} is not a number of 0 or more, for example {name}=0.5.")
        return float(value)

    def duration(self, name: str, default: timedelta) -> timedelta:
        """Read a number and a unit (s m h d w), `90m` say."""
        value = self.optional(name)
        if value is None:
            return default
        match = re.fullmatch(r"([1-9][0-9]{0,5})([smhdw])", value)
        if match is None:
            raise SettingError(
                f"{name} is not a duration, which is a number and one of s m h d w, for example {name}=90m."
            )
        return timedelta(**{DURATION_UNITS[match[2]]: int(match[1])})

    def words(self, name: str, default: str) -> list[str]:
        """Read a list separated by commas."""
        return [word.strip() for word in (self.optional(name) or default).split(",") if word.strip()]


def from_process() -> Environment:
    """Read the process's environment, over that of `.env` (KRAKENDATA_ENV_FILE names another file)."""
    env_file = os.environ.get("KRAKENDATA_ENV_FILE") or str(ROOT / ".env")
    from_file = {name: value for name, value in dotenv_values(env_file).items() if value is not None}
    return Environment({**from_file, **os.environ})


def database(env: Environment) -> dict[str, Any]:
    """Give Django's settings of the database; an embedded server is started if it is not running."""
    url = _database_url(env)
    if url is None:
        return _database_from_parts(env)
    home = embedded_home(env)
    return _parsed(_started_url(home) if home else url)


def replica(env: Environment) -> dict[str, Any] | None:
    """Give Django's settings of a read replica; None where there is none."""
    url = env.optional("DATABASE_REPLICA_URL")
    if url is None:
        return None
    # What a test writes is read back at once.
    return {**_parsed(url, "DATABASE_REPLICA_URL", REPLICA_URL_EXAMPLE), "TEST": {"MIRROR": "default"}}


def embedded_home(env: Environment) -> Path | None:
    """Give the directory of the private server; None when DATABASE_URL asks for another server."""
    url = _database_url(env) or ""
    if not url.startswith("embedded:"):
        return None
    directory = url.removeprefix("embedded:")
    if directory and not directory.startswith("/"):
        raise SettingError(
            "DATABASE_URL asks for an embedded server in a relative path; an absolute one is, "
            "for example, DATABASE_URL=embedded:/srv/krakendata."
        )
    return Path(directory) if directory else EMBEDDED_HOME


def secret_key(env: Environment) -> str:
    """Give Django's secret key; with an embedded database it is made once and kept beside it, mode 0600."""
    home = embedded_home(env)
    if home is None or env.has("SECRET_KEY"):
        return env.required("SECRET_KEY", "$(openssl rand -base64 48)")
    # The start of the server has settled whose directory this is.
    _started_url(home)
    return _kept_secret(home / "secret_key")


def redis_url(env: Environment) -> str:
    """Give the address of Redis; beside an embedded database a private one is started if it is not running."""
    home = embedded_home(env)
    if home is not None and not env.has("REDIS_URL"):
        # The start of the server has settled whose directory this is.
        _started_url(home)
        return _started_redis_url(home / "redis")
    url = env.required("REDIS_URL", "redis://localhost:6379/0")
    if not _is_redis_address(url):
        raise SettingError(
            "REDIS_URL is not an address of Redis, for example REDIS_URL=redis://localhost:6379/0; signs such as / "
            "in its password are written %2F."
        )
    return url


def broker_url(redis_url: str) -> str:
    """Give the same Redis as Celery writes it, which has words of its own for a socket file."""
    if not redis_url.startswith("unix://"):
        return redis_url
    parts = urlsplit(redis_url)
    account = parts.netloc and f"{parts.netloc.removesuffix('@')}@"
    number = dict(parse_qsl(parts.query)).get("db", "0")
    return f"redis+socket://{account}{parts.path}?virtual_host={number}"


def _is_redis_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        # A password with a / in it shifts into the port, and whoever reads that later would quote it.
        return parts.scheme in ("redis", "rediss", "unix") and (parts.port is None or parts.port > 0)
    except ValueError:
        return False


def krakendata(env: Environment) -> dict[str, Any]:
    """Give the app's own settings, those of `.env.example`: numbers, texts, and timedeltas for durations."""
    numbers = {
        "RETENTION_TRADES_DAYS": env.whole_number("RETENTION_TRADES_DAYS", 90),
        "RETENTION_CANDLES_DAYS": env.whole_number("RETENTION_CANDLES_DAYS", 365),
        "COMPRESS_TRADES_AFTER_DAYS": env.whole_number("COMPRESS_TRADES_AFTER_DAYS", 7, least=1),
        "COMPRESS_CANDLES_AFTER_DAYS": env.whole_number("COMPRESS_CANDLES_AFTER_DAYS", 30, least=1),
        "IMPORT_PARALLEL_FILES": env.whole_number("IMPORT_PARALLEL_FILES", 2, least=1),
        "BACKFILL_PARALLEL_PAIRS": env.whole_number("BACKFILL_PARALLEL_PAIRS", 4, least=1),
        "GAP_FILL_PARALLEL_PAIRS": env.whole_number("GAP_FILL_PARALLEL_PAIRS", 4, least=1),
        "POOL_MIN_SIZE": env.whole_number("POOL_MIN_SIZE", 2, least=1),
        "POOL_MAX_SIZE": env.whole_number("POOL_MAX_SIZE", 10, least=1),
        "MAX_REJECTS_KEPT": env.whole_number("MAX_REJECTS_KEPT", 1000),
        "API_REQUESTS_PER_MINUTE": env.whole_number("API_REQUESTS_PER_MINUTE", 600),
    }
    if numbers["POOL_MIN_SIZE"] > numbers["POOL_MAX_SIZE"]:
        raise SettingError(
            "POOL_MIN_SIZE is above POOL_MAX_SIZE, for example POOL_MIN_SIZE=2 and POOL_MAX_SIZE=10."
        )
    jobs = {"DATABASE_JOBS": env.flag("DATABASE_JOBS", default=True)}
    parts = (_refresh_windows, _exchange, _live, _worker, _uploads, _metrics)
    return {**numbers, **jobs, **{name: value for part in parts for name, value in part(env).items()}}


def _live(env: Environment) -> dict[str, int | timedelta]:
    """Give how much a feed keeps of what is not written yet, and what calls for writing it."""
    numbers = {
        "LIVE_BUFFER_TRADES": env.whole_number("LIVE_BUFFER_TRADES", 10_000, least=1),
        "LIVE_BUFFER_CANDLES": env.whole_number("LIVE_BUFFER_CANDLES", 1_000, least=1),
        "LIVE_FLUSH_TRADES": env.whole_number("LIVE_FLUSH_TRADES", 100, least=1),
        "LIVE_FLUSH_CANDLES": env.whole_number("LIVE_FLUSH_CANDLES", 10, least=1),
    }
    for kind in ("TRADES", "CANDLES"):
        if numbers[f"LIVE_FLUSH_{kind}"] > numbers[f"LIVE_BUFFER_{kind}"]:
            raise SettingError(
                f"LIVE_FLUSH_{kind} is above LIVE_BUFFER_{kind}: so many never wait. Lower the one or raise the other."
            )
    every = env.duration("LIVE_FLUSH_EVERY", LIVE_FLUSH_EVERY)
    if every > LIVE_FLUSH_EVERY:
        raise SettingError(
            "LIVE_FLUSH_EVERY is above 5s, after which the live socket takes trades for written."
        )
    return {**numbers, "LIVE_FLUSH_EVERY": every}


def _worker(env: Environment) -> dict[str, timedelta | Path]:
    """Give how long a task works on a long deed, and the folder that workers watch, if any."""
    settings: dict[str, timedelta | Path] = {"WORKER_SHARE": env.duration("WORKER_SHARE", WORKER_SHARE)}
    if folder := env.optional("WATCH_FOLDER"):
        if not Path(folder).is_absolute():
            raise SettingError(
                "WATCH_FOLDER is not an absolute path, for example WATCH_FOLDER=/srv/kraken-archives."
            )
        settings["WATCH_FOLDER"] = Path(folder)
    return settings


def _uploads(env: Environment) -> dict[str, int | Path]:
    """Give where uploads are kept (beside an embedded database, unless another folder is named) and their limits."""
    limits = UploadLimits()
    settings: dict[str, int | Path] = {
        "UPLOAD_MAX_BYTES": env.whole_number("UPLOAD_MAX_BYTES", limits.file_bytes, least=1),
        "UPLOAD_MAX_UNPACKED_BYTES": env.whole_number(
            "UPLOAD_MAX_UNPACKED_BYTES", limits.unpacked_bytes, least=1
        ),
    }
    folder = env.optional("UPLOAD_DIR")
    if folder is not None and not Path(folder).is_absolute():
        raise SettingError("UPLOAD_DIR is not an absolute path, for example UPLOAD_DIR=/srv/kraken-uploads.")
    home = embedded_home(env) if env.has("DATABASE_URL") else None
    if folder is not None:
        settings["UPLOAD_DIR"] = Path(folder)
    elif home is not None:
        settings["UPLOAD_DIR"] = home / "uploads"
    return settings


def _metrics(env: Environment) -> dict[str, Any]:
    """Give who may read /metrics: who knows a token, who asks from some networks; without either nobody may."""
    settings: dict[str, Any] = {}
    if token := env.optional("METRICS_TOKEN"):
        if len(token) < LEAST_TOKEN_SIGNS:
            raise SettingError(
                f"METRICS_TOKEN has fewer than {LEAST_TOKEN_SIGNS} signs, for example "
                "METRICS_TOKEN=$(openssl rand -hex 24)."
            )
        settings["METRICS_TOKEN"] = token
    try:
        networks = [ipaddress.ip_network(each) for each in env.words("METRICS_NETWORKS", "")]
    except ValueError:
        raise SettingError(
            "METRICS_NETWORKS is not a list of networks, for example METRICS_NETWORKS=10.0.0.0/8,fd00::/8."
        ) from None
    return {**settings, "METRICS_NETWORKS": networks} if networks else settings


def _exchange(env: Environment) -> dict[str, str | float]:
    """Give where the exchange is and how often it may be called."""
    url = env.optional("KRAKEN_REST_URL") or KRAKEN_REST_URL
    if not _is_web_address(url):
        raise SettingError(
            f"KRAKEN_REST_URL is not the address of a web server, for example KRAKEN_REST_URL={KRAKEN_REST_URL}."
        )
    socket_url = env.optional("KRAKEN_WEBSOCKET_URL") or KRAKEN_WEBSOCKET_URL
    if not _is_web_address(socket_url, ("ws", "wss")):
        raise SettingError(
            "KRAKEN_WEBSOCKET_URL is not the address of a WebSocket, for example "
            f"KRAKEN_WEBSOCKET_URL={KRAKEN_WEBSOCKET_URL}."
        )
    return {
        "KRAKEN_REST_URL": url,
        "KRAKEN_WEBSOCKET_URL": socket_url,
        "KRAKEN_CALLS_PER_SECOND_PER_PAIR": env.rate("KRAKEN_CALLS_PER_SECOND_PER_PAIR", 1.0),
        "KRAKEN_CALLS_PER_SECOND": env.rate("KRAKEN_CALLS_PER_SECOND", 5.0),
    }


def _is_web_address(url: str, schemes: tuple[str, ...] = ("http", "https")) -> bool:
    """Tell whether it has a scheme and a host, and no account, which messages would show."""
    try:
        parts = urlsplit(url)
        return (
            parts.scheme in schemes
            and bool(parts.hostname)
            and "@" not in parts.netloc
            and not parts.query + parts.fragment
            and (parts.port is None or parts.port > 0)
        )
    except ValueError:
        return False


def _refresh_windows(env: Environment) -> dict[str, timedelta]:
    windows = {}
    for interval in INTERVALS.values():
        if interval.parent is None:
            continue
        bucket = timedelta(minutes=interval.minutes)
        name = f"REFRESH_{interval.name.upper()}"
        windows[f"{name}_START"] = env.duration(f"{name}_START", REFRESH_START_BUCKETS * bucket)
        windows[f"{name}_END"] = env.duration(f"{name}_END", REFRESH_END_BUCKETS * bucket)
        windows[f"{name}_EVERY"] = env.duration(f"{name}_EVERY", min(bucket, REFRESH_LEAST_OFTEN))
    return windows


def _database_url(env: Environment) -> str | None:
    url = env.optional("DATABASE_URL")
    if url is None and not env.has("DB_HOST"):
        env.required("DATABASE_URL", DATABASE_URL_EXAMPLE)
    return url


def _parsed(url: str, name: str = "DATABASE_URL", example: str = DATABASE_URL_EXAMPLE) -> dict[str, Any]:
    scheme = url.partition(":")[0]
    if scheme not in ENGINES:
        private = ", or embedded: for a private server" if name == "DATABASE_URL" else ""
        known = (
            "timescale:// nor postgresql://" if not private else "timescale://, postgresql:// nor embedded:"
        )
        raise SettingError(f"{name} starts with neither {known}, for example {name}={example}.")
    try:
        parsed = dict(dj_database_url.parse(url))
    except ValueError:
        parsed = {}
    if not parsed.get("HOST") or not parsed.get("NAME"):
        # The parser's own error is dropped with its context, which holds the password.
        raise SettingError(
            f"{name} is not an address of a database (in a password, @ : / are written %40 %3A %2F), "
            f"for example {name}={example}."
        ) from None
    return parsed


def _database_from_parts(env: Environment) -> dict[str, Any]:
    engine = env.optional("DB_ENGINE") or "timescale"
    if engine not in ENGINES:
        raise SettingError("DB_ENGINE is neither timescale nor postgresql, for example DB_ENGINE=timescale.")
    return {
        "ENGINE": ENGINES[engine],
        "HOST": env.required("DB_HOST", "localhost"),
        "PORT": env.whole_number("DB_PORT", 5432, least=1),
        "NAME": env.required("DB_NAME", "krakendata"),
        "USER": env.required("DB_USER", "krakendata"),
        "PASSWORD": env.required("DB_PASSWORD", "the-password-of-that-user"),
    }


@functools.cache
def _started_url(home: Path) -> str:
    """Start (or join) the private server for the rest of this process; the last process to leave stops it."""
    server = start_server(home)
    _release_at_exit(server.release)
    return server.url


@functools.cache
def _started_redis_url(home: Path) -> str:
    """Start (or join) the private Redis likewise."""
    server = start_redis(home)
    _release_at_exit(server.release)
    return server.url


def _release_at_exit(release: Callable[[], None]) -> None:
    atexit.register(release)
    # Python's own answer to them skips atexit; who has another answer (uvicorn, Celery, nohup) keeps it.
    if threading.current_thread() is threading.main_thread():
        for end in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(end) is signal.SIG_DFL:
                signal.signal(end, lambda number, _frame: sys.exit(128 + number))


def _kept_secret(path: Path) -> str:
    if not path.exists():
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(48), encoding="ascii")
        # Of two processes starting at once, the first to link wins and both read the same key.
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text(encoding="ascii")
