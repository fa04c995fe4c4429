"""`manage.py stream_trades` with shortened waits: the program of a live campaign's processes."""

from functools import partial

from krakendata.ingest import live
from krakendata.kraken.websocket import Timing
from krakendata.management.commands import stream_trades
from tests.campaign.hurry import hurry

# The exchange says something every second; a socket that does not for so long is dead.
SILENCE_SECONDS = 3.0
# Half a second: sessions and quiet stretches are written down between any two events.
KEEP_SECONDS = PING_SECONDS = 0.5

HURRIED_FEED_PROGRAM = (
    "from tests.campaign.hurried_feed import hurry_feed; hurry_feed(); "
    "import sys; sys.argv[0] = 'manage.py'; from manage import main; main()"
)


def hurry_feed() -> None:
    """Shorten the waits for the rest of this process."""
    hurry()
    live.KEEP_SECONDS = KEEP_SECONDS
    replaced = {
        "Timing": partial(Timing, silence=SILENCE_SECONDS),
        "PING_SECONDS": PING_SECONDS,
    }
    for name, value in replaced.items():
        setattr(stream_trades, name, value)
