"""The app's settings (`settings.KRAKENDATA`) in the form the deeds take them; defaults are the customer's."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings

from krakendata.ingest.csv_import import MAX_REJECTS_KEPT
from krakendata.ingest.upload_files import UploadFolder
from krakendata.ingest.writer import BufferLimits
from krakendata.kraken.pacing import Limits
from krakendata.kraken.rest import KRAKEN
from krakendata.kraken.websocket import KRAKEN as KRAKEN_SOCKET
from krakendata.metrics.access import Network
from krakendata.storage.pool import MAX_SIZE, MIN_SIZE
from krakendata.storage.upkeep import Refresh, UpkeepSettings, default_refresh
from krakendata.types import INTERVALS, Interval
from krakendata.uploads import UploadLimits


def options() -> dict[str, Any]:
    """The dictionary as the project set it; empty where it set none."""
    return dict(getattr(settings, "KRAKENDATA", {}))


def upkeep_settings() -> UpkeepSettings:
    """Retention, compression and refresh windows."""
    given = options()
    defaults = UpkeepSettings()
    return UpkeepSettings(
        trades_days=given.get("RETENTION_TRADES_DAYS", defaults.trades_days),
        candles_days=given.get("RETENTION_CANDLES_DAYS", defaults.candles_days),
        compress_trades_after=_days(given, "COMPRESS_TRADES_AFTER_DAYS", defaults.compress_trades_after),
        compress_candles_after=_days(given, "COMPRESS_CANDLES_AFTER_DAYS", defaults.compress_candles_after),
        refresh={
            interval.name: _refresh(given, interval)
            for interval in INTERVALS.values()
            if interval.parent is not None
        },
        scheduled=given.get("DATABASE_JOBS", True),
    )


def rest_url() -> str:
    """Where the exchange's REST API is."""
    return str(options().get("KRAKEN_REST_URL", KRAKEN))


def websocket_url() -> str:
    """Where the exchange's WebSocket v2 is."""
    return str(options().get("KRAKEN_WEBSOCKET_URL", KRAKEN_SOCKET))


def max_rejects_kept() -> int:
    """How many rejected records are kept per run and reason."""
    return int(options().get("MAX_REJECTS_KEPT", MAX_REJECTS_KEPT))


def buffer_limits() -> BufferLimits:
    """How much a feed keeps of what is not written yet, and what calls for writing it."""
    given = options()
    defaults = BufferLimits()
    every: timedelta = given.get("LIVE_FLUSH_EVERY", timedelta(seconds=defaults.flush_seconds))
    return BufferLimits(
        trades=given.get("LIVE_BUFFER_TRADES", defaults.trades),
        candles=given.get("LIVE_BUFFER_CANDLES", defaults.candles),
        flush_trades=given.get("LIVE_FLUSH_TRADES", defaults.flush_trades),
        flush_candles=given.get("LIVE_FLUSH_CANDLES", defaults.flush_candles),
        flush_seconds=every.total_seconds(),
    )


def call_limits() -> Limits:
    """How often the exchange may be called."""
    given = options()
    defaults = Limits()
    return Limits(
        per_pair=given.get("KRAKEN_CALLS_PER_SECOND_PER_PAIR", defaults.per_pair),
        per_address=given.get("KRAKEN_CALLS_PER_SECOND", defaults.per_address),
    )


def pool_sizes() -> tuple[int, int]:
    """How many connections a reader's pool keeps open, and opens at most."""
    given = options()
    return given.get("POOL_MIN_SIZE", MIN_SIZE), given.get("POOL_MAX_SIZE", MAX_SIZE)


def requests_per_minute() -> int:
    """How many requests a minute each caller of the HTTP API may make, unless its token says otherwise; 0: any."""
    return int(options().get("API_REQUESTS_PER_MINUTE", 600))


def metrics_token() -> str | None:
    """What a scraper of /metrics says to be let in; None: there is no such word."""
    token: str | None = options().get("METRICS_TOKEN")
    return token


def metrics_networks() -> Sequence[Network]:
    """From where /metrics may be read without it."""
    networks: Sequence[Network] = options().get("METRICS_NETWORKS", ())
    return networks


def worker_share() -> timedelta:
    """How long one task works on a long deed before it queues what is left."""
    share: timedelta = options().get("WORKER_SHARE", timedelta(minutes=10))
    return share


def watch_folder() -> Path | None:
    """The folder whose archives workers import; None where there is none."""
    folder: Path | None = options().get("WATCH_FOLDER")
    return folder


def upload_folder() -> UploadFolder | None:
    """Where uploads are kept, for the web server and the workers alike; None where nothing can be uploaded."""
    folder: Path | None = options().get("UPLOAD_DIR")
    return None if folder is None else UploadFolder(folder.absolute())


def upload_limits() -> UploadLimits:
    """How large an uploaded file may be, and what it may unpack to."""
    given = options()
    defaults = UploadLimits()
    return UploadLimits(
        file_bytes=given.get("UPLOAD_MAX_BYTES", defaults.file_bytes),
        unpacked_bytes=given.get("UPLOAD_MAX_UNPACKED_BYTES", defaults.unpacked_bytes),
    )


def _days(given: dict[str, Any], name: str, otherwise: timedelta) -> timedelta:
    return timedelta(days=given[name]) if name in given else otherwise


def _refresh(given: dict[str, Any], interval: Interval) -> Refresh:
    default = default_refresh(interval.length)
    prefix = f"REFRESH_{interval.name.upper()}"
    return Refresh(
        start=given.get(f"{prefix}_START", default.start),
        end=given.get(f"{prefix}_END", default.end),
        every=given.get(f"{prefix}_EVERY", default.every),
    )
