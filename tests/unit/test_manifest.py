"""What a manifest remembers, and what it notices."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from krakendata.gaps import Coverage, Stretch
from krakendata.manifest import Manifest, ManifestError, Reading, changes, joined, reading_of
from krakendata.types import Candle

START = datetime(2024, 1, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
ASKED = Stretch(START, START + 96 * HOUR)
PROVEN = Coverage(ASKED, proven=(ASKED,))


def candle(number: int, close: str = "42000.5") -> Candle:
    price, volume = Decimal(close), Decimal("1.25")
    low, high = Decimal(41000), Decimal(43000)
    return Candle(
        "BTC/USD", START + number * HOUR, Decimal("42000.0"), high, low, price, volume, price, 3, price * volume,
        3 * number + 1, 3 * number + 3, False,
    )  # fmt: skip


CANDLES = [candle(number) for number in range(96)]


def reading(candles: list[Candle] = CANDLES, coverage: Coverage = PROVEN) -> Reading:
    return reading_of("BTC/USD", "1h", candles, coverage)


def test_a_reading_counts_each_month() -> None:
    found = reading()
    assert [(month.month, month.candles) for month in found.months] == [("2024-01", 48), ("2024-02", 48)]
    assert (found.candles, found.first_id, found.last_id) == (96, 1, 288)


def test_the_same_candles_are_the_same_input() -> None:
    assert changes(reading(), reading(list(CANDLES))) == []


def test_closing_zeros_are_no_change() -> None:
    padded = [each._replace(close=Decimal("42000.50000000")) for each in CANDLES]
    assert reading(padded).sha256 == reading().sha256


def test_other_ids_of_the_same_candles_are_no_change() -> None:
    given = [each._replace(first_id=None, last_id=None) for each in CANDLES]
    assert changes(reading(), reading(given)) == []


def test_what_was_made_up_is_no_input_of_its_own() -> None:
    made_up = CANDLES[-1]._replace(
        timestamp=START + 96 * HOUR, volume=Decimal(0), trade_count=0, first_id=None, last_id=None
    )
    assert made_up.is_synthetic
    assert reading([*CANDLES, made_up]) == reading()


def test_months_that_are_read_one_by_one_are_the_whole() -> None:
    parts = [reading(CANDLES[:48]), reading(CANDLES[48:])]
    assert joined(parts) == reading()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("open", Decimal(42001)),
        ("high", Decimal(43001)),
        ("low", Decimal(40999)),
        ("close", Decimal("42000.50000001")),
        ("volume", Decimal("1.26")),
        ("turnover", None),
        ("trade_count", 4),
        ("timestamp", START + 60 * HOUR + timedelta(minutes=1)),
    ],
)
def test_whatever_a_strategy_can_see_is_noticed_in_its_month(field: str, value: object) -> None:
    values: dict[str, Any] = {field: value}
    altered = [*CANDLES[:60], CANDLES[60]._replace(**values), *CANDLES[61:]]
    (change,) = changes(reading(), reading(altered))
    assert (change.kind, change.sentence) == ("candles", "2024-02: 48 candles, not all of them as they were.")


def test_a_candle_that_is_gone_is_counted() -> None:
    (change,) = changes(reading(), reading(CANDLES[1:]))
    assert change.sentence == "2024-01: 48 candles then, 47 now."


def test_a_month_that_is_gone_is_told() -> None:
    (change,) = changes(reading(), reading(CANDLES[48:]))
    assert change.sentence == "2024-01: 48 candles then, 0 now."


def test_better_evidence_is_told_and_changes_nothing() -> None:
    given = Coverage(ASKED, provisional=(ASKED,))
    found = changes(reading(coverage=given), reading())
    assert [change.kind for change in found] == ["coverage", "coverage"]
    assert found[0].sentence == "proven: 0.0 hours in 0 stretches then, 96.0 hours in 1 stretches now."


def test_a_manifest_is_read_as_it_was_written() -> None:
    hole = Stretch(START, START + HOUR)
    holed = Coverage(ASKED, proven=(Stretch(hole.end, ASKED.end),), holes=(hole,))
    made = Manifest(ASKED.end, {"krakendata": "1"}, (reading(), reading(CANDLES[1:], holed), reading([])))
    assert Manifest.from_json(made.to_json()) == made


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1}', '{"format": 2}', "null", "not JSON"])
def test_what_is_no_manifest_is_refused(text: str) -> None:
    with pytest.raises(ManifestError):
        Manifest.from_json(text)


def test_an_edited_manifest_is_refused() -> None:
    facts = json.loads(Manifest(START, {}, (reading(),)).to_json())
    facts["readings"][0]["months"][0][1] += 1
    with pytest.raises(ManifestError, match="it was edited"):
        Manifest.from_json(json.dumps(facts))


def test_equal_manifests_are_the_same_text() -> None:
    first = Manifest(START, {"b": "1", "a": "2"}, (reading(),))
    assert first.to_json() == replace(first, versions={"a": "2", "b": "1"}).to_json()
