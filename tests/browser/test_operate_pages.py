"""Operating the platform in a real browser: no page violates the strict content policy, and all still moves."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.urls import reverse
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from config.celery import write_timetable
from krakendata.models import ApiToken, OperatorAction, Pair, SyncRun
from krakendata.security.login_limit import NAME_TRIES
from krakendata.security.roles import OPERATOR, VIEWER
from tests.browser.test_admin_pages import PASSWORD, note_troubles
from tests.browser.test_admin_pages import browser as browser
from tests.browser.test_admin_pages import page as page
from tests.browser.test_admin_pages import troubles as troubles

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

# Where to leave pictures for people, if anywhere.
PICTURES = os.environ.get("KEEP_PICTURES")
WIDTHS = (360, 1280, 2560)
PAGES = [
    "index", "password_change", "krakendata_schedules", "krakendata_syncrun_changelist",
    "krakendata_operatoraction_changelist", "krakendata_pair_changelist", "krakendata_apitoken_changelist",
    "krakendata_apitoken_add", "auth_user_changelist", "auth_user_add", "auth_group_add",
    "django_celery_beat_periodictask_changelist", "django_celery_beat_periodictask_add",
    "django_celery_beat_crontabschedule_add", "krakendata_rejectedrecord_changelist",
]  # fmt: skip

BTC = {"symbol": "BTC/USD"}
ARCHIVE = {"paths": ["/srv/kraken-archives/Kraken_Trading_History.zip"]}
RUNS: list[tuple[str, str, dict[str, Any]]] = [
    ("running", "backfill", BTC),
    ("running", "import", ARCHIVE),
    ("stopped", "backfill", BTC),
    ("failed", "audit", {}),
    ("done", "import", ARCHIVE),
]


def keep(page: Page, name: str) -> None:
    """Leave a picture at each width, in light and dark."""
    if not PICTURES:
        return
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        if scheme == "dark":
            # The theme looks only once.
            page.reload()
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            page.screenshot(path=str(Path(PICTURES, f"{name}-{scheme}-{width}.png")), full_page=True)
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 1280, "height": 900})
    page.reload()


@pytest.fixture
def as_role(browser: Browser, live_server: LiveServer, troubles: list[str]) -> Iterator[Page]:
    """Log in as an operator who is no superuser."""
    person = User.objects.create_user("olga", password=PASSWORD, is_staff=True)
    person.groups.set([Group.objects.get(name=OPERATOR)])
    context = browser.new_context(base_url=live_server.url)
    opened = context.new_page()
    note_troubles(opened, live_server.url, troubles)
    opened.goto(reverse("admin:index"))
    opened.fill("[name=username]", "olga")
    opened.fill("[name=password]", PASSWORD)
    opened.click("button[type=submit]")
    expect(opened.get_by_role("link", name="Runs").first).to_be_visible()
    yield opened
    context.close()


@pytest.fixture
def data(db: None) -> None:
    """Write something for every page to show."""
    write_timetable()
    now = timezone.now()
    PeriodicTask.objects.update(last_run_at=now - timedelta(minutes=2))
    for n, (state, kind, parameters) in enumerate(RUNS):
        SyncRun.objects.create(
            kind=kind, state=state, started_at=now - timedelta(minutes=10 * (n + 1)), updated_at=now,
            finished_at=None if state == "running" else now, done=410_000, total=1_200_000,
            unit="bytes" if kind == "import" else "trades", read=410_000, stored=400_000, duplicate=10_000,
            parameters={"by": "worker", **parameters},
        )  # fmt: skip
    for n, result in enumerate(("done", "refused", "failed", "started")):
        OperatorAction.objects.create(
            who="olga", action="stop_run", target=f"run {n}: backfill BTC/USD", page="/admin/krakendata/syncrun/",
            result=result, status=302, said="Run 1 stops after what it is writing.",
        )  # fmt: skip
    Pair.objects.create(
        symbol="BTC/USD", key="XXBTZUSD", altname="XBTUSD", wsname="XBT/USD", base="BTC", quote="USD",
        status="online", price_decimals=1, volume_decimals=8,
    )  # fmt: skip
    ApiToken.objects.create(name="charts", owner="olga", digest="0" * 64, ending="abcd", scopes=["live"])


def test_no_page_violates_the_content_policy(page: Page, data: None, troubles: list[str]) -> None:
    for name in PAGES:
        answer = page.goto(reverse(f"admin:{name}"))
        assert answer is not None
        assert "unsafe" not in answer.headers["content-security-policy"]
        page.wait_for_load_state("networkidle")
        assert troubles == [], name


def test_the_policy_is_in_force(page: Page) -> None:
    page.goto(reverse("admin:index"))
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.ran = 1\">')")
    page.evaluate(
        "() => document.body.append(Object.assign(document.createElement('script'), { textContent: 'window.ran = 2' }))"
    )
    # Later, as the page's own: what the driver itself evaluates is let through.
    tried = page.evaluate(
        "() => new Promise((done) => setTimeout(() => { try { done(window.eval('1')); } catch (e) { done(e.name); } }))"
    )
    assert tried == "EvalError"
    page.wait_for_timeout(200)
    assert page.evaluate("window.ran") is None


def test_the_menus_still_move(page: Page, data: None, troubles: list[str]) -> None:
    page.goto(reverse("admin:krakendata_pair_changelist"))
    # The account's menu, which Alpine opens and closes.
    menu = page.get_by_role("link", name="Change password").first
    expect(menu).to_be_hidden()
    page.locator("[x-on\\:click='openUserLinks = !openUserLinks']").first.click()
    expect(menu).to_be_visible()
    # The colours, which stay as chosen.
    page.get_by_role("button", name="Dark", exact=True).first.click()
    expect(page.locator("html.dark")).to_have_count(1)
    page.reload()
    expect(page.locator("html.dark")).to_have_count(1)
    # The list's actions, beside the rows that are ticked.
    page.locator("input.action-select").first.check()
    actions = page.locator("#changelist-actions select[name=action]")
    expect(actions).to_be_visible()
    run = page.locator("#changelist-actions button[type=submit]")
    expect(run).to_be_hidden()
    actions.select_option("untrack")
    expect(run).to_be_visible()
    assert page.locator("#changelist-actions").evaluate("element => element.style.width").endswith("px")
    assert troubles == []


def test_the_theme_has_its_colours(page: Page) -> None:
    page.goto(reverse("admin:index"))
    colour = "getComputedStyle(document.documentElement).getPropertyValue('--color-primary-600').trim()"
    assert page.evaluate(colour).startswith("oklch(52")


def test_an_operator_stops_a_run_and_resumes_it(
    as_role: Page, data: None, troubles: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("celery.app.task.Task.apply_async", lambda *_, **__: None)
    page = as_role
    page.goto(reverse("admin:krakendata_syncrun_changelist"))
    expect(page.get_by_text("Running now")).to_be_visible()
    keep(page, "runs")
    run = SyncRun.objects.get(state="running", kind="backfill")
    page.get_by_role("button", name=f"Stop run {run.pk}").click()
    expect(page.get_by_text("Resume goes on from there")).to_be_visible()
    expect(page.get_by_text("Stopping on behalf of olga")).to_be_visible()
    # Its worker has seen it.
    SyncRun.objects.filter(pk=run.pk).update(state="stopped", finished_at=timezone.now())
    page.goto(reverse("admin:krakendata_syncrun_change", args=[run.pk]))
    keep(page, "run-stopped")
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_text("A worker goes on with it")).to_be_visible()
    run.refresh_from_db()
    assert "stopped_by" not in run.parameters
    assert [done.action for done in OperatorAction.objects.filter(result="done", status=302)[:2]] == [
        "resume_run",
        "stop_run",
    ]
    assert troubles == []


def test_what_runs_moves_without_a_reload(as_role: Page, data: None, troubles: list[str]) -> None:
    page = as_role
    page.goto(reverse("admin:krakendata_syncrun_changelist"))
    running = page.locator(".kd-running article")
    expect(running).to_have_count(2)
    SyncRun.objects.filter(kind="import", state="running").update(state="done", finished_at=timezone.now())
    expect(running).to_have_count(1, timeout=10_000)
    assert troubles == []


def test_an_operator_changes_a_schedule_in_its_place(as_role: Page, data: None, troubles: list[str]) -> None:
    page = as_role
    # Folded away where none of them is open.
    page.get_by_role("button", name="Settings").click()
    page.get_by_role("link", name="Schedules").first.click()
    keep(page, "schedules")
    box = page.get_by_label("When gaps runs")
    box.fill("3m")
    # By the keyboard alone.
    box.press("Enter")
    expect(page.get_by_text("gaps runs every 3 minutes")).to_be_visible()
    expect(page.get_by_label("When gaps runs")).to_have_value("3m")
    assert PeriodicTask.objects.get(name="gaps").interval == IntervalSchedule.objects.get(every=3)
    page.get_by_label("audit is switched on").uncheck()
    page.get_by_role("button", name="Save audit").click()
    expect(page.get_by_text("audit is switched off")).to_be_visible()
    assert not PeriodicTask.objects.get(name="audit").enabled
    assert troubles == []


def test_the_operators_log_is_read(page: Page, data: None, troubles: list[str]) -> None:
    page.goto(reverse("admin:krakendata_operatoraction_changelist"))
    expect(page.locator("#result_list tbody tr")).to_have_count(4)
    keep(page, "operators-log")
    page.goto(reverse("admin:krakendata_operatoraction_changelist") + "?result__exact=failed")
    expect(page.locator("#result_list tbody tr")).to_have_count(1)
    assert troubles == []


def test_an_administrator_gives_a_role(page: Page, data: None, troubles: list[str]) -> None:
    person = User.objects.create_user("vera", password=PASSWORD, is_staff=True)
    page.goto(reverse("admin:auth_user_change", args=[person.pk]))
    expect(page.locator("#id_groups_from")).to_be_visible()
    keep(page, "person")
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    groups = page.locator("select[name=groups]")
    viewers = Group.objects.get(name=VIEWER)
    page.locator("#id_groups_from, select[name=groups]").first.wait_for()
    if page.locator("#id_groups_from").count():
        page.locator("#id_groups_from").select_option(str(viewers.pk))
        page.locator("#id_groups_add, #id_groups_add_link").first.click()
    else:
        groups.select_option(str(viewers.pk))
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("was changed successfully")).to_be_visible()
    assert [group.name for group in person.groups.all()] == [VIEWER]
    assert troubles == []


def test_who_tries_too_often_sees_for_how_long_to_wait(
    browser: Browser, live_server: LiveServer, troubles: list[str]
) -> None:
    name = f"nobody-{secrets.token_hex(8)}"
    context = browser.new_context(base_url=live_server.url)
    page = context.new_page()
    page.goto(reverse("admin:login"))
    keep(page, "login")
    for _ in range(NAME_TRIES + 1):
        page.fill("[name=username]", name)
        page.fill("[name=password]", "wrong")
        page.click("button[type=submit]")
        page.wait_for_load_state()
    expect(page.get_by_role("heading", name="Too many tries to log in")).to_be_visible()
    keep(page, "too-many-tries")
    context.close()
