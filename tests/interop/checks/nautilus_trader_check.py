"""Runs in nautilus_trader's environment: its own catalog reads what was exported, and a backtest runs over it."""

import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig
from nautilus_trader.examples.strategies.ema_cross_long_only import EMACrossLongOnly, EMACrossLongOnlyConfig
from nautilus_trader.model import BarType, Money, Venue
from nautilus_trader.model.currencies import BTC, USD
from nautilus_trader.model.enums import AccountType, OmsType

YEAR_ENDS = "2026-01-01T00:00:00Z"
HOURLY = "BTC/USD.KRAKEN-1-HOUR-LAST-EXTERNAL"
KINDS = ("1-MINUTE", "1-HOUR", "1-WEEK")

shown: dict[str, Any] = {}
exec(Path(sys.argv[1]).read_text(encoding="utf-8"), shown)
catalog, bars, ticks, instrument = (shown[name] for name in ("catalog", "bars", "ticks", "instrument"))


def told(found: list[Any]) -> list[list[Any]]:
    """Each bar's time and numbers, as text."""
    return [
        [bar.ts_event, *(str(each) for each in (bar.open, bar.high, bar.low, bar.close, bar.volume))]
        for bar in found
    ]


engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(log_level="ERROR")))
cash = [Money(1_000_000, USD), Money(1, BTC)]
engine.add_venue(Venue("KRAKEN"), OmsType.NETTING, AccountType.CASH, starting_balances=cash)
(kept,) = catalog.instruments()
engine.add_instrument(kept)
engine.add_data(bars)
engine.add_strategy(
    EMACrossLongOnly(
        EMACrossLongOnlyConfig(
            instrument_id=instrument.id,
            bar_type=BarType.from_str(HOURLY),
            trade_size=Decimal("0.5"),
            fast_ema_period=20,
            slow_ema_period=50,
            request_historical_bars=False,
        )
    )
)
engine.run()
result = engine.get_result()
print(
    json.dumps(
        {
            "bars": {kind: told(catalog.bars(bar_types=[HOURLY.replace("1-HOUR", kind)])) for kind in KINDS},
            "since": {
                kind: told(catalog.bars(bar_types=[HOURLY.replace("1-HOUR", kind)], start=YEAR_ENDS))
                for kind in KINDS
            },
            "until": {
                kind: told(catalog.bars(bar_types=[HOURLY.replace("1-HOUR", kind)], end=YEAR_ENDS))
                for kind in KINDS
            },
            "ticks": [
                [tick.ts_event, str(tick.trade_id), str(tick.price), str(tick.size), tick.aggressor_side.name]
                for tick in ticks
            ],
            "heard": result.iterations,
            "orders": result.total_orders,
        }
    )
)
