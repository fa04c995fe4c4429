"""The SQL that selects candles: one part for each stretch, parameters by name, no remarks."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from krakendata.gaps import Stretch
from krakendata.intervals import any_interval_of
from krakendata.storage.selections import Filling, select_candles

START = datetime(2024, 3, 4, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ASKED = Stretch(START, START + DAY)


def test_a_stored_interval_is_one_look_at_its_view() -> None:
    found = select_candles(any_interval_of("1h"), "BTC/USD", ASKED)
    assert found.as_text().count("all_candles_1h") == 1
    assert "GROUP BY" not in found.as_text()
    assert sorted(map(str, found.parameters.values())) == sorted(["BTC/USD", str(START), str(START + DAY)])


@pytest.mark.parametrize(
    ("stale", "views", "folded"),
    [
        ([Stretch(START, START + HOUR)], 1, 1),
        ([Stretch(START + HOUR, START + 2 * HOUR)], 2, 1),
        ([Stretch(START + HOUR, START + 2 * HOUR), Stretch(START + 5 * HOUR, START + DAY)], 2, 2),
        ([ASKED], 0, 1),
    ],
)
def test_what_is_stale_is_folded_from_its_minutes(stale: list[Stretch], views: int, folded: int) -> None:
    text = select_candles(any_interval_of("1h"), "BTC/USD", ASKED, stale=stale).as_text()
    assert text.count('"all_candles_1h"') == views
    assert text.count("interval_minutes = 1 AND") == folded


def test_a_rollup_that_answers_alone_is_asked_instead_of_the_view() -> None:
    stale = [Stretch(START + HOUR, START + 2 * HOUR)]
    text = select_candles(
        any_interval_of("2h"), "BTC/USD", ASKED, stale=stale, rollup="candles_1h_closed"
    ).as_text()
    assert "all_candles" not in text
    assert text.count('"candles_1h_closed"') == 2
    assert text.count("interval_minutes = 1 AND") == 1


def test_minutes_are_never_stale() -> None:
    text = select_candles(any_interval_of("1m"), "BTC/USD", ASKED, stale=[ASKED]).as_text()
    assert '"all_candles_1m"' in text
    assert "time_bucket" not in text


def test_an_empty_stretch_is_a_statement_too() -> None:
    nothing = Stretch(START, START)
    assert '"all_candles_1h"' in select_candles(any_interval_of("1h"), "BTC/USD", nothing).as_text()


@pytest.mark.parametrize(
    ("name", "view", "bucket"),
    [("2h", "1h", "date_bin"), ("1mo", "1d", "date_trunc"), ("2w", "1w", "1970-01-05")],
)
def test_one_in_between_is_folded_from_its_base(name: str, view: str, bucket: str) -> None:
    text = select_candles(any_interval_of(name), "BTC/USD", ASKED).as_text()
    assert f'"all_candles_{view}"' in text
    assert bucket in text


def test_the_text_has_every_parameter_written_out_and_no_remark() -> None:
    filling = Filling("flat", [ASKED], [START], Decimal("1.50"))
    found = select_candles(
        any_interval_of("2h"), "O'X/USD", ASKED, stale=[ASKED], filling=filling, limit=7, newest_first=True
    )
    text = found.as_text()
    assert "'O''X/USD'" in text
    assert "1.50" in text
    assert text.endswith("ORDER BY timestamp DESC LIMIT 7")
    assert not re.search(r"%\(|^--", text, re.MULTILINE)
    named = set(re.findall(r"%\((\w+)\)s", found.statement.as_string(None)))
    assert named == set(found.parameters)
