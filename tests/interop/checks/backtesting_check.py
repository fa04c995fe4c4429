"""Runs in the environment of backtesting.py: the backtest that the page shows, over what was exported."""

import json
import sys
from pathlib import Path
from typing import Any

shown: dict[str, Any] = {}
exec(Path(sys.argv[1]).read_text(encoding="utf-8"), shown)
frame, stats = shown["frame"], shown["stats"]
print(
    json.dumps(
        {
            "rows": [[int(row[0].timestamp()), *row[1:]] for row in frame.itertuples(name=None)],
            "trades": int(stats["# Trades"]),
            "bars": len(stats["_equity_curve"]),
        }
    )
)
