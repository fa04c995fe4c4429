"""Runs in the admin: what runs now, stopping and resuming, the history and its filters."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from celery.app.task import Task
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from kombu.exceptions import OperationalError

from krakendata.admin.runs import RUNNING_SHOWN
from krakendata.models import OperatorAction, SyncRun
from krakendata.security.roles import OPERATOR, VIEWER
from tests.fix_people import LogIn

pytestmark = pytest.mark.django_db

RUNS = reverse("admin:krakendata_syncrun_changelist")
SYMBOL = "BTC/USD"
ASKED = {
    "by": "worker",
    "symbol": SYMBOL,
    "since": "2024-01-01T00:00:00+00:00",
    "until": None,
    "newest_first": False,
}


@pytest.fixture
def queued(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any, Any]]:
    """Collect what is put on the task queue instead of putting it there."""
    found: list[tuple[str, Any, Any]] = []

    def take(task: Task, args: Any = None, kwargs: Any = None, **_: Any) -> None:
        found.append((task.name.rpartition(".")[2], args, kwargs))

    monkeypatch.setattr(Task, "apply_async", take)
    return found


def a_run(state: str = "running", kind: str = "backfill", **facts: Any) -> SyncRun:
    now = timezone.now()
    ended = None if state == "running" else now
    given = {"parameters": dict(ASKED), "started_at": now - timedelta(seconds=20), "updated_at": now}
    return SyncRun.objects.create(kind=kind, state=state, finished_at=ended, **{**given, **facts})


def stop(client: Client, run: SyncRun) -> Any:
    return client.post(reverse("admin:krakendata_run_stop", args=[run.pk]), follow=True)


def resume(client: Client, run: SyncRun) -> Any:
    return client.post(reverse("admin:krakendata_run_resume", args=[run.pk]), follow=True)


def said(answer: Any) -> str:
    body: str = answer.content.decode()
    return " ".join(str(message) for message in get_messages(answer.wsgi_request)) + body


def page(client: Client, run: SyncRun) -> str:
    found = client.get(reverse("admin:krakendata_syncrun_change", args=[run.pk]))
    assert found.status_code == 200
    return found.content.decode()


def test_what_runs_now_stands_before_the_history(log_in: LogIn) -> None:
    running = a_run(done=50, total=200, unit="trades")
    a_run("done")
    found = " ".join(log_in(VIEWER).get(RUNS).content.decode().split())
    before, _, history = found.partition("History")
    assert f"Run {running.pk}: backfill" in before
    assert "1 min left" in before
    assert before.count("<article") == 1
    assert SYMBOL in history


def test_time_left_is_told_or_why_it_is_not(log_in: LogIn) -> None:
    run = a_run(done=5)
    assert "how much there is to do is not known yet" in page(log_in(VIEWER), run)
    SyncRun.objects.update(total=100, updated_at=timezone.now() - timedelta(minutes=3))
    assert "it says nothing any more" in page(log_in(VIEWER), run)


def test_nothing_runs(log_in: LogIn) -> None:
    assert "Nothing runs at this moment." in log_in(VIEWER).get(RUNS).content.decode()


def test_the_fragment_is_the_same_without_its_page(log_in: LogIn) -> None:
    run = a_run()
    found = log_in(OPERATOR).get(reverse("admin:krakendata_runs_running")).content.decode()
    assert "<html" not in found
    assert f"Stop run {run.pk}" in found
    assert "csrfmiddlewaretoken" in found


def test_an_operator_stops_a_run(log_in: LogIn) -> None:
    run = a_run()
    answer = stop(log_in(OPERATOR), run)
    assert "stops after what it is writing" in said(answer)
    assert f"Stopping on behalf of {OPERATOR}" in answer.content.decode()
    run.refresh_from_db()
    assert run.parameters == {**ASKED, "stopped_by": OPERATOR}
    done = OperatorAction.objects.get()
    assert (done.action, done.target, done.result) == ("stop_run", f"run {run.pk}: backfill {SYMBOL}", "done")


@pytest.mark.parametrize(
    ("state", "kind", "parameters"),
    [
        ("done", "backfill", ASKED),
        ("running", "backfill", {**ASKED, "by": "command"}),
        ("running", "live", ASKED),
        ("running", "import", {"paths": ["a"]}),
        ("stopped", "import", {"paths": ["a"], "by": "worker"}),
        ("failed", "backfill", {**ASKED, "permanent": True}),
    ],
)
def test_what_no_worker_would_go_on_with_is_not_stopped(
    state: str, kind: str, parameters: dict[str, Any], log_in: LogIn
) -> None:
    run = a_run(state, kind, parameters=parameters)
    assert "Stop run" not in page(log_in(OPERATOR), run)
    assert "has ended, or is none that workers stop" in said(stop(log_in(OPERATOR), run))
    run.refresh_from_db()
    assert run.parameters == parameters


def test_a_share_that_waits_for_the_next_one_can_be_stopped_and_an_older_one_not(log_in: LogIn) -> None:
    older, newest = a_run("stopped"), a_run("stopped")
    assert "Stop run" not in page(log_in(OPERATOR), older)
    stop(log_in(OPERATOR), newest)
    newest.refresh_from_db()
    assert newest.parameters["stopped_by"] == OPERATOR


def test_a_viewer_sees_no_button_and_stops_nothing(log_in: LogIn) -> None:
    run, ended = a_run(), a_run("stopped")
    for each in (run, ended):
        found = page(log_in(VIEWER), each)
        assert "Stop run" not in found
        assert "Resume" not in found
    assert stop(log_in(VIEWER), run).status_code == 403
    run.refresh_from_db()
    assert run.parameters == ASKED


@pytest.mark.parametrize("state", ["stopped", "interrupted", "failed"])
def test_an_operator_resumes_a_backfill(
    state: str, log_in: LogIn, queued: list[tuple[str, Any, Any]]
) -> None:
    run = a_run(state, parameters={**ASKED, "stopped_by": "somebody"})
    client = log_in(OPERATOR)
    assert "Resume" in page(client, run)
    assert "A worker goes on with it" in said(resume(client, run))
    ((task, arguments, given),) = queued
    assert (task, arguments) == ("backfill", (SYMBOL,))
    assert given == {
        "since": ASKED["since"], "until": None, "newest_first": False, "continues": run.pk
    }  # fmt: skip
    run.refresh_from_db()
    assert run.parameters == ASKED
    assert OperatorAction.objects.get().action == "resume_run"


def test_an_operator_resumes_an_import(log_in: LogIn, queued: list[tuple[str, Any, Any]]) -> None:
    run = a_run("stopped", "import", parameters={"paths": ["/a", "/b"], "symbol": None, "by": "worker"})
    resume(log_in(OPERATOR), run)
    assert queued == [("import_files", ("/a", "/b"), {"symbol": None})]


@pytest.mark.parametrize(
    ("state", "kind"), [("running", "backfill"), ("done", "backfill"), ("stopped", "audit")]
)
def test_what_cannot_be_resumed_is_not(
    state: str, kind: str, log_in: LogIn, queued: list[tuple[str, Any, Any]]
) -> None:
    run = a_run(state, kind)
    assert "none that can be resumed" in said(resume(log_in(OPERATOR), run))
    assert queued == []


def test_a_queue_that_is_away_is_told(log_in: LogIn, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OperationalError("no Redis")

    monkeypatch.setattr(Task, "apply_async", fail)
    assert "The task queue does not answer" in said(resume(log_in(OPERATOR), a_run("stopped")))


@pytest.mark.parametrize("name", ["krakendata_run_stop", "krakendata_run_resume"])
def test_a_run_that_is_none_is_not_found(name: str, log_in: LogIn) -> None:
    for pk in (4_000_000, 10**30):
        assert log_in(OPERATOR).post(f"/admin/krakendata/syncrun/{pk}/{name[15:]}/").status_code == 404


def test_hostile_parameters_are_shown_as_text(log_in: LogIn) -> None:
    hostile = "<script>alert(1)</script>"
    run = a_run(parameters={**ASKED, "symbol": hostile, "stopped_by": hostile})
    for found in (page(log_in(OPERATOR), run), log_in(OPERATOR).get(RUNS).content.decode()):
        assert hostile not in found
        assert "&lt;script&gt;" in found


# --- the history --------------------------------------------------------------------------------------------


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("superuser"))
    return client


def shown(client: Client, **asked: str) -> list[int]:
    found = client.get(RUNS, asked)
    assert found.status_code == 200
    return [run.pk for run in found.context["cl"].result_list]


def test_the_history_is_filtered_by_kind_state_and_time(operator: Client) -> None:
    old = a_run("done", "import", started_at=timezone.now() - timedelta(days=400))
    failed, running = a_run("failed"), a_run("running")
    assert shown(operator, kind="import") == [old.pk]
    assert shown(operator, state__exact="failed") == [failed.pk]
    assert shown(operator, started="day") == [running.pk, failed.pk]
    assert shown(operator, started="ever") == shown(operator)


@pytest.fixture
def many_runs(db: None) -> None:
    """Write runs of which few are running, and few are imports."""
    SyncRun.objects.bulk_create(
        SyncRun(kind="backfill" if n % 100 else "import", state="done" if n % 100 else "running")
        for n in range(5_000)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE sync_runs")


def plan_of(sql: str, parameters: Sequence[Any]) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {sql}", parameters)
        return "\n".join(line for (line,) in cursor.fetchall())


@pytest.mark.parametrize(
    ("facts", "index"), [({"kind": "import"}, "sync_runs_kind"), ({"state": "running"}, "sync_runs_state")]
)
def test_its_filters_have_an_index_in_the_order_of_the_list(
    facts: dict[str, str], index: str, many_runs: None
) -> None:
    plan = plan_of(*SyncRun.objects.filter(**facts)[:20].query.sql_with_params())
    assert index in plan
    assert "Sort" not in plan


def test_durations_stand_in_the_history(operator: Client) -> None:
    a_run("done")
    assert ">20 s<" in operator.get(RUNS).content.decode().replace("\n", "").replace("  ", "")


def test_the_page_asks_little_however_much_runs(log_in: LogIn, django_assert_max_num_queries: Any) -> None:
    for _ in range(30):
        a_run()
    client = log_in(OPERATOR)
    with django_assert_max_num_queries(10):
        found = client.get(RUNS).content.decode()
    assert found.count("<article") == RUNNING_SHOWN
    assert "More are running" in found
