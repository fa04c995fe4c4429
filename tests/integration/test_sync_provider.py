"""The provider without await: the same answers, from many threads, beside a running loop, after a fork."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from krakendata import series_pages, sync_provider
from krakendata.errors import IncompleteData, NotConnectedError, UnknownSymbol
from krakendata.historical_provider import HistoricalDataProvider
from krakendata.sync_provider import SyncHistoricalDataProvider
from krakendata.types import INTERVALS, Candle
from tests.fix_history import History

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def provider(history: History) -> Iterator[SyncHistoricalDataProvider]:
    with SyncHistoricalDataProvider(history.database, clock=history.clock) as connected:
        yield connected


async def test_it_answers_what_the_asynchronous_one_does(
    provider: SyncHistoricalDataProvider, history: History
) -> None:
    """And does so inside a running loop."""
    async with HistoricalDataProvider(history.database, clock=history.clock) as other:
        start, end = history.fence, history.fence + DAY
        assert provider.get_candles("XBTUSD", "1h", start, end, fill="flat") == await other.get_candles(
            "XBTUSD", "1h", start, end, fill="flat"
        )
        assert provider.get_warmup_data("BTC/USD", "4h", 9, require=None) == await other.get_warmup_data(
            "BTC/USD", "4h", 9, require=None
        )
        assert provider.get_multi_timeframe(
            "BTC/USD", ["1h", "4h"], limit=3
        ) == await other.get_multi_timeframe("BTC/USD", ["1h", "4h"], limit=3)
        assert list(provider.iter_candles("BTC/USD", "5m")) == [
            candle async for candle in other.iter_candles("BTC/USD", "5m")
        ]
        assert provider.get_coverage("BTC/USD", "1h") == await other.get_coverage("BTC/USD", "1h")
        assert provider.get_data_range("BTC/USD") == await other.get_data_range("BTC/USD")
        assert provider.get_holdings() == await other.get_holdings()
        assert provider.get_certificate("BTC/USD") == await other.get_certificate("BTC/USD")
        assert provider.get_trades("BTC/USD", start, end) == await other.get_trades("BTC/USD", start, end)
        assert provider.symbols.pairs == other.symbols.pairs


def test_many_threads_share_one(provider: SyncHistoricalDataProvider) -> None:
    with ThreadPoolExecutor(8) as threads:
        answers = list(
            threads.map(lambda name: provider.get_latest_candles("BTC/USD", name, 5), [*INTERVALS] * 4)
        )
    assert [answer.interval.name for answer in answers] == [*INTERVALS] * 4


def test_errors_come_through_as_they_are(provider: SyncHistoricalDataProvider, history: History) -> None:
    with pytest.raises(UnknownSymbol, match="BTC/USD"):
        provider.get_candles("NOPE", "1h")
    with pytest.raises(IncompleteData):
        provider.get_candles("BTC/USD", "1h", history.start - DAY, history.fence, require="complete")


def test_an_iterator_gives_what_comes_before_an_error(
    provider: SyncHistoricalDataProvider, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(series_pages, "PAGE", 10)
    monkeypatch.setattr(sync_provider, "ITEMS_AT_ONCE", 7)
    candles = provider.iter_candles("BTC/USD", "1h", history.fence, history.fence + 2 * DAY)
    assert len([next(candles) for _ in range(12)]) == 12
    provider.close()
    given: list[Candle] = []
    with pytest.raises(NotConnectedError):
        given.extend(candles)
    assert len(given) == 2


def test_an_iterator_refuses_what_makes_no_sense_before_its_first_item(
    provider: SyncHistoricalDataProvider, history: History
) -> None:
    with pytest.raises(ValueError, match="is after end"):
        provider.iter_candles("BTC/USD", "1h", history.now, history.fence)


def test_a_stream_is_iterated_and_left(provider: SyncHistoricalDataProvider) -> None:
    stream = provider.stream_candles("BTC/USD", "1h", history=3)
    assert len([next(stream) for _ in range(3)]) == 3
    stream.close()
    assert len(provider.get_latest_candles("BTC/USD", "1h", 1)) == 1


def test_close_ends_who_waits_and_its_thread(history: History) -> None:
    provider = SyncHistoricalDataProvider(history.database, clock=history.clock)
    provider.connect()
    provider.connect()
    stream = provider.stream_candles("BTC/USD", "1h")
    ended = threading.Event()

    def listen() -> None:
        with pytest.raises(NotConnectedError):
            next(stream)
        ended.set()

    listener = threading.Thread(target=listen)
    listener.start()
    provider.close()
    listener.join()
    assert ended.is_set()
    assert not [each for each in threading.enumerate() if each.name == "krakendata reader"]
    with pytest.raises(NotConnectedError, match="Sync"):
        provider.get_data_range("BTC/USD")
    with provider:
        assert provider.get_data_range("BTC/USD") is not None


def test_after_a_fork_it_is_not_connected_until_it_connects_anew(
    provider: SyncHistoricalDataProvider, history: History
) -> None:
    child = os.fork()
    if child == 0:
        # Nothing of the test run may go on in the child, whatever happens.
        code = 1
        try:
            try:
                provider.get_data_range("BTC/USD")
            except NotConnectedError:
                provider.connect()
                if provider.get_data_range("BTC/USD") is not None:
                    provider.close()
                    code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert provider.get_data_range("BTC/USD") is not None
