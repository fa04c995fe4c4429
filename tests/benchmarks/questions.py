"""The four questions that readers ask most, to the provider and, as the same SQL, to bare psycopg."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psycopg

from krakendata.gaps import Stretch
from krakendata.historical_provider import HistoricalDataProvider
from krakendata.storage.conninfo import arguments_from_url
from krakendata.storage.editions import Edition
from krakendata.storage.selections import Selection, select_candles
from krakendata.storage.sql import query
from krakendata.types import interval_of

# The first ones fill the caches and are not counted; of the others the slowest hundredth is three.
WARM_ROUNDS, ROUNDS = 20, 300

RANGE_CANDLES, LATEST_CANDLES = 1_000, 200
FIVE = ("1m", "5m", "15m", "1h", "1d")

# The customer's floors and our aims, in milliseconds.
FLOORS_MS, AIMS_MS = (50, 20, 10, 100), (5, 3, 2, 12)

# Each round asks for another range. A prime: the steps come back to where they were only behind all the others.
STEP_MINUTES = 7_919

Ask = Callable[[int], Awaitable[int]]


@dataclass(frozen=True)
class QuestionResult:
    """The milliseconds of each round; of the view none where it is what the provider asks."""

    name: str
    provider_ms: Sequence[float]
    bare_ms: Sequence[float]
    view_ms: Sequence[float]
    floor_ms: int
    aim_ms: int

    @property
    def ratio(self) -> float:
        return quantile(self.provider_ms, 0.5) / quantile(self.bare_ms, 0.5)


@dataclass(frozen=True)
class Question:
    """`ours` and `bare` ask it for the so-manieth time, and give the number of rows.

    `bare` sends the provider's SELECT, `view` the one that somebody would write who knows the views alone.
    """

    name: str
    ours: Ask
    bare: Ask
    view: Ask | None = None


def quantile(values: Sequence[float], share: float) -> float:
    """The value that `share` of them do not exceed."""
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


async def ask_all(url: str, edition: Edition, symbol: str) -> list[QuestionResult]:
    """Each question in turn: the provider, then bare psycopg, round for round."""
    async with (
        HistoricalDataProvider(url) as provider,
        await psycopg.AsyncConnection.connect(**arguments_from_url(url), autocommit=True) as bare,
    ):
        results = []
        for question, floor, aim in zip(
            await questions(provider, bare, edition, symbol), FLOORS_MS, AIMS_MS, strict=True
        ):
            asks = [ask for ask in (question.ours, question.bare, question.view) if ask is not None]
            taken: list[list[float]] = [[], [], []]
            for place in range(WARM_ROUNDS + ROUNDS):
                counts = set()
                # Each is first in its turn: the first one may have to read from the disk what the others find read.
                for turn in range(len(asks)):
                    number = (place + turn) % len(asks)
                    milliseconds, rows = await _timed(asks[number], place)
                    taken[number].append(milliseconds)
                    counts.add(rows)
                if len(counts) > 1:
                    raise AssertionError(f"{question.name}: the answers differ")
            ours, same, view = (times[WARM_ROUNDS:] for times in taken)
            results.append(QuestionResult(question.name, ours, same, view, floor, aim))
        return results


async def questions(
    provider: HistoricalDataProvider, bare: psycopg.AsyncConnection[Any], edition: Edition, symbol: str
) -> list[Question]:
    """The four, about a symbol that is held, of minutes alone, with every rollup refreshed."""
    held = {name: await provider.get_data_range(symbol, name) for name in FIVE}
    minutes = held["1m"]
    assert minutes is not None
    places = (minutes.end - minutes.start) // timedelta(minutes=1) - RANGE_CANDLES
    bounds = query("data_bounds")

    def stretch_at(place: int) -> Stretch:
        start = minutes.start + timedelta(minutes=place * STEP_MINUTES % places)
        return Stretch(start, start + timedelta(minutes=RANGE_CANDLES))

    def latest(name: str, *, by_view: bool) -> Selection:
        interval, found = interval_of(name), held[name]
        assert found is not None
        start = max(found.start, found.end - 2 * LATEST_CANDLES * interval.length)
        is_alone = not by_view and interval.parent is not None
        rollup = edition.closed_relation(interval.relation) if is_alone else None
        stretch = Stretch(start, found.end)
        return select_candles(
            interval, symbol, stretch, rollup=rollup, limit=LATEST_CANDLES, newest_first=True
        )

    async def fetch(selection: Selection) -> int:
        cursor = await bare.execute(selection.statement, selection.parameters)
        return len(await cursor.fetchall())

    async def range_of_provider(place: int) -> int:
        return len(await provider.get_candles(symbol, "1m", *stretch_at(place)))

    async def bare_range(place: int) -> int:
        return await fetch(select_candles(interval_of("1m"), symbol, stretch_at(place)))

    async def latest_of_provider(_: int) -> int:
        return len(await provider.get_latest_candles(symbol, "1h", LATEST_CANDLES))

    async def bare_latest(_: int) -> int:
        return await fetch(latest("1h", by_view=False))

    async def latest_of_view(_: int) -> int:
        return await fetch(latest("1h", by_view=True))

    async def data_range_of_provider(_: int) -> int:
        return int(await provider.get_data_range(symbol, "1m") is not None)

    async def bare_data_range(_: int) -> int:
        cursor = await bare.execute(bounds, {"symbol": symbol, "minutes": 1})
        return len(await cursor.fetchall())

    async def five_of_provider(_: int) -> int:
        found = await provider.get_multi_timeframe(symbol, FIVE, limit=LATEST_CANDLES)
        return sum(map(len, found.values()))

    async def bare_five(_: int) -> int:
        return sum([await fetch(latest(name, by_view=False)) for name in FIVE])

    async def five_of_views(_: int) -> int:
        return sum([await fetch(latest(name, by_view=True)) for name in FIVE])

    return [
        Question("1,000 1-minute candles by range", range_of_provider, bare_range),
        Question("latest 200 hourly candles", latest_of_provider, bare_latest, latest_of_view),
        Question("data range", data_range_of_provider, bare_data_range),
        Question("latest 200 of five timeframes", five_of_provider, bare_five, five_of_views),
    ]


async def _timed(ask: Ask, place: int) -> tuple[float, int]:
    started = time.perf_counter()
    rows = await ask(place)
    return (time.perf_counter() - started) * 1000, rows
