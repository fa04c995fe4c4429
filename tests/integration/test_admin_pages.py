"""The admin's pages are found in its register, and each of them answers."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from krakendata.admin.readonly import ReadOnlyAdmin
from krakendata.models import Pair, SyncRun, SyncStatus
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


# What pages take.
TAKEN = (
    "symbol",
    "q",
    "pair",
    "pairs",
    "find",
    "interval",
    "start",
    "end",
    "since",
    "show",
    "run",
    "ids",
    "reason",
    "source",
    "before",
    "newer",
    "older",
)
PAIR = {"symbol": "BTC/USD", "interval": "1h"}
HUGE = "9" * 30
# What no column in PostgreSQL can hold: a character, the first and the last day that can be written, a number.
QUERIES = {
    "a character": dict.fromkeys(TAKEN, "BTC\0USD"),
    "a character where all is shown": {"show": "all", "pair": "\0", "find": "\0"},
    "the first day": {**PAIR, "start": "0001-01-01", "end": "0001-01-02", "before": "0001-01-01"},
    "the last day": {**PAIR, "start": "9999-12-30", "end": "9999-12-31", "before": "9999-12-31"},
    "all days": {**PAIR, "start": "0001-01-01", "end": "9999-12-31"},
    "the first day as a beginning": {**PAIR, "start": "date", "since": "0001-01-01"},
    "the last day as a beginning": {**PAIR, "start": "date", "since": "9999-12-31"},
    "a number": {**PAIR, "page": HUGE, "run": HUGE, "ids": HUGE, "older": f"1_{HUGE}"},
    "another number": {**PAIR, "newer": f"{HUGE}_{HUGE}"},
}


@pytest.fixture
def superuser(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("operator"))
    client.raise_request_exception = False
    SyncRun.objects.create(kind="import")
    names = {"key": "XXBTZUSD", "altname": "XBTUSD", "wsname": "XBT/USD", "base": "BTC", "quote": "USD"}
    Pair.objects.create(symbol="BTC/USD", status="online", price_decimals=1, volume_decimals=8, **names)
    SyncStatus.objects.create(symbol="BTC/USD", kind="trades")
    return client


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("what", QUERIES)
def test_none_of_them_breaks_on_what_the_database_cannot_hold(superuser: Client, what: str) -> None:
    pages = {page.name: page.path.partition("?")[0] for page in find_admin_pages().pages}
    query = urlencode(QUERIES[what])
    broken = [name for name, path in pages.items() if superuser.get(f"{path}?{query}").status_code >= 500]
    assert broken == []


def filters_of_lists() -> Iterator[tuple[str, str]]:
    """Address and name of each filter of each list of ours, and of what every list takes."""
    for model, page in admin.site._registry.items():
        if not isinstance(page, ReadOnlyAdmin):
            continue
        address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        names = ["q", "p", "o", "pk__exact", f"{model._meta.pk.name}__startswith"]
        for each in page.list_filter:
            field = each[0] if isinstance(each, tuple) else each
            names.append(getattr(field, "parameter_name", f"{field}__exact"))
        yield from ((address, name) for name in names)


@pytest.mark.parametrize("value", ["\0", HUGE], ids=["a character", "a number"])
def test_no_filter_breaks_on_what_the_database_cannot_hold(superuser: Client, value: str) -> None:
    broken = [
        (address, name)
        for address, name in filters_of_lists()
        if superuser.get(address, {name: value}).status_code >= 500
    ]
    assert broken == []
