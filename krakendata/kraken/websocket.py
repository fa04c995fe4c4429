"""The exchange's WebSocket v2: trades and candles as they come, over a connection that mends itself (kraken-facts 2).

Frames are read when a message is asked for, and never ahead: who takes them slowly slows the socket. What their not
coming proves (a peer that is dead, an answer that is lost) is therefore judged by the seconds spent waiting for them.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import NamedTuple, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, InvalidURI, WebSocketException
from websockets.frames import CloseCode
from websockets.uri import parse_uri

from krakendata.errors import ConfigurationError, RateLimited
from krakendata.kraken.messages import (
    CandlesHeard,
    Heartbeat,
    Pong,
    SubscriptionAnswer,
    SystemStatus,
    TradesHeard,
    Unknown,
    Unreadable,
    is_rate_refusal,
    ping_request,
    read_frame,
    subscription_request,
)
from krakendata.kraken.reconnects import MAINTENANCE_SECONDS, POLICY_SECONDS, Reconnects
from krakendata.kraken.refusals import error_of_status
from krakendata.kraken.subscriptions import (
    ANSWER_SECONDS,
    Subscribed,
    Subscription,
    SubscriptionRefused,
    Subscriptions,
)

__all__ = [
    "Connected",
    "Disconnected",
    "Heard",
    "KrakenWebSocket",
    "Message",
    "Timing",
    "Unreachable",
]

KRAKEN = "wss://ws.kraken.com/v2"

# The longest frame known is the list of instruments, some 600 kB (kraken-facts 2.5); no trade's comes near it.
MAX_FRAME_BYTES = 16 << 20

# Frames taken from the network ahead of whoever reads: a busy second has some hundreds. With more waiting, nothing is
# taken until a quarter is left, and the exchange's own side of the line fills.
MAX_WAITING_FRAMES = 256

# A frame that had to be waited for as long found every buffer empty: it is as new as the line is fast.
LULL_SECONDS = 0.01

# An event loop that stood still finds its timers due before it has looked at its sockets: look once more.
LAST_LOOK_SECONDS = 0.05

# After refusals for their rate requests are spaced twice as far, at most as far, until the next connection.
LONGEST_SPACING_SECONDS = 8.0

MAINTENANCE = "maintenance"
SERVICE_UNAVAILABLE = 503


@dataclass(frozen=True, slots=True)
class Timing:
    """How long is waited for what, in seconds.

    silence: for any frame, while something is subscribed: Kraken sends one a second (kraken-facts 2.1).
    ping: between pings of ours: Kraken closes a socket on which nothing happens after about a minute.
    connect: for a connection, from the name to the handshake.
    close: for the other side's goodbye, which a dead one never says.
    spacing: between requests: 4 a second, where others send 12 to 20 (kraken-facts 2.6).
    answer: for the answer to a request.
    """

    silence: float = 8.0
    ping: float = 30.0
    connect: float = 10.0
    close: float = 1.0
    spacing: float = 0.25
    answer: float = ANSWER_SECONDS


class Connected(NamedTuple):
    """A new connection, counted from 1, at a moment of our clock; nothing is subscribed on it yet."""

    number: int
    at: datetime


class Disconnected(NamedTuple):
    """The connection is lost, and why; the next attempt is due in so many seconds."""

    sentence: str
    retry_seconds: float


class Unreachable(NamedTuple):
    """An attempt to connect failed, and why; the next one is due in so many seconds."""

    sentence: str
    retry_seconds: float


Message = (
    Connected
    | Disconnected
    | Unreachable
    | Subscribed
    | SubscriptionRefused
    | TradesHeard
    | CandlesHeard
    | SystemStatus
    | Unknown
    | Unreadable
)  # fmt: skip


class Heard(NamedTuple):
    """A moment: aware UTC by our clock, and in the seconds of `time.monotonic`."""

    at: datetime
    monotonic: float


class KrakenWebSocket:
    """Hears trades and 1-minute candles; connects, subscribes and connects again by itself.

        async with KrakenWebSocket() as socket:
            socket.listen(["BTC/USD", "ETH/USD"], candles=["BTC/USD"])
            async for message in socket:
                ...

    Messages come in the order of their frames, to one reader at a time; those of a connection lie between its
    Connected and its Disconnected. The iteration ends when the socket is closed. A message that is waited for may be
    cancelled without loss. Proxies are taken from the environment. Raises ConfigurationError for what is no address.
    """

    def __init__(
        self,
        url: str = KRAKEN,
        *,
        snapshot: bool = True,
        timing: Timing | None = None,
        reconnects: Reconnects | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        try:
            parse_uri(url)
        except InvalidURI as error:
            raise ConfigurationError(
                f"{url!r} is no address of a WebSocket; it has to be one such as {KRAKEN}."
            ) from error
        self.url = url
        self._snapshot = snapshot
        self._timing = timing or Timing()
        self._reconnects = reconnects or Reconnects()
        self._clock = clock

        # Whatever had come by this moment has been given; None before the connection's first frame. It stands still
        # while frames wait for their reader, so that it proves a stretch without trades to be quiet.
        self.heard: Heard | None = None
        # The same by the exchange's clock, as of its last pong or answer to a request.
        self.answered_at: datetime | None = None

        # What a frame made of itself, or an attempt to connect: a few messages at most.
        self._given: deque[Message] = deque()
        self._subscriptions = Subscriptions(self._timing.answer)
        self._waited = _Waited()
        # Set when there may be something to send.
        self._changed = asyncio.Event()
        self._closing = asyncio.Event()
        self._system = ""

        # Of the connection, where there is one.
        self._connection: ClientConnection | None = None
        self._sender: asyncio.Task[None] | None = None
        self._number = 0
        self._connected_at = 0.0
        self._spacing = self._timing.spacing
        # By `_waited`: when a frame came, or the first request made one due.
        self._last_sign = 0.0

    def listen(self, trades: Collection[str], candles: Collection[str] = ()) -> None:
        """What is to be heard from now on: symbols of trades, and of candles.

        What is new is subscribed and what is missing unsubscribed, on the living connection; called with the same
        again, it does nothing. Anything new lets what was refused be asked for again.
        """
        wanted = [Subscription("trade", symbol) for symbol in trades]
        wanted += [Subscription("ohlc", symbol) for symbol in candles]
        if self._subscriptions.want(wanted):
            self._changed.set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        await self._drop()

    def __aiter__(self) -> AsyncIterator[Message]:
        return self

    async def __anext__(self) -> Message:
        while not self._given:
            if self._closing.is_set():
                raise StopAsyncIteration
            if self._connection is None:
                await self._connect()
            else:
                await self._read(self._connection)
        return self._given.popleft()

    # --- connecting ----------------------------------------------------------------------------------------

    async def _connect(self) -> None:
        """One attempt, when it is due."""
        await self._pause(self._reconnects.wait(time.monotonic()))
        if self._closing.is_set():
            return
        self._reconnects.attempted(time.monotonic())
        try:
            connection = await connect(
                self.url,
                open_timeout=self._timing.connect,
                close_timeout=self._timing.close,
                # Frames tell whether the exchange is there; a recorder that went by pongs dropped good sockets
                # (kraken-facts 2.1).
                ping_interval=None,
                max_size=MAX_FRAME_BYTES,
                max_queue=MAX_WAITING_FRAMES,
            )
        except (OSError, WebSocketException) as error:
            sentence, at_least = self._told_unreachable(error)
            seconds = self._reconnects.failed(time.monotonic(), at_least=at_least)
            self._given.append(Unreachable(sentence, seconds))
            return
        self._begin(connection)
        if self._closing.is_set():
            await self._drop()

    def _begin(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._connected_at = time.monotonic()
        self._number += 1
        self._last_sign = self._waited.seconds
        self._spacing = self._timing.spacing
        self.heard = self.answered_at = None
        self._subscriptions.restart()
        self._sender = asyncio.create_task(self._send(connection))
        self._given.append(Connected(self._number, self._clock()))

    async def _pause(self, seconds: float) -> None:
        """Wait so long, or until the socket is closed."""
        if seconds > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._closing.wait()

    def _told_unreachable(self, error: Exception) -> tuple[str, float]:
        """Why an attempt failed, and how long to wait at least."""
        if isinstance(error, InvalidStatus):
            response = error.response
            refusal = error_of_status(
                response.status_code, bytes(response.body or b""), None, response.headers.get("Retry-After")
            )
            if isinstance(refusal, RateLimited):
                return str(refusal), refusal.retry_after or POLICY_SECONDS
            if response.status_code == SERVICE_UNAVAILABLE:
                return f"{self.url} answers HTTP {SERVICE_UNAVAILABLE}.", MAINTENANCE_SECONDS
        sentence = (
            f"{self.url} cannot be reached ({type(error).__name__}: {error}). "
            "If this lasts, check the network, the address and any proxy."
        )
        return sentence, self._least_seconds()

    def _least_seconds(self) -> float:
        return MAINTENANCE_SECONDS if self._system == MAINTENANCE else 0.0

    # --- losing --------------------------------------------------------------------------------------------

    async def _lose(self, sentence: str, at_least: float, is_dead: bool = False) -> None:
        if self._connection is None:
            # Closed by us, while its frames were waited for.
            return
        now = time.monotonic()
        seconds = self._reconnects.failed(now, now - self._connected_at, at_least)
        self._given.append(Disconnected(sentence, seconds))
        await self._drop(is_dead)

    async def _lose_closed(self, error: ConnectionClosed) -> None:
        code = None if error.rcvd is None else error.rcvd.code
        if code == CloseCode.POLICY_VIOLATION:
            sentence = f"The exchange refuses the connection by its policy ({error})."
            await self._lose(sentence, POLICY_SECONDS)
        elif code in (CloseCode.SERVICE_RESTART, CloseCode.TRY_AGAIN_LATER):
            sentence = f"The exchange asks to come again later ({error})."
            await self._lose(sentence, MAINTENANCE_SECONDS)
        else:
            await self._lose(f"The connection ended ({error}).", self._least_seconds())

    async def _drop(self, is_dead: bool = False) -> None:
        """End the connection, if there is one, and its task, within a bounded time; a dead one without goodbye."""
        connection, sender = self._connection, self._sender
        if connection is None or sender is None:
            return
        self._connection = self._sender = None
        sender.cancel()
        try:
            if not is_dead:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._timing.close):
                        await connection.close()
        finally:
            connection.transport.abort()
        await connection.wait_closed()
        await asyncio.wait([sender])
        if not sender.cancelled():
            sender.result()

    # --- reading -------------------------------------------------------------------------------------------

    async def _read(self, connection: ClientConnection) -> None:
        """One frame, or the end of waiting for one."""
        if self._sender is not None and self._sender.done():
            # Ended with its connection, or by a defect, which is raised here.
            self._sender.result()
        overdue = self._subscriptions.overdue_in(self._waited.seconds)
        before = self._waited.seconds
        try:
            frame = await self._receive(connection, min(self._timing.silence, overdue))
        except ConnectionClosed as error:
            await self._lose_closed(error)
            return
        now = self._waited.seconds
        if frame is not None:
            self._last_sign = now
            self._take(frame, is_after_lull=now - before >= LULL_SECONDS)
        elif now - self._last_sign >= self._silence_seconds():
            sentence = f"The exchange has said nothing for {now - self._last_sign:.1f} s."
            await self._lose(sentence, self._least_seconds(), is_dead=True)
            return
        if self._subscriptions.overdue_in(now) <= 0:
            self._given.extend(self._subscriptions.overdue(now))
            self._changed.set()

    async def _receive(self, connection: ClientConnection, seconds: float) -> bytes | None:
        """The next frame, None if none comes in that time; raises ConnectionClosed behind the last one."""
        for look in (seconds, LAST_LOOK_SECONDS):
            with self._waited.counting(), suppress(TimeoutError):
                async with asyncio.timeout(look):
                    return await connection.recv(decode=False)
        return None

    def _silence_seconds(self) -> float:
        """After how long without a frame the exchange is not there; with nothing subscribed it answers pings alone."""
        silence = self._timing.silence
        return silence if self._subscriptions.is_listening else silence + self._timing.ping

    def _take(self, frame: bytes, is_after_lull: bool) -> None:
        received_at = self._clock()
        message = read_frame(frame, received_at)
        if is_after_lull:
            self.heard = Heard(received_at, time.monotonic())
        match message:
            case Heartbeat():
                pass
            case Pong():
                self._note_answer(message)
            case SubscriptionAnswer():
                self._note_answer(message)
                if message.error is not None and is_rate_refusal(message.error):
                    self._spacing = min(2 * self._spacing, LONGEST_SPACING_SECONDS)
                self._given.extend(self._subscriptions.answered(message, self._waited.seconds))
                self._changed.set()
            case TradesHeard() | CandlesHeard():
                self._note_snapshot(message)
                self._given.append(message)
            case SystemStatus():
                self._system = message.system
                self._given.append(message)
            case _:
                self._given.append(message)

    def _note_answer(self, answer: Pong | SubscriptionAnswer) -> None:
        self.answered_at = answer.answered_at or self.answered_at

    def _note_snapshot(self, heard: TradesHeard | CandlesHeard) -> None:
        if heard.is_snapshot and self._subscriptions.is_asking:
            channel = "trade" if isinstance(heard, TradesHeard) else "ohlc"
            symbols = (str(each.get("symbol")) for each in heard.elements if isinstance(each, dict))
            self._given.extend(self._subscriptions.snapshot_came(channel, symbols))

    # --- sending -------------------------------------------------------------------------------------------

    async def _send(self, connection: ClientConnection) -> None:
        """Send requests and a ping now and then, however slowly frames are read; ends with the connection."""
        ping_at = time.monotonic() + self._timing.ping
        with suppress(ConnectionClosed):
            while True:
                self._changed.clear()
                is_sent = await self._send_request(connection)
                if time.monotonic() >= ping_at:
                    await connection.send(ping_request(self._subscriptions.next_id()))
                    ping_at = time.monotonic() + self._timing.ping
                if is_sent:
                    await asyncio.sleep(self._spacing)
                else:
                    await self._wait_for_change(ping_at - time.monotonic())

    async def _send_request(self, connection: ClientConnection) -> bool:
        """Send the next request, if there is one."""
        was_listening = self._subscriptions.is_listening
        request = self._subscriptions.next_request(self._waited.seconds)
        if request is None:
            return False
        if not was_listening:
            # From the first request on frames are due.
            self._last_sign = self._waited.seconds
        method, channel, symbols, request_id = request
        await connection.send(subscription_request(method, channel, symbols, request_id, self._snapshot))
        return True

    async def _wait_for_change(self, seconds: float) -> None:
        """Wait until something changed, so long at most, or until something refused may be asked for again."""
        # The moments of refusals stand still while nobody reads; no need to look at them more often than this.
        again = max(self._subscriptions.ask_in(self._waited.seconds), self._timing.spacing)
        with suppress(TimeoutError):
            async with asyncio.timeout(min(seconds, again)):
                await self._changed.wait()


class _Waited:
    """Counts the seconds spent waiting for frames; those in which frames wait for their reader do not count."""

    def __init__(self) -> None:
        self._before = 0.0
        self._since: float | None = None

    @property
    def seconds(self) -> float:
        return self._before + (0.0 if self._since is None else time.monotonic() - self._since)

    @contextmanager
    def counting(self) -> Iterator[None]:
        """While a frame is waited for."""
        self._since = time.monotonic()
        try:
            yield
        finally:
            self._before, self._since = self.seconds, None
