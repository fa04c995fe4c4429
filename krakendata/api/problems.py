"""What is said instead of an answer, always in one shape: a code for the program, a sentence for its author.

{"error": "unknown_interval", "message": "Unknown interval '2h'. Known intervals: …", "field": "interval"}
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

import msgspec
from django.db import DatabaseError, InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.errors import ValidationError

from krakendata.errors import StorageUnavailable, UnknownInterval, UnknownSymbol

logger = logging.getLogger(__name__)

PROBLEM_TYPE = "application/problem+json"
# A database that restarts is back within seconds.
RETRY_SECONDS = 5


class Problem(Exception):
    """An answer that is none; `field` names the parameter that it is about."""

    def __init__(
        self,
        status: int,
        error: str,
        message: str,
        field: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status = status
        self.error = error
        self.field = field
        self.headers = dict(headers or {})
        super().__init__(message)


def malformed(message: str, field: str | None = None) -> Problem:
    """The request is not one that the API's description allows."""
    return Problem(400, "malformed", message, field)


def unmeetable(message: str, field: str) -> Problem:
    """A parameter has a value that no answer can be given to."""
    return Problem(422, "invalid", message, field)


def unavailable(message: str = "The database is not available.") -> Problem:
    """The database is away; the same question may be answered later. Where it is, and why, is not told."""
    return Problem(503, "unavailable", message, headers={"Retry-After": str(RETRY_SECONDS)})


def too_many(seconds: float) -> Problem:
    """The caller has used up what it may ask a minute."""
    wait = max(1, math.ceil(seconds))
    sentence = f"Too many requests: ask again in {wait} seconds."
    return Problem(429, "rate_limited", sentence, headers={"Retry-After": str(wait)})


def problem_response(problem: Problem) -> HttpResponse:
    """The problem as an answer."""
    body: dict[str, Any] = {"error": problem.error, "message": str(problem)}
    if problem.field is not None:
        body["field"] = problem.field
    content = msgspec.json.encode(body)
    return HttpResponse(content, status=problem.status, content_type=PROBLEM_TYPE, headers=problem.headers)


def problem_of(error: Exception) -> Problem:
    """What an exception is to the asker; one that nobody foresaw is told no more than that."""
    match error:
        case Problem():
            return error
        case ValidationError():
            return _first_of(error)
        case UnknownSymbol():
            closest = f" Closest known: {', '.join(error.closest)}." if error.closest else ""
            name = repr(error.name)[:80]
            sentence = f"Unknown symbol {name}: write it as BASE/QUOTE, such as BTC/USD.{closest}"
            return Problem(404, "unknown_symbol", sentence, "symbol")
        case UnknownInterval():
            return Problem(422, "unknown_interval", str(error), "interval")
        case StorageUnavailable() | OperationalError() | InterfaceError():
            return unavailable()
        case TimeoutError():
            return unavailable("The database took too long to answer: ask for less at a time.")
        case _:
            return Problem(500, "internal", "Something went wrong here, and is in the server's log.")


def say_problems(api: NinjaAPI) -> None:
    """Have the API say every exception in the one shape."""

    def say(request: HttpRequest, error: Any) -> HttpResponse:
        problem = problem_of(error)
        if problem.status == 500:
            logger.error("cannot answer path=%s", request.path, exc_info=error)
        elif problem.status == 503:
            logger.warning("cannot answer path=%s error=%r", request.path, str(error))
        return problem_response(problem)

    for kind in (Exception, ValidationError, Problem, DatabaseError):
        api.add_exception_handler(kind, say)


def _first_of(error: ValidationError) -> Problem:
    """The first thing that the described types do not allow."""
    first = error.errors[0]
    field = str(first["loc"][-1])
    if first["type"] == "missing":
        return unmeetable(f"{field} is missing.", field)
    return unmeetable(f"{field}: {first['msg']}.", field)
