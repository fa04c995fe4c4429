"""Tokens: how they are made, what of them is kept, and what they may be good for."""

from __future__ import annotations

import hashlib
import re
import secrets

__all__ = [
    "LIVE",
    "READ_CANDLES",
    "READ_COVERAGE",
    "READ_TRADES",
    "SCOPES",
    "digest_of",
    "is_token",
    "new_token",
]

READ_CANDLES, READ_TRADES, READ_COVERAGE, LIVE = "read:candles", "read:trades", "read:coverage", "live"
SCOPES = {
    READ_CANDLES: "Candles of every interval",
    READ_TRADES: "Single trades",
    READ_COVERAGE: "How complete the data are, pair by pair",
    LIVE: "The live socket: candles and trades as they come",
}

# Whoever finds one in a log or a repository sees whose it is; scanners for secrets know such beginnings.
PREFIX = "kd_"
RANDOM_BYTES = 32
_TOKEN = re.compile(re.escape(PREFIX) + r"[A-Za-z0-9_-]{43}", re.ASCII)


def new_token() -> str:
    """A token that nobody can guess: 256 random bits."""
    return PREFIX + secrets.token_urlsafe(RANDOM_BYTES)


def is_token(text: str) -> bool:
    """Whether it has a token's shape; what has not is not looked for."""
    return _TOKEN.fullmatch(text) is not None


def digest_of(token: str) -> str:
    """What is kept of a token. Of 256 random bits no one finds the source, so that a slow hash would only cost time."""
    return hashlib.sha256(token.encode()).hexdigest()
