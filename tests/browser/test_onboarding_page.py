"""Onboarding in a real browser: a newcomer finds a pair, sees its cost, tracks it, and watches it become proven."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Page, expect
from pytest_django.fixtures import Settings

from krakendata.models import Pair, SyncRun, SyncStatus, TradeRun
from krakendata.replay.exchange import ReplayExchange
from krakendata.replay.histories import GeneratedHistory
from krakendata.replay.market import MARKET_PAIRS
from krakendata.replay.server import ReplayServer
from krakendata.types import ns_of
from tests.browser.test_admin_pages import browser as browser
from tests.browser.test_admin_pages import page as page
from tests.browser.test_admin_pages import troubles as troubles
from tests.browser.test_live_page import PICTURES

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

PAIRS = ("BTC/USD", "ETH/USD", "DOGE/USD")


@pytest.fixture
def exchange(settings: Settings) -> Iterator[ReplayServer]:
    """Give an exchange that has traded three pairs for a day and a half."""
    start = datetime.now(UTC) - timedelta(hours=36)
    replayed = ReplayExchange([GeneratedHistory(MARKET_PAIRS[symbol], start) for symbol in PAIRS])
    with ReplayServer(replayed).in_thread() as server:
        settings.KRAKENDATA = {**settings.KRAKENDATA, "KRAKEN_REST_URL": server.rest_url}
        yield server


def keep_picture(page: Page, name: str) -> None:
    if PICTURES:
        page.screenshot(path=Path(PICTURES, f"{name}.png"), full_page=True)


def test_a_pair_goes_from_nothing_to_proven(page: Page, exchange: ReplayServer, troubles: list[str]) -> None:
    page.get_by_role("link", name="Track a pair").click()
    keep_picture(page, "onboarding-empty")
    page.get_by_role("button", name="Fetch the list").click()
    expect(page.get_by_text("The exchange lists 3 pairs.")).to_be_visible()
    page.get_by_label("Find a pair").fill("xbt usd")
    page.get_by_role("button", name="Search").click()
    keep_picture(page, "onboarding-search")
    page.get_by_role("link", name="choose: BTC/USD").click()
    page.get_by_label("its first trade: everything").check()
    page.get_by_role("button", name="See what it costs").click()
    expect(page.get_by_text("An estimate.")).to_be_visible()
    keep_picture(page, "onboarding-cost")
    assert not Pair.objects.filter(tracked=True).exists()
    page.get_by_role("button", name="Track BTC/USD from its first trade on").click()
    expect(page.get_by_text("tracked, from its first trade on")).to_be_visible()
    expect(page.get_by_text("no trade is in")).to_be_visible()
    keep_picture(page, "onboarding-waiting")
    now = timezone.now()
    run = SyncRun.objects.create(
        kind="backfill",
        parameters={"symbol": "BTC/USD", "by": "worker"},
        unit="trades",
        started_at=now - timedelta(seconds=30),
        updated_at=now,
        done=30_000,
        total=120_000,
        read=30_000,
        stored=30_000,
    )
    its_page = page.get_by_role("link", name="Its page")
    its_page.focus()
    expect(page.get_by_text("its past is being fetched, the newest trades first")).to_be_visible()
    expect(its_page).to_be_focused()
    keep_picture(page, "onboarding-fetching")
    TradeRun.objects.create(
        symbol="BTC/USD", first_id=1, last_id=120_000, trades=120_000, source="rest", stored=True,
        first_ns=ns_of(now - timedelta(hours=36)), last_ns=ns_of(now),
    )  # fmt: skip
    SyncStatus.objects.create(
        symbol="BTC/USD", kind="trades", collected=120_000, stored=120_000, holes=0,
        oldest_timestamp=now - timedelta(hours=36), newest_timestamp=now,
    )  # fmt: skip
    # The last: a backfill that is done with nothing in is over too.
    SyncRun.objects.filter(pk=run.pk).update(
        state="done", done=120_000, read=120_000, stored=120_000, finished_at=timezone.now()
    )
    expect(page.get_by_text("UTC is proven, without a hole")).to_contain_text(
        "120,000 trades are in; 99.9% of"
    )
    keep_picture(page, "onboarding-proven")
    assert page.locator(".kd-onboarding[hx-get]").count() == 0
    assert troubles == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280, 2560])
def test_it_fits_every_width_in_light_and_dark(
    page: Page, exchange: ReplayServer, scheme: str, width: int
) -> None:
    for symbol in PAIRS:
        market = MARKET_PAIRS[symbol]
        Pair.objects.create(
            symbol=symbol, key=market.altname, altname=market.altname, wsname=symbol, base=symbol[:3], quote="USD",
            status="online", price_decimals=1, volume_decimals=8,
        )  # fmt: skip
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(f"{reverse('admin:krakendata_onboard')}?q=btc&symbol=BTC/USD&start=month")
    expect(page.get_by_text("An estimate.")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    keep_picture(page, f"onboarding-{scheme}-{width}")
