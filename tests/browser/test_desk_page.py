"""The desk in a real browser: it follows by itself, keeps the focus, its buttons do what they say, at any width."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from playwright.sync_api import Browser, Page, WebSocketRoute, expect

from krakendata.storage.conninfo import arguments_from_url
from tests.browser.test_admin_pages import browser as browser
from tests.browser.test_admin_pages import note_troubles
from tests.live_server import PASSWORD, USER, LiveServer, live_server

pytestmark = pytest.mark.slow

# Where to leave pictures for people, if anywhere.
PICTURES = os.environ.get("KEEP_PICTURES")
DATABASE = "krakendata_desk_page"
# Milliseconds: some readings of three seconds each.
PATIENCE = 15_000
LONG_ERROR = "Kraken refuses: EQuery:Unknown asset pair <b>" + "x" * 150

PAIR = """
    INSERT INTO pairs (symbol, key, altname, wsname, base, quote, status, price_decimals, volume_decimals, tracked)
    SELECT name, name, name, name, 'A', 'USD', 'online', 1, 8, true FROM unnest(%s::text[]) name
"""
STATUS = """
    INSERT INTO data_sync_status (symbol, kind, newest_timestamp, last_success, holes)
    VALUES (%s, 'trades', now() - %s::interval, now(), %s)
    ON CONFLICT (symbol, kind) DO UPDATE SET newest_timestamp = excluded.newest_timestamp, holes = excluded.holes
"""
RUN = """
    INSERT INTO sync_runs (kind, state, parameters, error, finished_at)
    VALUES ('backfill', 'failed', '{"symbol": "DOGE/USD"}', %s, now())
"""
FEED = """
    WITH run AS (INSERT INTO sync_runs (kind) VALUES ('live') RETURNING id)
    INSERT INTO feed_sessions (run_id, name, alive_at, heard_at, symbols, statistics)
    SELECT id, %s, now() - %s::interval, now() - %s::interval, 3, '{"trades_per_second": 12.5, "seconds_behind": 0.4}'
    FROM run
"""
WORKER = "INSERT INTO workers (name, alive_at) VALUES (%s, clock_timestamp() + %s::interval)"
TABLES = "pairs, data_sync_status, sync_runs, feed_sessions, workers"


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with live_server(DATABASE) as started:
        yield started


def write(server: LiveServer, *statements: tuple[str, list[Any]]) -> None:
    with server.installation.connect() as connection:
        for statement, parameters in statements:
            connection.execute(statement, parameters)


@pytest.fixture
def busy(server: LiveServer) -> None:
    """A desk with something of everything; what is alive stays so for an hour."""
    write(
        server,
        (f"TRUNCATE {TABLES} CASCADE", []),
        (PAIR, [["BTC/USD", "ETH/USD", "DOGE/USD", "A-VERY-LONG-NAME-OF-A-PAIR/USD"]]),
        (STATUS, ["BTC/USD", "-1 hour", 0]),
        (STATUS, ["ETH/USD", "3 hours", 0]),
        (STATUS, ["DOGE/USD", "-1 hour", 4]),
        (RUN, [LONG_ERROR]),
        (FEED, ["main", "-1 hour", "-1 hour"]),
        (FEED, ["second", "2 days", "2 days"]),
        (WORKER, ["celery@worker-one.example.org", "1 hour"]),
        (WORKER, ["celery@gone", "-1 day"]),
    )


@pytest.fixture
def troubles() -> list[str]:
    return []


@pytest.fixture
def page(browser: Browser, server: LiveServer, troubles: list[str]) -> Iterator[Page]:
    context = browser.new_context(base_url=server.url)
    opened = context.new_page()
    note_troubles(opened, server.url, troubles)
    opened.goto("/admin/")
    opened.fill("[name=username]", USER)
    opened.fill("[name=password]", PASSWORD)
    opened.click("button[type=submit]")
    expect(opened.locator("#desk")).to_have_attribute("data-feed", "live")
    yield opened
    context.close()


def count(page: Page, title: str) -> Any:
    return page.locator(".kd-count", has_text=title).locator(".kd-chip")


def test_it_follows_by_itself_and_keeps_what_has_the_focus(
    busy: None, page: Page, server: LiveServer, troubles: list[str]
) -> None:
    expect(count(page, "fresh")).to_have_text("2")
    expect(count(page, "trades/s now")).to_have_text("12.5")
    line = page.locator(".kd-line", has_text="Nothing newer than")
    expect(line).to_contain_text("ETH/USD")
    button = page.get_by_role("button", name="Fill gaps: DOGE/USD")
    button.focus()
    write(server, (STATUS, ["ETH/USD", "-1 hour", 0]))
    expect(count(page, "fresh")).to_have_text("3", timeout=PATIENCE)
    expect(line).to_have_count(0)
    expect(button).to_be_focused()
    assert page.locator("#desk b").count() == 0
    expect(page.get_by_role("region", name="Table: storage")).to_be_visible()
    assert troubles == []


def test_what_stays_as_it_was_is_not_told_again(busy: None, page: Page, server: LiveServer) -> None:
    told = page.locator("[data-part=attention-told]")
    lines = page.locator(".kd-line")
    expect(told).to_have_text(f"{lines.count()} things need attention.")
    expect(page.locator("[data-part=attention][aria-live]")).to_have_count(0)
    page.evaluate(
        """() => {
            window.changes = 0;
            const observer = new MutationObserver(() => { window.changes += 1; });
            for (const each of document.querySelectorAll("[data-state], [data-part=attention-told]")) {
                observer.observe(each, {childList: true, characterData: true, subtree: true});
            }
        }"""
    )
    seen = page.locator("[data-as-of]").text_content() or ""
    expect(page.locator("[data-as-of]")).not_to_have_text(seen, timeout=PATIENCE)
    assert page.evaluate("window.changes") == 0
    count_before = lines.count()
    write(server, (STATUS, ["ETH/USD", "-1 hour", 0]))
    expect(told).to_have_text(f"{count_before - 1} things need attention.", timeout=PATIENCE)


def test_a_line_that_is_dead_is_said_and_taken_up_again(busy: None, page: Page) -> None:
    is_dead: list[bool] = []

    def pass_on(line: WebSocketRoute) -> None:
        far = line.connect_to_server()
        far.on_message(lambda text: None if is_dead else line.send(text))

    page.route_web_socket("**/live/", pass_on)
    page.reload()
    desk = page.locator("#desk")
    expect(desk).to_have_attribute("data-feed", "live", timeout=PATIENCE)
    is_dead.append(True)
    expect(desk).to_have_attribute("data-feed", "not heard", timeout=PATIENCE)
    is_dead.clear()
    expect(desk).to_have_attribute("data-feed", "live", timeout=PATIENCE)


def test_what_is_gone_is_forgotten_by_a_click(busy: None, page: Page, troubles: list[str]) -> None:
    page.get_by_role("button", name="Forget it: celery@gone").click()
    expect(page.get_by_text("It is forgotten; a worker that lives")).to_be_visible()
    expect(page.get_by_text("celery@gone")).to_have_count(0)
    assert troubles == []


def test_a_chip_leads_to_its_list_with_the_keyboard_alone(busy: None, page: Page) -> None:
    page.get_by_role("link", name="behind").focus()
    page.keyboard.press("Enter")
    expect(page.locator("tbody tr")).to_have_count(2)
    expect(page.locator("tbody")).to_contain_text("ETH/USD")


def test_a_database_that_is_away_is_said_and_found_again(busy: None, page: Page, server: LiveServer) -> None:
    name = DATABASE
    with psycopg.connect(**arguments_from_url(os.environ["DATABASE_URL"]), autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        try:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
            )
            expect(page.locator("[data-state]")).to_have_text("database away", timeout=PATIENCE)
            if PICTURES:
                page.screenshot(path=Path(PICTURES, "desk-away.png"))
        finally:
            connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    expect(page.locator("#desk")).to_have_attribute("data-feed", "live", timeout=PATIENCE)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280, 2560])
def test_it_fits_every_width_in_light_and_dark(busy: None, page: Page, scheme: str, width: int) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.set_viewport_size({"width": width, "height": 900})
    page.reload()
    expect(page.locator("#desk")).to_have_attribute("data-feed", "live")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if PICTURES:
        page.screenshot(path=Path(PICTURES, f"desk-{scheme}-{width}.png"), full_page=True)


def test_an_empty_desk_says_what_to_do(server: LiveServer, page: Page) -> None:
    write(server, (f"TRUNCATE {TABLES} CASCADE", []))
    page.reload()
    expect(page.get_by_text("Nothing yet: no pair is tracked.")).to_be_visible()
    if PICTURES:
        page.screenshot(path=Path(PICTURES, "desk-empty.png"), full_page=True)
