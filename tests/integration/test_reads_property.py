"""Any interval, any range, any fill, over random markets with holes: the provider answers as a naive reference does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from krakendata import series_pages
from krakendata.errors import IncompleteData, NotEnoughCandles
from krakendata.filling import Fill
from krakendata.gaps import Stretch
from krakendata.historical_provider import HistoricalDataProvider
from tests.fix_storage import Store
from tests.random_market import BEGINNING, NOW, SYMBOL, made_market, write_market
from tests.reference_reads import BASES, KRAKEN_OPENED, Row, Truth, after, alike, start_of

DAY = timedelta(days=1)
# So many buckets are asked for at most: the reference looks at each of them for each of the others.
MOST_BUCKETS = 700
FILLS: tuple[Fill, ...] = ("none", "flat", "null")
LONG = [name for name in BASES if BASES[name] >= 60]

unhurried = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


class Known:
    """A market that is written, the provider that reads it, and the truth."""

    def __init__(self, seed: int, provider: HistoricalDataProvider, truth: Truth) -> None:
        self.seed, self.provider, self.truth = seed, provider, truth

    def __repr__(self) -> str:
        # Hypothesis prints it with each failure.
        return f"Known({self.seed})"


@pytest.fixture(params=range(8), ids=lambda seed: f"market {seed}")
async def known(request: pytest.FixtureRequest, store: Store) -> AsyncIterator[Known]:
    market = made_market(request.param)
    await write_market(store, market)
    async with HistoricalDataProvider(store.database, clock=lambda: NOW) as provider:
        yield Known(request.param, provider, market.truth())


@dataclass(frozen=True)
class Question:
    name: str
    start: datetime | None
    end: datetime | None
    fill: Fill
    include_open: bool
    limit: int | None


@st.composite
def questions(draw: st.DrawFn) -> Question:
    """Ranges before, in and beyond the market; few buckets, or of long intervals all."""
    fill = draw(st.sampled_from(FILLS))
    name = draw(st.sampled_from(sorted(BASES)))
    moments = st.integers(0, int((NOW - BEGINNING + 6 * DAY) / timedelta(seconds=1))).map(
        lambda second: BEGINNING - 3 * DAY + timedelta(seconds=second)
    )
    start: datetime | None = draw(moments)
    end: datetime | None = None
    if name in LONG and draw(st.booleans()):
        start = draw(st.none() | moments)
        end = draw(st.none() | moments)
        if start is not None and end is not None and start > end:
            start, end = end, start
    elif start is not None:
        bucket = after(start_of(start, name), name) - start_of(start, name)
        end = min(start + draw(st.integers(0, MOST_BUCKETS)) * bucket, NOW + DAY)
        end = max(start, end)
    limit = draw(st.none() | st.integers(1, 300))
    return Question(name, start, end, fill, draw(st.booleans()), limit)


def wanted_rows(truth: Truth, asked: Stretch, question: Question, limit: int | None = None) -> list[Row]:
    rows = truth.candles(question.name, asked, question.fill)
    return rows if limit is None else rows[-limit:]


def assert_alike(found: list[Row], wanted: list[Row]) -> None:
    assert [row[1] for row in found] == [row[1] for row in wanted]
    for one, other in zip(found, wanted, strict=True):
        assert alike(one, other), f"{one}\n{other}"


@unhurried
@given(question=questions())
async def test_candles_of_any_interval_range_and_fill_are_the_references(
    known: Known, question: Question
) -> None:
    truth = known.truth
    asked = truth.asked(question.name, question.start, question.end, question.include_open)
    wanted = wanted_rows(truth, asked, question, question.limit)
    found = await known.provider.get_candles(
        SYMBOL,
        question.name,
        question.start,
        question.end,
        question.limit,
        question.include_open,
        fill=question.fill,
    )
    assert_alike(list(map(tuple, found)), wanted)
    if question.limit is not None and len(wanted) == question.limit:
        asked = Stretch(wanted[0][1], asked.end)
    assert found.coverage == truth.coverage(question.name, asked)
    forming = start_of(NOW, question.name)
    assert found.forming == next((candle for candle in found if candle.timestamp >= forming), None)
    assert [candle.timestamp for candle in found if candle.is_synthetic] == [
        row[1] for row in wanted if not row[8]
    ]


@unhurried
@given(question=questions(), page=st.integers(1, 80))
async def test_candles_page_by_page_are_the_references(known: Known, question: Question, page: int) -> None:
    asked = known.truth.asked(question.name, question.start, question.end)
    wanted = wanted_rows(known.truth, asked, question)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(series_pages, "PAGE", max(page, len(wanted) // 20))
        asking = known.provider.iter_candles(
            SYMBOL, question.name, question.start, question.end, fill=question.fill
        )
        async with aclosing(asking) as candles:
            assert_alike([tuple(candle) async for candle in candles], wanted)


@unhurried
@given(question=questions(), n=st.integers(1, 300), require=st.sampled_from([None, "complete", "proven"]))
async def test_a_warm_up_is_the_last_closed_candles_or_an_error(
    known: Known, question: Question, n: int, require: str | None
) -> None:
    truth = known.truth
    is_whole = question.name in LONG or question.fill == "none"
    asked = truth.asked(question.name, None if is_whole else NOW - 2 * DAY, None)
    options = {"fill": question.fill, "require": require, "patience": timedelta(0)}
    rows = wanted_rows(truth, asked, question, n)
    if len(rows) < n and not is_whole:
        return
    holes = truth.coverage(question.name, Stretch(rows[0][1] if rows else KRAKEN_OPENED, asked.end))
    asking = known.provider.get_warmup_data(SYMBOL, question.name, n, **options)  # type: ignore[arg-type]
    if len(rows) < n:
        with pytest.raises(NotEnoughCandles) as few:
            await asking
        assert (few.value.wanted, few.value.found) == (n, len(rows))
    elif require and (holes.holes or (require == "proven" and holes.provisional)):
        with pytest.raises(IncompleteData) as incomplete:
            await asking
        assert incomplete.value.holes == holes.holes
    else:
        assert_alike(list(map(tuple, await asking)), rows)


@unhurried
@given(names=st.lists(st.sampled_from(LONG), min_size=1, max_size=6), question=questions())
async def test_many_intervals_at_once_are_the_references(
    known: Known, names: list[str], question: Question
) -> None:
    start, end = question.start, question.end
    if question.name not in LONG:
        start, end = NOW - 5 * DAY, None
    found = await known.provider.get_multi_timeframe(SYMBOL, names, start, end, fill=question.fill)
    assert set(found) == set(map(canonical, names))
    for name in names:
        asked = known.truth.asked(name, start, end)
        answer = found[canonical(name)]
        assert_alike(list(map(tuple, answer)), known.truth.candles(name, asked, question.fill))
        assert answer.coverage == known.truth.coverage(name, asked)


def canonical(name: str) -> str:
    return {"480m": "8h"}.get(name, name)


@unhurried
@given(
    seconds=st.tuples(st.integers(0, 40 * 86_400), st.integers(0, 40 * 86_400)),
    limit=st.none() | st.integers(1, 200),
    page=st.integers(1, 50),
)
async def test_trades_are_the_references(
    known: Known, seconds: tuple[int, int], limit: int | None, page: int
) -> None:
    start, end = (BEGINNING + timedelta(seconds=second) for second in sorted(seconds))
    asked = Stretch(start, end)
    every = known.truth.trades_in(asked)
    wanted = every if limit is None else every[-limit:]
    found = await known.provider.get_trades(SYMBOL, start, end, limit)
    assert [(trade.timestamp, trade.trade_id) for trade in found] == [
        (trade.timestamp, trade.trade_id) for trade in wanted
    ]
    assert [(trade.price, trade.volume, trade.side) for trade in found] == [
        (trade.price, trade.volume, trade.side) for trade in wanted
    ]
    judged = asked if limit is None or len(wanted) < limit else Stretch(wanted[0].timestamp, end)
    assert found.coverage == known.truth.trades_coverage(judged)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(series_pages, "PAGE", page)
        async with aclosing(known.provider.iter_trades(SYMBOL, start, end)) as trades:
            assert [trade.trade_id async for trade in trades] == [trade.trade_id for trade in every]
