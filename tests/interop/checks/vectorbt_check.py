"""Runs in vectorbt's environment: the portfolios that the page shows, over what was exported."""

import json
import sys
from pathlib import Path
from typing import Any

shown: dict[str, Any] = {}
exec(Path(sys.argv[1]).read_text(encoding="utf-8"), shown)
portfolio, holding = shown["portfolio"], shown["holding"]
print(
    json.dumps(
        {
            "closes": [[int(moment.timestamp()), close] for moment, close in shown["close"].items()],
            "trades": int(portfolio.trades.count()),
            "held": float(holding.total_return()),
        }
    )
)
