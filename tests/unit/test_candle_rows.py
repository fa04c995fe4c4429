"""OHLCVT rows read by the column equal rows read one by one, and every start is kept once."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from krakendata.ingest.candle_rows import NUMBERS, CandleRows, read_candles
from krakendata.ingest.doubtful_rows import named_fields
from krakendata.kraken.archive_layouts import COLUMNS
from krakendata.kraken.archives import Layout
from krakendata.types import HistoricalCandle, moment_of
from krakendata.validation import Reason, Rejection, validate_archive_candle
from tests.unit.archive_lines import counts, cut_or_padded, lines_of_fields, numbers, raw_block, seconds

NOW = datetime(2025, 11, 24, 12, 30, tzinfo=UTC)
SYMBOL = "ETH/USD"
LAYOUT = Layout("candles", COLUMNS["OHLCVT"], False, "OHLCVT")
MIDNIGHT = 1_719_792_000
GOOD = f"{MIDNIGHT},3432.23,3433.28,3431.52,3431.82,4.45753564,24"

starts = st.one_of(st.integers(0, 1_000_000).map(lambda n: str(MIDNIGHT - n * 60)), seconds)
sane_prices = st.tuples(*[st.sampled_from(["1.5", "2", "2.0", "1e0", "3.25", "0.00001188"])] * 4)
odd_prices = st.tuples(*[numbers] * 4)
fields = st.tuples(starts, st.one_of(sane_prices, sane_prices, odd_prices), numbers, counts).map(
    lambda parts: (parts[0], *parts[1], *parts[2:])
)


def candles_by_line(rows: CandleRows) -> dict[int, tuple[object, ...]]:
    return {
        line: (moment_of(second * 10**9), *map(Decimal, texts), count)
        for line, second, *texts, count in rows.frame.iter_rows()
    }


def facts(candle: HistoricalCandle) -> tuple[object, ...]:
    return (candle.timestamp, *(getattr(candle, name) for name in NUMBERS), candle.trade_count)


@pytest.mark.parametrize("minutes", [1, 5, 1440])
def test_rows_come_out_as_validation_judges_them(minutes: int) -> None:
    @given(lines_of_fields(st.one_of(fields, fields, cut_or_padded(fields))))
    def check(lines: list[str]) -> None:
        raw = raw_block(lines)
        rows = read_candles(raw, LAYOUT, SYMBOL, minutes, NOW)
        verdicts = {
            number: validate_archive_candle(named_fields(text, LAYOUT), text, SYMBOL, minutes, NOW)
            for number, text in enumerate(lines, 1)
            if text.strip()
        }
        good = {line: facts(it) for line, it in verdicts.items() if isinstance(it, HistoricalCandle)}
        refused = {line: it for line, it in verdicts.items() if isinstance(it, Rejection)}
        assert {placed.line: placed.rejection for placed in rows.rejections} == refused
        assert rows.read == len(verdicts)
        kept = candles_by_line(rows)
        assert kept.items() <= good.items()
        assert {it[0] for it in kept.values()} == {it[0] for it in good.values()}
        assert len(kept) + rows.repeated == len(good)
        assert rows.frame["second"].is_sorted()

    check()


def test_the_digits_of_a_row_stay_as_they_are() -> None:
    frame = read_candles(raw_block([GOOD]), LAYOUT, SYMBOL, 5, NOW).frame
    assert frame.select(NUMBERS).row(0) == ("3432.23", "3433.28", "3431.52", "3431.82", "4.45753564")


def test_of_two_rows_with_one_start_the_one_with_more_trades_stays() -> None:
    fewer, more = GOOD.replace(",24", ",23"), GOOD
    later = GOOD.replace(str(MIDNIGHT), str(MIDNIGHT + 300))
    rows = read_candles(raw_block([later, fewer, more, more]), LAYOUT, SYMBOL, 5, NOW)
    assert rows.frame.select("line", "trade_count").rows() == [(3, 24), (1, 24)]
    assert rows.repeated == 2


def test_a_start_off_its_grid_is_refused() -> None:
    assert read_candles(raw_block([GOOD]), LAYOUT, SYMBOL, 1440, NOW).rejections == []
    off = GOOD.replace(str(MIDNIGHT), str(MIDNIGHT + 300))
    (placed,) = read_candles(raw_block([off]), LAYOUT, SYMBOL, 1440, NOW).rejections
    assert placed.rejection.reason is Reason.BAD_TIMESTAMP


def test_columns_may_stand_in_another_order() -> None:
    layout = Layout("candles", ("trades", *COLUMNS["OHLCVT"][:-1]), True, "OHLCVT")
    rows = read_candles(raw_block([f"24,{GOOD.rpartition(',')[0]}"]), layout, SYMBOL, 5, NOW)
    assert rows.frame["trade_count"].to_list() == [24]
    assert rows.frame["close"].dtype == pl.String
