"""The exchange of Django's settings, for commands and tasks alike."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from django.conf import settings

from krakendata.kraken.pacers import LocalPacer, RedisPacer
from krakendata.kraken.rest import KrakenRest
from krakendata.options import call_limits, rest_url


@asynccontextmanager
async def open_exchange() -> AsyncIterator[KrakenRest]:
    """A client of KRAKEN_REST_URL, paced together with every process that shares REDIS_URL, else by itself."""
    url = rest_url()
    redis_url = getattr(settings, "REDIS_URL", None)
    pacer = (
        RedisPacer(redis_url, call_limits(), exchange=urlsplit(url).netloc)
        if redis_url
        else LocalPacer(call_limits())
    )
    async with pacer, KrakenRest(url, pacer=pacer) as rest:
        yield rest
