"""What a feed makes of the ids that it hears."""

from __future__ import annotations

from typing import Any

import pytest

from krakendata.ingest.heard_ids import HeardIds

BTC, ETH = "BTC/USD", "ETH/USD"


def trades(*ids: Any, symbol: Any = BTC) -> list[dict[str, Any]]:
    return [{"symbol": symbol, "trade_id": number} for number in ids]


def test_contiguous_ids_raise_no_suspicion() -> None:
    heard = HeardIds({BTC: 10})
    assert heard.take(trades(9, 10, 11), is_snapshot=True) == set()
    assert heard.take(trades(12), is_snapshot=False) == set()
    assert heard.joined == {BTC: 12}


@pytest.mark.parametrize("ids", [(13,), (11, 13), (14, 12, 11)])
def test_a_step_between_ids_is_suspected_once(ids: tuple[int, ...]) -> None:
    heard = HeardIds({BTC: 10})
    assert heard.take(trades(*ids), is_snapshot=True) == {BTC}
    assert heard.take(trades(*ids, max(ids) + 1), is_snapshot=True) == set()


def test_a_pair_without_history_begins_with_its_first_trade() -> None:
    heard = HeardIds({})
    assert heard.take(trades(500, 501), is_snapshot=True) == set()
    assert heard.take(trades(503), is_snapshot=False) == {BTC}


def test_symbols_are_told_apart_within_a_message() -> None:
    heard = HeardIds({BTC: 10, ETH: 10})
    assert heard.take([*trades(11), *trades(12, symbol=ETH)], is_snapshot=True) == {ETH}


def test_only_what_was_heard_since_a_snapshot_of_this_connection_is_joined() -> None:
    heard = HeardIds({BTC: 10})
    heard.take(trades(11), is_snapshot=False)
    assert heard.joined == {}
    heard.take(trades(11), is_snapshot=True)
    heard.reconnect()
    assert heard.joined == {}


@pytest.mark.parametrize("number", [None, 0, -3, 2**63, "12", 1.5, True])
def test_an_id_that_cannot_be_read_leaves_a_doubt_until_the_next_one(number: Any) -> None:
    heard = HeardIds({BTC: 10, ETH: 10})
    heard.take([*trades(10), *trades(10, symbol=ETH)], is_snapshot=True)
    assert heard.take(trades(number), is_snapshot=False) == set()
    assert heard.joined == {ETH: 10}
    assert heard.take(trades(12), is_snapshot=False) == {BTC}
    assert heard.joined == {BTC: 12, ETH: 10}


def test_a_doubt_is_not_settled_by_an_older_id_of_the_same_message() -> None:
    heard = HeardIds({BTC: 105})
    heard.take(trades(105), is_snapshot=True)
    heard.take(trades(106, None), is_snapshot=False)
    assert heard.joined == {}
    heard.take(trades(108), is_snapshot=False)
    assert heard.joined == {BTC: 108}


def test_what_is_not_listened_to_any_more_is_joined_again_by_a_snapshot_alone() -> None:
    heard = HeardIds({BTC: 10, ETH: 10})
    heard.take([*trades(10), *trades(10, symbol=ETH)], is_snapshot=True)
    heard.leave(others_than=[ETH])
    assert heard.joined == {ETH: 10}
    heard.take(trades(11), is_snapshot=False)
    assert heard.joined == {ETH: 10}
    heard.take(trades(12), is_snapshot=True)
    assert heard.joined == {BTC: 12, ETH: 10}


@pytest.mark.parametrize("element", [None, 7, ["BTC/USD", 12], {"trade_id": 12}])
def test_what_names_no_symbol_may_have_been_of_any(element: Any) -> None:
    heard = HeardIds({BTC: 10, ETH: 10})
    heard.take([*trades(10), *trades(10, symbol=ETH)], is_snapshot=True)
    heard.take([element], is_snapshot=False)
    assert heard.joined == {}
