"""The remedies of the desk: what one click does, for those who may; each deed has an address of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from django.contrib import messages
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from krakendata.admin.desk import PERMISSIONS, address_name, read_failures
from krakendata.admin.pages import deed
from krakendata.admin.reject_deciding import PERMISSIONS as DECIDING
from krakendata.admin.wording import counted
from krakendata.attention import Deed
from krakendata.errors import UnknownSymbol
from krakendata.management.queueing import QueueAway, queue_task
from krakendata.management.run_orders import REPEATABLE, queue_again
from krakendata.security.operator_log import describe_action, refuse_action
from krakendata.storage.desk import RestartableRun, forget_feed, forget_worker, read_runs_to_restart
from krakendata.types import Symbols

# What the timetable starts, as far as somebody waits for it.
DUE = ("fill_gaps", "resume_backfills", "upkeep")


class Useless(Exception):
    """What was clicked can do nothing; the message says why."""


class Partly(Exception):
    """What was clicked was done in part; the message says how far."""


def remedy_pages() -> list[tuple[str, str, Any]]:
    """The addresses: path, name, view."""
    return [(f"remedies/{each}/", address_name(each), _page_of(each)) for each in Deed]


def _page_of(what: Deed) -> Callable[..., HttpResponse]:
    @deed(PERMISSIONS[what])
    def remedy(request: HttpRequest) -> HttpResponse:
        """Do the deed to the `target` that was sent, and lead back to the desk with a sentence."""
        target = request.POST.get("target", "").replace("\0", "").strip()
        describe_action(request, target or "all", str(what))
        try:
            messages.success(request, DEEDS[what](target, request.user))
        except QueueAway as away:
            refuse_action(request, f"{away} Nothing was changed.")
        except Partly as partly:
            messages.warning(request, str(partly))
        except Useless as useless:
            refuse_action(request, str(useless))
        return redirect("admin:index")

    return remedy


def _fill_gaps(target: str, user: Any) -> str:
    if not target:
        queue_task("fill_gaps")
        return "A worker fills the gaps of every tracked pair."
    symbol = _symbol(target)
    queue_task("fill_gaps", symbol)
    return f"A worker fills the gaps of {symbol}."


def _backfill(target: str, user: Any) -> str:
    symbol = _symbol(target)
    queue_task("backfill", symbol)
    return f"A worker fetches the past of {symbol}, the newest trades first."


def _run_due(target: str, user: Any) -> str:
    _queue_each([partial(queue_task, name) for name in DUE])
    return "What is due was queued: gaps, unfinished backfills, upkeep. The timetable itself has to be started again."


def _upkeep(target: str, user: Any) -> str:
    queue_task("upkeep")
    return "A worker refreshes the rollups."


def _restart(target: str, user: Any) -> str:
    with connection.cursor() as cursor:
        failed = read_runs_to_restart(cursor, [_number(target)] if target else _failed_now())
    if not failed:
        raise Useless("It has not failed, or is at work again.")
    repeatable = [run for run in failed if run.kind in REPEATABLE]
    if not repeatable:
        raise Useless(f"A run of the kind {failed[0].kind} is started by its own command.")
    runs = [run for run in repeatable if user.has_perms(_takes(run))]
    if not runs:
        raise Useless("It decides about rejected records, which takes the permission to decide so yourself.")
    _queue_each([partial(queue_again, run.kind, _signed(run, user)) for run in runs])
    words = f"run {runs[0].id}" if len(failed) == 1 else counted(len(runs), "run", "runs")
    return f"A worker does {words} again; what was done already is not done twice."


def _takes(run: RestartableRun) -> list[str]:
    """The permissions beyond that of starting again: who may not decide may not have it decided either."""
    deeds = {"replay_rejects": ["replay"], "dismiss_rejects": ["dismiss"]}.get(run.kind, [])
    if deeds and run.parameters.get("fields"):
        deeds = [*deeds, "correct"]
    return [DECIDING[deed] for deed in deeds]


def _signed(run: RestartableRun, user: Any) -> dict[str, Any]:
    """What was asked; a decision is signed by who has it made now."""
    return run.parameters | ({"by": user.get_username()} if _takes(run) else {})


def _queue_each(orders: Sequence[Callable[[], None]]) -> None:
    """Put all of them on the queue; where it goes away in between, what it took before goes on."""
    for taken, order in enumerate(orders):
        try:
            order()
        except QueueAway as away:
            if not taken:
                raise
            raise Partly(f"{away} Only {taken:,} of {len(orders):,} tasks were queued before.") from away


def _failed_now() -> list[int]:
    """The runs behind the line that stands for all."""
    return [run.id for run in read_failures() if not run.is_answered and run.kind in REPEATABLE]


def _forget_feed(target: str, user: Any) -> str:
    with connection.cursor() as cursor:
        forget_feed(cursor, _number(target) if target else None)
    return "It is forgotten; a feed that lives shows itself within seconds."


def _forget_worker(target: str, user: Any) -> str:
    with connection.cursor() as cursor:
        forget_worker(cursor, target or None)
    return "It is forgotten; a worker that lives shows itself within seconds."


def _symbol(name: str) -> str:
    try:
        return Symbols().resolve(name)
    except UnknownSymbol as error:
        raise Useless(f"No pair is called {name}.") from error


def _number(text: str) -> int:
    # A bigint has at most 19 digits; 18 always fit.
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise Useless("There is no such run or session.")
    return int(text)


DEEDS: dict[Deed, Callable[[str, Any], str]] = {
    Deed.FILL_GAPS: _fill_gaps,
    Deed.BACKFILL: _backfill,
    Deed.RUN_DUE: _run_due,
    Deed.UPKEEP: _upkeep,
    Deed.RESTART: _restart,
    Deed.FORGET_FEED: _forget_feed,
    Deed.FORGET_WORKER: _forget_worker,
}
