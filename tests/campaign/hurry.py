"""The waits of the product, shortened: a campaign tests what follows a wait, not how long it is."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from krakendata.ingest import asking, backfill, pair_backfill
from krakendata.storage import writers

SHORTENED: tuple[tuple[Any, str, float], ...] = (
    (asking, "FIRST_WAIT", 0.01),
    (asking, "LONGEST_WAIT", 0.1),
    (asking, "JITTER", 0.0),
    (backfill, "STORAGE_WAIT_SECONDS", 0.3),
    (pair_backfill, "BLOCK_SECONDS", 0.02),
    (writers, "JOB_LOCK_SECONDS", 0.1),
)

# manage.py in a process of its own, in the same hurry.
HURRIED_PROGRAM = (
    "from tests.campaign.hurry import hurry; hurry(); "
    "import sys; sys.argv[0] = 'manage.py'; from manage import main; main()"
)


def hurry() -> None:
    """Shorten the waits for the rest of this process."""
    for module, name, seconds in SHORTENED:
        setattr(module, name, seconds)


@contextmanager
def hurried() -> Iterator[None]:
    """Shorten them for a block."""
    before = [(module, name, getattr(module, name)) for module, name, _ in SHORTENED]
    hurry()
    try:
        yield
    finally:
        for module, name, seconds in before:
            setattr(module, name, seconds)
