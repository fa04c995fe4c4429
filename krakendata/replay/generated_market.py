"""A whole made-up market for the replay exchange: busy pairs, a thin one, one listed and one delisted midway."""

from collections.abc import Collection
from datetime import datetime
from decimal import Decimal

from krakendata.replay.histories import GeneratedHistory
from krakendata.replay.market import MARKET_PAIRS, MarketPair

__all__ = ["DELISTED", "GENERATED_PAIRS", "THIN", "generated_market"]

TRADES_A_DAY = 1 / 1440

THIN = MarketPair("WBTC/EUR", "WBTCEUR", Decimal("55000"), 1, 0.01, 8, 3 * TRADES_A_DAY)
DELISTED = MarketPair("LUNA/USD", "LUNAUSD", Decimal("80"), 2, 2.0, 8, 2.0, move=0.002)
GENERATED_PAIRS = MARKET_PAIRS | {pair.symbol: pair for pair in (THIN, DELISTED)}

# Ids begin at 1 for nearly all pairs (HFTUSD: at 3; kraken-facts 5).
FIRST_IDS = {"DOGE/USD": 3, "ETH/USD": 40_001}

# Holes in the ids are not documented and not excluded (kraken-facts 5): rare, and enough to be met.
ABSENT_EVERY = 20_000


def generated_market(
    start: datetime,
    end: datetime,
    seed: int = 1,
    symbols: Collection[str] = tuple(GENERATED_PAIRS),
    activity: float = 1.0,
    absent_every: int = ABSENT_EVERY,
) -> list[GeneratedHistory]:
    """The histories of the made-up pairs named by `symbols`, from the aware `start` on; most go on behind `end`.

    A pair that is listed later (`MarketPair.listed_at`) begins between the two, `DELISTED` ends halfway. Equal
    arguments give equal trades. Raises KeyError for a pair that is not made up.
    """
    length = end - start
    return [
        GeneratedHistory(
            pair,
            start + length * pair.listed_at,
            seed,
            until=start + length / 2 if pair is DELISTED else None,
            first_id=FIRST_IDS.get(pair.symbol, 1),
            absent_every=absent_every,
            activity=activity,
        )
        for pair in (GENERATED_PAIRS[symbol] for symbol in symbols)
    ]
