"""`manage.py import_pairs FILE`, or `--api`: the exchange's list of pairs, saved or asked for, taken over."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from krakendata.ingest.pair_list import PairListReport, refresh_pairs, take_pairs
from krakendata.kraken.wire import PairList
from krakendata.management.command import MISUSED, DeedCommand, database_arguments
from krakendata.management.exchange import open_exchange
from krakendata.types import Pair, pairs_from_asset_pairs

SYMBOLS_SHOWN = 10


class Command(DeedCommand):
    help = (
        "Take over Kraken's list of pairs, from the exchange or from a file with the answer of its AssetPairs "
        "endpoint. Pairs that are gone from it keep their history."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        source = parser.add_mutually_exclusive_group(required=True)
        source.add_argument("file", type=Path, nargs="?", metavar="FILE")
        source.add_argument("--api", action="store_true", help="ask the exchange")
        parser.add_argument(
            "--accept-short",
            action="store_true",
            help="also take a list with less than half of the pairs known: what it lacks is delisted",
        )

    async def run(self, **options: Any) -> dict[str, Any]:
        accept_short = options["accept_short"]
        if options["api"]:
            async with open_exchange() as rest:
                report = await refresh_pairs(database_arguments(), rest, accept_short=accept_short)
        else:
            answer = PairList(read_pairs(options["file"]), {})
            report = await take_pairs(database_arguments(), answer, accept_short=accept_short)
        for sentence in sentences_of(report):
            self.stdout.write(sentence)
        return facts_of(report)


def sentences_of(report: PairListReport) -> list[str]:
    """The report for people: only what happened."""
    lists = {
        "New": report.new,
        "Renamed": [f"{old} to {new}" for old, new in report.renamed.items()],
        "Delisted": report.delisted,
        "Back": report.returned,
        "Changed": report.changed,
        "Tracked under the new name": report.tracking,
    }
    told = [f"{title}: {_shortened(symbols)}." for title, symbols in lists.items() if symbols]
    told += [f"Not readable, left as it was: {why}" for why in report.unreadable.values()]
    return [f"{report.listed:,} pairs{'' if told else ', nothing new'}.", *told]


def _shortened(symbols: Sequence[str]) -> str:
    more = f" and {len(symbols) - SYMBOLS_SHOWN:,} more" if len(symbols) > SYMBOLS_SHOWN else ""
    return ", ".join(symbols[:SYMBOLS_SHOWN]) + more


def facts_of(report: PairListReport) -> dict[str, Any]:
    """The report as JSON."""
    return {
        "read": report.listed + len(report.unreadable),
        "stored": report.listed,
        "new": list(report.new),
        "renamed": dict(report.renamed),
        "delisted": list(report.delisted),
        "returned": list(report.returned),
        "changed": list(report.changed),
        "unreadable": dict(report.unreadable),
        "tracking": list(report.tracking),
    }


def read_pairs(file: Path) -> list[Pair]:
    """The pairs of a saved answer, with or without the envelope; CommandError says why it is none."""
    try:
        answer = json.loads(file.read_bytes())
        return pairs_from_asset_pairs(answer.get("result", answer))
    except (OSError, ValueError) as error:
        raise CommandError(f"{file} is no AssetPairs answer: {error}.", returncode=MISUSED) from error
    except (KeyError, TypeError, AttributeError) as error:
        raise CommandError(
            f"{file} is no AssetPairs answer: it lacks {error}.", returncode=MISUSED
        ) from error
