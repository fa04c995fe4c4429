"""A manifest: which candles a backtest read, so that another day can tell whether it would read the same. Pure.

A reading is remembered month by month as the number of its candles and a hash of what they say: start, prices, volume,
turnover and count of trades, in exact decimals without closing zeros. Trade ids are not hashed: where the same candle
comes from better evidence, a strategy sees the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from itertools import groupby
from typing import Any

from krakendata.gaps import Coverage, Stretch
from krakendata.types import Candle

__all__ = ["Change", "Manifest", "ManifestError", "Month", "Reading", "changes", "reading_of"]

# Raised when what is written changes its meaning.
FORMAT = 1


class ManifestError(ValueError):
    """The text is not a manifest that this version can read."""


@dataclass(frozen=True, slots=True)
class Month:
    """What the candles of one month (UTC, "2024-03") say: how many there are, and the hash of them."""

    month: str
    candles: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Reading:
    """One answer of the provider: which candles were asked for, what they said, and how complete they were.

    `interval` is its name. `first_id` and `last_id` are the exchange's ids of the trades in the candles, None where
    they are not built from trades with ids.
    """

    symbol: str
    interval: str
    asked: Stretch
    months: tuple[Month, ...]
    first_id: int | None
    last_id: int | None
    coverage: Coverage

    @property
    def candles(self) -> int:
        """How many there are."""
        return sum(month.candles for month in self.months)

    @property
    def sha256(self) -> str:
        """The hash of all of them."""
        return sha256("".join(month.sha256 for month in self.months).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Change:
    """What differs from then: `kind` is "candles" where a strategy would see something else, or "coverage"."""

    kind: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything that one run read, in its order; `versions` of what may change its result, by name."""

    made_at: datetime
    versions: Mapping[str, str]
    readings: tuple[Reading, ...]

    def to_json(self) -> str:
        """The manifest as text, the same for equal ones."""
        return json.dumps(
            {
                "format": FORMAT,
                "made_at": _written(self.made_at),
                "versions": dict(sorted(self.versions.items())),
                "readings": [_reading_facts(each) for each in self.readings],
            },
            indent=2,
        )

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """Read what `to_json` wrote; anything else raises ManifestError."""
        try:
            facts = json.loads(text)
            if facts["format"] != FORMAT:
                raise ManifestError(
                    f"The manifest has format {facts['format']}, and this version reads {FORMAT}."
                )
            readings = tuple(map(_read_reading, facts["readings"]))
            return cls(_moment(facts["made_at"]), dict(facts["versions"]), readings)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            if isinstance(error, ManifestError):
                raise
            raise ManifestError(f"This is not a manifest: {error!r}.") from error


def reading_of(symbol: str, interval: str, candles: Iterable[Candle], coverage: Coverage) -> Reading:
    """Remember one answer: candles, oldest first, of `coverage.asked`; they are gone through once.

    Those that `fill` has made up are left out: they follow from the others.
    """
    months: list[Month] = []
    first_id: int | None = None
    last_id: int | None = None
    told = (candle for candle in candles if not candle.is_synthetic)
    for month, group in groupby(told, key=lambda candle: f"{candle.timestamp.astimezone(UTC):%Y-%m}"):
        digest, count = sha256(), 0
        for candle in group:
            digest.update(_line(candle))
            count += 1
            if candle.first_id is not None and candle.first_id > 0:
                first_id = candle.first_id if first_id is None else first_id
                last_id = candle.last_id
        months.append(Month(month, count, digest.hexdigest()))
    return Reading(symbol, interval, coverage.asked, tuple(months), first_id, last_id, coverage)


def joined(readings: Sequence[Reading]) -> Reading:
    """The readings of months that follow one another as the one that they make up."""
    firsts = [each.first_id for each in readings if each.first_id is not None]
    lasts = [each.last_id for each in readings if each.last_id is not None]
    return replace(
        readings[0],
        months=tuple(month for each in readings for month in each.months),
        first_id=firsts[0] if firsts else None,
        last_id=lasts[-1] if lasts else None,
    )


def changes(then: Reading, now: Reading) -> list[Change]:
    """What a strategy would see differently today, month by month; and what is known better or worse than then."""
    before = {month.month: month for month in then.months}
    after = {month.month: month for month in now.months}
    found = [
        Change("candles", sentence)
        for month in sorted(before | after)
        if (sentence := _difference(month, before.get(month), after.get(month)))
    ]
    for name in ("proven", "provisional", "holes"):
        was, is_now = _length(getattr(then.coverage, name)), _length(getattr(now.coverage, name))
        if getattr(then.coverage, name) != getattr(now.coverage, name):
            found.append(Change("coverage", f"{name}: {was} then, {is_now} now."))
    return found


def _difference(month: str, then: Month | None, now: Month | None) -> str:
    if then == now:
        return ""
    if then is None or now is None or then.candles != now.candles:
        return f"{month}: {then.candles if then else 0} candles then, {now.candles if now else 0} now."
    return f"{month}: {then.candles} candles, not all of them as they were."


def _length(stretches: Sequence[Stretch]) -> str:
    seconds = sum((each.end - each.start).total_seconds() for each in stretches)
    return f"{seconds / 3600:,.1f} hours in {len(stretches)} stretches"


def _line(candle: Candle) -> bytes:
    values = (
        candle.open, candle.high, candle.low, candle.close, candle.volume, candle.turnover
    )  # fmt: skip
    numbers = ",".join("" if value is None else _digits(value) for value in values)
    return f"{int(candle.timestamp.timestamp())},{numbers},{candle.trade_count}\n".encode()


def _digits(value: Decimal) -> str:
    """1.5 and 1.50 are one number, and are written alike."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


# --- as JSON ------------------------------------------------------------------------------------------------


def _reading_facts(reading: Reading) -> dict[str, Any]:
    coverage = reading.coverage
    return {
        "symbol": reading.symbol,
        "interval": reading.interval,
        "start": _written(reading.asked.start),
        "end": _written(reading.asked.end),
        "candles": reading.candles,
        "sha256": reading.sha256,
        "ledger": {
            "first_id": reading.first_id,
            "last_id": reading.last_id,
            "proven": _stretch_facts(coverage.proven),
            "provisional": _stretch_facts(coverage.provisional),
            "holes": _stretch_facts(coverage.holes),
        },
        "months": [[each.month, each.candles, each.sha256] for each in reading.months],
    }


def _read_reading(facts: Mapping[str, Any]) -> Reading:
    asked = Stretch(_moment(facts["start"]), _moment(facts["end"]))
    ledger = facts["ledger"]
    kinds = (_read_stretches(ledger[name]) for name in ("proven", "provisional", "holes"))
    months = tuple(Month(str(month), int(count), str(digest)) for month, count, digest in facts["months"])
    reading = Reading(
        str(facts["symbol"]), str(facts["interval"]), asked, months,
        ledger["first_id"], ledger["last_id"], Coverage(asked, *kinds),
    )  # fmt: skip
    if (reading.candles, reading.sha256) != (facts["candles"], facts["sha256"]):
        raise ManifestError(
            f"The manifest's months of {reading.symbol} {reading.interval} do not make its sum: it was edited."
        )
    return reading


def _stretch_facts(stretches: Sequence[Stretch]) -> list[list[str]]:
    return [[_written(each.start), _written(each.end)] for each in stretches]


def _read_stretches(facts: Sequence[Sequence[str]]) -> tuple[Stretch, ...]:
    return tuple(Stretch(_moment(start), _moment(end)) for start, end in facts)


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text} has no time zone")
    return moment.astimezone(UTC)
