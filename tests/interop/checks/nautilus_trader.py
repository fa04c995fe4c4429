"""Runs in nautilus_trader's environment: its own catalog reads what was exported."""

import json
import sys

from nautilus_trader.persistence.catalog import ParquetDataCatalog

catalog = ParquetDataCatalog(sys.argv[1])
bars = catalog.bars(bar_types=["BTC/USD.KRAKEN-1-HOUR-LAST-EXTERNAL"])
ticks = catalog.trade_ticks(instrument_ids=["BTC/USD.KRAKEN"])
print(
    json.dumps(
        {
            "bars": [
                [bar.ts_event, *(str(each) for each in (bar.open, bar.high, bar.low, bar.close, bar.volume))]
                for bar in bars
            ],
            "ticks": [
                [tick.ts_event, str(tick.trade_id), str(tick.price), str(tick.size), tick.aggressor_side.name]
                for tick in ticks
            ],
        }
    )
)
