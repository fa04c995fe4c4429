"""The answers as the API's description tells them. Nothing is checked against these when it is sent: tests do."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from ninja import Field, Schema

# Exact: a JSON number would be read as a float.
DecimalText = Annotated[str, Field(pattern=r"^-?[0-9]+(\.[0-9]+)?$", examples=["83744.3"])]
Moment = Annotated[datetime, Field(examples=["2024-01-31T15:00:00Z"])]
Following = Annotated[
    str | None,
    Field(description="Where the next page goes on: send it as `cursor`; null: this is the last page"),
]


class StretchOut(Schema):
    """A stretch of time: `start` belongs to it, `end` does not."""

    start: Moment
    end: Moment


class CoverageOut(Schema):
    """How complete an answer is, the time it covers divided into three kinds of stretches."""

    start: Moment
    end: Moment
    state: Literal["proven", "provisional", "holes"] = Field(
        description="proven: every trade is in; provisional: from archives without ids; holes: something is missing"
    )
    proven: list[StretchOut]
    provisional: list[StretchOut]
    holes: list[StretchOut]
    truncated: bool = Field(description="There are more stretches of a kind than are listed")


class CandleOut(Schema):
    """One candle; buckets without trades have none."""

    timestamp: Moment = Field(description="The start, UTC")
    open: DecimalText
    high: DecimalText
    low: DecimalText
    close: DecimalText
    volume: DecimalText = Field(description="In the base currency")
    vwap: DecimalText | None = Field(description="Turnover / volume; null where an archive does not tell")
    trade_count: int
    turnover: DecimalText | None = Field(
        description="In the quote currency; null where an archive does not tell"
    )
    first_id: int | None = Field(
        description="The exchange's id of its first trade; null: not built from trades"
    )
    last_id: int | None
    coarse: bool = Field(description="Given by an archive at this interval, not built from minutes")


class CandlesOut(Schema):
    """A page of candles, oldest first."""

    symbol: str
    interval: str
    candles: list[CandleOut]
    next: Following
    coverage: CoverageOut


class TradeOut(Schema):
    """One trade."""

    trade_id: int = Field(description="Kraken's, per pair; negative: of an archive without ids")
    timestamp: Moment
    price: DecimalText
    volume: DecimalText
    side: str | None = Field(description="The taker's: buy or sell")
    order_type: str | None


class TradesOut(Schema):
    """A page of trades, by time and id."""

    symbol: str
    trades: list[TradeOut]
    next: Following
    coverage: CoverageOut


class HeldOut(Schema):
    """What is held of one kind."""

    oldest: Moment | None
    newest: Moment | None
    collected: int = Field(description="Ever taken in; retention leaves it as it is")
    stored: int
    holes: int | None


class CoverageAnswer(Schema):
    """How complete one symbol's data are."""

    symbol: str
    interval: str
    coverage: CoverageOut
    trades: HeldOut | None
    candles: HeldOut | None = Field(description="Of archives' candles and REST's, which carry no ids")


class SymbolOut(Schema):
    """One pair. What only the exchange's list tells is null where the pair was never in it."""

    symbol: str = Field(examples=["BTC/USD"])
    key: str | None = Field(description="REST's name, XXBTZUSD")
    altname: str | None
    wsname: str | None
    base: str | None
    quote: str | None
    status: str | None = Field(description="The exchange's word; delisted or renamed: listed no more")
    price_decimals: int | None
    volume_decimals: int | None
    tracked: bool | None = Field(description="Whether it is kept complete here")
    oldest: Moment | None = Field(description="Of what was collected of it; null: nothing")
    newest: Moment | None


class SymbolsOut(Schema):
    """A page of pairs, by symbol."""

    symbols: list[SymbolOut]
    next: Following


class HealthOut(Schema):
    """The API and its database answer."""

    status: Literal["ok"]
    time: Moment


class ProblemOut(Schema):
    """What is said instead of an answer."""

    error: str = Field(description="A code that stays the same", examples=["unknown_symbol"])
    message: str = Field(description="A sentence for people")
    field: str | None = Field(None, description="The parameter that it is about, where it is about one")
