"""The admin's pages are found in its register, and each of them answers."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django.test import Client

from krakendata.models import Pair, SyncRun
from tests.admin_pages import find_admin_pages
from tests.integration.test_admin import PAGES

pytestmark = pytest.mark.django_db


def test_the_pages_that_are_known_are_among_them() -> None:
    names = {page.name for page in find_admin_pages().pages}
    assert set(PAGES) <= names
    assert not names & {"logout", "jsi18n"}


def test_a_page_about_a_row_is_that_of_the_newest() -> None:
    assert "krakendata_syncrun_change" in find_admin_pages().left_out
    for _ in range(2):
        newest = SyncRun.objects.create(kind="import")
    paths = {page.name: page.path for page in find_admin_pages().pages}
    assert f"/{newest.pk}/" in paths["krakendata_syncrun_change"]
    assert f"/{newest.pk}/" in paths["krakendata_run_now"]


def test_a_list_that_can_be_searched_comes_once_more_searched() -> None:
    paths = {page.name: page.path for page in find_admin_pages(with_searches=True).pages}
    name = "krakendata_pair_changelist"
    assert paths[f"{name}, searched"] == f"{paths[name]}?q=P1"


# A pair's candles and certificate are read over a connection of the provider's own, which sees what is committed.
@pytest.mark.django_db(transaction=True)
def test_every_one_of_them_answers(client: Client) -> None:
    client.force_login(User.objects.create_superuser("operator"))
    SyncRun.objects.create(kind="import")
    names = {"key": "XXBTZUSD", "altname": "XBTUSD", "wsname": "XBT/USD", "base": "BTC", "quote": "USD"}
    Pair.objects.create(symbol="BTC/USD", status="online", price_decimals=1, volume_decimals=8, **names)
    answers = {
        page.name: client.get(page.path).status_code for page in find_admin_pages(with_searches=True).pages
    }
    # 403: not even a superuser adds rows that only deeds write. 405: it wants to be posted to.
    assert {name: status for name, status in answers.items() if status not in (200, 302, 403, 405)} == {}


# What pages take, and what no text in PostgreSQL can hold.
TAKEN = (
    "symbol",
    "q",
    "pairs",
    "interval",
    "start",
    "end",
    "show",
    "run",
    "reason",
    "source",
    "before",
    "newer",
    "older",
)


@pytest.mark.django_db(transaction=True)
def test_none_of_them_breaks_on_a_character_that_the_database_cannot_hold(client: Client) -> None:
    client.force_login(User.objects.create_superuser("operator"))
    client.raise_request_exception = False
    SyncRun.objects.create(kind="import")
    query = urlencode(dict.fromkeys(TAKEN, "BTC\0USD"))
    pages = {page.name: page.path.partition("?")[0] for page in find_admin_pages().pages}
    broken = {name: path for name, path in pages.items() if client.get(f"{path}?{query}").status_code >= 500}
    assert broken == {}
