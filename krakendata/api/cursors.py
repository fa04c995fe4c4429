"""Cursors: where the next page begins, in a text that is handed out and handed back.

A cursor is bound to its question: handed back with another it is refused, and so is one that we did not write. It
holds no secret and opens nothing that its question does not, so that it is checked, not signed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from typing import NamedTuple

from krakendata.api.problems import Problem

__all__ = ["Cursor", "cursor_text", "read_cursor"]

# Microseconds since 1970, a trade id (0: a candle), and what binds it to its question.
_LAYOUT = struct.Struct(">qq8s")
# Times outside of these are nobody's: 2000 to 2100.
EARLIEST_US, LATEST_US = 946_684_800_000_000, 4_102_444_800_000_000


class Cursor(NamedTuple):
    """A place in a series: the last row given, by time and, of trades, by id."""

    us: int
    trade_id: int = 0


def cursor_text(cursor: Cursor, question: str) -> str:
    """The cursor in letters that need no escaping in an address. `question` is all that stays from page to page."""
    packed = _LAYOUT.pack(cursor.us, cursor.trade_id, _binding(question))
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def read_cursor(text: str, question: str) -> Cursor:
    """The cursor of a text; raises Problem 400 for any that was not given to this question."""
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        us, trade_id, binding = _LAYOUT.unpack(packed)
    except (binascii.Error, ValueError, struct.error):
        raise _refused() from None
    if binding != _binding(question) or not EARLIEST_US <= us <= LATEST_US:
        raise _refused()
    return Cursor(us, trade_id)


def _binding(question: str) -> bytes:
    return hashlib.sha256(question.encode()).digest()[:8]


def _refused() -> Problem:
    sentence = (
        "The cursor is not one of this question: send the one of the page before, with the same parameters."
    )
    return Problem(400, "bad_cursor", sentence, "cursor")
