"""Candles as a picture: SVG text, made without any plotting library, for notebooks and pages that show one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from krakendata.types import EPOCH

__all__ = ["Bar", "Chart", "draw_candles"]

WIDTH, HEIGHT = 960, 420
# Room at the right for prices, at the bottom for times, at the top for the title; the volume has its share below.
RIGHT, BOTTOM, TOP = 76, 26, 34
VOLUME_SHARE = 0.2
# Of a candle's place: the rest keeps it apart from its neighbours. A pixel is the least that is seen.
BODY_SHARE, LEAST_BODY = 0.7, 0.8
# Told apart without telling red from green.
RISING, FALLING, FAINT, INK = "#1f9e89", "#d1495b", "#8a8f98", "#333a44"
LINE = "#e6e8eb"
# Half of the longest mark: nearer to the edge it would be cut.
MARGIN = 40
MOST_PRICES, MOST_TIMES = 7, 8
TIME_STEPS = tuple(
    timedelta(minutes=minutes)
    for minutes in (1, 5, 15, 30, 60, 180, 360, 720, 1440, 2880, 7200, 14400, 43200, 129600)
)
# More than are seen apart, and a page that still scrolls.
MOST_CANDLES = 2_000


class Bar(NamedTuple):
    """What is drawn of a candle."""

    start: datetime
    open: float
    high: float
    low: float
    close: float
    volume: float


@dataclass(frozen=True, slots=True, repr=False)
class Chart:
    """A picture: `svg` is its text. Notebooks show it by themselves."""

    svg: str

    def __repr__(self) -> str:
        return f"<Chart: {len(self.svg):,} characters of SVG>"

    def _repr_svg_(self) -> str:
        return self.svg


def draw_candles(bars: Sequence[Bar], length: timedelta, title: str, note: str = "") -> Chart:
    """The candles by time, each `length` long, with their volume below; times without one stay empty.

    `note` is written beside the title. ValueError without candles, or with more than can be told apart.
    """
    if not 0 < len(bars) <= MOST_CANDLES:
        raise ValueError(f"There are {len(bars):,} candles; a picture shows 1 to {MOST_CANDLES:,}.")
    frame = _Frame(bars, length)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'font-family="sans-serif" font-size="12" role="img" aria-label="{_safe(title)}">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="10" y="21" font-size="15" font-weight="600" fill="{INK}">{_safe(title)}</text>',
        f'<text x="{WIDTH - RIGHT}" y="21" text-anchor="end" fill="{FAINT}">{_safe(note)}</text>',
        *frame.price_lines(),
        *frame.time_marks(),
        *(part for bar in bars for part in frame.candle(bar)),
        "</svg>",
    ]
    return Chart("\n".join(parts))


class _Frame:
    """Where times, prices and volumes lie in the picture."""

    def __init__(self, bars: Sequence[Bar], length: timedelta) -> None:
        self._length = length
        self._start, self._end = bars[0].start, bars[-1].start + length
        low, high = min(bar.low for bar in bars), max(bar.high for bar in bars)
        room = (high - low) * 0.04 or abs(high) * 0.01 or 1.0
        self._low, self._high = low - room, high + room
        self._most = max(bar.volume for bar in bars) or 1.0
        self._floor = HEIGHT - BOTTOM
        self._split = TOP + (self._floor - TOP) * (1 - VOLUME_SHARE)

    def x(self, moment: datetime) -> float:
        return (WIDTH - RIGHT - 10) * ((moment - self._start) / (self._end - self._start)) + 10

    def y(self, price: float) -> float:
        return self._split - (price - self._low) / (self._high - self._low) * (self._split - TOP)

    def candle(self, bar: Bar) -> list[str]:
        left, right = self.x(bar.start), self.x(bar.start + self._length)
        width = max((right - left) * BODY_SHARE, LEAST_BODY)
        middle, colour = (left + right) / 2, RISING if bar.close >= bar.open else FALLING
        top, bottom = self.y(max(bar.open, bar.close)), self.y(min(bar.open, bar.close))
        tall = bar.volume / self._most * (self._floor - self._split - 8)
        return [
            f'<path d="M{middle:.1f} {self.y(bar.high):.1f}V{self.y(bar.low):.1f}" stroke="{colour}"/>',
            _box(middle - width / 2, top, width, max(bottom - top, LEAST_BODY), colour),
            _box(middle - width / 2, self._floor - tall, width, tall, colour, ' opacity="0.35"'),
        ]

    def price_lines(self) -> list[str]:
        parts = []
        step = _round_step((self._high - self._low) / MOST_PRICES)
        for number in range(math.ceil(self._low / step), math.floor(self._high / step) + 1):
            height = self.y(number * step)
            parts.append(f'<path d="M10 {height:.1f}H{WIDTH - RIGHT}" stroke="{LINE}"/>')
            place = f'x="{WIDTH - RIGHT + 8}" y="{height + 4:.1f}"'
            parts.append(f'<text {place} fill="{FAINT}">{number * step:,.8g}</text>')
        return parts

    def time_marks(self) -> list[str]:
        parts = []
        span = self._end - self._start
        step = next((each for each in TIME_STEPS if span / each <= MOST_TIMES), span)
        form = (
            "%H:%M"
            if span <= timedelta(days=1)
            else "%d %b %H:%M"
            if step < timedelta(days=1)
            else "%Y-%m-%d"
        )
        moment = self._start + (EPOCH - self._start) % step
        while self.x(moment) < WIDTH - RIGHT - MARGIN:
            place = f'x="{self.x(moment):.1f}" y="{HEIGHT - 8}" text-anchor="middle"'
            if self.x(moment) > MARGIN:
                parts.append(f'<text {place} fill="{FAINT}">{moment:{form}}</text>')
            moment += step
        return parts


def _round_step(least: float) -> float:
    """The next of 1, 2, 5, 10 … from `least` on."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least)


def _box(left: float, top: float, width: float, height: float, colour: str, more: str = "") -> str:
    return f'<rect x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"{more}/>'


def _safe(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
