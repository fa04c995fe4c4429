"""The exchange's public REST API: one paced attempt a call, a page or a KrakenError (kraken-facts 1)."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import PackageNotFoundError, version
from types import TracebackType
from typing import Generic, NamedTuple, Self, TypeVar

import httpx

from krakendata.errors import RateLimited, Unavailable
from krakendata.kraken.pacers import LocalPacer
from krakendata.kraken.pacing import Pacer
from krakendata.kraken.wire import (
    CandlesPage,
    PairList,
    TradesPage,
    check_status,
    read_candles_page,
    read_pairs,
    read_server_time,
    read_system_status,
    read_trades_page,
)

__all__ = ["Answer", "KrakenRest"]

KRAKEN = "https://api.kraken.com"

# The exchange answers within a second or so; after this long without a byte it will not.
TIMEOUT_SECONDS = 30.0

# A body that comes by drops would never end by the timeout between bytes: so many timeouts for all of it.
WHOLE_TIMEOUTS = 2

# Calls to a pair are seconds apart while it is paced; a connection outlasts the pauses that refusals make.
KEEPALIVE_SECONDS = 60.0

# The longest answer is the list of all pairs: 2 MB in 2025, and four times that would still fit often.
MAX_BODY_BYTES = 32 << 20

Page = TypeVar("Page")
Read = Callable[[bytes, datetime | None], Page]


class Answer(NamedTuple, Generic[Page]):
    """A page; when it was asked for (our clock, after pacing) and answered (the exchange's, None: not said)."""

    page: Page
    asked_at: datetime
    answered_at: datetime | None


class KrakenRest:
    """Asks the exchange, in the manners it wants.

        async with KrakenRest(pacer=pacer) as rest:
            answer = await rest.trades("XBTUSD", since="1616666442304882029")

    Each call waits for the pacer and is one attempt: it raises Unavailable, RateLimited or Refused, and whoever
    called decides by `error.transient`. Pairs are named by their altname. Proxies are taken from the environment.
    """

    def __init__(
        self,
        base_url: str = KRAKEN,
        *,
        pacer: Pacer | None = None,
        timeout: float = TIMEOUT_SECONDS,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._pacer = LocalPacer() if pacer is None else pacer
        self._clock = clock
        self._whole_seconds = WHOLE_TIMEOUTS * timeout
        self._client = httpx.AsyncClient(
            base_url=f"{base_url.rstrip('/')}/0/public/",
            headers={"User-Agent": _user_agent()},
            timeout=timeout,
            limits=httpx.Limits(keepalive_expiry=KEEPALIVE_SECONDS),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def trades(self, pair: str, since: str | None = None) -> Answer[TradesPage]:
        """At most 1,000 trades from the cursor `since` on ("0": the first ones), or the newest."""
        params = {"pair": pair} if since is None else {"pair": pair, "since": since}
        return await self._ask("Trades", params, read_trades_page, pair)

    async def candles(
        self, pair: str, interval_minutes: int, since: int | None = None
    ) -> Answer[CandlesPage]:
        """At most the last 720 closed candles and the forming one, those from `since` (epoch seconds) on."""
        params = {"pair": pair, "interval": str(interval_minutes)}
        if since is not None:
            params["since"] = str(since)
        return await self._ask("OHLC", params, read_candles_page, pair)

    async def asset_pairs(self) -> PairList:
        """Every pair that the exchange lists."""
        return (await self._ask("AssetPairs", {}, read_pairs)).page

    async def server_time(self) -> datetime:
        """The exchange's clock, aware UTC, in whole seconds."""
        return (await self._ask("Time", {}, read_server_time)).page

    async def system_status(self) -> str:
        """The exchange's word for its state: "online", "maintenance", "cancel_only" or "post_only"."""
        return (await self._ask("SystemStatus", {}, read_system_status)).page

    async def _ask(
        self, endpoint: str, params: Mapping[str, str], read: Read[Page], pair: str | None = None
    ) -> Answer[Page]:
        await self._pacer.wait(pair)
        asked_at = self._clock()
        response, body = await self._get(endpoint, params)
        answered_at = _date_of(response)
        now = answered_at or self._clock()
        try:
            check_status(response.status_code, body, now, response.headers.get("Retry-After"))
            page = read(body, now)
        except RateLimited as error:
            await self._pacer.refused(pair, error.retry_after)
            raise
        await self._pacer.answered(pair)
        return Answer(page, asked_at, answered_at)

    async def _get(self, endpoint: str, params: Mapping[str, str]) -> tuple[httpx.Response, bytes]:
        body = bytearray()
        try:
            async with (
                asyncio.timeout(self._whole_seconds),
                self._client.stream("GET", endpoint, params=params) as response,
            ):
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > MAX_BODY_BYTES:
                        raise Unavailable(
                            f"{response.url} answers with more than {MAX_BODY_BYTES:,} bytes; "
                            "no answer of the exchange is that long. Check KRAKEN_REST_URL and any proxy."
                        )
        except (httpx.HTTPError, TimeoutError) as error:
            raise Unavailable(
                f"{self._client.base_url}{endpoint} gave no answer ({type(error).__name__}: {error}). "
                "If this lasts, check the network, KRAKEN_REST_URL and any proxy."
            ) from error
        return response, bytes(body)


def _date_of(response: httpx.Response) -> datetime | None:
    """The moment in the Date header, aware UTC; None where there is none that can be read."""
    try:
        return parsedate_to_datetime(response.headers["Date"]).astimezone(UTC)
    except (KeyError, ValueError, OverflowError):
        return None


def _user_agent() -> str:
    try:
        return f"krakendata/{version('krakendata')}"
    except PackageNotFoundError:
        return "krakendata/source"
