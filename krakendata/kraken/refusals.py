"""What the exchange says instead of an answer: whether to ask again, and when (kraken-facts 1.1). No I/O."""

import re
from collections.abc import Iterable
from datetime import datetime

from krakendata.errors import KrakenError, RateLimited, Refused, Unavailable

# The question itself is wrong, and will be tomorrow.
PERMANENT = ("EQuery:", "EGeneral:Invalid arguments")

# The counter of calls has run over; how long it takes to run down is not said.
TOO_FAST = ("EAPI:Rate limit exceeded", "EGeneral:Too many requests")

THROTTLED = "EService:Throttled"

LOCKOUT = "EGeneral:Temporary lockout"
LOCKOUT_SECONDS = 900.0

# HTTP 429 and Cloudflare's page 1015 mean a ban of the address, of a length nobody knows; a minute is its least.
BAN_SECONDS = 60.0
TOO_MANY_REQUESTS = 429
BANNED = re.compile(rb"error(?: code:?)? ?1015|>1015<|you are being rate limited", re.IGNORECASE)

# A moment further away is no moment of Kraken's, which speaks of minutes, but a number in another unit.
LONGEST_SECONDS = 86_400.0

# What of a strange body is shown: enough to tell a proxy's page from the exchange's.
SHOWN_BYTES = 80


def error_among(strings: Iterable[str], now: datetime | None) -> KrakenError | None:
    """The error that an answer's `error` array stands for; None where it holds nothing but warnings.

    `now` is the exchange's time, by which a Throttled moment becomes seconds; without it no seconds are given.
    Of several errors the one that asks for the most patience counts. A string that is unknown counts as transient:
    asking a wrong question a few times more does no harm, giving up on a right one leaves a hole.
    """
    told = [text for text in strings if not text.startswith("W")]
    if not told:
        return None
    sentence = f"The exchange answered {', '.join(told)}."
    limited = [text for text in told if text.startswith((*TOO_FAST, THROTTLED, LOCKOUT))]
    if limited:
        waits = [wait for text in limited if (wait := _wait_of(text, now)) is not None]
        return RateLimited(sentence, max(waits, default=None))
    if all(text.startswith(PERMANENT) for text in told):
        return Refused(sentence)
    return Unavailable(sentence)


def error_of_status(
    status: int, body: bytes, told: KrakenError | None = None, retry_after: str | None = None
) -> KrakenError:
    """The error of an HTTP status other than 200, or of a body that is not the API's.

    `told` is what the body says in the API's own words, if it does; `retry_after` the header of that name.
    """
    if status == TOO_MANY_REQUESTS or BANNED.search(body):
        asked = float(retry_after) if retry_after and retry_after.isdecimal() else 0.0
        waits = BAN_SECONDS, min(asked, LONGEST_SECONDS), getattr(told, "retry_after", None) or 0.0
        return RateLimited(f"The exchange has banned this address for a while (HTTP {status}).", max(waits))
    if told is not None:
        return told
    beginning = body[:SHOWN_BYTES].decode("utf-8", "replace")
    return Unavailable(
        f"HTTP {status} with what is no answer of the exchange's API: {beginning!r}. "
        "If this lasts, check KRAKEN_REST_URL and any proxy."
    )


def _wait_of(text: str, now: datetime | None) -> float | None:
    """The seconds that one of the strings asks for; None where it names no time."""
    if text.startswith(LOCKOUT):
        return LOCKOUT_SECONDS
    until = re.search(rf"{THROTTLED}: ?(\d{{1,12}})$", text)
    if until is None or now is None:
        return None
    seconds = int(until[1]) - now.timestamp()
    return max(seconds, 0.0) if seconds <= LONGEST_SECONDS else None
