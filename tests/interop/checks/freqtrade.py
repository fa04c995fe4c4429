"""Runs in freqtrade's environment: its own data handler reads what was exported."""

import json
import sys
from pathlib import Path

from freqtrade.configuration import TimeRange
from freqtrade.data.history.datahandlers import get_datahandler
from freqtrade.enums import CandleType, TradingMode

folder = Path(sys.argv[1])
handler = get_datahandler(folder, "feather")
available = handler.ohlcv_get_available_data(folder, TradingMode.SPOT)
plain = {"fill_missing": False, "drop_incomplete": False}
candles = handler.ohlcv_load("BTC/USD", "1h", CandleType.SPOT, **plain)
filled = handler.ohlcv_load("BTC/USD", "1h", CandleType.SPOT, fill_missing=True, drop_incomplete=False)
first = int(candles["date"].iloc[0].timestamp())
some = handler.ohlcv_load(
    "BTC/USD", "1h", CandleType.SPOT, timerange=TimeRange("date", "date", first + 3600, first + 7200), **plain
)
trades = handler.trades_load("BTC/USD", TradingMode.SPOT)
print(
    json.dumps(
        {
            "available": [[pair, interval] for pair, interval, _ in available],
            "candles": [
                [int(row.date.timestamp()), row.open, row.high, row.low, row.close, row.volume]
                for row in candles.itertuples()
            ],
            "filled": len(filled),
            "some": len(some),
            "trades": [[row.id, row.price, row.amount, row.side] for row in trades.itertuples()],
        }
    )
)
