"""Faults: set by value or by text, refused with a sentence, dealt by their seed, and by id for trades."""

from collections import Counter

import pytest

from krakendata.replay.faults import MALFORMED, Faults, malformed_row
from krakendata.replay.histories import Row

ROW = Row(30, 1_772_323_220_953_523_220, "63998.10000", "0.02711189", "s", "l")


def test_none_strikes_unless_asked_for() -> None:
    faults = Faults()
    assert {faults.instead() for _ in range(100)} == {None}
    assert not any(faults.strikes("truncated") for _ in range(100))
    assert faults.malformation(30) is None
    assert not faults.is_late(30)
    assert faults.short_count(1_000) == 1_000


def test_they_come_in_their_shares() -> None:
    faults = Faults(rate_limit=0.1, timeout=0.3)
    dealt = Counter(faults.instead() for _ in range(5_000))
    assert dealt["rate_limit"] / 5_000 == pytest.approx(0.1, abs=0.03)
    assert dealt["timeout"] / 5_000 == pytest.approx(0.3, abs=0.03)
    assert set(dealt) == {None, "rate_limit", "timeout"}


def test_equal_seeds_deal_equally() -> None:
    def dealt(seed: int) -> list[str | None]:
        faults = Faults(html_520=0.5, seed=seed)
        return [faults.instead() for _ in range(50)]

    assert dealt(3) == dealt(3) != dealt(4)


def test_they_are_set_by_their_text_too() -> None:
    faults = Faults()
    faults.change({"html_520": "0.5", "since": "mixed", "maintenance": "on", "late_every": "7"})
    assert (faults.html_520, faults.since, faults.maintenance, faults.late_every) == (0.5, "mixed", True, 7)
    assert Faults(**faults.as_dict()).as_dict() == faults.as_dict()
    faults.clear()
    assert faults.as_dict() == Faults().as_dict()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"html_250": 1}, "no fault 'html_250'; choose from rate_limit"),
        ({"html_520": 1.5}, "from 0 to 1"),
        ({"html_520": "often"}, "is a number"),
        ({"late_every": -1}, "whole number"),
        ({"late_every": 1.5}, "whole number"),
        ({"late_seconds": "inf"}, "seconds"),
        ({"since": "sometimes"}, "inclusive, exclusive, mixed"),
        ({"maintenance": "soon"}, "on or off"),
    ],
)
def test_what_cannot_be_is_refused_whole(changes: dict[str, object], sentence: str) -> None:
    faults = Faults()
    with pytest.raises(ValueError, match=sentence):
        faults.change({"truncated": 0.5, **changes})
    assert faults.truncated == 0


def test_a_trade_is_malformed_by_its_id_however_often_it_is_asked_for() -> None:
    faults = Faults(malformed_every=10)
    kinds = {number: faults.malformation(number) for number in range(1, 81)}
    assert {number for number, kind in kinds.items() if kind} == set(range(10, 81, 10))
    assert set(kinds.values()) == {None, *MALFORMED}
    assert kinds == {number: faults.malformation(number) for number in range(1, 81)}


def test_each_malformation_is_written_so() -> None:
    assert {kind: malformed_row(ROW, kind, "1772323220.9535232") for kind in MALFORMED} == {
        "zero_price": '["0.00000","0.02711189",1772323220.9535232,"s","l","",30]',
        "null_time": '["63998.10000","0.02711189",null,"s","l","",30]',
        "zero_id": '["63998.10000","0.02711189",1772323220.9535232,"s","l","",0]',
        "no_id": '["63998.10000","0.02711189",1772323220.9535232,"s","l",""]',
    }
