"""`manage.py import_pairs FILE`: the exchange's list of pairs from a saved AssetPairs answer."""

import json
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from krakendata.management.command import MISUSED, DeedCommand, database_arguments
from krakendata.storage.pairs import write_pairs
from krakendata.storage.sessions import connect
from krakendata.types import pairs_from_asset_pairs


class Command(DeedCommand):
    help = "Load Kraken's list of pairs from a file with the answer of its AssetPairs endpoint."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE")

    async def run(self, *, file: Path, **options: Any) -> dict[str, Any]:
        try:
            answer = json.loads(file.read_bytes())
        except (OSError, ValueError) as error:
            raise CommandError(f"{file} is no AssetPairs answer: {error}.", returncode=MISUSED) from error
        try:
            pairs = pairs_from_asset_pairs(answer["result"] if "result" in answer else answer)
        except (KeyError, TypeError, AttributeError) as error:
            raise CommandError(
                f"{file} is no AssetPairs answer: it lacks {error}.", returncode=MISUSED
            ) from error
        async with connect(database_arguments()) as connection:
            await write_pairs(connection, pairs)
        self.stdout.write(f"{len(pairs):,} pairs.")
        return {"read": len(pairs), "stored": len(pairs)}
