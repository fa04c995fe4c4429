"""The addresses for machines, answered ahead of all other middleware.

A balancer asks by an address and not by a name of ALLOWED_HOSTS, speaks HTTP where people are sent to HTTPS, and has no
session; what is answered here needs none of it, and repeats nothing of the request. So a project puts the middleware
first, and includes no addresses.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from asgiref.sync import async_to_sync, iscoroutinefunction
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.utils.decorators import sync_and_async_middleware

from krakendata.metrics import readiness, reading
from krakendata.metrics.access import may_read
from krakendata.metrics.exposition import exposition
from krakendata.options import metrics_networks, metrics_token

View = Callable[[HttpRequest], Awaitable[HttpResponse]]

METHODS = ("GET", "HEAD")


async def live(request: HttpRequest) -> HttpResponse:
    """The process answers; nothing else is asked."""
    return _json({"status": "live"})


async def ready(request: HttpRequest) -> HttpResponse:
    """Whether requests can be met: 503, and what is away, where they cannot."""
    away = await readiness.CACHED.get()
    return _json({"status": "away", "away": away}, status=503) if away else _json({"status": "ready"})


async def metrics(request: HttpRequest) -> HttpResponse:
    """The metrics, for those who may; without a setting that says who may there is nothing here."""
    token, networks = metrics_token(), metrics_networks()
    if token is None and not networks:
        return HttpResponse("No METRICS_TOKEN and no METRICS_NETWORKS is set.\n", "text/plain", 404)
    authorization = request.headers.get("Authorization", "")
    if not may_read(authorization, request.META.get("REMOTE_ADDR") or "", token, networks):
        response = HttpResponse("Not for you.\n", "text/plain", 401 if token else 403)
        if token:
            response["WWW-Authenticate"] = 'Bearer realm="metrics"'
        return response
    text, content_type = exposition(await reading.CACHED.get(), request.headers.get("Accept", ""))
    return HttpResponse(text, content_type)


VIEWS: dict[str, View] = {"/health/live": live, "/health/ready": ready, "/metrics": metrics}


@sync_and_async_middleware
def machines(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Answer machines; everything else goes on."""
    if iscoroutinefunction(get_response):

        async def answer_async(request: HttpRequest) -> HttpResponse:
            view = VIEWS.get(request.path_info)
            found: HttpResponse = await (_answer(view, request) if view else get_response(request))
            return found

        return answer_async

    def answer(request: HttpRequest) -> HttpResponse:
        view = VIEWS.get(request.path_info)
        found: HttpResponse = async_to_sync(_answer)(view, request) if view else get_response(request)
        return found

    return answer


async def _answer(view: View, request: HttpRequest) -> HttpResponse:
    if request.method not in METHODS:
        return HttpResponseNotAllowed(METHODS)
    response = await view(request)
    response["Cache-Control"] = "no-store"
    response["X-Content-Type-Options"] = "nosniff"
    return response


def _json(told: object, status: int = 200) -> HttpResponse:
    return HttpResponse(msgspec.json.encode(told), "application/json", status)
