"""LiveFeed: the tracked pairs heard from the socket, handed on in order, and what was missed asked for at once."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from krakendata.errors import KrakenDataError, StorageError
from krakendata.gaps import TradeCheck
from krakendata.ingest.csv_import import MAX_REJECTS_KEPT
from krakendata.ingest.gap_fill import GapFiller, GapReport
from krakendata.ingest.heard_ids import HeardIds
from krakendata.ingest.writer import CLOSE_SECONDS, DatabaseWriter
from krakendata.kraken.messages import CandlesHeard, SystemStatus, TradesHeard, Unknown, Unreadable
from krakendata.kraken.rest import KrakenRest
from krakendata.kraken.subscriptions import Subscribed, SubscriptionRefused
from krakendata.kraken.websocket import Connected, Disconnected, KrakenWebSocket, Message, Unreachable
from krakendata.storage.conninfo import arguments_from_url
from krakendata.storage.live import keep_feed_session, start_feed_session
from krakendata.storage.pool import NETWORK_TIMEOUT
from krakendata.storage.queries import read_tracked_pairs
from krakendata.storage.sessions import connect
from krakendata.types import ns_of

logger = logging.getLogger(__name__)

# A message for the consumer costs 0.3 ms whatever is in it: what comes while one is handed over goes along in the next.
MOST_ELEMENTS = 1_000

# How often the list of tracked pairs is looked at, and what the feed knows is written down.
FOLLOW_SECONDS = 3.0
KEEP_SECONDS = 2.0

# The exchange's answer to a ping may overtake a trade on its way to the socket by as long.
SOCKET_LAG = timedelta(seconds=2)

# Ids that come late are there by then; and what was heard before the hole is written first.
SETTLE_SECONDS = 0.3

# What REST could not give is asked for again after 2, 4, 8 … seconds; then the gap filler's schedule has it.
FIRST_REPAIR_SECONDS, MOST_REPAIRS = 2.0, 6

# How long a repair may take to an end when the feed is asked to end.
LEAVE_SECONDS = 1.0

# How long a repair waits for a database that is away: its block, its rollups and its last word one after the other, and
# whoever ends meanwhile has not ten seconds for each. What fails is asked for again.
AWAY_SECONDS = 1.0

Deliver = Callable[[dict[str, Any]], Awaitable[None]]


@dataclass(slots=True)
class FeedStatistics:
    """What a feed heard: connections, lost ones, frames that cannot be read, symbols refused, holes asked for."""

    connections: int = 0
    disconnections: int = 0
    unreadable: int = 0
    unknown: int = 0
    refused: int = 0
    suspected: int = 0
    repaired: int = 0


class LiveFeed:
    """Listens to the tracked pairs, or to those of them in `symbols`, until it is cancelled.

    `deliver` hands a message on to the consumer, {"type": "trades.heard" or "candles.heard", "elements": [...]}, and
    may take its time: then the socket is read more slowly. `writer` is the consumer's, `rest` a client that is open,
    by which missed trades are brought in. `database` is an address or psycopg's connection arguments; `name` tells
    feeds apart; `clock` gives aware UTC.
    """

    def __init__(
        self,
        database: str | Mapping[str, Any],
        socket: KrakenWebSocket,
        writer: DatabaseWriter,
        rest: KrakenRest,
        deliver: Deliver,
        *,
        name: str,
        symbols: Collection[str] | None = None,
        max_rejects_kept: int = MAX_REJECTS_KEPT,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        lag: timedelta = SOCKET_LAG,
    ) -> None:
        self.statistics = FeedStatistics()
        self.name = name
        self.connected: bool = False
        # What is to be heard, and what of it the exchange has agreed to on this connection.
        self.listening: frozenset[str] = frozenset()
        self.subscribed: set[str] = set()
        arguments = arguments_from_url(database) if isinstance(database, str) else database
        self._database = {**NETWORK_TIMEOUT, **arguments}
        self._socket = socket
        self._writer = writer
        self._rest = rest
        self._deliver = deliver
        self._symbols = symbols
        self._max_rejects_kept = max_rejects_kept
        self._clock = clock
        self._lag = lag
        self._heard = HeardIds({})
        self._trades: list[Any] = []
        self._candles: list[Any] = []
        self._has_some = asyncio.Event()
        self._has_room = asyncio.Event()
        self._suspects: dict[str, int] = {}
        self._has_suspects = asyncio.Event()
        self._session: int | None = None
        self._rate_from = (time.monotonic(), 0)

    async def run(self) -> None:
        """Feed for ever; whoever is cancelled hands on what it has heard.

        Raises StorageError where the database cannot be reached at the beginning.
        """
        self._heard = HeardIds(await self._writer.read_newest_ids())
        await self._follow()
        try:
            async with asyncio.TaskGroup() as tasks:
                for each in (self._listen, self._hand_on, self._keep_following, self._keep, self._repair):
                    tasks.create_task(each())
        finally:
            await self._hand_on_rest()
            with suppress(StorageError, TimeoutError):
                async with asyncio.timeout(min(KEEP_SECONDS, self._writer.seconds_left)):
                    await self._keep_session(is_end=True)

    def facts(self) -> dict[str, Any]:
        """What it counted, as the session keeps it."""
        written = self._writer.statistics
        return {
            **asdict(self.statistics),
            "trades": asdict(written.trades),
            "candles": asdict(written.candles),
            "flushes": dict(written.flushes),
            "flush_failures": written.failures,
            "flush_durations": written.flush_durations.as_dict(),
            "buffered": self._writer.waiting,
            "buffer_limits": {kind: getattr(self._writer.limits, kind) for kind in ("trades", "candles")},
            "seconds_behind": round(self._writer.seconds_behind, 3),
            "connected": self.connected,
            "subscribed": len(self.subscribed),
        }

    @property
    def is_behind(self) -> bool:
        """Something that was heard is not handed on yet."""
        return bool(self._trades or self._candles)

    # --- hearing -------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        async for message in self._socket:
            match message:
                case TradesHeard():
                    self._suspect(self._heard.take(message.elements, message.is_snapshot))
                    await self._hand_over(self._trades, message.elements)
                case CandlesHeard():
                    await self._hand_over(self._candles, message.elements)
                case _:
                    self._note(message)

    def _note(self, message: Message) -> None:
        """What is said about the connection: one line each in the log."""
        counts = self.statistics
        match message:
            case Connected(number=number):
                counts.connections += 1
                self.connected = True
                self.subscribed.clear()
                self._heard.reconnect()
                logger.info("connected url=%s number=%d", self._socket.url, number)
            case Disconnected(sentence=sentence, retry_seconds=seconds):
                counts.disconnections += 1
                self.connected = False
                logger.warning("disconnected retry_seconds=%.1f why=%s", seconds, sentence)
            case Unreachable(sentence=sentence, retry_seconds=seconds):
                logger.warning("unreachable retry_seconds=%.1f why=%s", seconds, sentence)
            case SubscriptionRefused(channel=channel, symbol=symbol, sentence=sentence):
                counts.refused += 1
                self._heard.leave(others_than=self.listening - {symbol})
                logger.warning("refused channel=%s symbol=%s why=%s", channel, symbol, sentence)
            case SystemStatus(system=system):
                logger.info("exchange system=%s", system)
            case Unreadable(text=text, sentence=sentence):
                counts.unreadable += 1
                self._heard.doubt()
                logger.error("unreadable frame why=%s text=%.200s", sentence, text)
            case Unknown():
                counts.unknown += 1
            case Subscribed(symbol=symbol):
                self.subscribed.add(symbol)

    async def _hand_over(self, waiting: list[Any], elements: Collection[Any]) -> None:
        """Leave them to `_hand_on`, and wait while it has enough."""
        waiting.extend(elements)
        self._has_some.set()
        while len(self._trades) + len(self._candles) >= MOST_ELEMENTS:
            self._has_room.clear()
            await self._has_room.wait()

    async def _hand_on(self) -> None:
        while True:
            await self._has_some.wait()
            self._has_some.clear()
            await self._hand_on_waiting()

    async def _hand_on_waiting(self) -> None:
        for kind, waiting in (("trades.heard", self._trades), ("candles.heard", self._candles)):
            if waiting:
                elements = waiting[:]
                await self._deliver({"type": kind, "elements": elements})
                # Not before: whoever is cancelled while it waits has handed on nothing.
                del waiting[: len(elements)]
                self._has_room.set()

    async def _hand_on_rest(self) -> None:
        """What was heard comes before the end, as far as the consumer takes it in time."""
        try:
            async with asyncio.timeout(min(CLOSE_SECONDS, self._writer.seconds_left)):
                await self._hand_on_waiting()
        except TimeoutError:
            left = len(self._trades), len(self._candles)
            logger.error("the feed ends with records not handed on trades=%d candles=%d", *left)

    # --- following and keeping -----------------------------------------------------------------------------

    async def _keep_following(self) -> None:
        while True:
            await asyncio.sleep(FOLLOW_SECONDS)
            try:
                await self._follow()
            except StorageError as error:
                logger.warning("tracked pairs not read error=%s", error)

    async def _follow(self) -> None:
        """Listen to what is tracked now."""
        async with connect(self._database) as connection:
            tracked = await read_tracked_pairs(connection)
        wanted = [pair for pair in tracked if self._symbols is None or pair.symbol in self._symbols]
        trades = [pair.symbol for pair in wanted if not pair.candles_only]
        candles = [pair.symbol for pair in wanted if pair.candles_only]
        self.listening = frozenset([*trades, *candles])
        self.subscribed &= self.listening
        self._heard.leave(others_than=trades)
        self._socket.listen(trades, candles)

    async def _keep(self) -> None:
        """Write down every few seconds that the feed lives, and until when it heard of nothing newer."""
        told = None
        while True:
            await asyncio.sleep(KEEP_SECONDS)
            try:
                if self._socket.answered_at != told:
                    told = self._socket.answered_at
                    await self._record_checks(told)
                await self._keep_session()
            except StorageError as error:
                logger.info("session not kept error=%s", error)

    async def _record_checks(self, answered_at: datetime | None) -> None:
        if answered_at is None:
            return
        checked_ns = ns_of(answered_at - self._lag)
        checks = {
            symbol: TradeCheck(last_id, checked_ns)
            for symbol, last_id in self._heard.joined.items()
            if symbol in self.listening
        }
        if checks:
            await self._writer.record_checks(checks)

    async def _keep_session(self, *, is_end: bool = False) -> None:
        heard = self._socket.heard
        run_id = await self._writer.run()
        async with connect(self._database) as connection:
            if self._session is None:
                self._session = await start_feed_session(connection, run_id, self.name)
            await keep_feed_session(
                connection,
                self._session,
                run_id,
                heard.at if heard else None,
                len(self.listening),
                self.facts() | {"trades_per_second": self._trades_per_second()},
                is_end=is_end,
            )

    def _trades_per_second(self) -> float:
        """What was heard since this was last asked."""
        before, counted = self._rate_from
        self._rate_from = time.monotonic(), self._writer.statistics.trades.received
        return round((self._rate_from[1] - counted) / max(self._rate_from[0] - before, 0.001), 1)

    # --- repairing -----------------------------------------------------------------------------------------

    def _suspect(self, symbols: Collection[str]) -> None:
        for symbol in symbols:
            self.statistics.suspected += 1
            self._suspects[symbol] = 0
        if symbols:
            self._has_suspects.set()

    async def _repair(self) -> None:
        """Ask for what is missing as soon as what was heard is written; again where it did not come."""
        while True:
            await self._has_suspects.wait()
            self._has_suspects.clear()
            await asyncio.sleep(SETTLE_SECONDS)
            suspects, self._suspects = self._suspects, {}
            left = set(suspects)
            if await self._writer.flush():
                left = await self._fill_gaps(sorted(suspects))
            again = {symbol: tries + 1 for symbol, tries in suspects.items() if symbol in left}
            for tries in sorted(set(again.values())):
                symbols = [symbol for symbol, tried in again.items() if tried == tries]
                if tries > MOST_REPAIRS:
                    logger.warning("left to the gap filler symbols=%s", ",".join(symbols))
                    continue
                asyncio.get_running_loop().call_later(
                    FIRST_REPAIR_SECONDS * 2 ** (tries - 1), self._suspect_again, symbols, tries
                )

    def _suspect_again(self, symbols: Collection[str], tries: int) -> None:
        for symbol in symbols:
            self._suspects.setdefault(symbol, tries)
        self._has_suspects.set()

    async def _fill_gaps(self, symbols: list[str]) -> set[str]:
        """Fill the gaps of these; give those of which some are left."""
        leaving = asyncio.Event()
        filler = GapFiller(
            self._database,
            self._rest,
            max_rejects_kept=self._max_rejects_kept,
            by="feed",
            should_stop=leaving.is_set,
            clock=self._clock,
            wait_seconds=AWAY_SECONDS,
        )
        filling = asyncio.create_task(filler.fill_all_gaps(symbols))
        try:
            reports = await asyncio.shield(filling)
        except asyncio.CancelledError:
            # It ends its runs first, and waits for a database that is away.
            leaving.set()
            filling.cancel()
            await asyncio.wait([filling], timeout=LEAVE_SECONDS)
            raise
        except KrakenDataError as error:
            logger.warning("gaps not filled symbols=%s error=%s", ",".join(symbols), error)
            return set(symbols)
        for report in reports:
            if report.gaps:
                logger.info(
                    "gaps symbol=%s state=%s found=%d left=%d",
                    report.symbol,
                    report.state,
                    report.gaps,
                    report.left,
                )
        repaired = [report for report in reports if _is_repaired(report)]
        self.statistics.repaired += sum(report.gaps > 0 for report in repaired)
        return {report.symbol for report in reports} - {report.symbol for report in repaired}


def _is_repaired(report: GapReport) -> bool:
    return report.state == "done" and not report.left
