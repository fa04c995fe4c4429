"""Which rejected records a command is about, who decides, and what it says of a deed's end."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from krakendata.ingest.replay_rejects import RejectProgress, RejectReport
from krakendata.management.command import MISUSED
from krakendata.storage.reject_decisions import Selection
from krakendata.types import Source
from krakendata.validation import Reason

NOT_CHOSEN = "Name records, or a group by --run, --reason, --source and --symbol, or --all: one of the three."


def add_selection(parser: CommandParser) -> None:
    """The options that choose records, and the name that decides."""
    parser.add_argument("ids", nargs="*", type=int, metavar="RECORD", help="its number in the admin's list")
    parser.add_argument("--run", type=int, metavar="N", help="those that this run refused")
    parser.add_argument("--reason", choices=[str(each) for each in Reason], help="those refused for this")
    parser.add_argument("--source", choices=[str(each) for each in Source], help="those from there")
    parser.add_argument("--symbol", metavar="BTC/USD", help="those of this pair")
    parser.add_argument("--all", action="store_true", help="every record that waits")
    parser.add_argument("--by", required=True, metavar="NAME", help="who decides: kept with each record")


def selection_of(options: dict[str, Any]) -> Selection:
    """What was chosen; raises CommandError where nothing was, or more than one way."""
    group = {name: options[name] for name in ("run", "source", "reason", "symbol")}
    ways = [bool(options["ids"]), any(each is not None for each in group.values()), options["all"]]
    if sum(ways) != 1:
        raise CommandError(NOT_CHOSEN, returncode=MISUSED)
    return Selection(ids=tuple(options["ids"]) or None, **group)


def figures(progress: RejectProgress) -> tuple[int, int, int, str]:
    """What the line of progress shows."""
    return progress.done, progress.total or 0, progress.done, progress.message


def facts_of(report: RejectReport) -> dict[str, Any]:
    """The report as one object."""
    return report.counts.as_dict() | {
        "run": report.run_id,
        "state": report.state,
        "dismissed": report.dismissed,
        "corrected": report.corrected,
        "error": report.error,
    }
