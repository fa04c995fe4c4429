"""How often a password may be tried: by the address it comes from, and by the name it is tried for.

Each has a bucket of tries that fills up evenly, in Redis for every web process. While Redis is away each process
counts for itself, as the HTTP API does (api/rate_limit.py): a login that nobody can try would be worse. A name's
bucket is full again once somebody knew the password. An address gets back that one try and no more, or who has an
account could try others' in between.
"""

from __future__ import annotations

import hashlib
import ipaddress
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import NamedTuple

from django.conf import settings
from django.contrib import admin
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from krakendata.api.rate_limit import AWAY_SECONDS, MAX_CALLERS_COUNTED, REDIS_SECONDS, SCRIPT, draw

logger = logging.getLogger(__name__)

# Who mistypes has tries enough, who guesses 1,440 a day of one name.
NAME_TRIES, NAME_SECONDS = 10, 600.0
# An office behind one address.
ADDRESS_TRIES, ADDRESS_SECONDS = 30, 600.0
# The same as `LoginLimit._own` has it: one try less until the bucket is full.
_GIVE_BACK = """
local now = redis.call('TIME')
now = now[1] + now[2] / 1000000
local full_at = tonumber(redis.call('GET', KEYS[1]) or '0') - ARGV[2] / ARGV[1]
if full_at > now then
    redis.call('SET', KEYS[1], string.format('%.6f', full_at), 'PX', math.ceil((full_at - now) * 1000))
else
    redis.call('DEL', KEYS[1])
end
"""
# What one customer of a provider is given: to count its addresses one by one would be no limit.
IPV6_PREFIX = 64


class Bucket(NamedTuple):
    """What is counted: its key, and how many tries fill up in how many seconds."""

    key: str
    tries: int
    seconds: float


def buckets_of(address: str, name: str) -> tuple[Bucket, Bucket]:
    """The two buckets of a try. Names differ in case for the database and not for whoever guesses."""
    # Hashed: a password typed into the wrong field is not to lie in Redis.
    digest = hashlib.sha256(name.strip().casefold().encode()).hexdigest()
    return (
        Bucket(f"krakendata:login:address:{network_of(address)}", ADDRESS_TRIES, ADDRESS_SECONDS),
        Bucket(f"krakendata:login:name:{digest}", NAME_TRIES, NAME_SECONDS),
    )


def network_of(address: str) -> str:
    """What is counted together: an IPv4 address, the first 64 bits of an IPv6 one; "unknown" for what is neither."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, IPV6_PREFIX), strict=False))
    return str(parsed)


class LoginLimit:
    """Counts tries. `url` is Redis's address; without one this process counts for itself. `clock` gives seconds."""

    def __init__(self, url: str | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._redis = url and Redis.from_url(
            url,
            socket_timeout=REDIS_SECONDS,
            socket_connect_timeout=REDIS_SECONDS,
            # At once: a connection from before a restart of Redis fails, a new one works.
            retry=Retry(NoBackoff(), 1),
        )
        self._clock = clock
        self._own: OrderedDict[str, float] = OrderedDict()
        self._lock = Lock()
        self._asked_again_at = -math.inf

    def take(self, bucket: Bucket) -> float:
        """Take one try; gives the seconds to wait, 0 where it may be made. Never raises."""
        if self._redis and self._clock() >= self._asked_again_at:
            try:
                found = self._redis.eval(SCRIPT, 1, bucket.key, bucket.tries, bucket.seconds)
            except (RedisError, OSError) as error:
                self._note_away(error)
            else:
                return float(found[1])
        with self._lock:
            full_at, drawn = draw(self._own.get(bucket.key, 0.0), self._clock(), bucket.tries, bucket.seconds)
            self._own[bucket.key] = full_at
            self._own.move_to_end(bucket.key)
            if len(self._own) > MAX_CALLERS_COUNTED:
                self._own.popitem(last=False)
        return drawn.wait

    def forget(self, bucket: Bucket) -> None:
        """Fill the bucket again. Never raises."""
        with self._lock:
            self._own.pop(bucket.key, None)
        if self._redis and self._clock() >= self._asked_again_at:
            try:
                self._redis.delete(bucket.key)
            except (RedisError, OSError) as error:
                self._note_away(error)

    def give_back(self, bucket: Bucket) -> None:
        """Undo one `take`. Never raises."""
        with self._lock:
            if bucket.key in self._own:
                self._own[bucket.key] -= bucket.seconds / bucket.tries
        if self._redis and self._clock() >= self._asked_again_at:
            try:
                self._redis.eval(_GIVE_BACK, 1, bucket.key, bucket.tries, bucket.seconds)
            except (RedisError, OSError) as error:
                self._note_away(error)

    def close(self) -> None:
        """Close the connections to Redis."""
        if self._redis:
            self._redis.close()

    def _note_away(self, error: Exception) -> None:
        self._asked_again_at = self._clock() + AWAY_SECONDS
        logger.warning("Redis is away (%s): this process counts tries to log in by itself.", error)


_limits: dict[str, LoginLimit] = {}


def login_limit() -> LoginLimit:
    """The one of this process."""
    url = getattr(settings, "REDIS_URL", None) or ""
    if url not in _limits:
        _limits[url] = LoginLimit(url or None)
    return _limits[url]


@login_not_required
@never_cache
@csrf_protect
def limited_login(request: HttpRequest) -> HttpResponse:
    """The admin's login page, and a page with the seconds to wait for who has tried too often.

    Every try is counted before it is made, so that many at once are no way around.
    """
    if request.method != "POST":
        return admin.site.login(request)
    limit = login_limit()
    address, name = buckets_of(request.META.get("REMOTE_ADDR", ""), request.POST.get("username", ""))
    # Who is shut out by the address does not use up the name's tries as well.
    wait = limit.take(address) or limit.take(name)
    if wait:
        return _too_many(request, math.ceil(wait))
    response = admin.site.login(request)
    # Not whether the visitor is logged in: who is that already would have as many tries of other names as he likes.
    if isinstance(response, HttpResponseRedirect):
        limit.forget(name)
        limit.give_back(address)
    return response


def _too_many(request: HttpRequest, seconds: int) -> HttpResponse:
    context = {
        **admin.site.each_context(request),
        "title": "Too many tries",
        "seconds": seconds,
        "login_address": reverse("admin:login"),
    }
    response = TemplateResponse(request, "krakendata/admin/too_many_tries.html", context, status=429)
    response["Retry-After"] = str(seconds)
    return response
