"""`manage.py stream_trades` with shortened waits and a small buffer: the program of a live campaign's processes."""

import os
from functools import partial

from krakendata.ingest import live
from krakendata.ingest.writer import BufferLimits, DatabaseWriter
from krakendata.kraken.websocket import Timing
from krakendata.management.commands import stream_trades
from tests.campaign.hurry import hurry

# How many trades wait at most, which no setting says.
BUFFER_VARIABLE = "CAMPAIGN_BUFFER_TRADES"

# The exchange says something every second; a socket that does not for so long is dead.
SILENCE_SECONDS = 3.0
FLUSH_SECONDS = 1.0
# Half a second: sessions and quiet stretches are written down between any two events.
KEEP_SECONDS = PING_SECONDS = 0.5

HURRIED_FEED_PROGRAM = (
    "from tests.campaign.hurried_feed import hurry_feed; hurry_feed(); "
    "import sys; sys.argv[0] = 'manage.py'; from manage import main; main()"
)


def hurry_feed() -> None:
    """Shorten the waits for the rest of this process, and make the buffer as small as the environment says."""
    hurry()
    live.KEEP_SECONDS = KEEP_SECONDS
    most = int(os.environ[BUFFER_VARIABLE])
    limits = BufferLimits(trades=most, flush_trades=max(most // 5, 1), flush_seconds=FLUSH_SECONDS)
    replaced = {
        "DatabaseWriter": partial(DatabaseWriter, limits=limits),
        "Timing": partial(Timing, silence=SILENCE_SECONDS),
        "PING_SECONDS": PING_SECONDS,
    }
    for name, value in replaced.items():
        setattr(stream_trades, name, value)
