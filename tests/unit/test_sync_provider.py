"""The provider without await has the same methods, arguments and answers as the one with it."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Generator
from typing import Any, get_args, get_origin, get_type_hints

import pytest

from krakendata.errors import NotConnectedError
from krakendata.historical_provider import HistoricalDataProvider
from krakendata.sync_provider import SyncHistoricalDataProvider, _LoopThread

METHODS = [
    name
    for name, _ in inspect.getmembers(HistoricalDataProvider, inspect.isfunction)
    if not name.startswith("_") or name == "__init__"
]


@pytest.mark.parametrize("name", METHODS)
def test_each_method_takes_the_same_and_answers_the_same(name: str) -> None:
    waits, plain = getattr(HistoricalDataProvider, name), getattr(SyncHistoricalDataProvider, name)
    assert inspect.signature(plain).parameters == inspect.signature(waits).parameters
    assert items_of(get_type_hints(plain)["return"]) == items_of(get_type_hints(waits)["return"])


def items_of(answer: Any) -> Any:
    """What a generator of either kind gives; of another answer, itself."""
    if get_origin(answer) in (AsyncGenerator, Generator):
        return "generator", get_args(answer)[0]
    return answer


def test_it_has_no_methods_of_its_own() -> None:
    own = {
        name
        for name, _ in inspect.getmembers(SyncHistoricalDataProvider, inspect.isfunction)
        if not name.startswith("_")
    }
    assert own == set(METHODS) - {"__init__"}


def test_it_says_what_to_call_before_anything_else() -> None:
    provider = SyncHistoricalDataProvider("postgresql://nobody@localhost/nothing")
    with pytest.raises(NotConnectedError, match=r"Call provider.connect\(\) first"):
        provider.get_candles("BTC/USD", "1h")
    with pytest.raises(NotConnectedError):
        provider.iter_candles("BTC/USD", "1h")


def test_a_loop_in_a_thread_runs_what_it_is_given_until_it_is_stopped() -> None:
    async def answer() -> int:
        return 7

    loop = _LoopThread()
    assert loop.run(answer()) == 7
    loop.stop()
    with pytest.raises(NotConnectedError):
        loop.run(answer())


def test_a_loop_refuses_to_wait_for_itself() -> None:
    async def answer() -> int:
        return 7

    async def ask() -> int:
        return loop.run(answer())

    loop = _LoopThread()
    try:
        with pytest.raises(RuntimeError, match="await the asynchronous provider"):
            loop.run(ask())
    finally:
        loop.stop()
