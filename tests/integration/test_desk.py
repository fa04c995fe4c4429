"""The desk: what it reads, in how few statements, who may see and press what, and what a press does."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import redis
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask
from pytest_django.fixtures import Settings

from config.celery import app
from krakendata.admin import remedies
from krakendata.admin.desk import PERMISSIONS, desk_context, read
from krakendata.admin.wording import rounded_count
from krakendata.attention import Deed, Desk, PairFacts, RunFacts, TableFacts
from krakendata.management.queueing import QueueAway
from krakendata.models import (
    AnsweredIds,
    FeedSession,
    OperatorAction,
    Pair,
    RejectCount,
    SyncRun,
    SyncStatus,
    Trade,
    TradeCheck,
    TradeRun,
    Worker,
)
from krakendata.tasks.heartbeat import Heartbeat
from krakendata.types import ns_of
from tests.fix_market import make_partitions, recent_hour
from tests.integration.test_admin import few_queries

pytestmark = pytest.mark.django_db

QUEUES = ("krakendata", "krakendata.long")
HOSTILE = '<script>alert("x")</script>'
SEEING = ("view_syncstatus", "view_syncrun")


@pytest.fixture
def operator(db: None, client: Client) -> Client:
    """Give a browser in which a superuser is logged in."""
    client.force_login(User.objects.create_superuser("operator"))
    return client


@pytest.fixture
def queue(settings: Settings) -> Iterator[redis.Redis]:
    """Give the Redis of the task queues, empty before and after."""
    with redis.Redis.from_url(str(settings.REDIS_URL), decode_responses=True) as client:
        client.delete(*QUEUES)
        yield client
        client.delete(*QUEUES)


def queued(queue: redis.Redis) -> list[tuple[str, list[Any], dict[str, Any]]]:
    """Give name and arguments of the tasks that wait, oldest first, those of long tasks behind."""
    found = []
    for name in QUEUES:
        for text in reversed(queue.lrange(name, 0, -1)):
            message = json.loads(text)
            arguments, named, _ = json.loads(base64.b64decode(message["body"]))
            found.append((message["headers"]["task"].removeprefix("krakendata.tasks."), arguments, named))
    return found


def allow(client: Client, *codenames: str) -> User:
    """Log in one of the staff, who has these permissions and no others."""
    user = User.objects.create_user("guest", is_staff=True)
    user.user_permissions.set(
        Permission.objects.filter(codename__in=codenames, content_type__app_label="krakendata")
    )
    client.force_login(user)
    return user


def track(symbol: str, newest: datetime | None = None, **facts: Any) -> Pair:
    """Write a tracked pair, and of what moment its newest trade is."""
    if newest is not None:
        SyncStatus.objects.create(symbol=symbol, kind="trades", newest_timestamp=newest, last_success=newest)
    return Pair.objects.create(
        symbol=symbol, key=symbol, altname=symbol, wsname=symbol, base="A", quote="USD", status="online",
        price_decimals=1, volume_decimals=8, tracked=True, **facts,
    )  # fmt: skip


def collect(symbol: str, last_id: int, moment: datetime) -> None:
    """Let the ledger hold ids up to one."""
    ns = ns_of(moment)
    TradeRun.objects.create(
        symbol=symbol, first_id=1, last_id=last_id, first_ns=ns - last_id, last_ns=ns, trades=last_id,
        source="rest", stored=True,
    )  # fmt: skip


def fail(kind: str = "backfill", state: str = "failed", **facts: Any) -> SyncRun:
    """Write a run that ended badly an hour ago."""
    moment = timezone.now() - timedelta(hours=1)
    given = {
        "parameters": {"symbol": "BTC/USD"},
        "error": "Refused.",
        "finished_at": moment,
        "updated_at": moment,
    }
    return SyncRun.objects.create(kind=kind, state=state, **{**given, **facts})


@contextmanager
def held(run: SyncRun) -> Iterator[None]:
    """Be at work on a run."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(hashtext('krakendata run'), %s::integer)", [run.pk])
        yield
        cursor.execute("SELECT pg_advisory_unlock(hashtext('krakendata run'), %s::integer)", [run.pk])


def page(client: Client, name: str = "index", **query: str) -> str:
    response = client.get(reverse(f"admin:{name}"), query)
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


def address_of(deed: str) -> str:
    return reverse(f"admin:krakendata_remedy_{deed}")


def press(client: Client, remedy: str) -> str:
    """Press a button, "deed target"; give the page that follows."""
    deed, _, target = remedy.partition(" ")
    response = client.post(address_of(deed), {"target": target}, follow=True)
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


def pair_of(desk: Desk, symbol: str) -> PairFacts:
    return next(pair for pair in desk.pairs if pair.symbol == symbol)


def run_of(run: SyncRun) -> RunFacts:
    return next(each for each in read().runs if each.id == run.pk)


# --- the page ---


def test_an_empty_installation_is_told_what_to_do(operator: Client) -> None:
    with few_queries():
        text = page(operator)
    assert "Nothing yet: no pair is tracked." in text
    assert "manage.py import_csv PATH" in text
    assert "manage.py track BTC/USD" in text


def test_the_desk_says_whether_everything_tracked_is_whole() -> None:
    track("BTC/USD", timezone.now())
    collect("BTC/USD", 10, timezone.now())
    assert desk_context(read(), frozenset())["is_whole"] is True
    SyncStatus.objects.filter(symbol="BTC/USD").update(holes=1)
    assert desk_context(read(), frozenset())["is_whole"] is False
    SyncStatus.objects.update(holes=0)
    track("ETH/USD", timezone.now() - timedelta(days=1))
    assert desk_context(read(), frozenset())["is_whole"] is False


def test_one_pair_of_a_feed_is_one_and_a_run_is_done_once_it_is(operator: Client) -> None:
    now = timezone.now()
    run = SyncRun.objects.create(kind="live", done=999, total=1000)
    FeedSession.objects.create(run=run, name="main", alive_at=now, heard_at=now, symbols=1)
    desk = read()
    feed = desk_context(desk, frozenset())["services"].cells[0]
    assert str(feed[-1][1]).startswith("1 pair, ")
    with held(run):
        found = page(operator)
    assert "99%" in found
    assert "100%" not in found


def test_a_thousand_pairs_take_no_more_queries_and_little_room(operator: Client) -> None:
    now = timezone.now()
    for n in range(1000):
        track(f"P{n:03}/USD", now - timedelta(seconds=1 if n < 400 else 3600 + n))
    TradeRun.objects.bulk_create(
        TradeRun(
            symbol=f"P{n:03}/USD", first_id=1, last_id=9, first_ns=1, last_ns=9, trades=9, source="rest", stored=True
        )
        for n in range(1000)
    )  # fmt: skip
    with few_queries():
        text = page(operator)
    assert '<strong class="kd-chip kd-good">400</strong> fresh' in text
    assert '<strong class="kd-chip kd-bad">600</strong> behind' in text
    assert "595 more pairs are behind." in text
    assert text.index("P999/USD") < text.index("P998/USD")
    assert "P900/USD" not in text
    assert len(text) < 100_000


def test_each_chip_leads_to_the_list_that_it_counts(operator: Client) -> None:
    now = timezone.now()
    track("AAA/USD", now)
    track("BBB/USD", now - timedelta(hours=1))
    track("CCC/USD")
    SyncStatus.objects.filter(symbol="AAA/USD").update(holes=2)
    run = fail(parameters={"symbol": "DDD/USD"})
    chips = dict(
        re.findall(r'<a class="kd-card kd-count" href="([^"]+)"[^>]*><strong[^>]*>([\d,+]+)<', page(operator))
    )
    assert list(chips.values()) == ["1", "2", "1", "1"]
    lists = [operator.get(address).content.decode() for address in chips]
    wanted = [{"AAA/USD"}, {"BBB/USD", "CCC/USD"}, {"AAA/USD"}, {"DDD/USD"}]
    for text, symbols in zip(lists, wanted, strict=True):
        assert set(re.findall(r"[A-D]{3}/USD", text)) == symbols
    assert f"Run {run.pk}" in lists[3]


def test_rejected_records_that_wait_are_told_with_the_way_to_them(operator: Client) -> None:
    run = fail()
    RejectCount.objects.create(
        run=run, source="import", reason="price", count=9, kept=7, replayed=1, dismissed=2
    )
    text = page(operator)
    assert "4 wait to be corrected and replayed, or dismissed." in text
    assert f'href="{reverse("admin:krakendata_rejectedrecord_changelist")}">Look at them</a>' in text
    RejectCount.objects.update(dismissed=6)
    assert "Rejected records</strong>" not in page(operator)


def test_a_list_of_pairs_is_narrowed_by_a_name(operator: Client) -> None:
    track("AAA/USD", timezone.now())
    track("BBB/USD", timezone.now())
    text = page(operator, "krakendata_sync_status", show="fresh", pair="bbb")
    assert "BBB/USD" in text
    assert "AAA/USD" not in text


def test_nothing_is_rendered_that_came_from_elsewhere(operator: Client) -> None:
    track("AAA/USD", timezone.now() - timedelta(hours=1))
    SyncStatus.objects.update(last_error=HOSTILE, last_error_at=timezone.now())
    fail(error=HOSTILE, kind=HOSTILE)
    Worker.objects.create(name=HOSTILE, alive_at=timezone.now() - timedelta(hours=1))
    FeedSession.objects.create(run=fail(kind="live"), name=HOSTILE)
    for text in (page(operator), page(operator, "krakendata_failed_runs")):
        assert HOSTILE not in text
        assert "alert(" in text


# --- who may see and press ---


@pytest.mark.parametrize("codenames", [(), SEEING[:1], SEEING[1:]])
def test_who_may_not_see_the_facts_is_told_so(client: Client, codenames: tuple[str, ...]) -> None:
    allow(client, *codenames)
    track("AAA/USD")
    text = page(client)
    assert "ask an administrator" in text
    assert "AAA/USD" not in text


def test_a_viewer_sees_the_lines_and_no_button(client: Client) -> None:
    allow(client, *SEEING)
    track("AAA/USD")
    fail()
    text = page(client)
    assert "nothing of it is collected yet" in text
    assert "formaction" not in text


def test_an_operator_sees_the_buttons_that_he_may_press(client: Client) -> None:
    allow(client, *SEEING, "fill_gaps")
    track("AAA/USD")
    fail()
    buttons = re.findall(r'formaction="([^"]+)" name="target" value="([^"]*)"', page(client))
    assert buttons == [(address_of("run_due"), ""), (address_of("backfill"), "AAA/USD")]


@pytest.mark.parametrize("deed", Deed)
def test_each_remedy_asks_for_its_permission(client: Client, queue: redis.Redis, deed: Deed) -> None:
    codename = PERMISSIONS[deed].removeprefix("krakendata.")
    others = {name.removeprefix("krakendata.") for name in PERMISSIONS.values()} - {codename}
    user = allow(client, *SEEING, *others)
    address, word = address_of(deed), {"target": "1"}
    assert client.post(address, word).status_code == 403
    assert queued(queue) == []
    user.user_permissions.add(Permission.objects.get(codename=codename, content_type__app_label="krakendata"))
    assert client.post(address, word).status_code == 302


def test_a_press_needs_a_login_a_form_of_ours_and_a_post(operator: Client) -> None:
    address, word = address_of("upkeep"), {"target": ""}
    assert operator.get(address).status_code == 405
    assert Client().post(address, word)["Location"].startswith(reverse("admin:login"))
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(User.objects.get(username="operator"))
    assert strict.post(address, word).status_code == 403


# --- what a press does ---


@pytest.mark.parametrize(
    ("remedy", "tasks"),
    [
        ("fill_gaps BTC/USD", [("fill_gaps", ["BTC/USD"], {})]),
        ("fill_gaps XBTUSD", [("fill_gaps", ["BTC/USD"], {})]),
        ("fill_gaps ", [("fill_gaps", [], {})]),
        ("backfill ETH/USD", [("backfill", ["ETH/USD"], {})]),
        ("upkeep ", [("upkeep", [], {})]),
        ("run_due ", [("fill_gaps", [], {}), ("resume_backfills", [], {}), ("upkeep", [], {})]),
    ],
)
def test_a_press_puts_the_task_on_the_queue(
    operator: Client, queue: redis.Redis, remedy: str, tasks: list[Any]
) -> None:
    press(operator, remedy)
    assert queued(queue) == tasks


@pytest.mark.parametrize(
    "remedy",
    ["fill_gaps no pair", f"backfill {HOSTILE}", "restart x", "restart 999999", "forget_feed 1 OR 1"],
)
def test_what_cannot_be_done_is_said_and_not_done(operator: Client, queue: redis.Redis, remedy: str) -> None:
    assert HOSTILE not in press(operator, remedy)
    assert queued(queue) == []


def test_a_queue_that_is_away_is_said(
    operator: Client, queue: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.conf, "broker_write_url", "redis://127.0.0.1:1/0")
    monkeypatch.setattr(app.amqp, "_producer_pool", None)
    assert "The task queue does not answer" in press(operator, "upkeep ")


def test_a_queue_that_goes_away_in_between_says_what_it_took(
    operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(name: str) -> None:
        if name == "upkeep":
            raise QueueAway("The task queue does not answer.")

    monkeypatch.setattr(remedies, "queue_task", away)
    assert "Only 2 of 3 tasks were queued before." in press(operator, "run_due ")
    assert OperatorAction.objects.get().result == "done"


@pytest.mark.parametrize(
    ("kind", "parameters", "task"),
    [
        (
            "backfill",
            {"symbol": "BTC/USD", "since": "2024-01-01T00:00:00+00:00", "until": None, "newest_first": False},
            (
                "backfill",
                ["BTC/USD"],
                {
                    "newest_first": False,
                    "continues": None,
                    "since": "2024-01-01T00:00:00+00:00",
                    "until": None,
                },
            ),
        ),
        ("gap_fill", {"symbol": "BTC/USD"}, ("fill_gaps", ["BTC/USD"], {})),
        (
            "import",
            {"paths": ["a.zip", "b"], "symbol": None},
            ("import_files", ["a.zip", "b"], {"symbol": None}),
        ),
        ("audit", {"symbols": ["BTC/USD"], "seed": 1}, ("audit", [], {"symbols": ["BTC/USD"]})),
        (
            "audit",
            {
                "symbols": ["BTC/USD"],
                "buckets": 50,
                "since": "2024-01-01",
                "until": "2024-01-02",
                "by": "worker",
            },
            (
                "audit",
                [],
                {
                    "symbols": ["BTC/USD"],
                    "buckets": 50,
                    "exchange": False,
                    "since": "2024-01-01",
                    "until": "2024-01-02",
                },
            ),
        ),
        (
            "replay_rejects",
            {"reason": "bad_side", "by": "ada", "fields": {"side": "b"}, "why": "x", "after": 0, "upto": 5},
            (
                "replay_rejects",
                [],
                {
                    "selection": {"reason": "bad_side"},
                    "by": "operator",
                    "fields": {"side": "b"},
                    "why": "x",
                    "after": 0,
                    "upto": 5,
                },
            ),
        ),
    ],
)
def test_a_failed_run_is_asked_for_again_as_it_was(
    operator: Client, queue: redis.Redis, kind: str, parameters: dict[str, Any], task: Any
) -> None:
    run = fail(kind, parameters=parameters)
    press(operator, f"restart {run.pk}")
    assert queued(queue) == [task]


@pytest.mark.parametrize(
    ("codenames", "signed"),
    [
        ([], []),
        (["replay_rejectedrecord"], []),
        (["replay_rejectedrecord", "correct_rejectedrecord"], ["guest"]),
    ],
)
def test_who_may_not_decide_has_no_decision_made_again_and_who_may_signs_it(
    client: Client, queue: redis.Redis, codenames: list[str], signed: list[str]
) -> None:
    run = fail("replay_rejects", parameters={"run": 1, "by": "ada", "fields": {"side": "b"}, "why": "x"})
    allow(client, "view_syncstatus", "view_syncrun", "restart_syncrun", *codenames)
    told = press(client, f"restart {run.pk}")
    assert ("takes the permission to decide so yourself" in told) is (not signed)
    assert [named["by"] for _, _, named in queued(queue)] == signed


def test_all_failed_runs_are_started_again_but_those_that_were_made_good(
    operator: Client, queue: redis.Redis
) -> None:
    fail(parameters={"symbol": "AAA/USD"})
    fail(parameters={"symbol": "BBB/USD"})
    SyncRun.objects.create(kind="backfill", state="done", parameters={"symbol": "BBB/USD"})
    fail("live", parameters={})
    press(operator, "restart ")
    assert [arguments for _, arguments, _ in queued(queue)] == [["AAA/USD"]]


def test_a_run_that_somebody_is_at_is_not_started_again(operator: Client, queue: redis.Redis) -> None:
    run = fail("gap_fill", "running", finished_at=None)
    with held(run):
        press(operator, f"restart {run.pk}")
    assert queued(queue) == []
    press(operator, f"restart {run.pk}")
    assert queued(queue) == [("fill_gaps", ["BTC/USD"], {})]
    run.refresh_from_db()
    assert run.state == "interrupted"


def test_only_what_is_gone_is_forgotten(operator: Client) -> None:
    long_ago = timezone.now() - timedelta(hours=1)
    Worker.objects.create(name="alive", alive_at=timezone.now())
    Worker.objects.create(name="gone", alive_at=long_ago)
    runs = [fail("live"), fail("live")]
    alive, silent = (
        FeedSession.objects.create(run=run, name=name, alive_at=at)
        for run, name, at in zip(runs, ("alive", "silent"), (timezone.now(), long_ago), strict=True)
    )
    for remedy in (
        "forget_worker alive",
        "forget_worker gone",
        f"forget_feed {alive.pk}",
        f"forget_feed {silent.pk}",
    ):
        press(operator, remedy)
    assert list(Worker.objects.values_list("name", flat=True)) == ["alive"]
    assert list(FeedSession.objects.order_by("id").values_list("ended_at", flat=True)) == [None, long_ago]


# --- what is read ---


def test_a_quiet_pair_is_held_up_to_the_check_that_nothing_newer_was_there() -> None:
    now = timezone.now()
    track("AAA/USD", now - timedelta(days=1))
    collect("AAA/USD", 7, now - timedelta(days=1))
    TradeCheck.objects.create(symbol="AAA/USD", last_id=7, checked_ns=ns_of(now - timedelta(seconds=3)))
    assert pair_of(read(), "AAA/USD").is_fresh(now)


def test_a_check_of_a_trade_that_is_not_held_proves_nothing_until_it_is_answered_for() -> None:
    now = timezone.now()
    track("AAA/USD", now - timedelta(days=1))
    collect("AAA/USD", 7, now - timedelta(days=1))
    TradeCheck.objects.create(symbol="AAA/USD", last_id=8, checked_ns=ns_of(now))
    assert not pair_of(read(), "AAA/USD").is_fresh(now)
    AnsweredIds.objects.create(symbol="AAA/USD", first_id=8, last_id=8, answer="rejected")
    assert pair_of(read(), "AAA/USD").is_fresh(now)


def test_a_pair_that_never_traded_is_fresh_once_that_was_asked() -> None:
    now = timezone.now()
    track("AAA/USD")
    TradeCheck.objects.create(symbol="AAA/USD", last_id=0, checked_ns=ns_of(now))
    assert pair_of(read(), "AAA/USD").is_fresh(now)


def test_a_pair_kept_by_its_candles_is_held_up_to_the_end_of_the_newest() -> None:
    start = timezone.now().replace(second=0, microsecond=0)
    track("AAA/USD", candles_only=True)
    SyncStatus.objects.create(symbol="AAA/USD", kind="candles", newest_timestamp=start)
    assert pair_of(read(), "AAA/USD").known_to == start + timedelta(minutes=1)


def test_delisted_pairs_are_tracked_no_more_and_an_error_counts_until_the_next_success() -> None:
    now = timezone.now()
    track("AAA/USD", now)
    Pair.objects.update(status="delisted")
    SyncStatus.objects.update(last_error="once", last_error_at=now - timedelta(seconds=1))
    pair = pair_of(read(), "AAA/USD")
    assert (pair.is_tracked, pair.is_gone, pair.error) == (False, True, "")
    SyncStatus.objects.update(last_error_at=now + timedelta(seconds=1))
    assert pair_of(read(), "AAA/USD").error == "once"


def test_a_run_that_says_it_runs_is_at_work_while_its_lock_is_held() -> None:
    run = fail(state="running", finished_at=None)
    with held(run):
        assert run_of(run).is_at_work
    assert run_of(run).is_killed


@pytest.mark.parametrize(
    ("later", "answered"),
    [
        ({"state": "done"}, True),
        ({"state": "running"}, True),
        ({"state": "failed"}, False),
        ({"state": "done", "kind": "audit"}, False),
        ({"state": "done", "parameters": {"symbol": "ETH/USD"}}, False),
        ({"state": "done", "parameters": {"symbol": "BTC/USD", "paths": ["a"]}}, False),
    ],
)
def test_a_failure_is_made_good_by_the_same_deed(later: dict[str, Any], answered: bool) -> None:
    run = fail()
    SyncRun.objects.create(**{"kind": "backfill", "parameters": {"symbol": "BTC/USD"}, **later})
    assert run_of(run).is_answered is answered


@pytest.mark.parametrize(
    ("later", "answered"),
    [
        ({"run": 17, "by": "bob", "after": 9, "upto": 40}, True),
        ({"ids": [9], "by": "ada"}, False),
        ({"run": 18, "by": "ada"}, False),
        ({"by": "ada"}, False),
    ],
)
def test_a_failed_replay_is_made_good_by_one_of_the_same_records(
    later: dict[str, Any], answered: bool
) -> None:
    run = fail(
        "replay_rejects", parameters={"run": 17, "by": "ada", "fields": {}, "why": "", "after": 0, "upto": 30}
    )
    SyncRun.objects.create(kind="replay_rejects", state="done", parameters=later)
    assert run_of(run).is_answered is answered


@pytest.mark.parametrize(
    ("later", "answered"),
    [
        ({"symbols": ["AAA/USD", "BBB/USD"], "seed": 2}, True),
        ({"symbols": ["BBB/USD"], "seed": 1}, False),
        ({"symbols": ["AAA/USD"], "seed": 1, "since": "2024-01-01", "until": "2024-01-02"}, False),
    ],
)
def test_a_failed_audit_is_made_good_by_one_of_its_pairs_and_time(
    later: dict[str, Any], answered: bool
) -> None:
    run = fail("audit", parameters={"symbols": ["AAA/USD"], "buckets": 50, "seed": 1, "by": "worker"})
    SyncRun.objects.create(kind="audit", state="done", parameters={"buckets": 50, "by": "worker", **later})
    assert run_of(run).is_answered is answered


def test_what_failed_days_ago_is_history() -> None:
    fail(finished_at=timezone.now() - timedelta(hours=25))
    assert read().failures == []


def test_a_feed_is_its_newest_session() -> None:
    run = SyncRun.objects.create(kind="live")
    now = timezone.now()
    for name, heard in (("a", now - timedelta(hours=1)), ("a", now), ("b", now)):
        FeedSession.objects.create(
            run=run, name=name, alive_at=now, heard_at=heard, symbols=3,
            statistics={"trades_per_second": 12.5, "seconds_behind": 0.25},
        )  # fmt: skip
    FeedSession.objects.create(run=run, name="old", alive_at=now - timedelta(days=8))
    desk = read()
    assert [(feed.name, feed.state(desk.now)) for feed in desk.feeds] == [("a", "live"), ("b", "live")]
    assert desk.trades_per_second == 25


def test_the_timetable_is_known_by_what_it_started_last() -> None:
    every = IntervalSchedule.objects.create(every=2, period=IntervalSchedule.MINUTES)
    now = timezone.now()
    for name, enabled, last in (
        ("a", True, now - timedelta(minutes=9)),
        ("b", True, None),
        ("c", False, now),
    ):
        PeriodicTask.objects.create(name=name, task="x", interval=every, enabled=enabled, last_run_at=last)
    beat = read().beat
    assert beat is not None
    assert (beat.last_run_at, beat.every) == (now - timedelta(minutes=9), timedelta(minutes=2))


def write_trades(count: int) -> None:
    start = recent_hour() - timedelta(days=20)
    make_partitions(start, start + timedelta(days=1))
    Trade.objects.bulk_create(
        Trade(
            symbol="BTC/USD", timestamp=start + timedelta(seconds=n), trade_id=n + 1, price=Decimal("83000.5"),
            volume=Decimal("0.25"), side="buy", order_type="limit",
        )
        for n in range(count)
    )  # fmt: skip


def table_of(name: str) -> TableFacts:
    return next(table for table in read().tables if table.name == name)


def test_storage_is_told_by_table_from_the_catalog() -> None:
    write_trades(2000)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE trades")
    trades = table_of("trades")
    assert trades.rows == 2000
    assert trades.bytes > 2000 * 50
    assert {"candles", "candles_1w", "sync_runs"} <= {table.name for table in read().tables}


@pytest.mark.community
def test_compressed_chunks_count_as_what_they_take_now() -> None:
    write_trades(2000)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE trades")
        before = table_of("trades")
        cursor.execute("SELECT compress_chunk(c) FROM show_chunks('trades') c")
    trades = table_of("trades")
    assert trades.rows == before.rows
    assert trades.bytes < before.bytes
    assert trades.saved is not None
    assert trades.saved > 0.5


def test_no_statement_of_the_desk_counts_a_table(operator: Client) -> None:
    with few_queries() as asked:
        page(operator)
    assert not [each for each in asked.captured_queries if re.search(r"count\(", each["sql"], re.IGNORECASE)]


def test_upkeep_that_has_never_run_is_not_late() -> None:
    assert [each for each in read().upkeep if each.is_late(timezone.now())] == []


def test_rollups_that_stopped_moving_are_late(edition: str) -> None:
    if edition == "community":
        pytest.skip("there TimescaleDB's jobs are judged, which do not run in tests")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE rollup_watermarks SET watermark = now() - INTERVAL '1 hour'")
    assert [each.name for each in read().upkeep if each.is_late(timezone.now())] == ["candles_5m"]


@pytest.mark.parametrize(
    ("count", "shown"), [(0, 0), (999, 999), (1234567, 1230000), (50_123_456, 50_100_000)]
)
def test_an_estimate_has_three_digits(count: int, shown: int) -> None:
    assert rounded_count(count) == shown


# --- the heartbeat of workers ---


@pytest.mark.django_db(transaction=True)
def test_a_worker_has_a_row_until_it_ends() -> None:
    heartbeat = Heartbeat("celery@here")
    heartbeat.start()
    deadline = timezone.now() + timedelta(seconds=30)
    while not Worker.objects.filter(name="celery@here").exists():
        assert timezone.now() < deadline
    assert read().workers[0].is_alive(timezone.now())
    heartbeat.end()
    assert not Worker.objects.exists()
