"""The API's addresses, below wherever a project includes them, and what every one of its answers has."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, re_path
from django.utils.cache import patch_vary_headers
from django.views.decorators.csrf import csrf_exempt

from krakendata.api.problems import Problem, problem_response
from krakendata.api.routes import api

View = Callable[..., Awaitable[HttpResponse]]


def answered_in_shape(view: View) -> View:
    """Have a view answer HEAD as GET, everything but GET with a problem, and nothing that others may keep."""

    @wraps(view)
    async def answered(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.method == "HEAD":
            # The server leaves the body out.
            request.method = "GET"
        response = await view(request, *args, **kwargs)
        if response.status_code == 405:
            sentence = f"{request.method} is not answered here: everything is asked with GET."
            response = problem_response(Problem(405, "not_allowed", sentence, headers={"Allow": "GET, HEAD"}))
        for name, value in getattr(request, "api_headers", {}).items():
            response[name] = value
        response.setdefault("Cache-Control", "no-store")
        patch_vary_headers(response, ["Accept", "Authorization", "Cookie"])
        return response

    return answered


@csrf_exempt
async def nothing_here(request: HttpRequest) -> HttpResponse:
    """Answer for every address that is none."""
    sentence = "There is nothing at this address. docs, beside the API's addresses, lists what there is."
    return problem_response(Problem(404, "not_found", sentence))


if not apps.is_installed("ninja"):
    raise ImproperlyConfigured(
        "krakendata.api.urls is included and ninja is not installed: add 'ninja' to INSTALLED_APPS, or the page to try "
        "the API on would load its scripts from other hosts."
    )

patterns, app, namespace = api.urls
for pattern in patterns:
    # The description and the page to try it on are Ninja's own; the root is no address.
    if isinstance(pattern, URLPattern) and pattern.name not in ("openapi-json", "openapi-view"):
        pattern.callback = nothing_here if pattern.name == "api-root" else answered_in_shape(pattern.callback)

urlpatterns = [path("v1/", (patterns, app, namespace)), re_path("", nothing_here)]
