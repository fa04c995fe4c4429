"""The map in the admin: cells by one statement, previews, deeds put on the queue, and who may do what."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from channels.db import database_sync_to_async
from django.contrib.auth.models import Permission, User
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from pytest_django.fixtures import Settings

from krakendata.admin import completeness_map
from krakendata.admin.ledgers import ledgers_around
from krakendata.certificate import DayState
from krakendata.completeness_map import LETTERS, Frame, judge_cells
from krakendata.gaps import Stretch
from krakendata.historical_provider import HistoricalDataProvider
from krakendata.management.queueing import QueueAway
from krakendata.models import OperatorAction, Pair, SyncRun, SyncStatus
from krakendata.storage.queries import read_answers, read_ledger
from krakendata.storage.sessions import connect
from krakendata.types import INTERVALS, ns_of
from tests.fix_history import History

pytestmark = pytest.mark.django_db

# Session, user, the pairs, the ledgers.
HANDFUL = 9
QUEUE = "krakendata.long"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
HOSTILE = '<img src=x onerror="alert(1)">'
VIEWS = [
    "krakendata_completeness_map",
    "krakendata_map_cells",
    "krakendata_map_preview",
    "krakendata_map_runs",
]


@pytest.fixture
def operator(db: None, client: Client) -> Client:
    client.force_login(User.objects.create_superuser("operator"))
    return client


@pytest.fixture
def viewer(db: None, client: Client) -> Client:
    """Somebody who may look at everything and begin nothing."""
    user = User.objects.create_user("viewer", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client.force_login(user)
    return client


@pytest.fixture
def queue(settings: Settings) -> Iterator[redis.Redis]:
    """The Redis of the task queue, empty before and after."""
    with redis.Redis.from_url(str(settings.REDIS_URL), decode_responses=True) as client:
        client.delete(QUEUE)
        yield client
        client.delete(QUEUE)


def queued(queue: redis.Redis) -> list[tuple[str, list[Any], dict[str, Any]]]:
    """Name and arguments of the tasks that wait, oldest first."""
    found = []
    for text in reversed(queue.lrange(QUEUE, 0, -1)):
        message = json.loads(text)
        arguments, named, _ = json.loads(base64.b64decode(message["body"]))
        found.append((message["headers"]["task"], arguments, named))
    return found


def list_pair(symbol: str, **facts: Any) -> Pair:
    base, quote = symbol.split("/")
    name = base + quote
    given = {"key": name, "altname": name, "wsname": symbol, "base": base, "quote": quote, "status": "online"}
    return Pair.objects.create(
        symbol=symbol, price_decimals=1, volume_decimals=8, **{**given, "tracked": True, **facts}
    )


def record_run(symbol: str, first_id: int, last_id: int, start: datetime, end: datetime) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT record_trade_run(%s, %s, %s, %s, %s, %s, 'rest', false, NULL), summarize_sync(%s, 'trades')",
            [symbol, first_id, last_id, ns_of(start), ns_of(end), last_id - first_id + 1, symbol],
        )


def ask(client: Client, name: str, **query: Any) -> dict[str, Any]:
    answer = client.get(reverse(f"admin:{name}"), query)
    assert answer.status_code == 200, answer.content
    assert "no-store" in answer.headers["Cache-Control"]
    found: dict[str, Any] = answer.json()
    return found


def letters(cells: str) -> str:
    return "".join(letter * int(count) for letter, count in re.findall(r"([a-z])(\d+)", cells))


@pytest.fixture
def holed(db: None) -> datetime:
    """BTC/USD of four whole days, without ids 2,001 to 2,600 on the third; give the first day."""
    start = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - 6 * DAY
    list_pair("BTC/USD")
    record_run("BTC/USD", 1, 2000, start + HOUR, start + 2 * DAY + 6 * HOUR)
    record_run("BTC/USD", 2601, 4000, start + 2 * DAY + 9 * HOUR, start + 4 * DAY)
    return start


# --- cells ---------------------------------------------------------------------------------------------------


def test_days_are_coloured_by_the_ledger(operator: Client, holed: datetime) -> None:
    found = ask(
        operator,
        "krakendata_map_cells",
        start=f"{holed - 400 * DAY:%Y-%m-%d}",
        end=f"{holed + 6 * DAY:%Y-%m-%d}",
    )
    (row,) = found["rows"]
    assert found["step"] == "1d"
    assert letters(row["cells"]) == 400 * "b" + "ppmp" + "mm"
    assert (row["symbol"], row["counts"]["missing"]) == ("BTC/USD", 3)
    assert row["address"] == reverse("admin:krakendata_pair_change", args=["BTC_2FUSD"])


def test_a_day_is_shown_minute_by_minute(operator: Client, holed: datetime) -> None:
    third = holed + 2 * DAY
    found = ask(operator, "krakendata_map_cells", start=third.isoformat(), end=(third + DAY).isoformat())
    assert (found["step"], found["cells"]) == ("1m", 1440)
    assert letters(found["rows"][0]["cells"]) == 360 * "p" + 180 * "m" + 900 * "p"


def test_the_first_visit_sees_what_is_held_up_to_now(operator: Client, holed: datetime) -> None:
    found = ask(operator, "krakendata_map_cells")
    assert found["start"] <= found["oldest"] <= found["now"] <= found["end"]
    assert found["step"] == "1h"


def test_today_is_shown_to_its_end_so_that_the_frame_stays_while_time_goes_on(
    operator: Client, holed: datetime
) -> None:
    today = holed + 6 * DAY
    asked = {"start": today.isoformat(), "end": (today + 9 * DAY).isoformat()}
    found = ask(operator, "krakendata_map_cells", **asked)
    assert (found["step"], found["cells"]) == ("1m", 1440)
    again = ask(operator, "krakendata_map_cells", start=found["start"], end=found["end"])
    assert (again["start"], again["end"]) == (found["start"], found["end"])


def test_a_page_of_pairs_is_judged_by_one_statement(operator: Client) -> None:
    now = timezone.now()
    for n in range(100):
        symbol = f"A{n:02}/USD"
        list_pair(symbol)
        record_run(symbol, 1, 100, now - 9 * DAY, now - n * HOUR)
    with CaptureQueriesContext(connection) as asked:
        found = ask(operator, "krakendata_map_cells", page=2)
    assert len(asked.captured_queries) <= HANDFUL
    assert sum("trade_runs" in query["sql"] for query in asked.captured_queries) == 1
    assert [row["symbol"] for row in found["rows"]] == [f"A{n:02}/USD" for n in range(40, 80)]
    assert (found["page"], found["pages"], found["pairs"]) == (2, 3, 100)


def test_pairs_are_found_by_name_by_tracking_and_by_holes(operator: Client, holed: datetime) -> None:
    list_pair("ETH/USD", tracked=False)
    SyncStatus.objects.create(symbol="ETH/USD", kind="candles")

    def found(**query: str) -> list[str]:
        return [row["symbol"] for row in ask(operator, "krakendata_map_cells", **query)["rows"]]

    assert found() == ["BTC/USD", "ETH/USD"]
    assert found(find="eth") == ["ETH/USD"]
    assert found(show="tracked") == ["BTC/USD"]
    assert found(show="holes") == ["BTC/USD"]
    assert found(find="nothing") == []


def test_without_a_pair_there_is_an_empty_map(operator: Client) -> None:
    found = ask(operator, "krakendata_map_cells")
    assert (found["rows"], found["pairs"], found["pages"]) == ([], 0, 1)


@pytest.mark.parametrize(
    "query", [{"start": "2024-13-01"}, {"show": "everything"}, {"page": "0"}, {"page": "x"}, {"end": HOSTILE}]
)
def test_a_question_that_cannot_be_is_refused_with_a_sentence(
    operator: Client, query: dict[str, str]
) -> None:
    answer = operator.get(reverse("admin:krakendata_map_cells"), query)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(next(iter(query)))


@pytest.mark.parametrize(
    ("start", "end"),
    [("1970-01-01", "1971-01-01"), ("2999-01-01", "3000-01-01"), ("2024-02-02", "2024-02-01")],
)
def test_times_nobody_traded_in_do_no_harm(operator: Client, holed: datetime, start: str, end: str) -> None:
    found = ask(operator, "krakendata_map_cells", start=start, end=end)
    assert found["cells"] == len(letters(found["rows"][0]["cells"])) > 0


async def test_the_ledgers_of_many_are_those_of_each(history: History) -> None:
    """The one statement tells what the reader of a single pair is told, and which of the answers is which."""

    def record() -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT record_absent_ids('BTC/USD', 1, 700), record_rejected_ids('BTC/USD', '{701,702}')"
            )
            cursor.execute("SELECT record_trade_check('BTC/USD', 99999999, %s)", [ns_of(history.now)])

    await database_sync_to_async(record)()
    symbols = ["ADA/USD", "BTC/USD", "DOGE/USD", "ETH/USD"]
    for stretch in (
        Stretch(history.start - DAY, history.now),
        Stretch(history.fence + HOUR, history.fence + 2 * HOUR),
        Stretch(history.now + DAY, history.now + 2 * DAY),
    ):
        found = await database_sync_to_async(ledgers_around)(symbols, stretch)
        assert list(found) == symbols
        async with connect(history.database) as reader:
            for symbol, known in found.items():
                alone = await read_ledger(reader, symbol, stretch)
                assert sorted(known.ledger.trade_runs) == sorted(alone.trade_runs)
                assert sorted(known.ledger.answered_ids) == sorted(alone.answered_ids)
                assert (known.ledger.candle_runs, known.ledger.check) == (alone.candle_runs, alone.check)
                answers = await read_answers(reader, symbol)
                assert set(known.absent) <= set(answers["absent"])
                assert sorted([*known.absent, *known.rejected]) == sorted(known.ledger.answered_ids)


async def test_a_day_has_the_colour_that_its_certificate_has(history: History) -> None:
    start = history.start - 2 * DAY
    frame = Frame(start, start + 7 * DAY, INTERVALS["1d"])
    found = await database_sync_to_async(ledgers_around)(["BTC/USD", "ADA/USD"], frame.stretch)
    async with HistoricalDataProvider(history.database, clock=history.clock) as provider:
        for symbol, known in found.items():
            certificate = await provider.get_certificate(symbol, start, frame.end)
            cells = judge_cells(frame, known.ledger, known.absent, history.now)
            states: list[DayState] = [day.state for day in certificate.days]
            # Today goes on: the certificate ends where the last trade is, the map where the present is.
            assert [LETTERS[state] for state in states[:-1]] == list(cells[: len(states) - 1])  # type: ignore[index]


# --- previews ------------------------------------------------------------------------------------------------


def test_a_preview_counts_ids_calls_and_seconds(
    operator: Client, holed: datetime, settings: Settings
) -> None:
    settings.KRAKENDATA = {
        **settings.KRAKENDATA, "KRAKEN_CALLS_PER_SECOND_PER_PAIR": 1.0, "KRAKEN_CALLS_PER_SECOND": 5.0,
    }  # fmt: skip
    stretch = {"start": (holed + 2 * DAY).isoformat(), "end": (holed + 3 * DAY).isoformat()}
    with CaptureQueriesContext(connection) as asked:
        found = ask(operator, "krakendata_map_preview", symbol="BTC/USD", **stretch)
    assert len(asked.captured_queries) <= HANDFUL
    assert (found["gaps"], found["calls"], found["seconds"]) == (1, 2, 2.0)
    assert found["backfill"] == (
        "1 gap, 3 h in all: 600 trades, 2 calls to Kraken, about 2 s at the pace it allows."
    )
    assert "50 candles of every interval" in found["audit"]


def test_a_preview_of_a_whole_stretch_says_that_nothing_is_asked(operator: Client, holed: datetime) -> None:
    stretch = {"start": (holed + DAY).isoformat(), "end": (holed + 2 * DAY).isoformat()}
    found = ask(operator, "krakendata_map_preview", symbol="BTC/USD", **stretch)
    assert (found["gaps"], found["calls"]) == (0, 0)
    assert found["backfill"].startswith("Nothing is missing here")


def test_a_pair_that_is_gone_is_not_asked_for(operator: Client, holed: datetime) -> None:
    Pair.objects.update(status="delisted")
    stretch = {"start": holed.isoformat(), "end": (holed + 9 * DAY).isoformat()}
    found = ask(operator, "krakendata_map_preview", symbol="BTC/USD", **stretch)
    assert (found["gaps"], found["gone"]) == (0, "No longer listed, so not asked for: BTC/USD.")


def test_a_pair_of_which_nothing_is_held_cannot_be_counted(operator: Client) -> None:
    list_pair("NEW/USD")
    found = ask(operator, "krakendata_map_preview", symbol="NEW/USD", start="2024-01-01", end="2024-02-01")
    assert not found["is_known"]
    assert "nobody can say" in found["backfill"]


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"symbol": "BTC/USD"},
        {"symbol": "BTC/USD", "start": "2024-01-02", "end": "2024-01-02"},
        {"symbol": [f"A{n}/USD" for n in range(41)], "start": "2024-01-01", "end": "2024-01-02"},
    ],
)
def test_a_selection_that_cannot_be_is_refused(operator: Client, query: dict[str, Any]) -> None:
    answer = operator.get(reverse("admin:krakendata_map_preview"), query)
    assert answer.status_code == 400
    assert answer.json()["error"]


# --- deeds ---------------------------------------------------------------------------------------------------


def start(client: Client, deed: str, symbols: list[str], begin: datetime, end: datetime) -> Any:
    body = {"deed": deed, "symbol": symbols, "start": begin.isoformat(), "end": end.isoformat()}
    return client.post(reverse("admin:krakendata_map_start"), body)


def test_a_backfill_of_the_stretch_is_queued_and_written_down(
    operator: Client, holed: datetime, queue: redis.Redis
) -> None:
    begin, end = holed + 2 * DAY, holed + 3 * DAY
    answer = start(operator, "backfill", ["BTC/USD", "NOBODY/USD"], begin, end)
    assert answer.json() == {
        "queued": ["BTC/USD"], "sentence": "The backfill of BTC/USD waits for a worker.",
    }  # fmt: skip
    assert [(task, arguments) for task, arguments, _ in queued(queue)] == [
        ("krakendata.tasks.backfill", ["BTC/USD", begin.isoformat(), end.isoformat()])
    ]
    noted = OperatorAction.objects.get()
    assert (noted.who, noted.action, noted.result) == ("operator", "backfill", "done")
    assert noted.target == f"BTC/USD: {begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"


def test_a_backfill_up_to_now_has_no_end(operator: Client, holed: datetime, queue: redis.Redis) -> None:
    start(operator, "backfill", ["BTC/USD"], holed, holed + 30 * DAY)
    ((_, arguments, _),) = queued(queue)
    assert arguments == ["BTC/USD", holed.isoformat(), None]


def test_a_stretch_begins_no_earlier_than_kraken(
    operator: Client, holed: datetime, queue: redis.Redis
) -> None:
    start(operator, "backfill", ["BTC/USD"], datetime(1, 1, 1, tzinfo=UTC), holed)
    ((_, arguments, _),) = queued(queue)
    assert arguments == ["BTC/USD", "2013-09-01T00:00:00+00:00", holed.isoformat()]


def test_an_audit_of_the_stretch_is_one_task_for_all_pairs(
    operator: Client, holed: datetime, queue: redis.Redis
) -> None:
    list_pair("ETH/USD")
    begin, end = holed, holed + DAY
    start(operator, "audit", ["BTC/USD", "ETH/USD"], begin, end)
    ((task, _, named),) = queued(queue)
    assert task == "krakendata.tasks.audit"
    assert named == {
        "symbols": ["BTC/USD", "ETH/USD"], "buckets": 50, "exchange": False,
        "since": begin.isoformat(), "until": end.isoformat(),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("deed", "symbol", "status", "days"),
    [
        ("delete", "BTC/USD", "online", 0),
        ("backfill", "NOBODY/USD", "online", 0),
        ("backfill", "BTC/USD", "delisted", 0),
        ("backfill", "BTC/USD", "online", 40),
    ],
)
def test_what_cannot_be_done_is_not_queued(
    operator: Client, holed: datetime, queue: redis.Redis, deed: str, symbol: str, status: str, days: int
) -> None:
    Pair.objects.update(status=status)
    begin = holed + days * DAY
    answer = start(operator, deed, [symbol], begin, begin + DAY)
    assert (answer.status_code, queued(queue)) == (400, [])
    assert answer.json()["error"]


def test_a_queue_that_is_away_is_told(
    operator: Client, holed: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise QueueAway("The task queue does not answer.")

    monkeypatch.setattr(completeness_map, "queue_backfills_of", away)
    answer = start(operator, "backfill", ["BTC/USD"], holed, holed + DAY)
    assert (answer.status_code, answer.json()["error"]) == (
        503,
        "The task queue does not answer. Nothing was begun.",
    )
    assert OperatorAction.objects.get().result == "failed"


def test_a_queue_that_goes_away_in_between_says_how_many_it_took(
    operator: Client, holed: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    list_pair("ETH/USD")

    def away(symbols: list[str], *_: object) -> None:
        if symbols == ["ETH/USD"]:
            raise QueueAway("The task queue does not answer.")

    monkeypatch.setattr(completeness_map, "queue_backfills_of", away)
    answer = start(operator, "backfill", ["BTC/USD", "ETH/USD"], holed, holed + DAY)
    assert (answer.status_code, answer.json()["error"]) == (
        503,
        "The task queue does not answer. Only the first 1 of 2 were queued.",
    )


# --- progress ------------------------------------------------------------------------------------------------


def test_the_runs_of_the_pairs_shown_are_told(operator: Client, holed: datetime) -> None:
    now = timezone.now()
    kept = SyncRun.objects.create(
        kind="backfill", parameters={"symbol": "BTC/USD"}, done=25, total=100, unit="ids",
        started_at=now - timedelta(seconds=10), updated_at=now,
    )  # fmt: skip
    audit = SyncRun.objects.create(kind="audit", parameters={"symbols": ["ETH/USD", "BTC/USD"]}, unit="steps")
    SyncRun.objects.create(kind="backfill", parameters={"symbol": "ETH/USD"})
    SyncRun.objects.create(kind="import", parameters={"paths": ["BTC/USD"]})
    SyncRun.objects.create(kind="backfill", parameters={"symbol": "BTC/USD"}, updated_at=now - HOUR)
    with CaptureQueriesContext(connection) as asked:
        found = ask(operator, "krakendata_map_runs", symbol="BTC/USD")["runs"]
    assert len(asked.captured_queries) <= HANDFUL
    assert [run["id"] for run in found] == [audit.pk, kept.pk]
    # How long it takes nobody knows yet.
    assert "left" not in found[0]["told"]
    assert (found[1]["percent"], found[1]["told"], found[1]["symbols"]) == (
        25.0,
        "25.0%, 30 s left",
        ["BTC/USD"],
    )


# --- who may do what -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", VIEWS)
def test_a_stranger_is_sent_to_the_login(client: Client, name: str) -> None:
    assert client.get(reverse(f"admin:{name}")).status_code == 302


@pytest.mark.parametrize("name", VIEWS)
def test_staff_without_the_permission_is_refused(client: Client, name: str) -> None:
    client.force_login(User.objects.create_user("guest", is_staff=True))
    assert client.get(reverse(f"admin:{name}")).status_code == 403


def test_a_viewer_sees_the_map_and_begins_nothing(
    viewer: Client, holed: datetime, queue: redis.Redis
) -> None:
    page = viewer.get(reverse("admin:krakendata_completeness_map")).content.decode()
    assert 'data-deed="backfill"' not in page
    assert "data-start-url" not in page
    assert ask(viewer, "krakendata_map_cells")["pairs"] == 1
    for deed in ("backfill", "audit"):
        assert start(viewer, deed, ["BTC/USD"], holed, holed + DAY).status_code == 403
    assert queued(queue) == []


def test_who_may_add_runs_may_begin_them(viewer: Client, holed: datetime, queue: redis.Redis) -> None:
    User.objects.get().user_permissions.add(Permission.objects.get(codename="add_syncrun"))
    assert 'data-deed="audit"' in viewer.get(reverse("admin:krakendata_completeness_map")).content.decode()
    assert start(viewer, "backfill", ["BTC/USD"], holed, holed + DAY).status_code == 200
    assert len(queued(queue)) == 1


def test_nothing_begins_by_a_link_or_without_the_token(holed: datetime, queue: redis.Redis) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_superuser("operator"))
    assert client.get(reverse("admin:krakendata_map_start")).status_code == 405
    assert start(client, "backfill", ["BTC/USD"], holed, holed + DAY).status_code == 403
    assert queued(queue) == []


def test_the_page_stands_with_few_queries_and_renders_nothing_hostile(operator: Client) -> None:
    with CaptureQueriesContext(connection) as asked:
        answer = operator.get(
            reverse("admin:krakendata_completeness_map"), {"find": HOSTILE, "start": HOSTILE}
        )
    assert len(asked.captured_queries) <= HANDFUL
    page = answer.content.decode()
    assert HOSTILE not in page
    assert "onclick" not in page.partition('id="map"')[2]


def test_a_database_that_is_away_is_told(operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(completeness_map, "_oldest", away)
    answer = operator.get(reverse("admin:krakendata_map_cells"))
    assert (answer.status_code, answer.json()) == (
        503,
        {"error": "The database does not answer. The page tries again."},
    )
