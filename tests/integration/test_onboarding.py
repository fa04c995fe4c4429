"""Onboarding in the admin: a pair is found by any name, its cost told before, tracked by the one verb, and watched."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
import redis
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from pytest_django.fixtures import Settings

from krakendata.admin import onboarding_cost
from krakendata.admin.onboarding import find_pairs
from krakendata.backfill_cost import CallBudget, Keeping, NewestTrades, estimate_cost
from krakendata.models import OperatorAction, Pair, SyncRun, SyncStatus, TradeRun
from krakendata.types import ns_of
from tests.fix_asset_pairs import ListingExchange
from tests.fix_storage import NOW
from tests.integration.test_tracking import begin_backfill, pair, queued, run
from tests.integration.test_tracking import queue as queue

pytestmark = pytest.mark.django_db(transaction=True)

ONBOARD = "krakendata_onboard"
# Session, user, the pair, its run, its status, and what a page asks itself.
HANDFUL = 9


@pytest.fixture
def listing(exchange: ListingExchange, monkeypatch: pytest.MonkeyPatch) -> ListingExchange:
    """Give an exchange with a few pairs, on which BTC/USD trades once a second; its list is in."""
    exchange.list_pair("XBT/USD", key="XXBTZUSD", altname="XBTUSD")
    exchange.list_pair("XBT/EUR", key="XXBTZEUR", altname="XBTEUR")
    exchange.list_pair("XDG/USD", key="XDGUSD")
    exchange.list_pair("ETH/USD")
    run("import_pairs", "--api")
    answer = exchange.answer

    def with_trades(path: str) -> dict[str, Any]:
        if not path.endswith("/Trades"):
            return answer(path)
        start = datetime.now(UTC) - timedelta(seconds=1_000)
        rows = [
            ["90.5", "1.5", (start + timedelta(seconds=n)).timestamp(), "b", "l", "", 4_999_001 + n]
            for n in range(1_000)
        ]
        return {"error": [], "result": {"XXBTZUSD": rows, "last": str(ns_of(datetime.now(UTC)))}}

    monkeypatch.setattr(exchange, "answer", with_trades)
    return exchange


@pytest.fixture
def operator(db: None, client: Client, queue: redis.Redis) -> Client:
    """Give the browser of one who may say what is collected."""
    user = User.objects.create_user("operator", is_staff=True)
    user.user_permissions.add(*Permission.objects.filter(codename__in=["view_pair", "change_pair"]))
    client.force_login(user)
    return client


def body(client: Client, name: str = ONBOARD, **query: str) -> str:
    answer = client.get(reverse(f"admin:{name}"), query)
    assert answer.status_code == 200
    return " ".join(unescape(answer.content.decode()).split())


def confirm(client: Client, **form: str) -> str:
    answer = client.post(reverse(f"admin:{ONBOARD}"), form, follow=True)
    return " ".join(unescape(answer.content.decode()).split())


class TestSearch:
    @pytest.mark.parametrize(
        "asked", ["BTC/USD", "XBTUSD", "XXBTZUSD", "XBT/USD", "xbtusd", "btc usd", "btc-usd"]
    )
    def test_a_pair_is_found_by_any_of_its_names(self, listing: ListingExchange, asked: str) -> None:
        assert find_pairs(asked)[0].symbol == "BTC/USD"

    @pytest.mark.parametrize(
        ("asked", "found"), [("btc", ["BTC/EUR", "BTC/USD"]), ("xdg", ["DOGE/USD"]), ("doge", ["DOGE/USD"])]
    )
    def test_a_part_of_a_name_is_enough(self, listing: ListingExchange, asked: str, found: list[str]) -> None:
        assert [each.symbol for each in find_pairs(asked)] == found

    def test_what_fits_best_comes_first_of_all_that_are_listed(
        self, listing: ListingExchange, operator: Client
    ) -> None:
        names = {"base": "A", "quote": "USD", "status": "online", "price_decimals": 1, "volume_decimals": 8}
        symbols = [*(f"A{n:03}/USD" for n in range(300)), "USDT/USD"]
        Pair.objects.bulk_create(
            Pair(symbol=each, key=each, altname=each.replace("/", ""), wsname=each, **names)
            for each in symbols
        )
        assert find_pairs("usd")[0].symbol == "USDT/USD"

    def test_what_is_found_can_be_chosen(self, listing: ListingExchange, operator: Client) -> None:
        page = body(operator, q="xbtusd")
        assert f'href="{reverse(f"admin:{ONBOARD}")}?symbol=BTC%2FUSD"' in page
        assert "XBTUSD, XBT/USD, XXBTZUSD" in page

    def test_what_is_not_listed_is_said(self, listing: ListingExchange, operator: Client) -> None:
        hostile = '<script>alert("x")</script>'
        answer = operator.get(reverse(f"admin:{ONBOARD}"), {"q": hostile}).content.decode()
        assert "list has no pair like" in answer
        assert hostile not in answer

    def test_a_gone_pair_is_shown_and_not_to_be_chosen(
        self, listing: ListingExchange, operator: Client
    ) -> None:
        del listing.listed["ETHUSD"]
        run("import_pairs", "--api")
        page = body(operator, q="ETH")
        assert "delisted" in page
        assert "choose: ETH/USD" not in page
        assert operator.get(reverse(f"admin:{ONBOARD}"), {"symbol": "ETH/USD"}).status_code == 404

    def test_without_a_list_it_is_fetched_by_a_button(
        self, exchange: ListingExchange, operator: Client
    ) -> None:
        assert "Fetch the list" in body(operator)
        exchange.list_pair("ETH/USD")
        page = confirm(operator, list="fetch")
        assert "The exchange lists 1 pair." in page
        assert "Fetch the list" not in page

    def test_a_search_is_a_handful_of_queries(self, listing: ListingExchange, operator: Client) -> None:
        with CaptureQueriesContext(connection) as asked:
            body(operator, q="btc")
        assert len(asked.captured_queries) <= HANDFUL


class TestCost:
    def test_the_cost_is_told_before_anything_is_done(
        self, listing: ListingExchange, operator: Client
    ) -> None:
        page = body(operator, symbol="BTC/USD", start="month")
        assert f'hx-get="{reverse("admin:krakendata_onboard_cost")}?symbol=BTC%2FUSD&start=month"' in page
        assert "Track BTC/USD from" in page
        assert not pair("BTC/USD").tracked

    def test_from_a_day_on_the_pace_counts_the_trades(
        self, listing: ListingExchange, operator: Client, settings: Settings
    ) -> None:
        settings.KRAKENDATA = {**settings.KRAKENDATA, "KRAKEN_CALLS_PER_SECOND": 100.0}
        day = timezone.now() - timedelta(days=10)
        page = body(
            operator, "krakendata_onboard_cost", symbol="BTC/USD", start="date", since=f"{day:%Y-%m-%d %H:%M}"
        )
        # A trade a second for ten days, in pages of a thousand, a hundred pages a second.
        assert "about 86" in page
        assert "in about 86" in page
        assert "about 8 s" in page
        assert "Trades in all: 5,000,000." in page

    def test_from_the_first_trade_on_the_newest_number_counts_them(
        self, listing: ListingExchange, operator: Client
    ) -> None:
        page = body(operator, "krakendata_onboard_cost", symbol="BTC/USD", start="first")
        assert "about 5,000,000" in page
        assert "in about 5,000 calls" in page
        assert "as fast as the exchange answers" in page
        assert "The number of the newest trade, 5,000,000, counts them all" in page

    def test_one_call_is_one_call(self) -> None:
        newest = NewestTrades(count=1, span=timedelta(seconds=60), last_id=1)
        now, budget, keeping = timezone.now(), CallBudget(1.0, 1.0), Keeping(None, None)
        cost = estimate_cost(newest, now - timedelta(minutes=1), now, budget, keeping)
        told = onboarding_cost.cost_facts(cost, keeping)
        assert told[0][2] == "in about 1 call to the exchange"
        assert "the newest 1 trade," in onboarding_cost.basis(newest, None, budget)

    def test_an_exchange_that_is_away_is_no_hindrance(
        self, listing: ListingExchange, operator: Client, settings: Settings
    ) -> None:
        settings.KRAKENDATA = {**settings.KRAKENDATA, "KRAKEN_REST_URL": "http://127.0.0.1:1"}
        page = body(operator, "krakendata_onboard_cost", symbol="BTC/USD", start="month")
        assert "There is no estimate:" in page
        assert "can be tracked all the same" in page

    def test_an_exchange_that_takes_its_time_is_not_waited_for(
        self, listing: ListingExchange, operator: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(onboarding_cost, "ANSWER_SECONDS", 0.0)
        page = body(operator, "krakendata_onboard_cost", symbol="BTC/USD", start="month")
        assert "has not answered within" in page

    def test_a_pair_that_the_exchange_refuses_says_why(
        self, listing: ListingExchange, operator: Client
    ) -> None:
        listing.answer = lambda path: {"error": ["EQuery:Unknown asset pair"]}  # type: ignore[method-assign]
        page = body(operator, "krakendata_onboard_cost", symbol="BTC/USD", start="month")
        assert "Unknown asset pair" in page

    @pytest.mark.parametrize(
        ("since", "told"), [("", "Name the day"), ("2199-01-01", "That is not past"), ("soon", "valid date")]
    )
    def test_a_day_that_is_none_is_pointed_out(
        self, listing: ListingExchange, operator: Client, since: str, told: str
    ) -> None:
        page = body(operator, symbol="BTC/USD", start="date", since=since)
        assert told in page
        assert "Track BTC/USD from" not in page

    @pytest.mark.parametrize("start", ["first", "year", "month"])
    def test_a_day_that_would_be_left_out_is_pointed_out(
        self, listing: ListingExchange, operator: Client, start: str
    ) -> None:
        page = body(operator, symbol="BTC/USD", start=start, since="2024-01-31")
        assert "A day is filled in" in page
        assert "Track BTC/USD from" not in page


class TestTracking:
    def test_confirming_tracks_it_and_hands_its_past_to_a_worker(
        self, listing: ListingExchange, operator: Client, queue: redis.Redis
    ) -> None:
        page = confirm(operator, symbol="BTC/USD", start="date", since="2024-01-01 00:00:00")
        since = datetime(2024, 1, 1, tzinfo=UTC)
        assert (pair("BTC/USD").tracked, pair("BTC/USD").tracked_since) == (True, since)
        assert queued(queue) == [("krakendata.tasks.backfill", ["BTC/USD", since.isoformat()])]
        assert "tracked, from 2024-01-01 00:00 UTC on" in page
        assert "waits for a worker" in page
        noted = OperatorAction.objects.get()
        assert (noted.who, noted.action) == ("operator", "track")
        assert noted.target == "BTC/USD from 2024-01-01 00:00 UTC on"

    def test_everything_is_from_the_first_trade_on(
        self, listing: ListingExchange, operator: Client, queue: redis.Redis
    ) -> None:
        confirm(operator, symbol="BTC/USD", start="first")
        assert queued(queue) == [("krakendata.tasks.backfill", ["BTC/USD", None])]

    def test_a_tracked_pair_is_taken_back_to_its_first_trade(
        self, listing: ListingExchange, operator: Client, queue: redis.Redis
    ) -> None:
        confirm(operator, symbol="BTC/USD", start="month")
        assert "is tracked already" in body(operator, symbol="BTC/USD")
        page = confirm(operator, symbol="BTC/USD", start="first")
        assert "tracked, from its first trade on" in page
        since = pair("BTC/USD").tracked_since
        assert since is not None
        assert since.year == 2013

    def test_without_a_beginning_nothing_is_tracked(
        self, listing: ListingExchange, operator: Client, queue: redis.Redis
    ) -> None:
        assert "Choose where the past begins." in confirm(operator, symbol="BTC/USD", start="date", since="")
        assert not pair("BTC/USD").tracked
        assert queued(queue) == []


class TestWatching:
    def test_the_page_follows_from_nothing_to_proven(
        self, listing: ListingExchange, operator: Client
    ) -> None:
        confirm(operator, symbol="ETH/USD", start="month")
        page = body(operator, "krakendata_onboard_progress", symbol="ETH/USD")
        assert "no trade is in" in page
        assert 'hx-trigger="every 2s"' in page
        begin_backfill("ETH/USD", state="running")
        assert "being fetched" in body(operator, "krakendata_onboard_progress", symbol="ETH/USD")
        SyncRun.objects.update(state="failed", error="EService:Unavailable")
        page = body(operator, "krakendata_onboard_progress", symbol="ETH/USD")
        assert "EService:Unavailable" in page
        SyncRun.objects.update(state="done", error="")
        SyncStatus.objects.create(symbol="ETH/USD", kind="trades", collected=5, holes=0, oldest_timestamp=NOW)
        page = body(operator, "krakendata_onboard_progress", symbol="ETH/USD")
        assert "without a hole" in page
        assert 'hx-trigger="every 2s"' not in page

    def test_what_is_proven_of_the_time_is_told(self, listing: ListingExchange, operator: Client) -> None:
        now = timezone.now()
        Pair.objects.filter(symbol="ETH/USD").update(tracked=True, tracked_since=now - timedelta(hours=2))
        ids = {"first_id": 11, "last_id": 20, "trades": 10, "source": "rest", "stored": True}
        times = {"first_ns": ns_of(now - timedelta(hours=1)), "last_ns": ns_of(now)}
        TradeRun.objects.create(symbol="ETH/USD", **ids, **times)
        SyncStatus.objects.create(symbol="ETH/USD", kind="trades", collected=10, holes=0)
        page = body(operator, "krakendata_onboard_progress", symbol="ETH/USD")
        found = re.search(r"10 trades are in; (\d+\.\d)% of .* is proven", page)
        assert found is not None
        assert 49 < float(found[1]) < 51

    def test_what_was_fetched_of_a_later_beginning_is_not_enough(
        self, listing: ListingExchange, operator: Client
    ) -> None:
        confirm(operator, symbol="ETH/USD", start="date", since="2024-06-01 00:00:00")
        begin_backfill("ETH/USD", state="done", since="2024-06-01T00:00:00+00:00")
        assert "its past is fetched" in body(operator, "krakendata_onboard_progress", symbol="ETH/USD")
        confirm(operator, symbol="ETH/USD", start="date", since="2024-01-01 00:00:00")
        assert "waits for a worker" in body(operator, "krakendata_onboard_progress", symbol="ETH/USD")

    def test_a_page_is_a_handful_of_queries(self, listing: ListingExchange, operator: Client) -> None:
        confirm(operator, symbol="ETH/USD", start="month")
        begin_backfill("ETH/USD", state="running")
        with CaptureQueriesContext(connection) as asked:
            body(operator, "krakendata_onboard_progress", symbol="ETH/USD")
        assert len(asked.captured_queries) <= HANDFUL


class TestPermissions:
    @pytest.fixture
    def viewer(self, listing: ListingExchange, queue: redis.Redis) -> Iterator[Client]:
        user = User.objects.create_user("viewer", is_staff=True)
        user.user_permissions.add(Permission.objects.get(codename="view_pair"))
        client = Client()
        client.force_login(user)
        yield client

    def test_who_may_only_look_tracks_nothing_and_asks_the_exchange_nothing(
        self, viewer: Client, listing: ListingExchange, queue: redis.Redis
    ) -> None:
        asked = listing.asked
        for name in (ONBOARD, "krakendata_onboard_cost"):
            answer = viewer.get(reverse(f"admin:{name}"), {"symbol": "BTC/USD", "start": "month"})
            assert answer.status_code == 403
        for form in ({"symbol": "BTC/USD", "start": "month"}, {"list": "fetch"}):
            assert viewer.post(reverse(f"admin:{ONBOARD}"), form).status_code == 403
        assert not Pair.objects.filter(tracked=True).exists()
        assert (queued(queue), listing.asked) == ([], asked)

    def test_who_may_only_look_watches(self, viewer: Client) -> None:
        assert "not tracked" in body(viewer, "krakendata_onboard_progress", symbol="BTC/USD")

    def test_a_stranger_is_sent_to_the_login(self, client: Client) -> None:
        for name in (ONBOARD, "krakendata_onboard_cost", "krakendata_onboard_progress"):
            assert client.get(reverse(f"admin:{name}")).status_code == 302
