"""A new list of pairs against what is known: new, renamed, delisted, back, and lists that cannot be true."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from krakendata.errors import Unavailable
from krakendata.ingest.pair_list import PairListReport, compare_lists, refuse_short_list
from krakendata.kraken.wire import PairList
from krakendata.storage.pairs import PairChanges
from krakendata.types import Pair


def pair(symbol: str, **facts: Any) -> Pair:
    base, quote = symbol.split("/")
    made = Pair(symbol, f"{base}Z{quote}", f"{base}{quote}", symbol, base, quote, "online", 2, 8)
    return replace(made, **facts)


BTC, ETH, MATIC = pair("BTC/USD"), pair("ETH/USD"), pair("MATIC/USD")


def compared(
    known: list[Pair], *listed: Pair, unreadable: dict[str, str] | None = None
) -> tuple[PairChanges, PairListReport]:
    return compare_lists(known, PairList(list(listed), unreadable or {}))


def test_the_first_list_is_all_new() -> None:
    changes, report = compared([], BTC, ETH)
    assert changes == ([BTC, ETH], [], {}, [])
    assert (report.listed, report.new, report.is_change) == (2, ("BTC/USD", "ETH/USD"), True)


def test_the_same_list_is_no_change() -> None:
    changes, report = compared([BTC, ETH], ETH, BTC)
    assert changes == ([ETH, BTC], [], {}, [])
    assert not report.is_change


def test_a_pair_that_is_missing_is_delisted() -> None:
    changes, report = compared([BTC, ETH], BTC)
    assert changes.delisted == ["ETH/USD"]
    assert report.delisted == ("ETH/USD",)


@pytest.mark.parametrize("kept", [{"key": MATIC.key}, {"altname": MATIC.altname}])
def test_a_missing_pair_whose_key_or_altname_another_symbol_bears_was_renamed(kept: dict[str, str]) -> None:
    changes, report = compared([BTC, MATIC], BTC, pair("POL/USD", **kept))
    assert changes.renamed == report.renamed == {"MATIC/USD": "POL/USD"}
    assert changes.delisted == []
    assert report.new == ("POL/USD",)


def test_the_key_tells_more_than_the_altname() -> None:
    by_key, by_altname = pair("A/USD", key=MATIC.key), pair("B/USD", altname=MATIC.altname)
    assert compared([MATIC], by_altname, by_key)[0].renamed == {"MATIC/USD": "A/USD"}


def test_a_key_that_is_another_pairs_altname_is_no_rename_of_that_pair() -> None:
    old = pair("OLD/USD", key="OLD", altname="OLD")
    changes, _ = compared([old, BTC], BTC)
    assert changes.delisted == ["OLD/USD"]


def test_long_gone_pairs_stay_what_they_are_though_their_names_are_used_again() -> None:
    gone = replace(MATIC, status="delisted")
    changes, report = compared([gone, BTC], BTC, pair("POL/USD", key=MATIC.key, altname=MATIC.altname))
    assert (changes.renamed, changes.delisted) == ({}, [])
    assert report.new == ("POL/USD",)


@pytest.mark.parametrize("status", ["delisted", "renamed"])
def test_a_gone_pair_that_is_listed_again_is_back(status: str) -> None:
    changes, report = compared([replace(ETH, status=status), BTC], BTC, ETH)
    assert changes.written == [BTC, ETH]
    assert (report.returned, report.new, report.changed) == (("ETH/USD",), (), ())


def test_another_status_is_a_change_and_nothing_is_freed() -> None:
    halted = replace(BTC, status="cancel_only")
    changes, report = compared([BTC], halted)
    assert report.changed == ("BTC/USD",)
    assert changes.freed == []


def test_pairs_that_swap_names_free_them_first() -> None:
    changes, report = compared(
        [BTC, ETH], replace(BTC, altname=ETH.altname), replace(ETH, altname=BTC.altname)
    )
    assert changes.freed == ["BTC/USD", "ETH/USD"]
    assert report.changed == ("BTC/USD", "ETH/USD")


def test_a_pair_whose_entry_cannot_be_read_stays_as_it_is() -> None:
    changes, report = compared([BTC, ETH], BTC, unreadable={ETH.key: "AssetPairs entry 'ETHZUSD' is odd."})
    assert (changes.delisted, changes.renamed) == ([], {})
    assert report.unreadable == {ETH.key: "AssetPairs entry 'ETHZUSD' is odd."}


@pytest.mark.parametrize("name", ["symbol", "altname", "wsname"])
def test_of_two_entries_with_one_name_the_first_is_taken_and_the_other_told(name: str) -> None:
    double = replace(pair("ETH/USD"), **{name: getattr(BTC, name)})
    changes, report = compared([], BTC, double)
    assert changes.written == [BTC]
    assert report.unreadable == {ETH.key: "AssetPairs entry 'ETHZUSD' shares a name with 'BTCZUSD'."}


def test_an_entry_with_a_name_of_one_that_cannot_be_read_is_not_taken() -> None:
    thief = pair("THIEF/USD", altname=ETH.altname)
    changes, report = compared([BTC, ETH], BTC, thief, unreadable={ETH.key: "odd"})
    assert changes.written == [BTC]
    assert thief.key in report.unreadable


@pytest.mark.parametrize(("given", "is_refused"), [(0, True), (4, True), (5, False), (10, False)])
def test_a_list_with_less_than_half_of_what_is_listed_is_refused(given: int, is_refused: bool) -> None:
    known = [pair(f"A{n}/USD") for n in range(10)]
    answer = PairList(known[:given], {})
    if is_refused:
        with pytest.raises(Unavailable, match=f"has {given} pairs where 10 are known .* nothing was changed"):
            refuse_short_list(known, answer)
    else:
        refuse_short_list(known, answer)


def test_gone_pairs_make_no_list_short_and_unreadable_entries_count() -> None:
    known = [BTC, ETH, *(pair(f"A{n}/USD", status="delisted") for n in range(10))]
    refuse_short_list(known, PairList([BTC], {}))
    refuse_short_list(known, PairList([], {"X": "odd"}))


def test_an_empty_list_is_refused_though_nothing_is_known() -> None:
    with pytest.raises(Unavailable, match="has 0 pairs"):
        refuse_short_list([], PairList([], {}))
