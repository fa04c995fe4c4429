"""The market that the tests of sockets replay: drawn once, however many files hear it."""

from datetime import UTC, datetime, timedelta

from krakendata.replay.generated_market import GENERATED_PAIRS
from krakendata.replay.histories import GeneratedHistory

START = datetime(2026, 3, 2, tzinfo=UTC)
NOW = START + timedelta(hours=30, seconds=17)
BITCOIN = GeneratedHistory(GENERATED_PAIRS["BTC/USD"], START, 1, absent_every=3_000)
ETHER = GeneratedHistory(GENERATED_PAIRS["ETH/USD"], START, 1)
