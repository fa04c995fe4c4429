"""What the feed's pulse says of when the exchange was heard."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from krakendata.kraken.websocket import Heard
from krakendata.management.commands.stream_trades import heard_by

NOW = datetime(2025, 11, 24, 12, 34, tzinfo=UTC)


def test_nothing_is_heard_by_the_pulse_that_still_waits_to_be_handed_on() -> None:
    feed: Any = SimpleNamespace(connected=False, is_behind=False, subscribed={"BTC/USD"})
    socket: Any = SimpleNamespace(heard=Heard(NOW, 1.0))
    queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    heard = heard_by(feed, socket, queue)
    assert heard() == (None, ())
    feed.connected = True
    assert heard() == (NOW, {"BTC/USD"})
    socket.heard = Heard(NOW + timedelta(seconds=9), 10.0)
    feed.is_behind = True
    assert heard()[0] == NOW
    feed.is_behind = False
    queue.put_nowait({})
    assert heard()[0] == NOW
    queue.get_nowait()
    assert heard()[0] == NOW + timedelta(seconds=9)
