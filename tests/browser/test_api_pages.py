"""The API in a real browser: a token is made and shown once, and the page to try it answers."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.test_admin_pages import browser as browser
from tests.browser.test_admin_pages import logged_in
from tests.live_server import PASSWORD, USER, LiveServer, live_server

pytestmark = pytest.mark.slow

# Where to leave pictures for people, if anywhere.
PICTURES = os.environ.get("KEEP_PICTURES")


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with live_server("krakendata_api_pages") as started:
        yield started


@pytest.fixture
def troubles() -> list[str]:
    return []


@pytest.fixture
def page(browser: Browser, server: LiveServer, troubles: list[str]) -> Iterator[Page]:
    with logged_in(browser, server.url, USER, PASSWORD, troubles) as opened:
        yield opened


def keep(page: Page, name: str) -> None:
    if PICTURES:
        page.screenshot(path=str(Path(PICTURES, f"{name}.png")), full_page=True)


def test_a_token_is_made_shown_and_revoked(page: Page, troubles: list[str]) -> None:
    page.goto("/admin/krakendata/apitoken/")
    keep(page, "tokens-none")
    page.goto("/admin/krakendata/apitoken/add/")
    page.get_by_label("Name").fill("the charts")
    page.get_by_label("read:candles").check()
    keep(page, "token-form")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".kd-token")).to_have_text(re.compile(r"^kd_[\w-]{43}$"))
    keep(page, "token-made")
    page.get_by_role("link", name="All tokens").click()
    expect(page.get_by_text("valid")).to_be_visible()
    page.locator("input[name=_selected_action]").first.check()
    page.locator("select[name=action]").select_option("revoke")
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_text("revoked", exact=True)).to_be_visible()
    keep(page, "tokens")
    assert troubles == []


def test_the_page_to_try_it_asks_and_shows_the_answer(page: Page, troubles: list[str]) -> None:
    page.goto("/api/v1/docs")
    operation = page.locator("#operations-default-symbols, [id^=operations-][id$=symbols]").first
    operation.click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()
    expect(operation.locator(".live-responses-table tbody .response-col_status").first).to_contain_text("200")
    keep(page, "try-it")
    assert troubles == []
