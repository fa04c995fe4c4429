"""The page for when the database is away: for the admin's pages alone, without a query, and without a trace."""

from __future__ import annotations

from typing import Any, cast

import pytest
from django.db import DataError, InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from krakendata.errors import StorageRefused, StorageUnavailable
from krakendata.security.away import DatabaseAway, is_away


def caused(error: Exception, sqlstate: str | None) -> Exception:
    """An error of Django's around one of the driver's."""
    cause = Exception("from the server")
    cause.sqlstate = sqlstate  # type: ignore[attr-defined]
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "away"),
    [
        (caused(OperationalError("connection refused"), None), True),
        (caused(OperationalError("shutting down"), "57P01"), True),
        (caused(OperationalError("too many clients"), "53300"), True),
        (caused(InterfaceError("connection already closed"), None), True),
        (caused(OperationalError("statement timeout"), "57014"), False),
        (caused(OperationalError("deadlock"), "40P01"), False),
        (DataError("out of range"), False),
        (StorageUnavailable("away"), True),
        (StorageRefused("no"), False),
        (ValueError("a defect"), False),
    ],
)
def test_only_a_database_that_cannot_be_reached_is_away(error: Exception, away: bool) -> None:
    assert is_away(error) is away


def answer(method: str = "get", path: str = "/admin/x/?q=<script>", error: Exception | None = None) -> Any:
    request = cast(HttpRequest, getattr(RequestFactory(), method)(path))
    middleware = DatabaseAway(lambda request: HttpResponse())
    return middleware.process_exception(request, error or OperationalError("secret host"))


def test_the_page_says_so_and_leads_back_to_itself() -> None:
    response = answer()
    assert (response.status_code, response["Retry-After"]) == (503, "5")
    page = response.content.decode()
    assert "The database does not answer" in page
    assert 'href="/admin/x/?q=%3Cscript%3E"' in page
    assert "secret" not in page


def test_a_form_that_was_sent_is_not_repeated() -> None:
    page = answer("post").content.decode()
    assert "What you sent was not done." in page
    assert 'href="/admin/x/"' in page


def test_other_addresses_and_other_errors_are_left_alone() -> None:
    assert answer(path="/api/v1/symbols") is None
    assert answer(error=ValueError("a defect")) is None
