"""The pages of rejected records: what they show, who may decide, and that nothing is counted or rendered."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from krakendata.admin import reject_deciding, rejects
from krakendata.management.queueing import QueueAway
from krakendata.models import OperatorAction, RejectCount, RejectDecision, RejectedRecord, SyncRun

pytestmark = pytest.mark.django_db

HOSTILE = '<script>alert("x")</script><img src=x onerror=alert(1)>'
# Session, user, the two tables, the list, its count and the filter of runs.
HANDFUL = 9
D = "timestamp,price,volume,side,order_type,misc,trade_id"
RAW = "1700000000.5,100.1,2,B,l,,77"
LIST = "krakendata_rejectedrecord_changelist"
DECIDE = "krakendata_reject_decide"

Queued = list[tuple[str, dict[str, Any]]]


@pytest.fixture
def queued(monkeypatch: pytest.MonkeyPatch) -> Queued:
    """Give what the pages put on the queue, which nobody is to need here."""
    seen: Queued = []
    monkeypatch.setattr(
        reject_deciding, "queue_task", lambda name, **arguments: seen.append((name, arguments))
    )
    return seen


@pytest.fixture
def operator(client: Client) -> Client:
    """Give a browser in which a superuser is logged in."""
    client.force_login(User.objects.create_superuser("ada"))
    return client


def somebody(client: Client, *codenames: str) -> Client:
    """Log in one of the staff who may do this and no more."""
    user = User.objects.create_user("guest", is_staff=True)
    user.user_permissions.add(*Permission.objects.filter(codename__in=codenames))
    client.force_login(user)
    return client


def reject(**facts: Any) -> RejectedRecord:
    """Write a rejected record that waits, with its run and counts."""
    run = facts.pop("run", None) or SyncRun.objects.create(kind="import", state="done")
    given = {"source": "archive", "place": "a.zip!XBTUSD.csv", "line": 7, "symbol": "BTC/USD", "layout": D}
    given |= {
        "reason": "bad_side",
        "detail": "side 'B' is none of b, s, buy, sell.",
        "raw": RAW,
        "trade_id": 77,
    }
    record = RejectedRecord.objects.create(run=run, **{**given, **facts})
    count, _ = RejectCount.objects.get_or_create(
        run=run, source=record.source, reason=record.reason, defaults={"count": 0}
    )
    RejectCount.objects.filter(run=run, source=record.source, reason=record.reason).update(
        count=count.count + 1, kept=count.kept + 1
    )
    return record


def page_of(client: Client, record: RejectedRecord) -> str:
    response = client.get(reverse("admin:krakendata_rejectedrecord_change", args=[record.pk]))
    assert response.status_code == 200
    return response.content.decode()


def post(client: Client, record: RejectedRecord, deed: str, **fields: str) -> Any:
    address = reverse("admin:krakendata_rejectedrecord_change", args=[record.pk])
    return client.post(address, {"deed": deed, **fields})


@contextmanager
def few_queries(at_most: int = HANDFUL) -> Iterator[CaptureQueriesContext]:
    with CaptureQueriesContext(connection) as asked:
        yield asked
    statements = [query["sql"] for query in asked.captured_queries]
    assert len(statements) <= at_most, "\n".join(statements)
    # Records are counted by their counts; the list's own count ends at its reach.
    counting = [
        sql for sql in statements if "COUNT(" in sql and '"rejected_records"' in sql and "LIMIT" not in sql
    ]
    assert counting == []


# --- what they show


def test_the_list_begins_with_the_groups(operator: Client) -> None:
    run = SyncRun.objects.create(kind="import")
    reject(run=run)
    RejectCount.objects.create(
        run=run, source="rest", reason="in_future", count=5000, kept=1000, dismissed=1000
    )
    with few_queries():
        page = operator.get(reverse(f"admin:{LIST}")).content.decode()
    assert "The side is neither buy nor sell." in page
    assert "5,000" in page
    links = {unescape(found) for found in re.findall(r'href="([^"]*decide/\?[^"]*)"', page)}
    address = reverse(f"admin:{DECIDE}")
    assert links == {
        f"{address}?source=archive&reason=bad_side",
        f"{address}?run={run.pk}&source=archive&reason=bad_side",
    }


def test_an_empty_list_says_so(operator: Client) -> None:
    with few_queries():
        page = operator.get(reverse(f"admin:{LIST}")).content.decode()
    assert "Nothing was ever rejected." in page
    assert "No record waits for a decision." in page


def test_a_record_stands_beside_its_rule(operator: Client) -> None:
    record = reject()
    with few_queries():
        page = unescape(page_of(operator, record))
    assert "The side is neither buy nor sell." in page
    assert "side 'B' is none of b, s, buy, sell." in page
    assert "A row of a trades archive (kraken-facts 4.2)" in page
    assert f'<pre class="kd-raw">{RAW}</pre>' in page
    assert 'name="field:trade_id" value="77"' in page
    assert "Nobody has decided anything about it." in page


def test_a_hostile_record_is_shown_and_never_rendered(operator: Client, queued: Queued) -> None:
    facts = {"raw": HOSTILE, "detail": HOSTILE, "place": HOSTILE, "symbol": HOSTILE, "reason": HOSTILE}
    records = [reject(**facts), reject(**facts, source="rest"), reject(**facts, source="websocket")]
    spoken = reject(
        source="websocket",
        place="WebSocket trade",
        layout="",
        raw='{"' + HOSTILE.replace('"', "'") + '": "<b>"}',
    )
    RejectDecision.objects.create(
        record=records[0], action="corrected", decided_by=HOSTILE, why=HOSTILE, corrected=HOSTILE
    )
    pages = [page_of(operator, each) for each in [*records, spoken]]
    pages.append(operator.get(reverse(f"admin:{LIST}")).content.decode())
    pages.append(operator.get(reverse(f"admin:{DECIDE}"), {"reason": HOSTILE}).content.decode())
    pages.append(
        post(operator, records[0], "check", why=HOSTILE, **{"field:price": HOSTILE}).content.decode()
    )
    for page in pages:
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert "alert(" in page


@pytest.mark.parametrize("key", ["999999", "nonsense", "9" * 30, "-1"])
def test_a_record_that_is_not_there_is_not_found(operator: Client, key: str) -> None:
    address = reverse("admin:krakendata_rejectedrecord_change", args=[key])
    assert operator.get(address).status_code == 404


@pytest.mark.parametrize(
    "query", [{}, {"ids": "x"}, {"run": "9" * 30}, {"run": "-1"}, {"ids": "1," * 20_000}]
)
def test_a_group_that_is_not_named_is_not_found(operator: Client, query: dict[str, str]) -> None:
    assert operator.post(reverse(f"admin:{DECIDE}"), query).status_code == 404


def test_a_group_shows_its_first_records_in_few_queries(operator: Client) -> None:
    run = SyncRun.objects.create(kind="import")
    for line in range(9):
        reject(run=run, line=line)
    with few_queries():
        answer = operator.get(reverse(f"admin:{DECIDE}"), {"run": str(run.pk), "reason": "bad_side"})
    page = answer.content.decode()
    assert page.count("a.zip!XBTUSD.csv".rpartition("/")[2]) == reject_deciding.RECORDS_SHOWN
    assert '<option value="side">' in page


def test_the_waiting_records_of_a_pair_are_found_by_an_index(operator: Client) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO rejected_records (source, place, symbol, reason, detail, raw)"
            " SELECT 'archive', 'a.zip', 'BTC/USD', 'bad_side', 'd', 'r' FROM generate_series(1, 5000)"
        )
        cursor.execute("ANALYZE rejected_records")
        with CaptureQueriesContext(connection) as asked:
            operator.get(reverse(f"admin:{DECIDE}"), {"symbol": "ETH/USD"})
        (statement,) = [each["sql"] for each in asked.captured_queries if '"symbol" = ' in each["sql"]]
        cursor.execute(f"EXPLAIN {statement}")
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "rejected_records_waiting_symbol" in plan


# --- deciding


def test_a_check_says_what_the_record_would_be_and_decides_nothing(operator: Client, queued: Queued) -> None:
    record = reject()
    answer = unescape(post(operator, record, "check", **{"field:side": "b"}).content.decode())
    assert "It can be true: trade 77 of BTC/USD at 2023-11-14 22:13:20 UTC, 2 for 100.1 each." in answer
    again = unescape(
        post(operator, record, "check", **{"field:side": "b", "field:price": "0"}).content.decode()
    )
    assert "price_not_positive: price '0' is not above zero." in again
    # What was only tried is no correction: a replay would not read it.
    assert "Its fields, as you would correct them" in answer
    assert "Replay as it is" in answer
    assert RejectDecision.objects.count() == 0
    assert queued == []


def test_a_correction_is_kept_with_a_name_and_replayed(operator: Client, queued: Queued) -> None:
    record = reject()
    answer = post(operator, record, "correct", why="a capital", **{"field:side": "b"})
    assert answer.status_code == 302
    decision = RejectDecision.objects.get()
    assert (decision.action, decision.decided_by, decision.why) == ("corrected", "ada", "a capital")
    assert decision.corrected == RAW.replace(",B,", ",b,")
    assert queued == [("replay_rejects", {"selection": {"ids": [record.pk]}, "by": "ada"})]
    record.refresh_from_db()
    assert (record.raw, record.state) == (RAW, "quarantined")
    assert "Its fields, as corrected" in page_of(operator, record)


def test_a_correction_is_known_however_often_it_was_refused_since(operator: Client) -> None:
    record = reject()
    by: dict[str, Any] = {"record": record, "decided_by": "ada", "why": "x"}
    RejectDecision.objects.create(action="corrected", corrected=RAW.replace(",B,", ",b,"), **by)
    for _ in range(reject_deciding.DECISIONS_SHOWN):
        RejectDecision.objects.create(action="refused", **by)
    assert "Its fields, as corrected" in page_of(operator, record)


def test_what_no_text_can_have_is_no_defect(operator: Client, queued: Queued) -> None:
    record = reject()
    assert post(operator, record, "dismiss", why="no\0ise").status_code == 302
    assert RejectDecision.objects.get().why == "noise"
    assert operator.get(reverse(f"admin:{DECIDE}"), {"symbol": "BTC\0"}).status_code == 404


@pytest.mark.parametrize(
    ("fields", "why", "sentence"),
    [
        ({"field:side": "b"}, "", "Say why"),
        ({"field:side": "b", "field:price": "0"}, "x", "price_not_positive"),
        ({"field:side": "b", "field:trade_id": "78"}, "x", "does not make another trade"),
        ({"field:side": "b,b"}, "x", "no comma"),
        ({"field:side": "B"}, "x", "bad_side"),
    ],
)
def test_a_correction_that_cannot_be_is_refused_with_a_sentence(
    operator: Client, queued: Queued, fields: dict[str, str], why: str, sentence: str
) -> None:
    record = reject()
    answer = post(operator, record, "correct", why=why, **fields)
    assert sentence in unescape(answer.content.decode())
    assert (RejectDecision.objects.count(), queued) == (0, [])


def test_a_dismissal_is_kept_with_a_name_and_a_reason(operator: Client) -> None:
    record = reject()
    assert "Say why" in post(operator, record, "dismiss", why=" ").content.decode()
    assert post(operator, record, "dismiss", why="noise").status_code == 302
    record.refresh_from_db()
    assert (record.state, record.raw) == ("dismissed", RAW)
    decision = RejectDecision.objects.get()
    assert (decision.action, decision.decided_by, decision.why) == ("dismissed", "ada", "noise")
    assert decision.decided_at is not None
    count = RejectCount.objects.get()
    assert (count.kept, count.dismissed, count.waiting) == (1, 1, 0)
    page = page_of(operator, record)
    assert 'name="deed"' not in page
    assert "meanwhile" in post(operator, record, "dismiss", why="again").content.decode()


def test_a_group_is_replayed_by_a_worker(operator: Client, queued: Queued) -> None:
    record = reject()
    group = {"source": "archive", "reason": "bad_side"}
    answer = operator.post(
        reverse(f"admin:{DECIDE}"),
        {**group, "deed": "replay", "field": "side", "value": "b", "why": "capitals"},
    )
    assert answer.status_code == 302
    name, arguments = queued[0]
    assert (name, arguments["selection"], arguments["fields"]) == ("replay_rejects", group, {"side": "b"})
    assert (arguments["by"], arguments["why"]) == ("ada", "capitals")
    # What is refused after the click is none of it.
    assert arguments["upto"] == record.pk
    record.refresh_from_db()
    assert record.state == "quarantined"


def test_chosen_records_are_dismissed_by_a_worker(operator: Client, queued: Queued) -> None:
    records = [reject(line=line) for line in (1, 2)]
    answer = operator.post(
        reverse(f"admin:{LIST}"), {"action": "decide", "_selected_action": [str(each.pk) for each in records]}
    )
    page = answer.content.decode()
    ids = ",".join(str(each.pk) for each in records)
    assert f'name="ids" value="{ids}"' in page
    operator.post(reverse(f"admin:{DECIDE}"), {"ids": ids, "deed": "dismiss", "why": "noise"})
    assert queued == [
        (
            "dismiss_rejects",
            {"selection": {"ids": [each.pk for each in records]}, "by": "ada", "why": "noise"},
        )
    ]


def test_of_more_than_are_taken_at_once_the_newest_are_and_that_is_said(
    operator: Client, queued: Queued, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rejects, "MOST_SELECTED", 2)
    records = [reject(line=line) for line in (1, 2, 3)]
    form = {"action": "decide", "_selected_action": str(records[-1].pk), "select_across": "1"}
    page = operator.post(reverse(f"admin:{LIST}"), form).content.decode()
    assert f'name="ids" value="{records[1].pk},{records[2].pk}"' in page
    assert "There are more: these are the newest 2." in page


def test_without_a_queue_the_page_names_the_command(
    operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(name: str, **arguments: Any) -> None:
        raise QueueAway("The task queue does not answer.")

    monkeypatch.setattr(reject_deciding, "queue_task", away)
    record = reject()
    answer = operator.post(reverse(f"admin:{DECIDE}"), {"run": record.run_id, "deed": "replay"})
    assert f"manage.py replay_rejects --run {record.run_id} --by NAME" in unescape(answer.content.decode())


def test_a_correction_is_kept_though_nobody_takes_its_replay(
    operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(name: str, **arguments: Any) -> None:
        raise QueueAway("The task queue does not answer.")

    monkeypatch.setattr(reject_deciding, "queue_task", away)
    post(operator, reject(), "correct", why="a capital", **{"field:side": "b"})
    assert RejectDecision.objects.get().action == "corrected"
    done = OperatorAction.objects.get()
    assert (done.result, done.said.partition(". ")[0]) == ("done", "The correction is kept")


def test_of_one_record_is_said_it(operator: Client, queued: Queued) -> None:
    post(operator, reject(), "replay")
    # Without the link that the page has there.
    assert OperatorAction.objects.get().said == "A worker replays it: the runs show how far it is."


# --- who may

MATRIX = {
    (): set(),
    ("view_rejectedrecord",): {"check"},
    ("view_rejectedrecord", "replay_rejectedrecord"): {"check", "replay"},
    ("view_rejectedrecord", "correct_rejectedrecord"): {"check"},
    ("view_rejectedrecord", "replay_rejectedrecord", "correct_rejectedrecord"): {
        "check",
        "replay",
        "correct",
    },
    ("view_rejectedrecord", "dismiss_rejectedrecord"): {"check", "dismiss"},
    ("replay_rejectedrecord", "correct_rejectedrecord", "dismiss_rejectedrecord"): set(),
}


@pytest.mark.parametrize("codenames", list(MATRIX), ids=lambda names: "+".join(names) or "nothing")
def test_each_deed_has_its_permission(client: Client, queued: Queued, codenames: tuple[str, ...]) -> None:
    guest = somebody(client, *codenames)
    allowed = set()
    for deed in ("check", "replay", "correct", "dismiss"):
        record = reject()
        answer = post(guest, record, deed, why="x", **{"field:side": "b"})
        allowed |= set() if answer.status_code == 403 else {deed}
    assert allowed == MATRIX[codenames]
    reject()
    group = {"reason": "bad_side", "why": "x"}
    for deed, extra in (("replay", {}), ("replay", {"field": "side", "value": "b"}), ("dismiss", {})):
        answer = guest.post(reverse(f"admin:{DECIDE}"), {**group, "deed": deed, **extra})
        wanted = "correct" if extra else deed
        assert (answer.status_code == 302) == (wanted in MATRIX[codenames]), (deed, extra)


def test_a_viewer_is_offered_nothing_to_decide(client: Client) -> None:
    viewer = somebody(client, "view_rejectedrecord")
    record = reject()
    assert 'name="deed"' not in page_of(viewer, record)
    answer = viewer.get(reverse(f"admin:{DECIDE}"), {"reason": "bad_side"})
    assert 'name="deed"' not in answer.content.decode()
    assert "_selected_action" not in viewer.get(reverse(f"admin:{LIST}")).content.decode()


def test_a_deed_that_nobody_knows_is_refused(operator: Client) -> None:
    assert post(operator, reject(), "destroy").status_code == 403


def test_a_stranger_is_sent_to_the_login(client: Client) -> None:
    record = reject()
    for address in (
        reverse("admin:krakendata_rejectedrecord_change", args=[record.pk]),
        reverse(f"admin:{DECIDE}"),
    ):
        answer = client.post(address, {"deed": "dismiss", "why": "x"})
        assert answer.status_code == 302
        assert answer.headers["Location"].startswith(reverse("admin:login"))
    assert RejectDecision.objects.count() == 0


def test_a_deed_needs_its_token(operator: Client) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(User.objects.get(username="ada"))
    record = reject()
    assert post(strict, record, "dismiss", why="x").status_code == 403
    record.refresh_from_db()
    assert record.state == "quarantined"
