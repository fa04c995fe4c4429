"""An exchange that has nothing but a list of pairs, which tests write, and the settings that point at it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from pytest_django.fixtures import Settings


@dataclass
class ListingExchange:
    """Answers AssetPairs with `listed`, by REST key; what else it is asked for it does not know."""

    listed: dict[str, Any] = field(default_factory=dict)
    asked: int = 0
    url: str = ""

    def list_pair(self, symbol: str, **facts: Any) -> None:
        """Put a pair in the list, under its altname unless `key` says otherwise."""
        base, quote = symbol.split("/")
        key = facts.pop("key", f"{base}{quote}")
        usual = {"altname": key, "wsname": symbol, "pair_decimals": 1, "lot_decimals": 8, "status": "online"}
        self.listed[key] = usual | facts

    def answer(self, path: str) -> dict[str, Any]:
        if not path.endswith("/AssetPairs"):
            return {"error": ["EQuery:Unknown asset pair"]}
        self.asked += 1
        return {"error": [], "result": self.listed}


@pytest.fixture
def exchange(settings: Settings) -> Iterator[ListingExchange]:
    """Start it and let the commands ask it, as often as they like."""
    listing = ListingExchange()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(listing.answer(self.path.partition("?")[0])).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listing.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    unlimited = {"KRAKEN_CALLS_PER_SECOND": 0.0, "KRAKEN_CALLS_PER_SECOND_PER_PAIR": 0.0}
    settings.KRAKENDATA = {**settings.KRAKENDATA, **unlimited, "KRAKEN_REST_URL": listing.url}
    yield listing
    server.shutdown()
    server.server_close()
