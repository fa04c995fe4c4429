"""Whom a token lets in: looked up by its digest, and believed for some seconds."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import timedelta

from channels.db import database_sync_to_async
from django.db.models import Q
from django.utils import timezone

from krakendata.api.lookups import lookups
from krakendata.api.tokens import digest_of, is_token

__all__ = ["Caller", "bearer_of", "find_token", "forget_tokens"]

# How long a token that was found is believed: one that is revoked opens nothing after as long.
BELIEVED_SECONDS = 10.0
MAX_BELIEVED = 10_000
# `last_used_at` is written no more often: it says whether a token is in use, not when it was shown.
WRITTEN_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Caller:
    """`key` names it among all callers. `per_minute` None: as many requests as the settings say."""

    key: str
    scopes: frozenset[str]
    per_minute: int | None = None


def bearer_of(authorization: str | None) -> str | None:
    """The token of a header Authorization; None where there is no header, "" where it says something else."""
    if authorization is None:
        return None
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


async def find_token(token: str) -> Caller | None:
    """Whom a token lets in; None where it is unknown, expired or revoked."""
    if not is_token(token):
        return None
    digest, now = digest_of(token), time.monotonic()
    believed = _BELIEVED.get(digest)
    if believed is not None and now < believed[1]:
        return believed[0]
    async with lookups():
        caller: Caller | None = await database_sync_to_async(_read_token)(digest)
    if caller is None:
        _BELIEVED.pop(digest, None)
        return None
    _BELIEVED[digest] = caller, now + BELIEVED_SECONDS
    _BELIEVED.move_to_end(digest)
    if len(_BELIEVED) > MAX_BELIEVED:
        _BELIEVED.popitem(last=False)
    return caller


def forget_tokens() -> None:
    """Look every token up again."""
    _BELIEVED.clear()


_BELIEVED: OrderedDict[str, tuple[Caller, float]] = OrderedDict()


def _read_token(digest: str) -> Caller | None:
    # Not before: the feed's program has consumers, and needs no models.
    from krakendata.models import ApiToken

    now = timezone.now()
    found = ApiToken.objects.filter(digest=digest).first()
    if found is None or not found.is_valid_at(now):
        return None
    due = Q(last_used_at=None) | Q(last_used_at__lt=now - WRITTEN_EVERY)
    ApiToken.objects.filter(due, pk=found.pk).update(last_used_at=now)
    return Caller(f"token:{found.digest[:16]}", frozenset(found.scopes), found.requests_per_minute)
