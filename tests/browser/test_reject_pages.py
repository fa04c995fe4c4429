"""Rejected records in a real browser: from the group to the record, a correction, a dismissal; with pictures."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from krakendata.admin import reject_deciding
from krakendata.models import RejectCount, RejectDecision, RejectedRecord, SyncRun
from krakendata.tasks import replay_rejects
from tests.browser.test_admin_pages import PASSWORD, browser, note_troubles, troubles

__all__ = ["browser", "troubles"]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

D = "timestamp,price,volume,side,order_type,misc,trade_id"
HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>"
# Where the pictures are kept that people look at; without it none are taken.
PICTURES = os.environ.get("KEEP_PICTURES")


@pytest.fixture(
    params=[(360, "light"), (1440, "dark"), (2560, "light")], ids=lambda each: f"{each[0]} {each[1]}"
)
def page(
    request: pytest.FixtureRequest, browser: Browser, live_server: LiveServer, troubles: list[str]
) -> Iterator[Page]:
    """Log in, in a window of some width and colour."""
    width, scheme = request.param
    User.objects.create_superuser("ada", password=PASSWORD)
    context = browser.new_context(
        base_url=live_server.url, viewport={"width": width, "height": 1000}, color_scheme=scheme
    )
    opened = context.new_page()
    note_troubles(opened, live_server.url, troubles)
    opened.goto(reverse("admin:index"))
    opened.fill("[name=username]", "ada")
    opened.fill("[name=password]", PASSWORD)
    opened.click("button[type=submit]")
    opened.wait_for_url("**/admin/")
    yield opened
    context.close()


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Take what the pages queue, to be done when the test says so."""
    waiting: list[dict[str, Any]] = []
    monkeypatch.setattr(reject_deciding, "queue_task", lambda name, **arguments: waiting.append(arguments))
    return waiting


def write_records() -> list[RejectedRecord]:
    run = SyncRun.objects.create(kind="import", state="done")
    RejectCount.objects.create(run=run, source="archive", reason="bad_side", count=2, kept=2)
    RejectCount.objects.create(run=run, source="rest", reason="not_a_record", count=1412, kept=1)
    facts: list[dict[str, Any]] = [
        {"raw": f"170000000{line},64203.1,0.25,B,l,,{line}", "line": line, "trade_id": line, "layout": D,
         "reason": "bad_side", "detail": "side 'B' is none of b, s, buy, sell.", "source": "archive",
         "place": "/archives/Kraken_Trading_History_Q3_2025_with_a_long_name.zip!XBTUSD.csv"}
        for line in (1, 2)
    ]  # fmt: skip
    facts.append(
        {
            "raw": HOSTILE * 3, "reason": "not_a_record", "detail": f"{HOSTILE!r} is not a row of fields.",
            "source": "rest", "place": "REST Trades", "line": 31,
        }
    )  # fmt: skip
    return [RejectedRecord.objects.create(run=run, symbol="BTC/USD", **each) for each in facts]


def picture(page: Page, name: str) -> None:
    if PICTURES:
        width = (page.viewport_size or {"width": 0})["width"]
        page.screenshot(path=Path(PICTURES) / f"rejects_{name}_{width}.png", full_page=True)


def assert_fits(page: Page) -> None:
    """Nothing but tables, which scroll by themselves, is wider than the window."""
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth + 1")


def test_a_record_is_corrected_and_another_dismissed(
    page: Page, troubles: list[str], worker: list[dict[str, Any]]
) -> None:
    first, second, hostile = write_records()
    page.goto(reverse("admin:krakendata_rejectedrecord_changelist"))
    expect(page.get_by_role("heading", name="By reason")).to_be_visible()
    picture(page, "list")

    page.goto(reverse("admin:krakendata_rejectedrecord_change", args=[first.pk]))
    expect(page.get_by_text("The side is neither buy nor sell.")).to_be_visible()
    assert_fits(page)
    page.get_by_label("side", exact=True).fill("b")
    page.get_by_role("button", name="Check").click()
    expect(page.get_by_role("status")).to_contain_text("It can be true: trade 1 of BTC/USD")
    picture(page, "record")
    page.get_by_label("Why", exact=True).fill("a capital letter")
    page.get_by_role("button", name="Correct and replay").click()
    expect(page.get_by_text("Its fields, as corrected")).to_be_visible()
    assert worker == [{"selection": {"ids": [first.pk]}, "by": "ada"}]
    # In a thread of its own: Playwright keeps an event loop running in this one.
    with ThreadPoolExecutor(1) as thread:
        done = thread.submit(replay_rejects.apply, kwargs=worker.pop()).result()
    assert done.get()["state"] == "done"
    page.reload()
    expect(page.locator(".kd-chip", has_text="replayed").first).to_be_visible()
    picture(page, "replayed")

    page.goto(reverse("admin:krakendata_rejectedrecord_change", args=[hostile.pk]))
    assert_fits(page)
    picture(page, "hostile")
    page.get_by_label("Why it can rest").fill("the exchange was in maintenance and sent its own page")
    page.get_by_role("button", name="Dismiss").click()
    expect(page.locator(".kd-chip", has_text="dismissed").first).to_be_visible()
    decision = RejectDecision.objects.get(record=hostile)
    assert (decision.action, decision.decided_by) == ("dismissed", "ada")

    page.goto(f"{reverse('admin:krakendata_reject_decide')}?source=archive&reason=bad_side")
    expect(page.get_by_role("heading", name="Replay them")).to_be_visible()
    assert_fits(page)
    picture(page, "group")
    page.get_by_label("Set the field first").select_option("side")
    page.get_by_label("to", exact=True).fill("s")
    page.get_by_label("Why", exact=True).fill("capital letters")
    page.get_by_role("button", name="Replay", exact=True).click()
    expect(page.get_by_text("A worker replays them")).to_be_visible()
    assert worker[0]["fields"] == {"side": "s"}
    assert RejectedRecord.objects.get(pk=second.pk).state == "quarantined"
    assert troubles == []
