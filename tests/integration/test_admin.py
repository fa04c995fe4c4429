"""The admin's pages: what they show, who may see them, and that none of them counts or scans a big table."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from html import unescape

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from unfold.admin import ModelAdmin

from krakendata.admin import readonly
from krakendata.admin.paging import Edge
from krakendata.admin.wording import amount, duration, exact, marked, percent, size
from krakendata.models import (
    Candle,
    ImportFile,
    Pair,
    RejectCount,
    RejectedRecord,
    RetentionLine,
    SyncRun,
    SyncStatus,
    Trade,
)

pytestmark = pytest.mark.django_db

# Session, user, and what a page asks itself.
HANDFUL = 9
BIG_TABLES = re.compile(r'COUNT\(.*FROM "(trades|candles|all_candles_\w+)"', re.IGNORECASE)
HOSTILE = '<script>alert("x")</script>'

PAGES = [
    "index",
    "krakendata_syncrun_changelist",
    "krakendata_sync_status",
    "krakendata_rejectedrecord_changelist",
    "krakendata_candles",
    "krakendata_trades",
    "krakendata_pair_changelist",
    "krakendata_importfile_changelist",
    "krakendata_retentionline_changelist",
]


@pytest.fixture
def operator(db: None, client: Client) -> Client:
    """Give a browser in which a superuser is logged in."""
    client.force_login(User.objects.create_superuser("operator"))
    return client


@pytest.fixture
def run(db: None) -> SyncRun:
    """Write a run in its middle, with rejected records of two reasons."""
    now = timezone.now()
    counts = {"read": 1000, "stored": 900, "folded": 60, "duplicate": 35, "rejected": 5}
    run = SyncRun.objects.create(
        kind="import",
        parameters={"paths": [HOSTILE]},
        started_at=now - timedelta(seconds=10),
        updated_at=now,
        done=250_000,
        total=1_000_000,
        **counts,
    )
    RejectCount.objects.create(run=run, source="archive", reason="price_not_positive", count=4321)
    RejectCount.objects.create(run=run, source="archive", reason="not_a_number", count=1)
    return run


def reject(run: SyncRun | None = None, **facts: object) -> RejectedRecord:
    """Write a rejected record."""
    given = {"source": "archive", "place": "a.zip!XBTUSD.csv", "line": 7, "symbol": "BTC/USD"}
    given |= {"reason": "price_not_positive", "detail": "price is 0.", "raw": "1700000000,0,1"}
    return RejectedRecord.objects.create(run=run, **{**given, **facts})


@contextmanager
def few_queries(at_most: int = HANDFUL) -> Iterator[CaptureQueriesContext]:
    """Fail on a page that asks much, or counts a big table."""
    with CaptureQueriesContext(connection) as asked:
        yield asked
    statements = [query["sql"] for query in asked.captured_queries]
    assert len(statements) <= at_most, "\n".join(statements)
    assert not [sql for sql in statements if BIG_TABLES.search(sql)]


def body(client: Client, name: str, *args: object, **query: str | int) -> str:
    """Give a page's HTML."""
    response = client.get(reverse(f"admin:{name}", args=args), query)
    assert response.status_code == 200
    return response.content.decode()


# --- every page ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_a_page_stands_on_empty_tables_with_few_queries(operator: Client, page: str) -> None:
    with few_queries():
        body(operator, page)


@pytest.mark.parametrize(
    "page", ["index", "krakendata_sync_status", "krakendata_candles", "krakendata_trades"]
)
def test_an_empty_page_says_what_to_run(operator: Client, page: str) -> None:
    assert "manage.py import_csv PATH" in body(operator, page)


@pytest.mark.parametrize("page", PAGES)
def test_a_stranger_is_sent_to_the_login(client: Client, page: str) -> None:
    response = client.get(reverse(f"admin:{page}"))
    assert response.status_code == 302
    assert response.headers["Location"].startswith(reverse("admin:login"))


@pytest.mark.parametrize("page", PAGES[1:])
def test_staff_without_the_permission_is_refused(client: Client, page: str) -> None:
    client.force_login(User.objects.create_user("guest", is_staff=True))
    assert client.get(reverse(f"admin:{page}")).status_code == 403


def test_staff_may_be_allowed_one_page(client: Client, trades: list[Trade]) -> None:
    guest = User.objects.create_user("guest", is_staff=True)
    guest.user_permissions.add(Permission.objects.get(codename="view_trade"))
    client.force_login(guest)
    assert "0.00001188" in body(client, "krakendata_trades", symbol="BTC/USD")


def test_no_page_loads_anything_from_elsewhere(operator: Client, run: SyncRun) -> None:
    for page in PAGES:
        sources = re.findall(r'(?:src|href)="((?:https?:)?//[^"]*)"', body(operator, page))
        assert sources == []


def test_the_menu_has_the_deeds_first(operator: Client) -> None:
    page = body(operator, "index")
    links = [page.index(f'href="{reverse(f"admin:{name}")}"') for name in PAGES[1:6]]
    assert links == sorted(links)


@pytest.mark.parametrize("model", [SyncRun, RejectedRecord, Pair, ImportFile, RetentionLine])
def test_rows_can_only_be_looked_at(operator: Client, model: type) -> None:
    name = f"krakendata_{model._meta.model_name}"  # type: ignore[attr-defined]
    assert operator.get(reverse(f"admin:{name}_add")).status_code == 403
    assert "_selected_action" not in body(operator, f"{name}_changelist")


def test_every_registered_page_wears_the_theme() -> None:
    assert [page for page in admin.site._registry.values() if not isinstance(page, ModelAdmin)] == []


@pytest.mark.parametrize(
    "page", ["auth_user_add", "django_celery_beat_periodictask_add", "auth_group_changelist"]
)
def test_the_pages_of_others_still_work(operator: Client, page: str) -> None:
    body(operator, page)


# --- runs ---------------------------------------------------------------------------------------------------


def test_a_run_shows_its_progress(operator: Client, run: SyncRun) -> None:
    with few_queries():
        page = " ".join(body(operator, "krakendata_syncrun_change", run.pk).split())
    assert "<strong>25.0%</strong>, 250.0 kB of 1.0 MB" in page
    assert "1,000 rows read = 900 stored + 60 folded + 35 duplicate + 5 rejected" in page
    assert "100 rows/s" in page
    assert "10 s so far, 30 s left" in page


def test_a_run_that_is_nearly_done_is_not_told_as_done(operator: Client) -> None:
    run = SyncRun.objects.create(kind="import", total=100_000, done=99_999, unit="records", read=1, stored=1)
    page = " ".join(body(operator, "krakendata_syncrun_change", run.pk).split())
    assert "<strong>99.9%</strong>" in page
    assert "1 row read = 1 stored" in page
    assert ">99%<" in body(operator, "krakendata_syncrun_changelist")


def test_a_run_counts_its_rejections_by_reason(operator: Client, run: SyncRun) -> None:
    page = body(operator, "krakendata_syncrun_change", run.pk)
    assert page.index("4,321") < page.index("not_a_number")
    assert "A price has to be above zero." in page


def test_rows_that_do_not_add_up_are_pointed_out(operator: Client, run: SyncRun) -> None:
    SyncRun.objects.update(stored=890)
    assert "(10 not accounted for)" in body(operator, "krakendata_syncrun_change", run.pk)


def test_a_running_run_follows_itself_and_a_finished_one_stops(operator: Client, run: SyncRun) -> None:
    fragment = reverse("admin:krakendata_run_now", args=[run.pk])
    assert f'hx-get="{fragment}"' in operator.get(fragment).content.decode()
    SyncRun.objects.update(state="done", finished_at=timezone.now())
    assert "hx-get" not in operator.get(fragment).content.decode()


def test_a_run_that_fell_silent_is_called_so(operator: Client, run: SyncRun) -> None:
    SyncRun.objects.update(updated_at=timezone.now() - timedelta(hours=2))
    assert "silent for 2 h" in body(operator, "krakendata_syncrun_changelist")


@pytest.mark.parametrize("key", ["999999", "nonsense", "9" * 30])
def test_a_run_that_is_not_there_is_not_found(operator: Client, key: str) -> None:
    assert operator.get(reverse("admin:krakendata_syncrun_change", args=[key])).status_code == 404


def test_the_overview_names_the_runs_that_nobody_is_at(operator: Client, run: SyncRun) -> None:
    assert f"Run {run.pk}: import" in body(operator, "index")


# --- rejected records ---------------------------------------------------------------------------------------


def test_a_hostile_record_is_shown_and_never_rendered(operator: Client, run: SyncRun) -> None:
    record = reject(run, raw=HOSTILE, detail=HOSTILE, place=HOSTILE, symbol=HOSTILE)
    for page in (
        body(operator, "krakendata_rejectedrecord_changelist"),
        body(operator, "krakendata_rejectedrecord_change", record.pk),
        body(operator, "krakendata_syncrun_change", run.pk),
        body(operator, "krakendata_rejectedrecord_changelist", run=HOSTILE, reason=HOSTILE, source=HOSTILE),
    ):
        assert HOSTILE not in page
        assert "alert(" in page


def test_the_raw_record_shows_what_cannot_be_seen(operator: Client) -> None:
    record = reject(raw="1,\t2 \r\n\ufeff\u202e")
    page = unescape(body(operator, "krakendata_rejectedrecord_change", record.pk))
    assert '<pre class="kd-raw">1,→2·‹CR›‹LF›\n‹U+FEFF›‹U+202E›</pre>' in page


def test_rejected_records_are_found_by_source_reason_and_run(operator: Client, run: SyncRun) -> None:
    wanted = reject(run, place="wanted")
    reject(run, place="elsewhere", reason="not_a_number")
    reject(None, place="elsewhere")
    reject(run, place="elsewhere", source="rest")
    page = body(
        operator, "krakendata_rejectedrecord_changelist",
        source="archive", reason="price_not_positive", run=run.pk,
    )  # fmt: skip
    assert str(wanted) in page
    assert "elsewhere" not in page


def test_the_filters_do_not_look_through_the_records(operator: Client) -> None:
    reject()
    with few_queries() as asked:
        body(operator, "krakendata_rejectedrecord_changelist")
    assert not [query for query in asked.captured_queries if "DISTINCT" in query["sql"]]


def test_counting_rejected_records_ends_at_the_reach(
    operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readonly, "ROWS_WITHIN_REACH", 3)
    for _ in range(5):
        reject()
    with few_queries() as asked:
        page = " ".join(body(operator, "krakendata_rejectedrecord_changelist").split())
    counts = [query["sql"] for query in asked.captured_queries if "COUNT(" in query["sql"]]
    assert len(counts) == 1
    assert "LIMIT 3" in counts[0]
    assert "3 results" in page


# --- sync status --------------------------------------------------------------------------------------------


def test_collected_and_still_stored_are_two_columns(operator: Client) -> None:
    SyncStatus.objects.create(
        symbol="BTC/USD", kind="trades", collected=55_123_456, stored=8_123_456, holes=3
    )
    page = body(operator, "krakendata_sync_status")
    assert page.index("Collected") < page.index("Still stored")
    assert "55,123,456" in page
    assert "8,123,456" in page
    assert "has holes" in page


def test_an_error_counts_until_the_next_success(operator: Client) -> None:
    now = timezone.now()
    SyncStatus.objects.create(
        symbol="AAA/USD",
        kind="trades",
        last_error="once",
        last_error_at=now,
        last_success=now + timedelta(seconds=1),
    )
    assert "once" not in body(operator, "krakendata_sync_status")
    assert "AAA/USD" not in body(operator, "krakendata_sync_status", show="failed")


def test_trades_without_ids_are_not_called_free_of_holes(operator: Client) -> None:
    SyncStatus.objects.create(symbol="AAA/USD", kind="trades", collected=9, holes=None)
    page = body(operator, "krakendata_sync_status")
    assert "not proven" in page
    assert "no holes" not in page


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("75158.10000", "75158.1"),
        ("76182.0", "76182"),
        ("100", "100"),
        ("0.00", "0"),
        ("1E+2", "100"),
        ("1234567890123456789012345.67890123", "1234567890123456789012345.67890123"),
    ],
)
def test_numbers_are_shown_to_their_last_digit_without_needless_zeros(number: str, shown: str) -> None:
    assert exact(Decimal(number)) == shown


def test_candles_of_archives_are_told_by_where_they_are_from(operator: Client) -> None:
    SyncStatus.objects.create(symbol="AAA/USD", kind="candles", collected=9, holes=None)
    page = body(operator, "krakendata_sync_status")
    assert "from archives" in page
    assert "not proven" not in page


def test_the_status_is_narrowed_to_what_needs_attention(operator: Client) -> None:
    SyncStatus.objects.create(symbol="AAA/USD", kind="trades")
    SyncStatus.objects.create(symbol="BBB/USD", kind="trades", holes=1)
    SyncStatus.objects.create(
        symbol="CCC/USD", kind="candles", last_error=HOSTILE, last_error_at=timezone.now()
    )
    assert "AAA/USD" not in body(operator, "krakendata_sync_status", show="holes")
    failed = body(operator, "krakendata_sync_status", show="failed")
    assert "CCC/USD" in failed
    assert "BBB/USD" not in failed
    assert HOSTILE not in failed


# --- trades and candles -------------------------------------------------------------------------------------


def follow(client: Client, page: str, rel: str) -> str:
    """Follow the page's link to older or newer rows."""
    found = re.search(rf'rel="{rel}" href="([^"]*)"', page)
    assert found is not None
    return client.get(reverse("admin:krakendata_trades") + unescape(found[1])).content.decode()


def ids(page: str) -> list[int]:
    """Give the trade ids on a page of trades, top to bottom."""
    return [int(text) for text in re.findall(r'kd-right"><span class="kd-figure">(\d+)</span>', page)]


def test_trades_are_paged_through_ties_without_loss_or_repetition(
    operator: Client, trades: list[Trade]
) -> None:
    with few_queries():
        first = body(operator, "krakendata_trades", symbol="XBTUSD")
    second = follow(operator, first, "next")
    third = follow(operator, second, "next")
    assert ids(first) + ids(second) + ids(third) == list(range(250, 0, -1))
    assert 'rel="next"' not in third
    assert ids(follow(operator, third, "prev")) == ids(second)
    assert ids(follow(operator, second, "prev")) == ids(first)


def test_an_edge_reads_what_it_wrote() -> None:
    edge = Edge(timezone.now(), -(2**53))
    assert Edge.parse(str(edge)) == edge


@pytest.mark.parametrize("text", ["", "nonsense", "1_x", "9" * 40])
def test_a_mangled_edge_shows_the_newest_page(operator: Client, trades: list[Trade], text: str) -> None:
    assert ids(body(operator, "krakendata_trades", symbol="BTC/USD", older=text))[0] == 250
    assert ids(body(operator, "krakendata_trades", symbol="BTC/USD", newer=text))[0] == 250


@pytest.mark.parametrize("edge", ["0_0", "-99999999999999999_0", "253402300799999999_0", f"0_{10**30}"])
@pytest.mark.parametrize("word", ["older", "newer"])
@pytest.mark.parametrize("page", ["krakendata_trades", "krakendata_candles"])
def test_an_edge_beyond_the_data_does_no_harm(operator: Client, page: str, word: str, edge: str) -> None:
    with few_queries():
        body(operator, page, symbol="BTC/USD", **{word: edge})


def test_trades_are_shown_from_and_to(operator: Client, trades: list[Trade]) -> None:
    start, end = (trades[n].timestamp.strftime("%Y-%m-%dT%H:%M:%S") for n in (10, 30))
    assert ids(body(operator, "krakendata_trades", symbol="BTC/USD", start=start, end=end)) == [
        *range(30, 10, -1)
    ]


@pytest.mark.parametrize("interval", ["1m", "5m", "15m", "30m", "1h", "4h", "12h", "1d", "1w"])
def test_candles_of_every_interval_are_shown(operator: Client, minutes: list[Candle], interval: str) -> None:
    with few_queries():
        page = body(operator, "krakendata_candles", symbol="XBTUSD", interval=interval)
    assert "trades</span>" in page


def test_candles_are_paged_by_time(operator: Client, minutes: list[Candle]) -> None:
    first = body(operator, "krakendata_candles", symbol="BTC/USD", interval="1m")
    newest, oldest = minutes[249].timestamp, minutes[150].timestamp
    assert f"{newest:%Y-%m-%d %H:%M}" in first
    assert f"{oldest:%Y-%m-%d %H:%M}" in first
    assert f"{oldest - timedelta(minutes=1):%Y-%m-%d %H:%M}" not in first


def test_an_old_quiet_pair_is_found_in_few_queries(operator: Client, trades: list[Trade]) -> None:
    SyncStatus.objects.create(symbol="DOGE/EUR", kind="trades")
    with few_queries() as asked:
        page = body(operator, "krakendata_trades", symbol="DOGE/EUR")
    assert "No trades of DOGE/EUR in this stretch of time." in page
    reads = [query["sql"] for query in asked.captured_queries if 'FROM "trades"' in query["sql"]]
    assert len(reads) <= 5
    assert all("LIMIT 101" in sql and '"trades"."symbol" = ' in sql for sql in reads)


def test_a_pair_that_cannot_be_is_refused_with_a_sentence(operator: Client) -> None:
    assert "No pair is called nonsense" in body(operator, "krakendata_trades", symbol="nonsense")


def test_a_hostile_question_is_never_rendered(operator: Client) -> None:
    page = body(operator, "krakendata_candles", symbol=HOSTILE, interval=HOSTILE, start=HOSTILE)
    assert HOSTILE not in page


# --- words --------------------------------------------------------------------------------------------------


def test_numbers_read_as_people_write_them() -> None:
    assert [size(n) for n in (0, 999, 1000, 123_456_789)] == ["0 B", "999 B", "1.0 kB", "123.5 MB"]
    assert [amount(n, "trades") for n in (0, 1, 1234567)] == ["0 trades", "1 trade", "1,234,567 trades"]
    spans = [timedelta(0), timedelta(seconds=75), timedelta(days=3, hours=4, minutes=5)]
    assert [duration(span) for span in spans] == ["0 s", "1 min 15 s", "3 d 4 h"]


@pytest.mark.parametrize(
    ("share", "digits", "told"),
    [
        (1.0, 0, "100%"),
        (0.999, 0, "99%"),
        (0.29, 0, "29%"),
        (0.99999, 1, "99.9%"),
        (0.0, 1, "0.0%"),
        (1e-9, 0, "0%"),
    ],
)
def test_only_the_whole_is_a_hundred_percent(share: float, digits: int, told: str) -> None:
    assert percent(share, digits) == told


def test_a_marked_record_is_escaped() -> None:
    assert marked("<b>") == '<pre class="kd-raw">&lt;b&gt;</pre>'


def test_the_live_page_begins_with_the_pair_of_which_there_is_most(operator: Client) -> None:
    for symbol, collected in (("AAA/USD", 3), ("BTC/USD", 500), ("ZZZ/USD", 40)):
        SyncStatus.objects.create(symbol=symbol, kind="trades", collected=collected, stored=collected)
    page = reverse("admin:krakendata_live")
    assert operator.get(page).context["form"].data["symbol"] == "BTC/USD"
    for symbol in ("AAA/USD", "ZZZ/USD"):
        Pair.objects.create(
            symbol=symbol, key=symbol, altname=symbol, wsname=symbol, base="A", quote="USD", status="online",
            price_decimals=1, volume_decimals=8, tracked=True,
        )  # fmt: skip
    assert operator.get(page).context["form"].data["symbol"] == "ZZZ/USD"
