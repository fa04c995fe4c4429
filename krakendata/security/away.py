"""What the admin answers while the database is away: a page that says so, made without any query."""

from __future__ import annotations

import logging

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.deprecation import MiddlewareMixin

from krakendata.errors import StorageUnavailable

logger = logging.getLogger(__name__)

# A server that restarts is back within seconds.
RETRY_AFTER_SECONDS = 5

# SQLSTATE classes of a server that is not there for us: connection lost, shutting down, no connection free.
AWAY_CLASSES = ("08", "57P", "53")


class DatabaseAway(MiddlewareMixin):
    """Turns what a page of the admin raises because the database is away into a page with a way to try again.

    Anything else that goes wrong, also in the database, stays the error it is.
    """

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        # By the path: the login page, too, looks for the visitor's session.
        is_ours = request.path.startswith(reverse("admin:index"))
        return away_page(request, error) if is_ours and is_away(error) else None


def away_page(request: HttpRequest, error: Exception) -> HttpResponse:
    """The page, with a way back to what was asked for."""
    logger.warning("database away path=%s error=%s", request.path, str(error).partition("\n")[0])
    # Of a form that was sent nothing may be repeated unasked: the way back is to look at its page.
    address = request.get_full_path() if request.method == "GET" else request.path
    page = render_to_string(
        "krakendata/admin/away.html", {"address": address, "was_form": request.method != "GET"}
    )
    return HttpResponse(page, status=503, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})


def is_away(error: Exception) -> bool:
    """Whether an error says that the database cannot be reached, rather than that it refused."""
    if isinstance(error, StorageUnavailable):
        return True
    if not isinstance(error, OperationalError | InterfaceError):
        return False
    # The driver's own error; without a state it has not come from a server.
    state = getattr(error.__cause__, "sqlstate", None)
    return state is None or str(state).startswith(AWAY_CLASSES)
