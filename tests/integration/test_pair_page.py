"""A pair's page: what it tells, its candles page by page, its certificate, and who may see what."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.admin.utils import quote
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from krakendata.admin import pair_page, reading
from krakendata.certificate import DayState
from krakendata.errors import StorageUnavailable
from krakendata.historical_provider import HistoricalDataProvider
from krakendata.models import Pair, RejectedRecord, SyncRun, SyncStatus
from tests.fix_history import History, is_quiet

pytestmark = pytest.mark.django_db(transaction=True)

HANDFUL = 10
HOSTILE = '<script>alert("x")</script>'
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
START, OPEN, HIGH, LOW, CLOSE, VOLUME, TRADES = range(7)


@pytest.fixture
def operator(transactional_db: None, client: Client) -> Client:
    client.force_login(User.objects.create_superuser("operator"))
    return client


@pytest.fixture
def still(history: History, monkeypatch: pytest.MonkeyPatch) -> History:
    """The history, at its own present in the admin's views too."""
    monkeypatch.setattr(pair_page, "timezone", SimpleNamespace(now=history.clock))
    asking = reading.provider

    def provider() -> Any:
        opened = asking()
        opened._provider._clock = history.clock
        return opened

    monkeypatch.setattr(pair_page, "provider", provider)
    return history


def address_of(symbol: str) -> str:
    return reverse("admin:krakendata_pair_change", args=[quote(symbol)])


def body(client: Client, symbol: str = "BTC/USD", **query: str) -> str:
    answer = client.get(address_of(symbol), query)
    assert answer.status_code == 200
    return answer.content.decode()


def page(client: Client, **query: str) -> dict[str, Any]:
    answer = client.get(
        reverse("admin:krakendata_pair_candles"), {"symbol": "BTC/USD", "interval": "1m", **query}
    )
    assert answer.status_code == 200, answer.content
    found: dict[str, Any] = answer.json()
    return found


def seconds(moment: datetime) -> int:
    return int(moment.timestamp())


# --- candles -------------------------------------------------------------------------------------------------


def test_the_newest_page_ends_with_the_minute_that_goes_on(operator: Client, still: History) -> None:
    found = page(operator)
    assert found["end"] == seconds(still.now.replace(second=0)) + 60
    assert found["end"] - found["start"] == 1000 * 60
    assert found["rows"][-1][START] == found["end"] - 60
    real = [row for row in found["rows"] if row[TRADES]]
    assert [row[START] for row in real] == [
        seconds(minute) for minute in still.minutes if seconds(minute) >= found["start"]
    ]
    assert real[0][OPEN:TRADES] == [f"{value}" for value in real[0][OPEN:TRADES]]


def test_quiet_minutes_are_marked_and_stand_at_the_price_before(operator: Client, still: History) -> None:
    rows = page(operator)["rows"]
    quiet = [(before, row) for before, row in zip(rows, rows[1:], strict=False) if not row[TRADES]]
    assert quiet
    for before, row in quiet:
        assert is_quiet((row[START] - seconds(still.start)) // 60)
        assert row[OPEN] == row[CLOSE] == before[CLOSE]


def test_every_page_leads_to_the_one_before_and_the_first_to_none(operator: Client, still: History) -> None:
    found = page(operator, interval="5m")
    seen = [row[START] for row in found["rows"] if row[TRADES]]
    while found["older"]:
        found = page(operator, interval="5m", before=found["older"])
        seen = [row[START] for row in found["rows"] if row[TRADES]] + seen
    wanted = sorted({seconds(minute) // 300 * 300 for minute in still.minutes})
    assert seen == wanted


def test_holes_are_told_by_their_time_and_a_young_tail_is_none(operator: Client, still: History) -> None:
    found = page(operator, interval="1d")
    assert found["holes"][-1][1] <= seconds(still.start) + 2
    assert found["rows"][-1][TRADES] > 0


def test_archives_are_provisional(operator: Client, still: History) -> None:
    found = page(operator, symbol="ETH/USD", interval="1h")
    day = [seconds(still.fence + DAY), seconds(still.fence + 2 * DAY)]
    assert found["provisional"] == [day]
    assert found["holes"][-1] == [day[1], seconds(still.now)]


def test_a_time_without_candles_is_leapt_over(operator: Client, still: History) -> None:
    later = still.now + 900 * DAY
    before = page(operator, before=later.isoformat())
    assert not [row for row in before["rows"] if row[TRADES]]
    assert before["older"] is not None
    assert [row for row in page(operator, before=before["older"])["rows"] if row[TRADES]]


def test_a_pair_without_anything_has_an_empty_page(operator: Client, still: History) -> None:
    found = page(operator, symbol="DOGE/USD")
    assert (found["rows"], found["older"]) == ([], None)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"symbol": "nonsense"}, 404),
        ({"interval": "7m"}, 400),
        ({"before": "yesterday"}, 400),
        ({"symbol": ""}, 400),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(
    operator: Client, still: History, query: dict[str, str], status: int
) -> None:
    asked = {"symbol": "BTC/USD", "interval": "1m", **query}
    answer = operator.get(reverse("admin:krakendata_pair_candles"), asked)
    assert answer.status_code == status
    assert answer.json()["error"]


def test_a_database_that_is_away_is_told(operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> None:
        raise StorageUnavailable

    monkeypatch.setattr(pair_page, "provider", away)
    asked = {"symbol": "BTC/USD", "interval": "1m"}
    assert operator.get(reverse("admin:krakendata_pair_candles"), asked).status_code == 503
    fragment = operator.get(reverse("admin:krakendata_pair_certificate"), asked).content.decode()
    assert "The database does not answer" in fragment


# --- the page ------------------------------------------------------------------------------------------------


def test_the_page_tells_ledger_runs_rejects_and_storage(operator: Client, still: History) -> None:
    SyncRun.objects.create(kind="backfill", parameters={"symbol": "BTC/USD"}, read=4321)
    SyncRun.objects.create(kind="backfill", parameters={"symbol": "ETH/USD"}, read=9999)
    for symbol in ("BTC/USD", "ETH/USD"):
        RejectedRecord.objects.create(
            source="archive",
            place="a.csv",
            symbol=symbol,
            reason="bad_side",
            detail="d",
            raw=f"{symbol} {HOSTILE}",
        )
    with CaptureQueriesContext(connection) as asked:
        found = body(operator)
    assert len(asked.captured_queries) <= HANDFUL, [query["sql"] for query in asked.captured_queries]
    assert "Before the first of them the exchange has 1,000 more that were not collected." in found
    assert ("4,321" in found, "9,999" in found) == (True, False)
    assert "BTC/USD·&lt;script&gt;" in found
    assert "ETH/USD·&lt;script&gt;" not in found
    assert HOSTILE not in found
    assert 'data-interval="1h"' in found


def test_where_what_is_stored_begins_is_told_also_before_anything_was_dropped(
    operator: Client, still: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pair_page, "RetentionLine", SimpleNamespace(objects=SimpleNamespace(all=list)))
    found = body(operator)
    assert found.count("the first one: none was dropped") == 2
    assert "– UTC" not in found


def test_an_interval_is_chosen_by_the_address(operator: Client, history: History) -> None:
    assert 'data-interval="5m"' in body(operator, interval="5m")
    assert 'data-interval="1h"' in body(operator, interval=HOSTILE)


def test_a_pair_that_is_listed_and_has_nothing_says_so(operator: Client, history: History) -> None:
    found = body(operator, "DOGE/USD")
    assert "Nothing was collected yet." in found
    assert "manage.py backfill DOGE/USD" in found


def test_a_pair_that_is_held_and_no_longer_listed_has_its_page(operator: Client, history: History) -> None:
    Pair.objects.filter(symbol="BTC/USD").delete()
    assert "Trades 1,001 to" in body(operator)


@pytest.mark.parametrize("symbol", ["NOBODY/USD", HOSTILE, "\0/USD"])
def test_a_pair_nobody_knows_is_not_found(operator: Client, symbol: str) -> None:
    assert operator.get(address_of(symbol)).status_code == 404


def test_the_newest_runs_are_looked_for_within_reach(operator: Client, history: History) -> None:
    with CaptureQueriesContext(connection) as asked:
        body(operator)
    for table in ("sync_runs", "rejected_records"):
        (statement,) = [query["sql"] for query in asked.captured_queries if f'FROM "{table}"' in query["sql"]]
        assert "LIMIT" in statement
        assert "- 2000" in statement or "- 10000" in statement


# --- the certificate -----------------------------------------------------------------------------------------


async def test_the_certificate_is_the_providers(history: History) -> None:
    async with HistoricalDataProvider(history.database, clock=history.clock) as provider:
        assert (await provider.get_certificate("BTC/USD")).counts[DayState.PROVEN] == 5


def test_the_certificate_counts_days_and_lists_those_that_are_astray(
    operator: Client, still: History
) -> None:
    answer = operator.get(reverse("admin:krakendata_pair_certificate"), {"symbol": "BTC/USD"})
    found = " ".join(answer.content.decode().split())
    assert "6 days:" in found
    assert "5 proven" in found
    assert "1 missing" in found
    assert "1,000 ids before the first one held are not collected" in found
    assert f"{still.start:%Y-%m-%d}" in found


def test_one_id_before_the_first_is_one(
    operator: Client, still: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = reading.provider().get_certificate("BTC/USD")
    one = SimpleNamespace(get_certificate=lambda symbol: replace(found, ids_before=1))
    monkeypatch.setattr(pair_page, "provider", lambda: one)
    answer = operator.get(reverse("admin:krakendata_pair_certificate"), {"symbol": "BTC/USD"})
    assert "1 id before the first one held is not collected" in answer.content.decode()


def test_the_certificate_of_a_pair_nobody_knows_is_not_found(operator: Client) -> None:
    answer = operator.get(reverse("admin:krakendata_pair_certificate"), {"symbol": "nonsense"})
    assert answer.status_code == 404


# --- who may see what ----------------------------------------------------------------------------------------


def test_who_may_see_pairs_alone_sees_nothing_of_the_rest(client: Client, history: History) -> None:
    guest = User.objects.create_user("guest", is_staff=True)
    client.force_login(guest)
    assert client.get(address_of("BTC/USD")).status_code == 403
    guest.user_permissions.add(Permission.objects.get(codename="view_pair"))
    found = body(client)
    for part in ("pair-chart", "pair-ledger", "pair-runs", "pair-rejects", "pair-storage"):
        assert f'id="{part}"' not in found
    assert reverse("admin:krakendata_trades") + "?symbol" not in found
    for name in ("krakendata_pair_candles", "krakendata_pair_certificate"):
        assert client.get(reverse(f"admin:{name}"), {"symbol": "BTC/USD"}).status_code == 403


@pytest.mark.parametrize("name", ["krakendata_pair_candles", "krakendata_pair_certificate"])
def test_a_stranger_is_sent_to_the_login(client: Client, name: str) -> None:
    assert client.get(reverse(f"admin:{name}")).status_code == 302


def test_the_list_of_pairs_leads_to_the_page(operator: Client, history: History) -> None:
    found = operator.get(reverse("admin:krakendata_pair_changelist")).content.decode()
    assert address_of("BTC/USD") in found


def test_a_pair_that_failed_says_so_at_the_top(operator: Client, history: History) -> None:
    SyncStatus.objects.filter(symbol="BTC/USD").update(
        last_error="no", last_error_at=timezone.now(), last_success=None, holes=2
    )
    found = body(operator)
    assert "last try failed" in found
    assert "2 holes" in found
