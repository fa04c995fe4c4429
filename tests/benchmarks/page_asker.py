"""A process that opens every page of the admin and tells how long each took: `python -m tests.benchmarks.page_asker`.

It asks the ASGI application itself, as a server would, without a server: what is measured is what answering takes.
The results are one JSON object on the last line.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Iterable
from typing import Any

import django
import httpx

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from django.conf import settings  # noqa: E402
from django.contrib.auth import get_user_model  # noqa: E402
from django.db.backends.signals import connection_created  # noqa: E402
from django.test import Client  # noqa: E402

from config.asgi import http  # noqa: E402
from config.celery import write_timetable  # noqa: E402
from tests.admin_pages import AdminPage, find_admin_pages  # noqa: E402
from tests.benchmarks.page_market import SYMBOL  # noqa: E402

WARM_ASKS, ASKS = 3, 40
# A page that takes so long is too slow however often it is asked.
SECONDS_OF_A_PAGE = 20.0
PAGE_SECONDS = 120.0


class Statements:
    """Counts what Django's connections are asked."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        self.count += 1
        return execute(sql, params, many, context)

    def watch(self, connection: Any, **_: Any) -> None:
        if self not in connection.execute_wrappers:
            connection.execute_wrappers.append(self)


def main() -> None:
    """Prepare what a page needs, then ask."""
    write_timetable()
    statements = Statements()
    connection_created.connect(statements.watch)
    cookie = logged_in()
    found = find_admin_pages(SYMBOL, with_searches=True)
    pages, others = asyncio.run(ask_all(found.pages, cookie, statements))
    print(json.dumps({"pages": pages, "left_out": [*found.left_out, *others]}))


def logged_in() -> dict[str, str]:
    """The cookies of a superuser's session."""
    users: Any = get_user_model()
    client = Client()
    client.force_login(users.objects.create_superuser("benchmark"))
    return {settings.SESSION_COOKIE_NAME: client.cookies[settings.SESSION_COOKIE_NAME].value}


async def ask_all(
    pages: Iterable[AdminPage], cookies: dict[str, str], statements: Statements
) -> tuple[list[dict[str, Any]], list[str]]:
    """Each page's times, and the names of those that are none: they send elsewhere, or want to be posted to."""
    application: Any = http
    asked, others = [], []
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(application),
        base_url="http://localhost",
        cookies=cookies,
        timeout=PAGE_SECONDS,
    ) as client:
        for page in pages:
            if (facts := await ask(client, page, statements)) is None:
                others.append(page.name)
            else:
                asked.append(facts)
    return asked, others


async def ask(client: httpx.AsyncClient, page: AdminPage, statements: Statements) -> dict[str, Any] | None:
    """Open it again and again; None where it is no page."""
    milliseconds: list[float] = []
    queries = size = 0
    begun = time.perf_counter()
    for number in range(WARM_ASKS + ASKS):
        statements.count, started = 0, time.perf_counter()
        answer = await client.get(page.path)
        took = (time.perf_counter() - started) * 1000
        kind = answer.headers["Content-Type"].partition(";")[0]
        if answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
            # Left out it would look like an address that is no page.
            raise SystemExit(f"{page.name} answered {answer.status_code}: {page.path}")
        if answer.status_code != httpx.codes.OK or kind not in ("text/html", "application/json"):
            return None
        if number >= WARM_ASKS or took > SECONDS_OF_A_PAGE * 1000:
            milliseconds.append(took)
            queries, size = max(queries, statements.count), len(answer.content)
        if milliseconds and time.perf_counter() - begun > SECONDS_OF_A_PAGE:
            break
    return {"name": page.name, "queries": queries, "size": size, "milliseconds": milliseconds}


if __name__ == "__main__":
    main()
