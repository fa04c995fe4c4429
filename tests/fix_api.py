"""The HTTP API in this process: a client with a token that may read everything."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from channels.db import database_sync_to_async

from config.asgi import http
from krakendata.api.bearers import forget_tokens
from krakendata.api.connections import close_connections
from krakendata.api.tokens import SCOPES, digest_of, new_token
from krakendata.models import ApiToken

ROOT = "http://localhost/api/v1/"


def make_token(*scopes: str, **facts: object) -> str:
    """Write a token with these scopes, all of them unless some are given; give it."""
    token = new_token()
    given = {"name": "tests", "owner": "tester", "ending": token[-4:], "scopes": list(scopes or SCOPES)}
    ApiToken.objects.create(digest=digest_of(token), **{**given, **facts})
    return token


make_token_async = database_sync_to_async(make_token)


@pytest.fixture
async def api(transactional_db: None) -> AsyncIterator[httpx.AsyncClient]:
    """Give a client whose base address is the API's; what answers is forgotten afterwards."""
    forget_tokens()
    token = await make_token_async(requests_per_minute=1_000_000)
    headers = {"Authorization": f"Bearer {token}"}
    application: Any = http
    transport = httpx.ASGITransport(application, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=ROOT, headers=headers) as client:
        yield client
    await close_connections()
