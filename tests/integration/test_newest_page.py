"""What the newest page of trades proves: a page that cannot be read says nothing of what was never traded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from krakendata.gaps import Stretch, coverage_of
from krakendata.ingest.backfill import BackfillProgress, KrakenTradesBackfill
from krakendata.ingest.gap_fill import GapFiller
from krakendata.storage.queries import read_ledger
from krakendata.types import EPOCH
from tests.fix_storage import NOW
from tests.fix_trading import Replay, history

pytestmark = pytest.mark.django_db(transaction=True)

BUSY = "DOGE/USD"
NAMELESS = ("0.1", "5", Decimal("1763900000.5"), "b", "l", "", 0)


def show_newest(replay: Replay, *pages: Sequence[object]) -> None:
    """Let the exchange answer these pages, one after another and the last for ever, to who asks for the newest."""
    original, left = replay.rest.trades, list(pages)

    async def trades(pair: str, since: str | None = None) -> Any:
        answer = await original(pair, since)
        if since is not None or not left:
            return answer
        rows = left.pop(0) if len(left) > 1 else left[0]
        return answer._replace(page=answer.page._replace(rows=tuple(rows)))

    object.__setattr__(replay.rest, "trades", trades)


@pytest.mark.parametrize("page", [[NAMELESS] * 3, [()]])
@pytest.mark.parametrize("newest_first", [False, True])
async def test_a_newest_page_that_names_no_trade_is_no_proof_that_there_was_none(
    replaying: Callable[..., Any], page: Sequence[object], newest_first: bool
) -> None:
    replay = await replaying(history(BUSY, start=NOW - timedelta(days=2)))
    show_newest(replay, page)
    backfill = KrakenTradesBackfill(**replay.deed())
    report = await backfill.backfill_symbol(BUSY, newest_first=newest_first)
    assert (report.state, report.transient) == ("failed", True)
    # The history came in all the same.
    assert report.counts.stored == len(replay.sound(BUSY))
    assert await replay.store.fetch("SELECT last_id FROM trade_checks") == []


async def test_an_empty_newest_page_counts_only_where_the_beginning_is_empty_too(
    replaying: Callable[..., Any],
) -> None:
    replay = await replaying(history(BUSY, start=NOW - timedelta(days=2)))
    show_newest(replay, [])
    report = await KrakenTradesBackfill(**replay.deed()).backfill_symbol(BUSY)
    assert (report.state, report.transient) == ("failed", True)
    asked = Stretch(EPOCH, NOW)
    assert coverage_of(asked, await read_ledger(replay.store.connection, BUSY, asked)).proven == ()


@pytest.mark.parametrize("newest_first", [False, True])
async def test_a_newest_trade_that_is_refused_ends_the_tail_as_well(
    replaying: Callable[..., Any], newest_first: bool
) -> None:
    replay = await replaying(history(BUSY, start=NOW - timedelta(days=2)))
    # Of just this trade the time is missing.
    replay.exchange.faults.malformed_every = replay.sound(BUSY)[-1].trade_id
    report = await KrakenTradesBackfill(**replay.deed()).backfill_symbol(BUSY, newest_first=newest_first)
    assert (report.state, report.counts.rejected) == ("done", 1)
    await replay.assert_held(BUSY)
    (again,) = await GapFiller(**replay.deed()).fill_all_gaps([BUSY])
    assert again.gaps == 0


async def test_the_progress_counts_the_ids_that_the_exchange_lacks(replaying: Callable[..., Any]) -> None:
    replay = await replaying(history(BUSY, start=NOW - timedelta(days=2), absent_every=50))
    seen: list[BackfillProgress] = []
    await KrakenTradesBackfill(**replay.deed(report=seen.append)).backfill_symbol(BUSY)
    assert replay.exchange.absent_ids(BUSY)
    assert seen[-1].done == seen[-1].total == replay.sound(BUSY)[-1].trade_id
    assert await replay.store.fetch("SELECT done FROM sync_runs WHERE kind = 'backfill'") == [seen[-1].done]
