"""Everything that can go wrong, told so that the reader knows what to do and whether to try again.

    KrakenDataError
        ConfigurationError                      says which variable to set, and an example
        NotConnectedError (RuntimeError)        the provider was used before connect()
        UnknownSymbol (ValueError)              name; names the remedy and the closest known ones
        UnknownInterval (ValueError)            name; lists the known ones, and the rule for those in between
        IncompleteData                          holes and provisional stretches: less than `require` asked for
        NotEnoughCandles                        wanted, found: too few for a warm-up
        NotListed (ValueError)                  name; the exchange lists no such pair, or lists it no more
        NothingStored (ValueError)              name; nothing of the pair is stored in that time
        NotExact (ValueError)                   a number has more digits than an exact column holds
        NotInstalled (ImportError)              package; says what to install
        CorrectionRefused (ValueError)          a rejected record cannot be corrected so
        NotDecided (ValueError)                 a decision about rejected records lacks its name or its reason
        KrakenError                             the exchange
            Unavailable *                       no answer, or not one of the API's
            RateLimited *                       retry_after: seconds, or None when it did not say
            Refused                             the same question will be refused again
        StorageError                            the database
            StorageUnavailable *
            StorageRefused                      is_about_data: some record in it is what it refused
        ImportFileError                         file and line
        ExportError                             files cannot be written there

The starred ones are transient: the same call may succeed later. Only long deeds (a backfill, page by page) and the
edges (tasks, commands, the reconnect loop) retry, and they ask only `error.transient`. A class's docstring is its
default message.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import ClassVar

__all__ = [
    "ConfigurationError",
    "CorrectionRefused",
    "ExportError",
    "ImportFileError",
    "IncompleteData",
    "KrakenDataError",
    "KrakenError",
    "NotConnectedError",
    "NotDecided",
    "NotEnoughCandles",
    "NotExact",
    "NotInstalled",
    "NotListed",
    "NothingStored",
    "RateLimited",
    "Refused",
    "StorageError",
    "StorageRefused",
    "StorageUnavailable",
    "Unavailable",
    "UnknownInterval",
    "UnknownSymbol",
]

# A stretch of time, start and end, aware UTC.
Span = tuple[datetime, datetime]
SPANS_TOLD = 3


class KrakenDataError(Exception):
    """Something went wrong in krakendata."""

    transient: ClassVar[bool] = False

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message if message is not None else inspect.getdoc(type(self)))


class ConfigurationError(KrakenDataError):
    """A setting is missing or malformed."""


class NotConnectedError(KrakenDataError, RuntimeError):
    """HistoricalDataProvider not connected. Call await provider.connect() first."""


class UnknownSymbol(KrakenDataError, ValueError):
    """The symbol is unknown; name it with --symbol BASE/QUOTE, for instance --symbol BTC/USD."""

    def __init__(self, name: str | None = None, closest: Iterable[str] = ()) -> None:
        self.name = name
        self.closest = tuple(closest)
        super().__init__(None if name is None else self._message(name))

    def _message(self, name: str) -> str:
        known = f" Closest known: {', '.join(self.closest)}." if self.closest else ""
        return (
            f"Unknown symbol {name!r}: name the pair with --symbol BASE/QUOTE, "
            f"for instance --symbol BTC/USD.{known}"
        )


class UnknownInterval(KrakenDataError, ValueError):
    """The interval is unknown."""

    def __init__(self, name: object = None, known: Iterable[str] = (), rule: str = "") -> None:
        self.name = name
        self.known = tuple(known)
        listed = f" Known intervals: {', '.join(self.known)}." if self.known else ""
        told = f" {rule}" if rule else ""
        super().__init__(None if name is None else f"Unknown interval {name!r}.{listed}{told}")


class IncompleteData(KrakenDataError):
    """The time asked for is not as complete as required; manage.py coverage shows what is missing."""

    def __init__(
        self, symbol: str | None = None, holes: Iterable[Span] = (), provisional: Iterable[Span] = ()
    ) -> None:
        self.symbol = symbol
        self.holes = tuple(holes)
        self.provisional = tuple(provisional)
        super().__init__(None if symbol is None else self._message(symbol))

    def _message(self, symbol: str) -> str:
        parts = []
        if self.holes:
            parts.append(f"{symbol} is not covered from {_told(self.holes)}")
        if self.provisional:
            parts.append(f"{symbol} is provisional, not proven, from {_told(self.provisional)}")
        return (
            f"{'; '.join(parts)}. manage.py backfill {symbol} fetches what the exchange still has, "
            f"manage.py coverage {symbol} shows what is held."
        )


class NotEnoughCandles(KrakenDataError):
    """There are fewer closed candles than asked for; manage.py backfill fetches older ones."""

    def __init__(
        self, symbol: str | None = None, interval: str = "", wanted: int = 0, found: int = 0, why: str = ""
    ) -> None:
        self.symbol = symbol
        self.interval = interval
        self.wanted = wanted
        self.found = found
        told = (
            f"{found} of {wanted} closed {interval} candles of {symbol} are there{why}. "
            f"manage.py backfill {symbol} fetches older ones from the exchange, manage.py import_csv from its archives."
        )
        super().__init__(None if symbol is None else told)


class NotListed(KrakenDataError, ValueError):
    """The exchange does not list the pair; look its name up with manage.py import_pairs --api and in the admin."""

    def __init__(self, name: str | None = None, why: str = "") -> None:
        self.name = name
        super().__init__(None if name is None else f"{name} cannot be tracked: {why}")


class NothingStored(KrakenDataError, ValueError):
    """Nothing of the pair is stored in that time; manage.py coverage shows what is."""

    def __init__(self, name: str | None = None) -> None:
        self.name = name
        told = f"Nothing of {name} is stored in that time: manage.py coverage {name} shows what is."
        super().__init__(None if name is None else told)


class NotExact(KrakenDataError, ValueError):
    """A number has more than 18 decimals, or 20 digits before the point: ask for floats, or for candles as objects."""


class NotInstalled(KrakenDataError, ImportError):
    """A package that krakendata runs without is not installed."""

    def __init__(self, package: str | None = None) -> None:
        self.package = package
        told = f"{package} is not installed: pip install 'krakendata[{package}]'."
        super().__init__(None if package is None else told)


class CorrectionRefused(KrakenDataError, ValueError):
    """The record cannot be corrected so."""


class NotDecided(KrakenDataError, ValueError):
    """A decision about rejected records lacks its name (--by NAME) or its reason (--why REASON)."""


class KrakenError(KrakenDataError):
    """The exchange did not give what was asked for."""


class Unavailable(KrakenError):
    """The exchange cannot be reached or is in maintenance; trying again later may help."""

    transient = True


class RateLimited(KrakenError):
    """The exchange asks for fewer requests; wait before the next one."""

    transient = True

    def __init__(self, message: str | None = None, retry_after: float | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class Refused(KrakenError):
    """The exchange refused the request, and will refuse it again."""


class StorageError(KrakenDataError):
    """The database did not do what was asked of it."""


class StorageUnavailable(StorageError):
    """The database cannot be reached or is busy; trying again later may help."""

    transient = True


class StorageRefused(StorageError):
    """The database refused the statement, and will refuse it again."""

    def __init__(self, message: str | None = None, is_about_data: bool = False) -> None:
        self.is_about_data = is_about_data
        super().__init__(message)


class ImportFileError(KrakenDataError):
    """The file cannot be imported."""

    def __init__(self, message: str | None = None, file: str | None = None, line: int | None = None) -> None:
        self.file = file
        self.line = line
        super().__init__(message)

    def __str__(self) -> str:
        where = [str(self.file)] if self.file is not None else []
        where += [f"line {self.line}"] if self.line is not None else []
        return ": ".join([", ".join(where), super().__str__()] if where else [super().__str__()])


class ExportError(KrakenDataError):
    """The files of an export cannot be written there."""


def _told(spans: Sequence[Span]) -> str:
    """The first few, and how many more."""
    shown = [f"{start:%Y-%m-%d %H:%M:%S} to {end:%Y-%m-%d %H:%M:%S}" for start, end in spans[:SPANS_TOLD]]
    more = f" and {len(spans) - SPANS_TOLD} more" if len(spans) > SPANS_TOLD else ""
    return f"{', '.join(shown)}{more}"
