"""Runs in vectorbt's environment: a portfolio over what was exported."""

import json
import sys
from pathlib import Path

# This file bears the package's name, and its folder is looked into first.
sys.path.pop(0)
import pandas as pd  # noqa: E402
import vectorbt  # noqa: E402

frame = pd.read_parquet(Path(sys.argv[1]) / "BTC_USD-1h.parquet").set_index("Date")
mean = frame["Close"].rolling(10).mean()
portfolio = vectorbt.Portfolio.from_signals(
    frame["Close"], frame["Close"] > mean, frame["Close"] < mean, freq="1h"
)
print(json.dumps({"rows": len(frame), "trades": int(portfolio.trades.count()), "start": str(frame.index[0])}))
