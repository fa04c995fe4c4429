"""Everything that can go wrong, told so that the reader knows what to do and whether to try again.

    KrakenDataError
        ConfigurationError                      says which variable to set, and an example
        NotConnectedError (RuntimeError)        the provider was used before connect()
        UnknownSymbol (ValueError)              name; names the remedy and the closest known ones
        UnknownInterval (ValueError)            name; lists the known ones
        NotListed (ValueError)                  name; the exchange lists no such pair, or lists it no more
        NothingStored (ValueError)              name; nothing of the pair is stored in that time
        NotExact (ValueError)                   a number has more digits than an exact column holds
        NotInstalled (ImportError)              package; says what to install
        KrakenError                             the exchange
            Unavailable *                       no answer, or not one of the API's
            RateLimited *                       retry_after: seconds, or None when it did not say
            Refused                             the same question will be refused again
        StorageError                            the database
            StorageUnavailable *
            StorageRefused                      is_about_data: some record in it is what it refused
        ImportFileError                         file and line

The starred ones are transient: the same call may succeed later. Only long deeds (a backfill, page by page) and the
edges (tasks, commands, the reconnect loop) retry, and they ask only `error.transient`. A class's docstring is its
default message.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import ClassVar

__all__ = [
    "ConfigurationError",
    "ImportFileError",
    "KrakenDataError",
    "KrakenError",
    "NotConnectedError",
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

    def __init__(self, name: object = None, known: Iterable[str] = ()) -> None:
        self.name = name
        self.known = tuple(known)
        listed = f" Known intervals: {', '.join(self.known)}." if self.known else ""
        super().__init__(None if name is None else f"Unknown interval {name!r}.{listed}")


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
