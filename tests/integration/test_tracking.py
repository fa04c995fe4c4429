"""The list of pairs kept from the exchange, and pairs tracked: by the commands, the admin and the task queue."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
import redis
from celery.contrib.testing.worker import start_worker
from django.contrib.auth.models import Permission, User
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django.fixtures import Settings

from config.celery import app
from krakendata.management.command import database_arguments
from krakendata.management.queueing import has_worker
from krakendata.models import Pair, SyncRun, SyncStatus
from krakendata.storage.backfill_runs import is_continued, read_unfinished_backfills
from krakendata.storage.sessions import connect
from tests.fix_asset_pairs import ListingExchange

pytestmark = pytest.mark.django_db(transaction=True)

SINCE = datetime(2024, 1, 1, tzinfo=UTC)
QUEUE = "krakendata.long"


def run(*arguments: str) -> tuple[str, dict[str, Any]]:
    """Run a command with --json; give its text and the object of its last line."""
    output = StringIO()
    call_command(*arguments, "--json", stdout=output)
    *text, facts = output.getvalue().splitlines()
    return "\n".join(text), json.loads(facts)


@pytest.fixture
def queue(settings: Settings) -> Iterator[redis.Redis]:
    """Give the Redis of the task queue, empty before and after."""
    with redis.Redis.from_url(str(settings.REDIS_URL), decode_responses=True) as client:
        client.delete(QUEUE)
        yield client
        client.delete(QUEUE)


def queued(queue: redis.Redis) -> list[tuple[str, Any]]:
    """Give name and arguments of the tasks that wait, oldest first."""
    found = []
    for text in reversed(queue.lrange(QUEUE, 0, -1)):
        message = json.loads(text)
        arguments, _, _ = json.loads(base64.b64decode(message["body"]))
        found.append((message["headers"]["task"], arguments))
    return found


@pytest.fixture
def listing(exchange: ListingExchange) -> ListingExchange:
    """Give an exchange with three pairs, whose list is in."""
    exchange.list_pair("XBT/USD", key="XXBTZUSD", altname="XBTUSD")
    exchange.list_pair("ETH/USD")
    exchange.list_pair("MATIC/USD")
    run("import_pairs", "--api")
    return exchange


def pair(symbol: str) -> Pair:
    found: Pair = Pair.objects.get(symbol=symbol)
    return found


def begin_backfill(symbol: str, *, state: str, **parameters: Any) -> int:
    """Record a worker's backfill as it stands an hour later; give its run."""
    hour_ago = timezone.now() - timedelta(hours=1)
    found = SyncRun.objects.create(
        kind="backfill",
        state=state,
        parameters={"symbol": symbol, "by": "worker", **parameters},
        unit="trades",
        started_at=hour_ago,
        updated_at=hour_ago,
    )
    return int(found.pk)


def unfinished() -> list[str]:
    """The pairs whose backfill a worker would go on with."""

    async def read() -> list[str]:
        async with connect(database_arguments()) as connection:
            return [each.symbol for each in await read_unfinished_backfills(connection, timezone.now())]

    return asyncio.run(read())


def is_over(symbol: str, run_id: int) -> bool:
    async def read() -> bool:
        async with connect(database_arguments()) as connection:
            return await is_continued(connection, symbol, run_id)

    return asyncio.run(read())


class TestPairList:
    def test_the_list_is_asked_for_and_taken_over(self, exchange: ListingExchange) -> None:
        exchange.list_pair("XBT/USD", key="XXBTZUSD", altname="XBTUSD")
        text, facts = run("import_pairs", "--api")
        assert text == "1 pairs.\nNew: BTC/USD."
        assert (facts["stored"], facts["new"]) == (1, ["BTC/USD"])
        assert (pair("BTC/USD").altname, pair("BTC/USD").status) == ("XBTUSD", "online")

    def test_the_same_list_writes_no_row(self, listing: ListingExchange) -> None:
        def versions() -> list[Any]:
            return list(Pair.objects.extra(select={"version": "xmin::text"}).values_list("version"))

        before = versions()
        text, _ = run("import_pairs", "--api")
        assert text == "3 pairs, nothing new."
        assert versions() == before

    def test_a_renamed_pair_says_so_and_tracking_goes_on_under_the_new_name(
        self, listing: ListingExchange, queue: redis.Redis
    ) -> None:
        run("track", "MATIC/USD", "--since", "2024-01-01")
        listing.list_pair("POL/USD", key="MATICUSD")
        text, facts = run("import_pairs", "--api")
        assert "Renamed: MATIC/USD to POL/USD." in text
        assert facts["tracking"] == ["POL/USD"]
        old, new = pair("MATIC/USD"), pair("POL/USD")
        assert (old.status, old.renamed_to, old.altname) == ("renamed", "POL/USD", "MATICUSD")
        assert (new.tracked, new.tracked_since, new.altname) == (True, SINCE, "MATICUSD")

    def test_a_delisted_pair_says_so_and_comes_back_tracked(
        self, listing: ListingExchange, queue: redis.Redis
    ) -> None:
        run("track", "ETH/USD")
        entry = listing.listed.pop("ETHUSD")
        assert run("import_pairs", "--api")[1]["delisted"] == ["ETH/USD"]
        assert (pair("ETH/USD").status, pair("ETH/USD").tracked) == ("delisted", True)
        listing.listed["ETHUSD"] = entry
        assert run("import_pairs", "--api")[1]["returned"] == ["ETH/USD"]
        assert (pair("ETH/USD").status, pair("ETH/USD").tracked) == ("online", True)

    def test_a_pair_that_gets_its_old_name_back_is_renamed_no_more(self, listing: ListingExchange) -> None:
        entry = listing.listed["MATICUSD"]
        listing.list_pair("POL/USD", key="MATICUSD")
        run("import_pairs", "--api")
        listing.listed["MATICUSD"] = entry
        _, facts = run("import_pairs", "--api")
        assert (facts["returned"], facts["renamed"]) == (["MATIC/USD"], {"POL/USD": "MATIC/USD"})
        assert (pair("MATIC/USD").status, pair("MATIC/USD").renamed_to) == ("online", None)

    def test_pairs_may_swap_their_names(self, listing: ListingExchange) -> None:
        listing.listed["ETHUSD"]["altname"], listing.listed["MATICUSD"]["altname"] = "MATICUSD", "ETHUSD"
        assert run("import_pairs", "--api")[1]["changed"] == ["ETH/USD", "MATIC/USD"]
        assert (pair("ETH/USD").altname, pair("MATIC/USD").altname) == ("MATICUSD", "ETHUSD")

    def test_an_entry_that_cannot_be_read_delists_nothing(self, listing: ListingExchange) -> None:
        listing.listed["ETHUSD"] = {"altname": "ETHUSD"}
        text, facts = run("import_pairs", "--api")
        assert "Not readable, left as it was: AssetPairs entry 'ETHUSD'" in text
        assert (facts["delisted"], list(facts["unreadable"])) == ([], ["ETHUSD"])
        assert pair("ETH/USD").status == "online"

    def test_a_list_that_is_absurdly_short_changes_nothing(self, listing: ListingExchange) -> None:
        listing.listed = {"ETHUSD": listing.listed["ETHUSD"]}
        with pytest.raises(CommandError, match="has 1 pairs where 3 are known as listed: too few"):
            run("import_pairs", "--api")
        assert {each.status for each in Pair.objects.all()} == {"online"}
        run("import_pairs", "--api", "--accept-short")
        assert (pair("ETH/USD").status, pair("BTC/USD").status) == ("online", "delisted")

    def test_an_exchange_that_is_away_changes_nothing(
        self, listing: ListingExchange, settings: Settings
    ) -> None:
        settings.KRAKENDATA = {**settings.KRAKENDATA, "KRAKEN_REST_URL": "http://127.0.0.1:1"}
        with pytest.raises(CommandError, match="gave no answer"):
            run("import_pairs", "--api", "--accept-short")
        assert {each.status for each in Pair.objects.all()} == {"online"}


class TestTrack:
    def test_a_tracked_pair_is_handed_to_a_worker(self, listing: ListingExchange, queue: redis.Redis) -> None:
        text, facts = run("track", "XBTUSD", "ETH/USD", "--since", "2024-01-01")
        assert queued(queue) == [
            ("krakendata.tasks.backfill", ["BTC/USD", "2024-01-01T00:00:00+00:00"]),
            ("krakendata.tasks.backfill", ["ETH/USD", "2024-01-01T00:00:00+00:00"]),
        ]
        assert "BTC/USD is tracked, from 2024-01-01 00:00 UTC on." in text
        assert facts["queued"]
        assert (pair("BTC/USD").tracked, pair("BTC/USD").tracked_since) == (True, SINCE)
        assert not pair("MATIC/USD").tracked

    def test_where_no_worker_answers_the_command_to_run_is_told(
        self, listing: ListingExchange, queue: redis.Redis
    ) -> None:
        text, _ = run("track", "BTC/USD", "--since", "2024-01-01")
        assert "no worker answers" in text
        assert "manage.py backfill BTC/USD --since 2024-01-01T00:00:00Z --newest-first" in text

    def test_a_worker_that_is_there_is_seen(self, queue: redis.Redis) -> None:
        assert not has_worker()
        with start_worker(app, perform_ping_check=False, pool="solo", queues=["elsewhere"]):
            # It says that it is ready before it listens for questions.
            assert any(has_worker() for _ in range(30))

    def test_where_the_queue_is_away_the_pair_is_tracked_and_the_command_to_run_told(
        self, listing: ListingExchange, queue: redis.Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Pools of connections are by address; the one of the settings is found again afterwards.
        monkeypatch.setattr(app.conf, "broker_write_url", "redis://127.0.0.1:1/0")
        monkeypatch.setattr(app.amqp, "_producer_pool", None)
        text, facts = run("track", "BTC/USD")
        assert "The task queue does not answer" in text
        assert "manage.py backfill BTC/USD --newest-first" in text
        assert not facts["queued"]
        assert pair("BTC/USD").tracked

    def test_a_pair_keeps_its_beginning_unless_another_is_given(
        self, listing: ListingExchange, queue: redis.Redis
    ) -> None:
        run("track", "BTC/USD", "--since", "2024-01-01")
        run("track", "BTC/USD")
        assert pair("BTC/USD").tracked_since == SINCE
        run("track", "BTC/USD", "--since", "2023-01-01")
        assert pair("BTC/USD").tracked_since == SINCE.replace(year=2023)

    def test_a_pair_that_the_list_lacks_is_looked_up_at_the_exchange(
        self, listing: ListingExchange, queue: redis.Redis
    ) -> None:
        listing.list_pair("NEW/USD")
        run("track", "NEW/USD")
        assert pair("NEW/USD").tracked

    def test_without_a_list_it_is_fetched(self, exchange: ListingExchange, queue: redis.Redis) -> None:
        exchange.list_pair("ETH/USD")
        run("track", "ETHUSD")
        assert pair("ETH/USD").tracked

    def test_a_pair_that_nobody_lists_is_refused_and_the_others_with_it(
        self, listing: ListingExchange, queue: redis.Redis
    ) -> None:
        asked = listing.asked
        with pytest.raises(CommandError, match=r"MATIC/EUR cannot be tracked: .*Closest listed: MATIC/USD"):
            run("track", "BTC/USD", "MATIC/EUR")
        assert listing.asked == asked + 1
        assert not Pair.objects.filter(tracked=True).exists()
        assert queued(queue) == []

    def test_a_renamed_pair_is_refused_with_its_new_name(
        self, listing: ListingExchange, queue: redis.Redis
    ) -> None:
        listing.list_pair("POL/USD", key="MATICUSD")
        run("import_pairs", "--api")
        with pytest.raises(CommandError, match="MATIC/USD cannot be tracked: .* lists it as POL/USD today"):
            run("track", "MATIC/USD")

    def test_a_delisted_pair_is_refused(self, listing: ListingExchange) -> None:
        del listing.listed["ETHUSD"]
        with pytest.raises(CommandError, match="ETH/USD cannot be tracked: the exchange has delisted it"):
            run("import_pairs", "--api")
            run("track", "ETH/USD")

    def test_with_now_the_past_is_fetched_here_and_a_failure_is_told(
        self, listing: ListingExchange, queue: redis.Redis
    ) -> None:
        with pytest.raises(CommandError, match="BTC/USD: .*Unknown asset pair"):
            run("track", "BTC/USD", "--now")
        assert queued(queue) == []
        assert pair("BTC/USD").tracked

    def test_a_backfill_that_was_refused_for_good_is_tried_again_when_the_pair_comes_back(
        self, listing: ListingExchange, queue: redis.Redis
    ) -> None:
        run("track", "ETH/USD", "BTC/USD")
        for symbol in ("ETH/USD", "BTC/USD"):
            begin_backfill(symbol, state="failed", permanent=True)
        entry = listing.listed.pop("ETHUSD")
        run("import_pairs", "--api")
        assert unfinished() == []
        listing.listed["ETHUSD"] = entry
        run("import_pairs", "--api")
        assert unfinished() == ["ETH/USD"]

    def test_untracking_ends_a_backfill_until_the_pair_is_tracked_again(
        self, listing: ListingExchange, queue: redis.Redis
    ) -> None:
        run("track", "ETH/USD")
        number = begin_backfill("ETH/USD", state="stopped")
        assert (unfinished(), is_over("ETH/USD", number)) == (["ETH/USD"], False)
        run("untrack", "ETH/USD")
        assert (unfinished(), is_over("ETH/USD", number)) == ([], True)
        run("track", "ETH/USD")
        assert (unfinished(), is_over("ETH/USD", number)) == (["ETH/USD"], False)

    def test_a_stretch_that_is_fetched_does_not_start_a_history_that_somebody_stopped(
        self, listing: ListingExchange
    ) -> None:
        run("track", "ETH/USD")
        number = begin_backfill("ETH/USD", state="stopped", stopped_by="ada")
        begin_backfill("ETH/USD", state="done", since="2024-01-01T00:00:00Z", until="2024-01-08T00:00:00Z")
        begin_backfill("ETH/USD", state="done", since="2024-02-01T00:00:00Z", until=None)
        assert unfinished() == []
        SyncRun.objects.filter(pk=number).update(parameters={"symbol": "ETH/USD", "by": "worker"})
        assert unfinished() == ["ETH/USD"]

    def test_a_backfill_asked_for_by_name_goes_on_though_nobody_tracks_the_pair(
        self, listing: ListingExchange
    ) -> None:
        begin_backfill("ETH/USD", state="interrupted")
        assert unfinished() == ["ETH/USD"]

    def test_untracking_ends_it_and_says_what_was_tracked(
        self, listing: ListingExchange, queue: redis.Redis
    ) -> None:
        run("track", "BTC/USD", "--since", "2024-01-01")
        _, facts = run("untrack", "XBTUSD", "ETH/USD")
        assert facts == {"untracked": ["BTC/USD"]}
        assert (pair("BTC/USD").tracked, pair("BTC/USD").tracked_since) == (False, None)
        assert "None of them was tracked" in run("untrack", "BTC/USD")[0]


@pytest.fixture
def operator(db: None, client: Client) -> Client:
    """Give a browser in which a superuser is logged in."""
    client.force_login(User.objects.create_superuser("operator"))
    return client


def act(client: Client, action: str, *symbols: str) -> str:
    """Choose pairs in the admin's list and an action; give the page that follows."""
    address = reverse("admin:krakendata_pair_changelist")
    answer = client.post(address, {"action": action, "_selected_action": symbols}, follow=True)
    return str(answer.content.decode())


class TestAdmin:
    def test_pairs_are_tracked_from_the_list(
        self, listing: ListingExchange, operator: Client, queue: redis.Redis
    ) -> None:
        page = act(operator, "track", "BTC/USD", "ETH/USD")
        assert "2 pairs are tracked. A worker fetches the past" in page
        assert queued(queue) == [
            ("krakendata.tasks.backfill", ["BTC/USD", None]),
            ("krakendata.tasks.backfill", ["ETH/USD", None]),
        ]
        assert "its first trade" in page

    def test_pairs_may_be_tracked_from_a_month_ago(
        self, listing: ListingExchange, operator: Client, queue: redis.Redis
    ) -> None:
        act(operator, "track_recent", "ETH/USD")
        since = pair("ETH/USD").tracked_since
        assert since is not None
        assert timedelta(days=29) < timezone.now() - since < timedelta(days=31)
        assert queued(queue) == [("krakendata.tasks.backfill", ["ETH/USD", since.isoformat()])]

    def test_gone_pairs_are_not_tracked_and_the_page_says_so(
        self, listing: ListingExchange, operator: Client, queue: redis.Redis
    ) -> None:
        del listing.listed["ETHUSD"]
        run("import_pairs", "--api")
        page = act(operator, "track", "BTC/USD", "ETH/USD")
        assert "The exchange lists them no more, so they are not tracked: ETH/USD." in page
        assert [each.symbol for each in Pair.objects.filter(tracked=True)] == ["BTC/USD"]

    def test_tracking_ends_from_the_list(
        self, listing: ListingExchange, operator: Client, queue: redis.Redis
    ) -> None:
        act(operator, "track", "BTC/USD")
        assert "1 pair is tracked no more" in act(operator, "untrack", "BTC/USD", "ETH/USD")
        assert not Pair.objects.filter(tracked=True).exists()

    def test_who_may_only_look_tracks_nothing(
        self, listing: ListingExchange, client: Client, queue: redis.Redis
    ) -> None:
        visitor = User.objects.create_user("visitor", is_staff=True)
        visitor.user_permissions.add(Permission.objects.get(codename="view_pair"))
        client.force_login(visitor)
        act(client, "track", "BTC/USD")
        assert not pair("BTC/USD").tracked
        assert queued(queue) == []

    def test_the_list_says_what_a_pair_is_called_today_and_how_new_its_trades_are(
        self, listing: ListingExchange, operator: Client, queue: redis.Redis
    ) -> None:
        listing.list_pair("POL/USD", key="MATICUSD")
        run("import_pairs", "--api")
        newest = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)
        SyncStatus.objects.create(symbol="MATIC/USD", kind="trades", newest_timestamp=newest)
        page = operator.get(reverse("admin:krakendata_pair_changelist"), {"q": "POL/USD"}).content.decode()
        assert "MATIC/USD" in page
        assert "2026-03-04 05:06" in page
