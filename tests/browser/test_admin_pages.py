"""The admin in a real browser: login, every page without an error, live progress, paging by its links."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Browser, Dialog, Page, expect, sync_playwright
from pytest_django.live_server_helper import LiveServer

from krakendata.models import Candle, RejectedRecord, SyncRun, SyncStatus, Trade
from tests.fix_market import SYMBOL

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

PASSWORD = "for this test only"
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
    "auth_user_changelist",
    "django_celery_beat_periodictask_add",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start the distribution's Chromium, or skip where there is none."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium on PATH")
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        # Playwright keeps an event loop running in this thread, in which Django refuses its ORM.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        # Chromium refuses its sandbox to root, as which containers run.
        started = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def troubles() -> list[str]:
    """Collect what went wrong in the browser."""
    return []


@contextmanager
def logged_in(browser: Browser, home: str, user: str, password: str, troubles: list[str]) -> Iterator[Page]:
    """Give the admin's first page to somebody who has logged in, in a window of their own."""
    context = browser.new_context(base_url=home)
    opened = context.new_page()
    note_troubles(opened, home, troubles)
    opened.goto(reverse("admin:index"))
    opened.fill("[name=username]", user)
    opened.fill("[name=password]", password)
    opened.click("button[type=submit]")
    yield opened
    context.close()


def note_troubles(page: Page, home: str, troubles: list[str]) -> None:
    """Write down errors, dialogs, and requests to other servers."""

    def dismiss(dialog: Dialog) -> None:
        troubles.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    page.on("pageerror", lambda error: troubles.append(f"error: {error}"))
    # pytest-django's server has no socket for the desk; tests of what follows it run on one that has.
    page.on(
        "console",
        lambda said: troubles.extend(
            [said.text]
            if said.type == "error" and not said.text.startswith("WebSocket connection to")
            else []
        ),
    )
    page.on(
        "request", lambda asked: troubles.extend([] if asked.url.startswith((home, "data:")) else [asked.url])
    )
    page.on("dialog", dismiss)


@pytest.fixture
def page(browser: Browser, live_server: LiveServer, troubles: list[str]) -> Iterator[Page]:
    """Log in and give the page, which notes errors, dialogs and requests to elsewhere."""
    User.objects.create_superuser("operator", password=PASSWORD)
    with logged_in(browser, live_server.url, "operator", PASSWORD, troubles) as opened:
        expect(opened.get_by_role("link", name="Overview")).to_be_visible()
        yield opened


def test_every_page_opens_without_an_error(page: Page, troubles: list[str]) -> None:
    SyncRun.objects.create(kind="import")
    RejectedRecord.objects.create(
        source="archive", place="a", symbol="b", reason="c", detail="d", raw="<img src=x onerror=alert(1)>"
    )
    for name in PAGES:
        answer = page.goto(reverse(f"admin:{name}"))
        assert answer is not None
        assert answer.status == 200, name
    assert troubles == []


def test_a_run_moves_without_a_reload_and_comes_to_its_end(page: Page, troubles: list[str]) -> None:
    now = timezone.now()
    run = SyncRun.objects.create(
        kind="import", started_at=now - timedelta(seconds=9), updated_at=now, done=1, total=4
    )
    page.goto(reverse("admin:krakendata_syncrun_change", args=[run.pk]))
    expect(page.locator("strong")).to_have_text("25.0%")
    SyncRun.objects.update(done=3)
    expect(page.locator("strong")).to_have_text("75.0%")
    SyncRun.objects.update(done=4, state="done", finished_at=now)
    expect(page.get_by_text("took 9 s")).to_be_visible()
    assert page.locator(".kd-run[hx-get]").count() == 0
    assert troubles == []


def test_older_and_newer_lead_through_the_trades(page: Page, trades: list[Trade]) -> None:
    SyncStatus.objects.create(symbol=SYMBOL, kind="trades")
    page.goto(reverse("admin:krakendata_trades"))
    expect(page.locator("tbody tr").first).to_contain_text("250")
    expect(page.get_by_role("region", name="Table: Time (UTC), Trade id")).to_be_visible()
    page.locator("a[rel=next]").click()
    expect(page.locator("tbody tr").first).to_contain_text("150")
    page.locator("a[rel=prev]").click()
    expect(page.locator("tbody tr").first).to_contain_text("250")


def test_a_pair_and_an_interval_are_chosen(page: Page, minutes: list[Candle]) -> None:
    page.goto(reverse("admin:krakendata_candles"))
    page.get_by_label("Pair").fill("XBTUSD")
    page.get_by_label("Interval").select_option("5m")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("tbody tr")).to_have_count(50)


def test_rejected_records_are_filtered_by_their_reason(page: Page, troubles: list[str]) -> None:
    for reason in ("not_a_number", "bad_side"):
        RejectedRecord.objects.create(
            source="archive", place="a", symbol="b", reason=reason, detail="d", raw=reason
        )
    page.goto(reverse("admin:krakendata_rejectedrecord_changelist"))
    page.get_by_text("Filters filter_list").click()
    page.locator("select[name=reason]").select_option("bad_side")
    page.get_by_role("button", name="Apply").click()
    expect(page.locator("#result_list .kd-raw")).to_have_text("bad_side")
    assert troubles == []
