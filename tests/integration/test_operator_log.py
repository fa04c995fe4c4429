"""The operators' log: every request to change something is in it, with its end, and no secret ever is."""

from __future__ import annotations

import re
from typing import Any

import pytest
from celery.app.task import Task
from channels.db import database_sync_to_async
from django.contrib.auth.models import Group, User
from django.test import AsyncClient, Client, RequestFactory
from django.urls import resolve, reverse
from django_celery_beat.models import IntervalSchedule, PeriodicTask
from kombu.exceptions import OperationalError as BrokerAway
from pytest_django.fixtures import Settings

from krakendata.admin import registry
from krakendata.api.tokens import new_token
from krakendata.models import OperatorAction, Pair, RejectedRecord, SyncRun, Upload
from krakendata.security.operator_log import describe_action, hidden, not_an_action, result_of
from krakendata.security.roles import ADMINISTRATOR, OPERATOR, VIEWER
from tests.fix_people import LogIn

pytestmark = pytest.mark.django_db

PAIRS = reverse("admin:krakendata_pair_changelist")
TOKENS = reverse("admin:krakendata_apitoken_add")
# Long enough for Django, and to be found wherever it lies.
PASSWORD = "correct-horse-battery-staple"


@pytest.fixture(autouse=True)
def nothing_queued(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Task, "apply_async", lambda *_, **__: None)


@pytest.fixture
def pair(db: None) -> Pair:
    return Pair.objects.create(
        symbol="BTC/USD", key="XXBTZUSD", altname="XBTUSD", wsname="XBT/USD", base="BTC", quote="USD",
        status="online", price_decimals=1, volume_decimals=8,
    )  # fmt: skip


def act(client: Client, action: str = "untrack", *symbols: str, **headers: str) -> Any:
    return client.post(PAIRS, {"action": action, "_selected_action": symbols or ["BTC/USD"]}, headers=headers)


def the_one() -> OperatorAction:
    return OperatorAction.objects.get()


def test_who_what_on_what_from_where_and_with_what_result(pair: Pair, log_in: LogIn) -> None:
    act(log_in(OPERATOR), referer=f"http://testserver{PAIRS}?tracked=1")
    done = the_one()
    assert (done.who, done.action, done.target, done.page) == (OPERATOR, "untrack", "BTC/USD", PAIRS)
    assert (done.result, done.status) == ("done", 302)
    assert "tracked no more" in done.said


def test_a_referer_of_elsewhere_is_no_page_of_ours(pair: Pair, log_in: LogIn) -> None:
    act(log_in(OPERATOR), referer="http://elsewhere.example/page")
    assert the_one().page == PAIRS


def test_what_is_refused_is_written_down_too(pair: Pair, log_in: LogIn) -> None:
    log_in(VIEWER).post(reverse("admin:krakendata_run_stop", args=[1]))
    act(log_in(VIEWER))
    found = OperatorAction.objects.order_by("id").values_list("who", "action", "target", "result", "status")
    assert list(found) == [
        (VIEWER, "krakendata_run_stop", "1", "refused", 403),
        (VIEWER, "untrack", "BTC/USD", "refused", 200),
    ]


def test_a_form_without_its_token_is_refused_and_written_down(pair: Pair, log_in: LogIn) -> None:
    client = log_in(OPERATOR)
    client.handler.enforce_csrf_checks = True
    act(client)
    assert (the_one().result, the_one().status) == ("refused", 403)


def test_what_fails_is_written_down_as_failed(
    pair: Pair, log_in: LogIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(registry.PairAdmin, "_track", fail)
    client = log_in(OPERATOR)
    client.raise_request_exception = False
    act(client, "track")
    assert (the_one().action, the_one().result, the_one().status) == ("track", "failed", 500)


def test_it_is_written_before_it_begins(pair: Pair, log_in: LogIn, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(registry.PairAdmin, "_track", lambda *_: seen.append(the_one().result))
    act(log_in(OPERATOR), "track")
    assert seen == ["started"]


def test_many_rows_are_counted(pair: Pair, log_in: LogIn) -> None:
    act(log_in(OPERATOR), "untrack", *(f"A{n}/USD" for n in range(30)))
    assert the_one().target.endswith("A19/USD and 10 more")


def test_an_action_that_is_no_name_is_not_believed(pair: Pair, log_in: LogIn) -> None:
    act(log_in(OPERATOR), "<script>alert(1)</script>")
    assert the_one().action == "krakendata_pair_changelist"


def test_a_form_that_is_wrong_is_refused(log_in: LogIn) -> None:
    log_in(ADMINISTRATOR).post(TOKENS, {"name": "", "scopes": ["live"]})
    assert (the_one().result, the_one().status) == ("refused", 200)


def refusals() -> dict[str, tuple[str, dict[str, str]]]:
    """Give deeds that do nothing and lead on to the next page: address, form."""
    ended, gone = (
        SyncRun.objects.create(kind="live", state="done"),
        SyncRun.objects.create(kind="audit", state="done"),
    )
    upload = Upload.objects.create(owner=OPERATOR, name="a.csv", size=1, state=Upload.State.DISCARDED)
    task = PeriodicTask.objects.create(
        name="nightly",
        task="krakendata.tasks.audit",
        interval=IntervalSchedule.objects.create(every=1, period="days"),
    )
    Pair.objects.update(status="delisted")
    return {
        "remedy": (reverse("admin:krakendata_remedy_restart"), {"target": str(ended.pk)}),
        "schedule": (reverse("admin:krakendata_schedule_edit", args=[task.pk]), {"when": "sometimes"}),
        "stop": (reverse("admin:krakendata_run_stop", args=[ended.pk]), {}),
        "resume": (reverse("admin:krakendata_run_resume", args=[gone.pk]), {}),
        "import": (reverse("admin:krakendata_upload_import", args=[upload.pk]), {}),
        "check": (reverse("admin:krakendata_upload_check", args=[upload.pk]), {}),
        "discard": (reverse("admin:krakendata_upload_discard", args=[upload.pk]), {}),
        "onboard": (reverse("admin:krakendata_onboard"), {"list": "fetch"}),
        "track": (PAIRS, {"action": "track", "_selected_action": "BTC/USD"}),
    }


def test_what_was_not_done_is_refused_though_the_next_page_follows(
    pair: Pair, log_in: LogIn, settings: Settings
) -> None:
    settings.KRAKENDATA = {**settings.KRAKENDATA, "KRAKEN_REST_URL": "http://127.0.0.1:1"}
    client = log_in(OPERATOR)
    for name, (address, form) in refusals().items():
        assert client.post(address, form).status_code == 302, name
        done = OperatorAction.objects.latest("id")
        assert (done.result, bool(done.said)) == ("refused", True), name


def test_what_nobody_takes_from_the_queue_is_refused(
    pair: Pair, log_in: LogIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise BrokerAway("no Redis")

    monkeypatch.setattr(Task, "apply_async", fail)
    record = RejectedRecord.objects.create(source="rest", place="REST", symbol="BTC/USD", reason="x", raw="x")
    asked = {"by": "worker", "paths": ["/archives/a.zip"]}
    run = SyncRun.objects.create(kind="import", state="stopped", parameters=asked)
    client = log_in(OPERATOR)
    for address, form in (
        (reverse("admin:krakendata_remedy_upkeep"), {}),
        (reverse("admin:krakendata_run_resume", args=[run.pk]), {}),
        (reverse("admin:krakendata_rejectedrecord_change", args=[record.pk]), {"deed": "replay"}),
        (reverse("admin:krakendata_reject_decide"), {"deed": "replay", "reason": "x"}),
        (reverse("admin:krakendata_reject_decide"), {"deed": "dismiss", "reason": "x", "why": "noise"}),
    ):
        assert client.post(address, form).status_code in (200, 302)
        assert OperatorAction.objects.latest("id").result == "refused", address


def test_a_backfill_that_is_held_back_no_more_is_resumed_though_nobody_takes_it(
    log_in: LogIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise BrokerAway("no Redis")

    monkeypatch.setattr(Task, "apply_async", fail)
    asked = {"by": "worker", "symbol": "BTC/USD", "stopped_by": "ada"}
    run = SyncRun.objects.create(kind="backfill", state="stopped", parameters=asked)
    log_in(OPERATOR).post(reverse("admin:krakendata_run_resume", args=[run.pk]))
    run.refresh_from_db()
    assert "stopped_by" not in run.parameters
    done = OperatorAction.objects.latest("id")
    assert (done.result, "The schedule resumes backfills" in done.said) == ("done", True)


def test_to_be_asked_whether_one_is_sure_is_no_action(log_in: LogIn) -> None:
    client, person = log_in(ADMINISTRATOR), User.objects.create_user("leaver")
    asked = {"action": "delete_selected", "_selected_action": [person.pk]}
    people = reverse("admin:auth_user_changelist")
    client.post(people, asked)
    assert OperatorAction.objects.count() == 0
    client.post(people, {**asked, "post": "yes"})
    assert (the_one().action, the_one().target, the_one().result) == (
        "delete_selected",
        str(person.pk),
        "done",
    )


def test_what_the_database_does_not_take_is_left_out() -> None:
    assert hidden("BTC\0/USD") == "BTC/USD"


@pytest.mark.parametrize("method", ["get", "head", "options"])
def test_to_look_is_no_action(method: str, pair: Pair, log_in: LogIn) -> None:
    getattr(log_in(OPERATOR), method)(PAIRS)
    assert OperatorAction.objects.count() == 0


def test_strangers_and_logins_are_not_in_it(client: Client, pair: Pair) -> None:
    act(client)
    client.post(reverse("admin:login"), {"username": "x", "password": PASSWORD}, REMOTE_ADDR="192.0.2.200")
    client.post("/nowhere/")
    assert OperatorAction.objects.count() == 0


def test_the_api_is_not_in_it(log_in: LogIn) -> None:
    assert log_in(OPERATOR).post("/api/v1/candles").status_code == 405
    assert OperatorAction.objects.count() == 0


def everything_written() -> str:
    return "\n".join(str(row) for row in OperatorAction.objects.values())


def test_a_token_is_never_in_it(log_in: LogIn) -> None:
    page = log_in(ADMINISTRATOR).post(TOKENS, {"name": "bot", "scopes": ["live"]}).content.decode()
    (token,) = set(re.findall(r"kd_[\w-]{43}", page))
    assert the_one().result == "done"
    assert token not in everything_written()


def test_a_password_is_never_in_it(log_in: LogIn) -> None:
    client = log_in(ADMINISTRATOR)
    form = {"username": "new", "password1": PASSWORD, "password2": PASSWORD, "usable_password": "true"}
    assert client.post(reverse("admin:auth_user_add"), form).status_code == 302
    person = User.objects.get(username="new")
    address = reverse("admin:auth_user_password_change", args=[person.pk])
    client.post(address, {"password1": PASSWORD + "2", "password2": PASSWORD + "2"})
    client.post(reverse("admin:password_change"), {"old_password": PASSWORD, "new_password1": PASSWORD})
    assert OperatorAction.objects.count() == 3
    assert PASSWORD not in everything_written()


def test_what_looks_like_a_token_is_cut_wherever_it_comes_from(pair: Pair, log_in: LogIn) -> None:
    token = new_token()
    act(log_in(OPERATOR), "untrack", token)
    assert the_one().target == "kd_…"
    assert hidden(f"a {token} b") == "a kd_… b"


def test_a_page_says_more_of_its_deed() -> None:
    request = RequestFactory().post("/")
    request.operator_action = noted = OperatorAction(action="address", target="1")  # type: ignore[attr-defined]
    describe_action(request, f"the pair {new_token()}")
    assert (noted.action, noted.target) == ("address", "the pair kd_…")
    describe_action(request, "the pair", "backfill")
    assert noted.action == "backfill"
    describe_action(RequestFactory().post("/"), "nobody listens")


def test_the_pieces_of_an_action_can_be_left_out(
    pair: Pair, log_in: LogIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = resolve(PAIRS).func
    monkeypatch.setattr(view, "is_not_an_action", True, raising=False)
    act(log_in(OPERATOR))
    assert OperatorAction.objects.count() == 0
    assert vars(not_an_action(lambda request: None)) == {"is_not_an_action": True}


@pytest.mark.parametrize(
    ("status", "result"), [(200, "done"), (302, "done"), (400, "refused"), (403, "refused"), (500, "failed")]
)
def test_the_status_says_how_it_ended(status: int, result: str) -> None:
    assert result_of(status) == result


def test_it_is_read_and_filtered_and_not_changed(pair: Pair, log_in: LogIn) -> None:
    client = log_in(OPERATOR)
    act(client)
    OperatorAction.objects.create(who="<script>", action="x", target="<img src=x>", page="/", result="failed")
    address = reverse("admin:krakendata_operatoraction_changelist")
    page = client.get(address).content.decode()
    assert "&lt;script&gt;" in page
    assert "<script>" not in re.sub(r"<script src=[^>]*>", "", page)
    mine = client.get(address, {"who": OPERATOR}).content.decode()
    assert "&lt;script&gt;" not in mine
    assert OPERATOR in mine
    assert "untrack" not in client.get(address, {"result__exact": "failed"}).content.decode()
    one = reverse("admin:krakendata_operatoraction_change", args=[OperatorAction.objects.last().pk])  # type: ignore[union-attr]
    assert client.get(one).status_code == 200
    assert client.post(one, {"who": "other"}).status_code == 403


def test_a_viewer_does_not_read_it(log_in: LogIn) -> None:
    assert log_in(VIEWER).get(reverse("admin:krakendata_operatoraction_changelist")).status_code == 403


@pytest.mark.django_db(transaction=True)
async def test_it_is_written_under_asgi_as_well() -> None:
    def person() -> User:
        made = User.objects.create_user("asgi", is_staff=True)
        made.groups.set([Group.objects.get(name=VIEWER)])
        return made

    client = AsyncClient()
    await client.aforce_login(await database_sync_to_async(person)())
    answer = await client.post(reverse("admin:krakendata_run_stop", args=[1]))
    assert answer.status_code == 403
    # Closes the connection of its thread too, which would keep the database from being dropped.
    done = await database_sync_to_async(the_one)()
    assert (done.who, done.result) == ("asgi", "refused")


def test_the_page_asks_little(log_in: LogIn, django_assert_max_num_queries: Any) -> None:
    OperatorAction.objects.bulk_create(OperatorAction(who="x", action="y", page="/") for _ in range(60))
    client = log_in(OPERATOR)
    with django_assert_max_num_queries(9):
        assert client.get(reverse("admin:krakendata_operatoraction_changelist")).status_code == 200
