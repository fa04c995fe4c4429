"""What a pair's past costs, told before anything is done: one question to the exchange, and what follows from it."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from asgiref.sync import async_to_sync
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from krakendata.admin.onboarding_start import ANSWER_SECONDS, MAY_TRACK, StartForm, listed_pair
from krakendata.admin.pages import page_for
from krakendata.admin.wording import counted, duration, number, rounded_count, size
from krakendata.backfill_cost import BackfillCost, CallBudget, Keeping, NewestTrades, estimate_cost
from krakendata.errors import KrakenDataError
from krakendata.ingest.newest_trades import ask_newest_trades
from krakendata.management.command import database_arguments
from krakendata.management.exchange import open_exchange
from krakendata.models import Pair, SyncRun
from krakendata.options import call_limits, upkeep_settings
from krakendata.storage.sessions import connect, read_edition

# A run that has said nothing for so long does not use the exchange's patience.
AT_WORK_WITHIN = timedelta(minutes=2)


@page_for(MAY_TRACK)
def cost(request: HttpRequest) -> HttpResponse:
    """Ask the exchange once and tell what the chosen beginning costs; by itself, as the exchange takes its time."""
    pair, form = listed_pair(request.GET.get("symbol", "")), StartForm(request.GET)
    if not form.is_valid():
        raise Http404("No beginning is chosen.")
    now = timezone.now()
    since = form.moment(now)
    try:
        newest, keeping = async_to_sync(_ask)(pair)
    except (KrakenDataError, TimeoutError) as error:
        why = str(error) or f"It has not answered within {ANSWER_SECONDS:.0f} seconds."
        return render(request, "krakendata/admin/onboarding_cost.html", {"why": why})
    limits = call_limits()
    budget = CallBudget(limits.per_pair, limits.per_address, _pairs_at_work(pair, now) + 1)
    estimate = estimate_cost(newest, since, now, budget, keeping)
    facts = {"costs": cost_facts(estimate, keeping), "basis": basis(newest, since, budget)}
    return render(request, "krakendata/admin/onboarding_cost.html", facts)


async def _ask(pair: Pair) -> tuple[NewestTrades, Keeping]:
    """What the exchange says of the pair's newest trades, and how long we keep what."""
    async with asyncio.timeout(ANSWER_SECONDS), open_exchange() as rest:
        newest = await ask_newest_trades(rest, pair.symbol, pair.altname)
    async with connect(database_arguments()) as connection:
        edition = await read_edition(connection)
    return newest, keeping_of(is_compressed=edition.upkeep == "policies")


def keeping_of(*, is_compressed: bool) -> Keeping:
    """The settings of retention and compression; only TimescaleDB Community compresses."""
    chosen = upkeep_settings()
    return Keeping(
        timedelta(days=chosen.trades_days) or None,
        timedelta(days=chosen.candles_days) or None,
        chosen.compress_trades_after if is_compressed else None,
        chosen.compress_candles_after if is_compressed else None,
    )


def cost_facts(cost: BackfillCost, keeping: Keeping) -> list[tuple[str, str, str]]:
    """Title, figure and remark of each part of a cost."""
    folded = cost.trades - cost.stored_trades
    kept = f"all of the last {duration(keeping.trades)}" if keeping.trades else "all of them"
    calls = _counted(cost.calls, "call", "calls")
    only = (
        f"; {_counted(folded, 'older trade only builds', 'older trades only build')} candles"
        if folded
        else ""
    )
    return [
        ("Trades", f"about {number(rounded_count(cost.trades))}", f"in about {calls} to the exchange"),
        ("Time", "as fast as the exchange answers" if cost.duration is None else f"about {duration(cost.duration)}",
         "the newest come first"),
        ("Disk", f"about {size(cost.disk_bytes)}", f"trades ({kept}) and candles{only}"),
    ]  # fmt: skip


def basis(newest: NewestTrades, since: datetime | None, budget: CallBudget) -> str:
    """What the estimate is made of."""
    if not newest.last_id:
        return "An estimate: the exchange has no trade of this pair yet."
    pace = f"the pace of the newest {counted(newest.count, 'trade', 'trades')}, which took {duration(newest.span)}"
    if since is None:
        trades = f"The number of the newest trade, {number(newest.last_id)}, counts them all; the room goes by {pace}."
    else:
        trades = (
            f"It goes by {pace}: a pair that was busier or quieter before makes it wrong by a multiple. "
            f"Trades in all: {number(newest.last_id)}."
        )
    sharing = f", shared by {budget.pairs} pairs at work" if budget.pairs > 1 else ""
    calls = f"{budget.a_second:.3g} a second{sharing}" if budget.a_second else "as many as it likes"
    return f"An estimate. {trades} Calls: {calls}, of 1,000 trades each. Disk: the measured bytes of a row."


def _counted(count: int, one: str, many: str) -> str:
    return f"{number(rounded_count(count))} {one if count == 1 else many}"


def _pairs_at_work(pair: Pair, now: datetime) -> int:
    """How many other pairs' backfills share the calls."""
    running = SyncRun.objects.filter(
        state=SyncRun.State.RUNNING, kind="backfill", updated_at__gt=now - AT_WORK_WITHIN
    )
    return running.exclude(parameters__symbol=pair.symbol).count()
