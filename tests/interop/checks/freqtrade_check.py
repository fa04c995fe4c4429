"""Runs in freqtrade's environment: its own data handler reads what was exported."""

import json
from pathlib import Path
from typing import Any

from freqtrade.configuration import TimeRange
from freqtrade.data.converter import trades_to_ohlcv
from freqtrade.data.history import get_datahandler, load_pair_history
from freqtrade.enums import CandleType, TradingMode
from pandas import DataFrame

folder = Path("user_data/data/kraken")


def told(frame: DataFrame) -> list[list[Any]]:
    return [
        [int(row.date.timestamp()), row.open, row.high, row.low, row.close, row.volume]
        for row in frame.itertuples()
    ]


def load(**options: Any) -> DataFrame:
    return load_pair_history(pair="BTC/USD", timeframe="1h", datadir=folder, data_format="feather", **options)


handler = get_datahandler(folder, "feather")
candles, filled = load(fill_up_missing=False), load()
first = int(candles["date"].iloc[0].timestamp())
trades = handler.trades_load("BTC/USD", TradingMode.SPOT)
available = handler.ohlcv_get_available_data(folder, TradingMode.SPOT)
print(
    json.dumps(
        {
            "available": [[pair, interval] for pair, interval, _ in available],
            "trades_available": handler.trades_get_available_data(folder, TradingMode.SPOT),
            "candles": told(candles),
            "filled": len(filled),
            "some": told(load(timerange=TimeRange("date", "date", first + 3600, first + 7200))),
            "range": [str(each) for each in handler.ohlcv_data_min_max("BTC/USD", "1h", CandleType.SPOT)[:2]],
            "trades": [
                [row.timestamp, row.id, row.price, row.amount, row.side] for row in trades.itertuples()
            ],
            "candles_of_trades": told(trades_to_ohlcv(trades, "1h")),
        }
    )
)
