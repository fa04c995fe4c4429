"""`manage.py replay [SYMBOL …]`: Kraken as it was, from what is stored, or as it might be, from a made-up market."""

import asyncio
import json
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import inf
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from krakendata.errors import KrakenDataError, NothingStored
from krakendata.kraken.pacing import Limits
from krakendata.management.command import FAILED, MISUSED, database_arguments, utc_moment
from krakendata.replay.clock import ReplayClock, speed_of
from krakendata.replay.exchange import ReplayExchange
from krakendata.replay.faults import Faults
from krakendata.replay.generated_market import GENERATED_PAIRS, generated_market
from krakendata.replay.histories import History
from krakendata.replay.listing import named_pair
from krakendata.replay.server import ReplayServer
from krakendata.replay.stored_history import StoredHistory
from krakendata.storage.pool import Pool
from krakendata.storage.queries import read_pairs, read_symbols_with_data
from krakendata.types import Pair, Symbols, moment_of

PORT = 8001
GENERATED_DAYS = 30
TOLD_SECONDS = 10.0

# Of a pair that is not on the list: what REST shows at least (kraken-facts 1.3).
PRICE_DECIMALS, VOLUME_DECIMALS = 5, 8


class Command(BaseCommand):
    """Serves until Ctrl-C, exit 0, as that is how it ends; 1 for what cannot be served, 2 for what cannot be asked."""

    help = (
        "Serve Kraken's public REST API and WebSocket v2 on this machine: what is stored, or with --generated a "
        "made-up market. The clock begins with the history, or at --start, and runs at --speed."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("symbols", nargs="*", metavar="SYMBOL", help="default: every pair there is")
        parser.add_argument("--generated", action="store_true", help="a made-up market, and no database")
        parser.add_argument("--seed", type=int, default=1, help="of the made-up market, and of faults (1)")
        parser.add_argument("--since", type=utc_moment, metavar="TIME", help="history from here on")
        parser.add_argument("--until", type=utc_moment, metavar="TIME", help="stored history up to here")
        parser.add_argument(
            "--start", type=utc_moment, metavar="TIME",
            help="what time it is when it starts; default: where the history begins, or with --generated: now",
        )  # fmt: skip
        parser.add_argument(
            "--speed", type=_speed, default=1.0, metavar="N",
            help="times as fast as real time; 0 stands still, max is as fast as who listens can follow (1)",
        )  # fmt: skip
        parser.add_argument("--host", default="127.0.0.1", help="address to serve on (%(default)s)")
        parser.add_argument("--port", type=int, default=PORT, help="port to serve on (%(default)s)")
        parser.add_argument(
            "--calls-per-second", type=_calls, metavar="N", default=Limits().per_pair,
            help="calls of Trades and OHLC that each address may make for a pair; 0: any number (1)",
        )  # fmt: skip
        parser.add_argument(
            "--fault", action="append", default=[], type=_fault, metavar="NAME=VALUE",
            help="what to do wrong, such as html_520=0.1; may be given several times",
        )  # fmt: skip
        parser.add_argument("--faults", type=Path, metavar="FILE", help="the same as a JSON object in a file")
        parser.add_argument("--certificate", type=Path, metavar="FILE", help="serve by TLS, with --key")
        parser.add_argument("--key", type=Path, metavar="FILE", help="the certificate's private key")

    def handle(self, *args: Any, **options: Any) -> None:
        if (options["certificate"] is None) != (options["key"] is None):
            raise CommandError("--certificate and --key go together.", returncode=MISUSED)
        try:
            faults = _faults(options)
            with suppress(KeyboardInterrupt):
                asyncio.run(self.serve(faults, options))
        except ValueError as error:
            raise CommandError(str(error), returncode=MISUSED) from error
        except KrakenDataError as error:
            raise CommandError(str(error), returncode=FAILED) from error
        except OSError as error:
            sentence = f"Cannot serve on {options['host']}:{options['port']}: {error}"
            raise CommandError(sentence, returncode=FAILED) from error
        self.stdout.write("Stopped.")

    async def serve(self, faults: Faults, options: dict[str, Any]) -> None:
        per_pair = options["calls_per_second"]
        limits = Limits(per_pair, Limits().per_address * per_pair / Limits().per_pair)
        certificate = (options["certificate"], options["key"]) if options["key"] else None
        async with AsyncExitStack() as stack:
            histories, start = await self.histories(stack, options)
            clock = ReplayClock(start, options["speed"])
            exchange = ReplayExchange(histories, clock, faults=faults, limits=limits)
            server = ReplayServer(exchange, options["host"], options["port"], certificate)
            await stack.enter_async_context(server)
            self.tell(f"REST at {server.rest_url}/0/public/, WebSocket v2 at {server.websocket_url}")
            self.tell(f"Pairs: {', '.join(sorted(exchange.histories))}. Ctrl-C ends it.")
            telling = asyncio.create_task(self.tell_on(exchange))
            try:
                await server.wait()
            finally:
                telling.cancel()

    async def histories(
        self, stack: AsyncExitStack, options: dict[str, Any]
    ) -> tuple[Sequence[History], datetime]:
        """What is replayed, and what time it is when it starts."""
        if options["generated"]:
            return generated(options)
        pool = Pool(database_arguments(), min_size=1, max_size=4, is_reader=True)
        await pool.open()
        stack.push_async_callback(pool.close)
        found = await stored(pool, options)
        first = moment_of(min(history.listed_ns for history in found))
        return found, options["start"] or first

    async def tell_on(self, exchange: ReplayExchange) -> None:
        """Say now and then what time it is and who asked what."""
        ends = [h.end_ns for h in exchange.histories.values() if isinstance(h, StoredHistory)]
        is_over = False
        while True:
            await asyncio.sleep(TOLD_SECONDS)
            counted = ", ".join(f"{count:,} {name}" for name, count in exchange.calls.most_common())
            self.tell(f"{exchange.clock.now:%Y-%m-%d %H:%M:%S} UTC; calls: {counted or 'none'}")
            if ends and not is_over and exchange.clock.ns >= max(ends):
                is_over = True
                self.tell("The history is over: nothing happens from here on.")

    def tell(self, sentence: str) -> None:
        """Write it at once: who reads through a pipe waits for the address."""
        self.stdout.write(sentence)
        self.stdout.flush()


def generated(options: dict[str, Any]) -> tuple[Sequence[History], datetime]:
    """A made-up market of some pairs, that has been there for a month unless it is said since when."""
    start = options["start"] or datetime.now(UTC)
    since = options["since"] or start - timedelta(days=GENERATED_DAYS)
    if since >= start:
        raise ValueError("--since has to be before --start.")
    if options["until"] is not None:
        raise ValueError("--until cuts stored history off; a made-up market goes on for ever.")
    symbols = [Symbols().resolve(name) for name in options["symbols"]] or list(GENERATED_PAIRS)
    unknown = [symbol for symbol in symbols if symbol not in GENERATED_PAIRS]
    if unknown:
        raise ValueError(f"There is no made-up pair {unknown[0]}; choose from {', '.join(GENERATED_PAIRS)}.")
    return generated_market(since, start, options["seed"], symbols), start


async def stored(pool: Pool, options: dict[str, Any]) -> list[StoredHistory]:
    """The stored histories of some pairs, or of all that something is stored of."""
    async with pool.connection() as connection:
        pairs = Symbols(await read_pairs(connection))
        known = await read_symbols_with_data(connection)
    named = [pairs.resolve(name) for name in options["symbols"]]
    found = []
    for symbol in dict.fromkeys(named or known):
        with suppress(*(() if named else (NothingStored,))):
            pair = as_listed(symbol, pairs.pair(symbol))
            found.append(await StoredHistory.open(pool, pair, options["since"], options["until"]))
    if not found:
        raise ValueError(
            "Nothing is stored in that time. Import or fetch history first (manage.py import_csv, manage.py "
            "backfill), or replay a made-up market: manage.py replay --generated."
        )
    return found


def as_listed(symbol: str, pair: Pair | None) -> Pair:
    """The pair as it was listed: whoever is gone today was not gone then, but may have left his names to others."""
    if pair is None or pair.is_gone:
        decimals = (
            (PRICE_DECIMALS, VOLUME_DECIMALS) if pair is None else (pair.price_decimals, pair.volume_decimals)
        )
        return named_pair(symbol, *decimals)
    return replace(pair, status="online")


def _faults(options: dict[str, Any]) -> Faults:
    """The faults of the file and of the command line; ValueError says what is wrong with them."""
    faults = Faults(seed=options["seed"])
    if options["faults"] is not None:
        try:
            given = json.loads(options["faults"].read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(f"{options['faults']} cannot be read: {error}") from error
        if not isinstance(given, dict):
            raise ValueError(f'{options["faults"]} has to hold one JSON object, such as {{"html_520": 0.1}}.')
        faults.change(given)
    faults.change(dict(options["fault"]))
    return faults


def _fault(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ArgumentTypeError(f"{text!r} is not NAME=VALUE, such as html_520=0.1")
    return name, value


def _speed(text: str) -> float:
    try:
        return speed_of(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


def _calls(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < inf:
        raise ArgumentTypeError(f"{text!r} is not a number, 0 or more")
    return number
