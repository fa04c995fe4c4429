"""What a reader may require of an answer, and what is said where it falls short."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from krakendata.answers import Requirement, Trades, check_coverage, checked_requirement
from krakendata.errors import IncompleteData, NotEnoughCandles
from krakendata.gaps import Coverage, Stretch

START = datetime(2024, 3, 4, tzinfo=UTC)
HOUR = timedelta(hours=1)
ASKED = Stretch(START, START + 9 * HOUR)
HOLES = tuple(Stretch(START + 2 * n * HOUR, START + (2 * n + 1) * HOUR) for n in range(4))


@pytest.mark.parametrize("require", [None, "complete", "proven"])
def test_what_is_proven_is_enough_for_all(require: Requirement | None) -> None:
    check_coverage("BTC/USD", Coverage(ASKED, proven=(ASKED,)), require)


@pytest.mark.parametrize("require", [None, "complete"])
def test_what_is_provisional_is_complete(require: Requirement | None) -> None:
    check_coverage("BTC/USD", Coverage(ASKED, provisional=(ASKED,)), require)


def test_what_is_provisional_is_not_proven() -> None:
    with pytest.raises(
        IncompleteData, match="BTC/USD is provisional, not proven, from 2024-03-04 00:00"
    ) as error:
        check_coverage("BTC/USD", Coverage(ASKED, provisional=(ASKED,)), "proven")
    assert error.value.provisional == (ASKED,)
    assert error.value.holes == ()


@pytest.mark.parametrize("require", ["complete", "proven"])
def test_the_holes_are_named(require: Requirement) -> None:
    with pytest.raises(IncompleteData) as error:
        check_coverage("BTC/USD", Coverage(ASKED, holes=HOLES), require)
    assert error.value.holes == HOLES
    assert str(error.value) == (
        "BTC/USD is not covered from 2024-03-04 00:00:00 to 2024-03-04 01:00:00, "
        "2024-03-04 02:00:00 to 2024-03-04 03:00:00, 2024-03-04 04:00:00 to 2024-03-04 05:00:00 and 1 more. "
        "manage.py backfill BTC/USD fetches what the exchange still has, manage.py coverage BTC/USD shows what is held."
    )


def test_who_requires_nothing_gets_what_there_is() -> None:
    check_coverage("BTC/USD", Coverage(ASKED, holes=HOLES), None)


def test_another_requirement_is_refused() -> None:
    assert checked_requirement(None) is None
    with pytest.raises(ValueError, match="complete, proven, or None"):
        checked_requirement("all")


def test_too_few_candles_say_how_many_and_how_to_get_the_rest() -> None:
    error = NotEnoughCandles("BTC/USD", "1h", 200, 7)
    assert str(error).startswith(
        "7 of 200 closed 1h candles of BTC/USD are there. manage.py backfill BTC/USD"
    )


def test_trades_carry_their_coverage() -> None:
    trades = Trades("BTC/USD", ())
    assert (len(trades), list(trades), trades[:1]) == (0, [], ())
    assert not trades.coverage.holes
