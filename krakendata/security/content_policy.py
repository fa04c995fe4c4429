"""What a browser may load and run on our pages: files of this server, and no script or style written into a page.

The header goes with every answer. What the libraries of the pages would need beyond it is taken from them
(krakendata/static/krakendata/strict.js, theme.css) rather than allowed; docs/explanation/security.md says what is left.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import iscoroutinefunction
from typing import Any

from django.core.exceptions import DisallowedHost
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

HEADER = "Content-Security-Policy"
# The one style element that Lightweight Charts 5.2.1 makes, for its logo, by its hash; a test works it out again.
CHART_STYLE = "'sha256-3pRED1tOXas1FXFoPb9TGCjmYe9XQsmO9OV23khV2nY='"
DIRECTIVES = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": f"'self' {CHART_STYLE}",
    "img-src": "'self' data:",
    "font-src": "'self'",
    # Where {socket} is this host's own socket: not every browser takes 'self' for it.
    "connect-src": "'self' {socket}",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
# Nothing here uses any of them.
PERMISSIONS_POLICY = ", ".join(
    f"{name}=()" for name in ("camera", "display-capture", "geolocation", "microphone", "payment", "usb")
)

Get = Callable[[HttpRequest], Any]


def policy_for(host: str, is_secure: bool) -> str:
    """The policy's text on a page of `host` (with its port, where it has one)."""
    socket = f"{'wss' if is_secure else 'ws'}://{host}"
    return "; ".join(f"{name} {sources}" for name, sources in DIRECTIVES.items()).format(socket=socket)


@sync_and_async_middleware
def content_policy_middleware(get_response: Get) -> Get | Callable[[HttpRequest], Awaitable[Any]]:
    """The middleware; it stands first, so that every answer has the headers."""
    if iscoroutinefunction(get_response):

        async def answer_async(request: HttpRequest) -> HttpResponseBase:
            return with_headers(request, await get_response(request))

        return answer_async

    def answer(request: HttpRequest) -> HttpResponseBase:
        return with_headers(request, get_response(request))

    return answer


def with_headers(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """Add the headers that the answer does not have yet."""
    try:
        host = request.get_host()
    except DisallowedHost:
        # Refused by then; an odd name is not to get into the header.
        host = "localhost"
    response.headers.setdefault(HEADER, policy_for(host, request.is_secure()))
    response.headers.setdefault("Permissions-Policy", PERMISSIONS_POLICY)
    return response


def without_inline_colours(request: HttpRequest) -> dict[str, Any]:
    """Keep unfold (its GLOBAL_CALLBACK) from writing a style element with its colours: theme.css has them."""
    return {"colors": None, "border_radius": None}
