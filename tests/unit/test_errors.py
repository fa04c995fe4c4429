"""Errors tell what to do, and whether to try again."""

from __future__ import annotations

import pytest

from krakendata import errors
from krakendata.errors import (
    ConfigurationError,
    ImportFileError,
    KrakenDataError,
    KrakenError,
    NotConnectedError,
    RateLimited,
    StorageError,
    StorageUnavailable,
    Unavailable,
    UnknownInterval,
    UnknownSymbol,
)

EVERY_ERROR = [getattr(errors, name) for name in errors.__all__]


@pytest.mark.parametrize("error", EVERY_ERROR)
def test_the_docstring_is_the_default_message(error: type[KrakenDataError]) -> None:
    assert str(error()) == error.__doc__


@pytest.mark.parametrize("error", EVERY_ERROR)
def test_every_error_is_ours(error: type[KrakenDataError]) -> None:
    assert issubclass(error, KrakenDataError)


@pytest.mark.parametrize("error", EVERY_ERROR)
def test_the_drawing_names_every_error(error: type[KrakenDataError]) -> None:
    assert error.__name__ in (errors.__doc__ or "")


def test_three_errors_are_worth_another_try() -> None:
    transient = {error for error in EVERY_ERROR if error.transient}
    assert transient == {Unavailable, RateLimited, StorageUnavailable}


def test_the_worlds_have_a_root_each() -> None:
    assert issubclass(RateLimited, KrakenError)
    assert issubclass(StorageUnavailable, StorageError)


def test_an_unconnected_provider_says_what_to_call() -> None:
    assert issubclass(NotConnectedError, RuntimeError)
    assert str(NotConnectedError()) == (
        "HistoricalDataProvider not connected. Call await provider.connect() first."
    )


def test_an_own_message_replaces_the_default() -> None:
    assert str(ConfigurationError("Set SECRET_KEY, for instance SECRET_KEY=abc.")).startswith(
        "Set SECRET_KEY"
    )


def test_an_unknown_symbol_names_the_remedy_and_the_closest() -> None:
    error = UnknownSymbol("XBTUDS", closest=["XBTUSD"])
    assert isinstance(error, ValueError)
    assert str(error) == (
        "Unknown symbol 'XBTUDS': name the pair with --symbol BASE/QUOTE, "
        "for instance --symbol BTC/USD. Closest known: XBTUSD."
    )


def test_an_unknown_interval_lists_the_known() -> None:
    error = UnknownInterval("2h", known=["1h", "4h"])
    assert isinstance(error, ValueError)
    assert str(error) == "Unknown interval '2h'. Known intervals: 1h, 4h."


def test_a_rate_limit_carries_the_wait() -> None:
    assert RateLimited(retry_after=3.5).retry_after == 3.5


@pytest.mark.parametrize(
    ("file", "line", "message"),
    [("a.csv", 7, "a.csv, line 7: No."), ("a.csv", None, "a.csv: No."), (None, None, "No.")],
)
def test_an_import_error_says_where(file: str | None, line: int | None, message: str) -> None:
    assert str(ImportFileError("No.", file=file, line=line)) == message
