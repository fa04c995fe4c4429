"""What a client reaches that only downloads the pages of REST Trades and decodes them, and keeps nothing.

`python -m tests.benchmarks.bare_client URL PAIR…`, the pairs side by side; prints the trades and the seconds.
"""

import http.client
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

PAGE_ROWS = 1_000


def main(url: str, pairs: list[str]) -> None:
    """Download every page of every pair."""
    started = time.monotonic()
    with ThreadPoolExecutor(len(pairs)) as threads:
        trades = sum(threads.map(lambda pair: download(url, pair), pairs))
    print(json.dumps({"trades": trades, "seconds": time.monotonic() - started}))


def download(url: str, pair: str) -> int:
    """Follow a pair from its first trade to its newest; how many there were."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc)
    trades, since, is_more = 0, "0", True
    while is_more:
        connection.request("GET", f"/0/public/Trades?pair={pair}&since={since}")
        answer = json.loads(connection.getresponse().read())
        result = answer["result"]
        since = result.pop("last")
        (rows,) = result.values()
        trades += len(rows)
        is_more = len(rows) == PAGE_ROWS
    connection.close()
    return trades


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
