"""The live page in a real browser: the chart follows the live socket, at any width, in light and in dark."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from krakendata.types import Trade, bucket_start_ns, ns_of
from tests.browser.test_admin_pages import browser as browser
from tests.browser.test_admin_pages import logged_in
from tests.live_server import PASSWORD, USER, LiveServer, feed_in_thread, live_server

pytestmark = pytest.mark.slow

SYMBOL = "BTC/USD"
SECOND = 10**9
MINUTES = 90
# Where to leave pictures for people, if anywhere.
PICTURES = os.environ.get("KEEP_PICTURES")

Tell = Callable[..., None]


def trade(trade_id: int, ns: int, price: float) -> Trade:
    return Trade(SYMBOL, trade_id, ns, Decimal(f"{price:.1f}"), Decimal("0.25"), "buy", "limit")


def history() -> list[Trade]:
    """Four trades a minute for 90 minutes, up to the minute before this one, up and down."""
    start = bucket_start_ns(ns_of(datetime.now(UTC)), 1) - MINUTES * 60 * SECOND
    return [
        trade(n + 1, start + n * 15 * SECOND, 83_000 + (n * 37) % 211 + 3 * (n % 90))
        for n in range(MINUTES * 4)
    ]


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with live_server("krakendata_live_page") as started:
        with ThreadPoolExecutor() as threads:
            # Playwright keeps an event loop running in this one.
            threads.submit(lambda: asyncio.run(started.write(history()))).result()
        yield started


@pytest.fixture
def tell(server: LiveServer) -> Iterator[Tell]:
    with feed_in_thread(server.redis.url) as told:
        yield told


@pytest.fixture
def troubles() -> list[str]:
    return []


@pytest.fixture
def page(browser: Browser, server: LiveServer, troubles: list[str]) -> Iterator[Page]:
    with logged_in(browser, server.url, USER, PASSWORD, troubles) as opened:
        opened.get_by_role("link", name="Live", exact=False).first.click()
        yield opened


def newest(page: Page) -> str:
    return page.locator("#live").get_attribute("data-newest") or ""


def test_the_chart_moves_as_trades_come(page: Page, tell: Tell, troubles: list[str]) -> None:
    expect(page.locator("#live")).to_have_attribute("data-feed", "live")
    expect(page.locator("[data-fact=close]")).not_to_be_empty()
    canvas = page.locator("[data-chart] canvas").first
    before = canvas.screenshot()
    now = ns_of(datetime.now(UTC))
    known = int(newest(page).split()[1])
    tell(trade(known + 1, now, 83_400))
    expect(page.locator("[data-fact=close]")).to_have_text("83400")
    tell(trade(known + 2, now + 1000, 83_555.5))
    expect(page.locator("[data-fact=close]")).to_have_text("83555.5")
    expect(page.locator("[data-fact=state]")).to_have_text("forming")
    page.wait_for_timeout(300)
    assert canvas.screenshot() != before
    assert page.locator("#tv-attr-logo").count() == 1
    assert troubles == []


def test_another_pair_and_interval_are_chosen(page: Page, troubles: list[str]) -> None:
    page.get_by_label("Pair").fill("XBTUSD")
    page.get_by_label("Interval").select_option("5m")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("#live")).to_have_attribute("data-interval", "5m")
    expect(page.locator("[data-fact=close]")).not_to_be_empty()
    expect(page.locator("h2.kd-live-title")).to_have_text("BTC/USD 5m")
    assert troubles == []


def test_a_pair_without_data_says_so(page: Page) -> None:
    page.goto("/admin/krakendata/pair/live/?symbol=ABC/USD")
    expect(page.get_by_text("Unknown symbol 'ABC/USD'")).to_be_visible()
    page.goto("/admin/krakendata/pair/live/?symbol=nonsense")
    expect(page.get_by_text("No pair is called nonsense")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_it_fits_every_width_in_light_and_dark(page: Page, tell: Tell, scheme: str, width: int) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.set_viewport_size({"width": width, "height": 800})
    page.reload()
    expect(page.locator("#live")).to_have_attribute("data-feed", "live")
    expect(page.locator("[data-fact=close]")).not_to_be_empty()
    page.wait_for_timeout(500)
    assert page.evaluate("document.documentElement.classList.contains('dark')") == (scheme == "dark")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    box = page.locator("[data-chart]").bounding_box()
    assert box is not None
    assert box["width"] > 0.8 * width - 300 * (width > 1000)
    if PICTURES:
        page.screenshot(path=Path(PICTURES, f"live-{scheme}-{width}.png"))
