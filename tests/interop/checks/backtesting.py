"""Runs in the environment of backtesting.py: a backtest over what was exported."""

import json
import sys
from pathlib import Path

# This file bears the package's name, and its folder is looked into first.
sys.path.pop(0)
import pandas as pd  # noqa: E402
from backtesting import Backtest, Strategy  # noqa: E402


class Cross(Strategy):
    """Buys above the mean of ten closes, and sells below."""

    def init(self) -> None:
        self.mean = self.I(lambda close: pd.Series(close).rolling(10).mean(), self.data.Close)

    def next(self) -> None:
        if self.data.Close[-1] > self.mean[-1]:
            if not self.position:
                self.buy()
        elif self.position:
            self.position.close()


frame = pd.read_parquet(Path(sys.argv[1]) / "BTC_USD-1h.parquet").set_index("Date")
found = Backtest(frame, Cross, cash=10_000_000).run()
print(json.dumps({"rows": len(frame), "trades": int(found["# Trades"]), "start": str(found["Start"])}))
