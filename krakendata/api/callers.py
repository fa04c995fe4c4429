"""Who asks: the bearer of a token, or staff of the admin by their session; and what they may read, how often."""

from __future__ import annotations

from typing import Any

from channels.db import database_sync_to_async
from django.conf import settings
from django.http import HttpRequest
from ninja.security import HttpBearer

from krakendata.api.bearers import Caller, bearer_of, find_token
from krakendata.api.connections import connections
from krakendata.api.lookups import lookups
from krakendata.api.problems import Problem, too_many
from krakendata.api.tokens import READ_CANDLES, READ_COVERAGE, READ_TRADES
from krakendata.options import requests_per_minute

__all__ = ["Bearer"]

# What a session's user may read, by the permission to see the same in the admin.
PERMISSIONS = {
    READ_CANDLES: "krakendata.view_candle",
    READ_TRADES: "krakendata.view_trade",
    READ_COVERAGE: "krakendata.view_syncstatus",
}
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="krakendata"'}


class Bearer(HttpBearer):
    """Lets in who has the scope (None: any), and counts the request.

    A token is shown as `Authorization: Bearer kd_…`. Sessions count as well because every request is a GET, which
    changes nothing, and pages of other sites cannot read the answer.
    """

    # What the description says of it; the class's name is the scheme's.
    openapi_description = "A token made in the admin: Authorization: Bearer kd_…"

    def __init__(self, scope: str | None = None) -> None:
        super().__init__()
        self._scope = scope

    async def authenticate(self, request: HttpRequest, token: str) -> Any:
        """Not asked: `__call__` tells the ways of failing apart."""
        raise NotImplementedError

    async def __call__(self, request: HttpRequest) -> Caller:
        caller = await _caller_of(request)
        per_minute = requests_per_minute() if caller.per_minute is None else caller.per_minute
        if per_minute:
            drawn = await connections().rate_limit.draw(caller.key, per_minute)
            if drawn.wait:
                raise too_many(drawn.wait)
            request.api_headers = {  # type: ignore[attr-defined]  # read by urls.answered_in_shape
                "RateLimit-Limit": str(per_minute),
                "RateLimit-Remaining": str(drawn.remaining),
            }
        if self._scope is not None and self._scope not in caller.scopes:
            raise Problem(403, "forbidden", f"This needs the scope {self._scope}, which you do not have.")
        return caller


async def _caller_of(request: HttpRequest) -> Caller:
    token = bearer_of(request.headers.get("Authorization"))
    if token is not None:
        caller = await find_token(token)
        if caller is None:
            sentence = "The token is unknown, expired or revoked: make one in the admin, under API tokens."
            raise Problem(401, "unauthorized", sentence, headers=CHALLENGE)
        return caller
    caller = await _caller_by_session(request)
    if caller is None:
        sentence = "Show a token: Authorization: Bearer kd_…, or log in to the admin."
        raise Problem(401, "unauthorized", sentence, headers=CHALLENGE)
    return caller


async def _caller_by_session(request: HttpRequest) -> Caller | None:
    """The staff of the admin; None for anybody else, and in a project without sessions."""
    if settings.SESSION_COOKIE_NAME not in request.COOKIES or not hasattr(request, "auser"):
        return None
    async with lookups():
        user = await request.auser()
        if not user.is_staff:
            return None
        scopes = await database_sync_to_async(_scopes_of)(user)
    return Caller(f"user:{user.pk}", scopes)


def _scopes_of(user: Any) -> frozenset[str]:
    return frozenset(scope for scope, permission in PERMISSIONS.items() if user.has_perm(permission))
