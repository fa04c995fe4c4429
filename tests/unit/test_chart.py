"""The picture of candles: every one of them in its place, and nothing that is not there."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

import pytest

from krakendata.chart import MOST_CANDLES, Bar, draw_candles

START, HOUR = datetime(2024, 1, 1, tzinfo=UTC), timedelta(hours=1)


def bars(count: int) -> list[Bar]:
    return [
        Bar(START + n * HOUR, 100 + n, 103 + n, 98 + n, 101 + n if n % 2 else 99 + n, 5.0 + n)
        for n in range(count)
    ]


def places(svg: str, name: str) -> list[float]:
    return [float(each) for each in re.findall(rf'<rect {name}="([-0-9.]+)"', svg)]


def test_it_is_well_formed_and_has_each_candle_once() -> None:
    chart = draw_candles(bars(24), HOUR, "BTC/USD 1h", "Every trade of the time is in.")
    root = ElementTree.fromstring(chart._repr_svg_())  # noqa: S314 (our own text)
    boxes = root.findall("{http://www.w3.org/2000/svg}rect")
    # The ground, and for each candle its body and its volume.
    assert len(boxes) == 1 + 2 * 24


def test_titles_may_hold_any_sign() -> None:
    chart = draw_candles(bars(1), HOUR, '<b> & "c"', "a < b")
    assert ElementTree.fromstring(chart.svg) is not None  # noqa: S314 (our own text)


def test_a_time_without_candles_stays_empty() -> None:
    full = places(draw_candles(bars(4), HOUR, "").svg, "x")
    gap = [bar for n, bar in enumerate(bars(4)) if n != 1]
    assert places(draw_candles(gap, HOUR, "").svg, "x") == [x for n, x in enumerate(full) if n not in (2, 3)]


def test_prices_that_do_not_move_are_drawn() -> None:
    flat = [Bar(START + n * HOUR, 7.0, 7.0, 7.0, 7.0, 0.0) for n in range(3)]
    assert "nan" not in draw_candles(flat, HOUR, "").svg


@pytest.mark.parametrize("count", [0, MOST_CANDLES + 1])
def test_none_and_too_many_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match=f"There are {count:,} candles"):
        draw_candles(bars(count), HOUR, "")
