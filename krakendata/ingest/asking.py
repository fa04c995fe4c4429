"""Asking the exchange with patience: what may succeed later is asked again, with the waits the exchange wants."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import stamina

from krakendata.errors import KrakenError, RateLimited

Answer = TypeVar("Answer")

# 1, 2, 4 … 60 seconds and a little at random (kraken-facts 1.1): ten minutes of maintenance are outlasted.
FIRST_WAIT, LONGEST_WAIT, JITTER = 1.0, 60.0, 1.0
ATTEMPTS = 15


async def ask(call: Callable[[], Awaitable[Answer]]) -> Answer:
    """Call until there is an answer; the last error is raised when patience ends, a permanent one at once."""
    async for attempt in stamina.retry_context(
        on=_wait_after, attempts=ATTEMPTS, timeout=None,
        wait_initial=FIRST_WAIT, wait_max=LONGEST_WAIT, wait_jitter=JITTER,
    ):  # fmt: skip
        with attempt:
            return await call()
    raise AssertionError("a retry ends with an answer or an error")


def _wait_after(error: Exception) -> bool | float:
    """Whether to try again: with the usual waits, or at once."""
    if not isinstance(error, KrakenError) or not error.transient:
        return False
    # The pacer has noted the refusal, and keeps the next call waiting as long as the exchange wants.
    return 0.0 if isinstance(error, RateLimited) else True
