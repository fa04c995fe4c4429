"""`manage.py import_pairs FILE`: the exchange's list of pairs from a saved AssetPairs answer."""

import json
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from krakendata.management.command import MISUSED, DeedCommand, database_arguments
from krakendata.storage.pairs import write_pairs
from krakendata.storage.sessions import connect
from krakendata.types import Pair, pairs_from_asset_pairs


class Command(DeedCommand):
    help = "Load Kraken's list of pairs from a file with the answer of its AssetPairs endpoint."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE")

    async def run(self, **options: Any) -> dict[str, Any]:
        pairs = read_pairs(options["file"])
        async with connect(database_arguments()) as connection:
            await write_pairs(connection, pairs)
        self.stdout.write(f"{len(pairs):,} pairs.")
        return {"read": len(pairs), "stored": len(pairs)}


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
