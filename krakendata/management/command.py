"""What every command that does a deed shares: the bridge to asyncio, `--json`, errors told in a sentence."""

import asyncio
import json
import os
import sys
from argparse import ArgumentTypeError
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection

from krakendata.errors import KrakenDataError
from krakendata.historical_provider import HistoricalDataProvider
from krakendata.storage.conninfo import connection_arguments

FAILED, MISUSED = 1, 2
# What shells give a process that ended by Ctrl-C, and by a pipe that nobody reads.
INTERRUPTED, UNREAD = 130, 141


class DeedCommand(BaseCommand):
    """A command that runs one deed.

    `run` does it, writes for people on `self.stdout`, and returns the facts as an object fit for JSON, which
    `--json` prints as the last line. Exit codes: 0 done, 1 failed, 2 asked for something that cannot be (also
    argparse's), 130 Ctrl-C, 141 when nobody reads stdout any more.
    """

    # Their findings are not this deed's; `doctor` and `check` tell them.
    requires_system_checks = ()

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.add_argument("--json", action="store_true", help="end with one JSON object on a line")
        return parser

    async def run(self, **options: Any) -> dict[str, Any]:
        """Do the deed; `options` are the parsed arguments."""
        raise NotImplementedError

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            facts = asyncio.run(self.run(**options))
        except KrakenDataError as error:
            raise CommandError(
                str(error), returncode=MISUSED if isinstance(error, ValueError) else FAILED
            ) from error
        except KeyboardInterrupt:
            raise CommandError("Stopped.", returncode=INTERRUPTED) from None
        except BrokenPipeError:
            # The interpreter writes what is left as it ends, and would complain itself.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(UNREAD) from None
        if options["json"]:
            self.stdout.write(json.dumps(facts, default=as_json))


def database_arguments() -> dict[str, Any]:
    """psycopg's arguments for the database of Django's settings."""
    return connection_arguments(connection.settings_dict)


def open_provider() -> HistoricalDataProvider:
    """A provider for one question after the other: a single connection, to the database of the settings."""
    return HistoricalDataProvider(database_arguments(), min_size=1, max_size=1)


def utc_moment(text: str) -> datetime:
    """An argument such as 2024-01-31 or 2024-01-31T15:00+01:00: UTC unless it says otherwise."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no time, such as 2024-01-31 or 2024-01-31T15:00.") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def as_json(value: object) -> str:
    """Decimals as their digits, times in ISO form with Z."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, Decimal):
        return format(value, "f")
    raise TypeError(f"{value!r} has no form in JSON.")
