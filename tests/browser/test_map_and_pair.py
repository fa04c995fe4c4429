"""The completeness map and a pair's page in a real browser: by mouse, touch and keys, at any width, light and dark."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, WebSocketRoute, expect

from krakendata.types import Trade, ns_of
from tests.browser.test_admin_pages import browser as browser
from tests.browser.test_admin_pages import note_troubles
from tests.live_server import PASSWORD, USER, LiveServer, feed_in_thread, live_server

pytestmark = pytest.mark.slow

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
DAYS = 12
# A trade every five minutes, but for six hours of the fifth day, which nobody collected.
A_DAY = 288
GONE = range(4 * A_DAY + 72, 4 * A_DAY + 144)
MAP = "/admin/krakendata/pair/completeness/"
PAIR = "/admin/krakendata/pair/BTC_2FUSD/change/"
# Where to leave pictures for people, if anywhere.
PICTURES = os.environ.get("KEEP_PICTURES")

# Milliseconds: what is tried again after some seconds.
PATIENCE = 20_000

Tell = Callable[..., None]


def midnight() -> datetime:
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def start() -> datetime:
    return midnight() - DAYS * DAY


def trade(symbol: str, number: int, ns: int, price: float) -> Trade:
    return Trade(symbol, number, ns, Decimal(f"{price:.1f}"), Decimal("0.25"), "buy", "limit")


def history(symbol: str) -> list[Trade]:
    """Up to a few minutes ago, up and down."""
    first = ns_of(start())
    count = int((datetime.now(UTC) - start()) / (5 * MINUTE))
    return [
        trade(symbol, n + 1, first + n * 300 * 10**9 + 10**9, 83_000 + (n * 37) % 411 + 3 * (n % 290))
        for n in range(count)
        if n not in GONE or symbol != "BTC/USD"
    ]


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with live_server("krakendata_map_page") as started:
        with ThreadPoolExecutor() as threads:
            # Playwright keeps an event loop running in this one.
            trades = [*history("BTC/USD"), *history("ETH/USD")]
            threads.submit(lambda: asyncio.run(started.write(trades))).result()
        with started.installation.connect() as connection:
            for symbol in ("BTC/USD", "ETH/USD", "WIFFLEBALLCOIN/USD"):
                name = symbol.replace("/", "")
                connection.execute(
                    "INSERT INTO pairs (symbol, key, altname, wsname, base, quote, status, price_decimals, "
                    "volume_decimals, tracked) VALUES (%s, %s, %s, %s, '', 'USD', 'online', 1, 8, true) "
                    "ON CONFLICT (symbol) DO UPDATE SET tracked = true",
                    [symbol, name, name, symbol],
                )
        yield started


@pytest.fixture
def tell(server: LiveServer) -> Iterator[Tell]:
    with feed_in_thread(server.redis.url) as told:
        yield told


@pytest.fixture
def troubles() -> list[str]:
    return []


def logged_in(browser: Browser, server: LiveServer, troubles: list[str], **options: Any) -> Page:
    context = browser.new_context(base_url=server.url, **options)
    opened = context.new_page()
    note_troubles(opened, server.url, troubles)
    opened.goto("/admin/")
    opened.fill("[name=username]", USER)
    opened.fill("[name=password]", PASSWORD)
    opened.click("button[type=submit]")
    return opened


@pytest.fixture
def page(browser: Browser, server: LiveServer, troubles: list[str]) -> Iterator[Page]:
    opened = logged_in(browser, server, troubles)
    yield opened
    opened.context.close()


def keep(page: Page, name: str) -> None:
    if PICTURES:
        page.screenshot(path=str(Path(PICTURES, f"{name}.png")), full_page=True)


def cell(page: Page) -> Any:
    return page.locator("#map [data-cell]")


def open_map(page: Page, since: datetime | None = None, until: datetime | None = None) -> None:
    """The map of whole days, wide enough for the cells to be them."""
    since, until = since or midnight() - 200 * DAY, until or midnight() + DAY
    page.goto(f"{MAP}?start={since:%Y-%m-%dT%H:%M}&end={until:%Y-%m-%dT%H:%M}")
    expect(page.locator("#map [data-frame]")).to_be_visible()
    expect(page.locator("#map")).to_have_attribute("data-ready", re.compile(r" 3$"))


def move_to(page: Page, day: datetime) -> None:
    """Put the cursor on a day of the first pair by the keys."""
    surface = page.locator("#map [data-cells]")
    surface.focus()
    page.keyboard.press("Home")
    page.keyboard.press("End")
    for _ in range((midnight() - day) // DAY):
        page.keyboard.press("ArrowLeft")


RUNNING = {
    "address": MAP, "kind": "audit", "symbols": ["BTC/USD"], "state": "running", "is_running": True, "percent": 25,
    "told": "25%", "error": "",
}  # fmt: skip


def fail(route: Route) -> None:
    """Answer as Django does where a view has raised."""
    route.fulfill(status=500, content_type="text/html", body="<h1>Server Error (500)</h1>")


# --- the map -------------------------------------------------------------------------------------------------


def test_days_are_told_by_the_keys_and_a_hole_is_looked_into(page: Page, troubles: list[str]) -> None:
    open_map(page)
    holed = start() + 4 * DAY
    move_to(page, holed)
    expect(cell(page)).to_have_text(f"BTC/USD, {holed:%Y-%m-%d}: missing")
    page.keyboard.press("ArrowLeft")
    expect(cell(page)).to_have_text(f"BTC/USD, {holed - DAY:%Y-%m-%d}: proven")
    page.keyboard.press("ArrowDown")
    expect(cell(page)).to_contain_text("ETH/USD")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.locator("#map")).to_have_attribute("data-ready", "1m 3")
    expect(page.locator("#map [data-shown]")).to_contain_text("in minutes")
    stretches = page.locator("#map [data-stretches] tbody tr")
    expect(stretches.nth(1)).to_contain_text("Missing")
    expect(stretches).to_have_count(3)
    keep(page, "map-day")
    page.locator("#map [data-cells]").focus()
    page.keyboard.press("Backspace")
    expect(page.locator("#map")).to_have_attribute("data-ready", "5m 3")
    page.go_back()
    expect(page.locator("#map")).to_have_attribute("data-ready", "1m 3")
    assert troubles == []


def test_a_stretch_selected_by_shift_and_arrows_is_previewed(page: Page, troubles: list[str]) -> None:
    open_map(page)
    move_to(page, start() + 5 * DAY)
    page.keyboard.press("Shift+ArrowLeft")
    expect(page.locator("#map [data-selected]")).to_contain_text(f"BTC/USD: {start() + 4 * DAY:%Y-%m-%d} to")
    expect(page.locator("#map [data-selection] [data-preview]")).to_contain_text("1 gap")
    expect(page.locator("#map [data-selection] [data-preview]")).to_contain_text("72 trades")
    page.keyboard.press("Escape")
    expect(page.locator("#map [data-selection]")).to_be_hidden()
    assert troubles == []


def test_a_stretch_dragged_over_is_backfilled_and_the_run_moves_in_place(
    page: Page, server: LiveServer, troubles: list[str]
) -> None:
    open_map(page, start() + 2 * DAY, start() + 8 * DAY)
    box = page.locator("#map [data-cells]").bounding_box()
    assert box is not None
    y = box["y"] + 24 + 10
    page.mouse.move(box["x"] + box["width"] * 0.2, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, y, steps=4)
    page.mouse.move(box["x"] + box["width"] * 0.7, y, steps=4)
    page.mouse.up()
    expect(page.locator("#map [data-preview]").last).to_contain_text("72 trades, 2 calls to Kraken")
    keep(page, "map-selected")
    page.get_by_role("button", name="Backfill").click()
    expect(page.locator("#map [data-started]")).to_have_text("The backfill of BTC/USD waits for a worker.")
    with server.installation.connect() as connection:
        (run,) = connection.execute(
            "INSERT INTO sync_runs (kind, parameters, done, total, unit, started_at) VALUES ('backfill', %s, 18, 72, "
            "'ids', now() - interval '3 seconds') RETURNING id",
            [json.dumps({"symbol": "BTC/USD"})],
        ).fetchone() or (None,)
    expect(page.locator("#map [data-job-list]")).to_contain_text("25.0%")
    keep(page, "map-running")
    with server.installation.connect() as connection:
        connection.execute(
            "UPDATE sync_runs SET state = 'done', done = 72, updated_at = now(), finished_at = now() WHERE id = %s",
            [run],
        )
    expect(page.locator("#map [data-job-list]")).to_contain_text("took")
    assert troubles == []


def test_a_finger_taps_a_cell_and_drags_a_stretch(
    browser: Browser, server: LiveServer, troubles: list[str]
) -> None:
    phone = logged_in(
        browser, server, troubles, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    open_map(phone, start() + 2 * DAY, start() + 8 * DAY)
    surface = phone.locator("#map [data-cells]")
    surface.scroll_into_view_if_needed()
    box = surface.bounding_box()
    assert box is not None
    phone.touchscreen.tap(box["x"] + box["width"] * 0.4, box["y"] + 34)
    expect(phone.locator("#map [data-selected]")).to_contain_text("BTC/USD:")
    expect(phone.locator("#map [data-selection]")).to_be_visible()
    keep(phone, "map-phone")
    phone.context.close()
    assert troubles == []


def test_years_and_days_are_a_button_away(page: Page, troubles: list[str]) -> None:
    page.goto(MAP)
    expect(page.locator("#map [data-frame]")).to_be_visible()
    page.get_by_role("button", name="Year", exact=True).click()
    expect(page.locator("#map")).to_have_attribute("data-ready", "1d 3")
    page.get_by_role("button", name="Month", exact=True).click()
    expect(page.locator("#map")).to_have_attribute("data-ready", "1h 3")
    page.get_by_role("button", name="Day", exact=True).click()
    expect(page.locator("#map")).to_have_attribute("data-ready", "1m 3")
    page.get_by_role("button", name="All", exact=True).click()
    expect(page.locator("#map")).to_have_attribute("data-ready", "1h 3")
    assert troubles == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280, 2560])
def test_the_map_fits_every_width(page: Page, scheme: str, width: int, troubles: list[str]) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.set_viewport_size({"width": width, "height": 900})
    open_map(page)
    move_to(page, start() + 5 * DAY)
    page.keyboard.press("Shift+ArrowLeft")
    expect(page.locator("#map [data-selection] [data-preview]")).to_contain_text("1 gap")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    keep(page, f"map-{scheme}-{width}")
    assert troubles == []


def test_what_is_selected_is_what_is_begun_though_rows_change_places(page: Page) -> None:
    change_rows: list[Callable[[list[Any]], list[Any]]] = [lambda rows: rows]
    sent: list[str] = []

    def answer_cells(route: Route) -> None:
        found = route.fetch().json()
        route.fulfill(json={**found, "rows": change_rows[0](found["rows"])})

    def answer_start(route: Route) -> None:
        sent.append(route.request.post_data or "")
        route.fulfill(json={"sentence": "It waits."})

    page.route("**/completeness/cells/*", answer_cells)
    page.route("**/completeness/start/", answer_start)
    # While anything runs the map refreshes every two seconds.
    page.route("**/completeness/runs/*", lambda route: route.fulfill(json={"runs": [RUNNING]}))
    open_map(page)
    move_to(page, start() + 5 * DAY)
    page.keyboard.press("Shift+ArrowLeft")
    selected = page.locator("#map [data-selected]")
    expect(selected).to_contain_text("BTC/USD: ")
    was_selected = selected.text_content() or ""
    # Another pair comes in before the one that is selected.
    change_rows[0] = lambda rows: [{**rows[0], "symbol": "AAA/USD"}, *rows]
    expect(page.locator("#map [data-names] li")).to_have_count(4)
    expect(page.locator("#map [data-names] li[data-here]")).to_have_text("BTC/USD")
    expect(selected).to_have_text(was_selected)
    page.get_by_role("button", name="Audit").click()
    expect(page.locator("#map [data-started]")).to_have_text("It waits.")
    assert "symbol=BTC%2FUSD&" in sent[0]
    assert "AAA" not in sent[0]
    page.locator("#map [data-stretches] button").first.click()
    expect(selected).to_contain_text("BTC/USD: ")
    change_rows[0] = lambda rows: rows[1:]
    expect(page.locator("#map [data-selection]")).to_be_hidden()


def test_where_no_pair_is_shown_it_says_of_what(page: Page, troubles: list[str]) -> None:
    message = page.locator("#map [data-message]")
    page.goto(f"{MAP}?find=nothing")
    expect(message).to_have_text("No pair here has nothing in its name.")
    page.goto(f"{MAP}?show=holes&find=eth")
    expect(message).to_have_text("No pair with eth in its name has holes.")
    expect(page.locator("#map [data-nothing]")).to_be_hidden()
    assert troubles == []


def test_a_refresh_leaves_what_is_typed_and_lets_go_of_pairs_that_are_gone(page: Page) -> None:
    are_gone: list[bool] = []

    def answer_cells(route: Route) -> None:
        found = route.fetch().json()
        route.fulfill(json={**found, "rows": [] if are_gone else found["rows"]})

    page.route("**/completeness/cells/*", answer_cells)
    page.route("**/completeness/runs/*", lambda route: route.fulfill(json={"runs": [RUNNING]}))
    open_map(page)
    move_to(page, start() + 5 * DAY)
    page.keyboard.press("Shift+ArrowLeft")
    since = page.locator("#map [name=start]")
    since.fill("2024-02-0")
    with page.expect_response("**/completeness/cells/*"):
        pass
    page.wait_for_timeout(300)
    expect(since).to_have_value("2024-02-0")
    are_gone.append(True)
    expect(page.locator("#map [data-frame]")).to_be_hidden()
    expect(page.locator("#map [data-selection]")).to_be_hidden()
    expect(page.locator("#map [data-stretches-section]")).to_be_hidden()


def test_looking_for_runs_rests_while_nobody_sees_them_and_ends_with_the_login(page: Page) -> None:
    answers: list[dict[str, Any]] = [{"json": {"runs": [RUNNING]}}]
    asked: list[str] = []

    def answer_runs(route: Route) -> None:
        asked.append(route.request.url)
        route.fulfill(**answers[-1])

    page.route("**/completeness/runs/*", answer_runs)
    open_map(page)
    jobs = page.locator("#map [data-job-list] li")
    expect(jobs).to_contain_text("25%")
    page.evaluate("Object.defineProperty(document, 'hidden', {configurable: true, value: true})")
    page.wait_for_timeout(500)
    seen = len(asked)
    page.wait_for_timeout(3_000)
    assert len(asked) == seen
    page.evaluate("delete document.hidden")
    answers.append({"status": 500, "content_type": "text/html", "body": "Server Error (500)"})
    message = page.locator("#map [data-message]")
    expect(message).to_have_text("The server failed; its log says why.")
    expect(jobs).to_contain_text("25%")
    answers.append({"status": 403})
    expect(message).to_have_text("You may not do that.", timeout=PATIENCE)
    seen = len(asked)
    page.wait_for_timeout(6_000)
    assert len(asked) == seen
    expect(jobs).to_contain_text("25%")


def test_a_server_that_fails_is_not_taken_for_a_logout(page: Page) -> None:
    page.route("**/completeness/cells/*", fail)
    page.goto(MAP)
    expect(page.locator("#map [data-message]")).to_have_text("The server failed; its log says why.")
    page.route("**/candles/*", fail)
    page.goto(PAIR)
    expect(page.locator("#pair-chart [data-message]")).to_have_text("The server failed; its log says why.")


# --- the pair's page -----------------------------------------------------------------------------------------


def chart(page: Page) -> Any:
    return page.locator("#pair-chart")


def open_pair(page: Page, interval: str) -> None:
    page.goto(f"{PAIR}?interval={interval}")
    expect(chart(page)).to_have_attribute("data-loaded", re.compile(r"^[1-9]"))
    expect(chart(page).locator("[data-fact=close]")).not_to_have_text("–")


def test_holes_are_shaded_and_quiet_minutes_are_dots(page: Page, troubles: list[str]) -> None:
    open_pair(page, "1h")
    # Six hours lack trades, and the one before them a part.
    assert int(chart(page).get_attribute("data-shaded") or "0") >= 6
    open_pair(page, "1m")
    expect(chart(page)).not_to_have_attribute("data-quiet", "0")
    assert troubles == []


def test_the_past_loads_as_one_comes_to_it(page: Page, troubles: list[str]) -> None:
    open_pair(page, "5m")
    expect(chart(page)).to_have_attribute("data-oldest", "false")
    loaded = int(chart(page).get_attribute("data-loaded") or "0")
    frame = page.locator("[data-chart]")
    frame.focus()
    for _ in range(40):
        page.keyboard.press("PageUp")
        page.wait_for_timeout(60)
        if chart(page).get_attribute("data-oldest") == "true":
            break
    expect(chart(page)).to_have_attribute("data-oldest", "true")
    assert int(chart(page).get_attribute("data-loaded") or "0") > 2 * loaded
    keep(page, "pair-past")
    assert troubles == []


def test_candles_are_told_by_the_keys(page: Page, troubles: list[str]) -> None:
    open_pair(page, "1h")
    page.locator("[data-chart]").focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    spoken = page.locator("#pair-spoken")
    expect(spoken).to_contain_text(re.compile(r"^\d{4}-\d\d-\d\d \d\d:00 UTC: open 83\d+"))
    first = spoken.text_content()
    page.keyboard.press("ArrowLeft")
    expect(spoken).not_to_have_text(first or "")
    page.keyboard.press("+")
    page.keyboard.press("-")
    page.keyboard.press("End")
    assert troubles == []


def test_the_newest_candle_moves_as_trades_come(page: Page, tell: Tell, troubles: list[str]) -> None:
    open_pair(page, "1m")
    expect(chart(page)).to_have_attribute("data-feed", "live")
    number = len(history("BTC/USD")) + len(GONE) + 1
    now = ns_of(datetime.now(UTC))
    tell(trade("BTC/USD", number, now, 84_321))
    expect(chart(page).locator("[data-fact=close]")).to_have_text("84321")
    tell(trade("BTC/USD", number + 1, now + 1000, 84_400.5))
    expect(chart(page).locator("[data-fact=close]")).to_have_text("84400.5")
    expect(chart(page)).to_have_attribute("data-newest", re.compile(r"84400\.5$"))
    assert troubles == []


def test_what_the_live_line_missed_is_loaded_again(page: Page, troubles: list[str]) -> None:
    quiet: list[int] = []

    def answer_old(route: Route) -> None:
        """The first time as it was an hour ago; what the live line tells next begins behind that."""
        found = route.fetch().json()
        until = found["end"] - (0 if quiet else 3600)
        rows = [row for row in found["rows"] if row[0] < until]
        quiet.append(sum(row[6] == 0 for row in rows))
        route.fulfill(json={**found, "end": until, "rows": rows})

    page.route("**/page/candles/*", answer_old)
    open_pair(page, "1m")
    # Of five minutes four were quiet, and each has its dot; a minute may be told live alone.
    expect(chart(page)).not_to_have_attribute("data-quiet", str(quiet[0]), timeout=PATIENCE)
    page.wait_for_timeout(1_000)
    assert len(quiet) == 2
    assert int(chart(page).get_attribute("data-quiet") or "0") >= quiet[1] - 2 > quiet[0] + 20
    assert troubles == []


def test_a_line_that_answers_no_ping_is_taken_up_again(page: Page, tell: Tell) -> None:
    is_dead: list[bool] = []

    def pass_on(line: WebSocketRoute) -> None:
        far = line.connect_to_server()
        far.on_message(lambda text: None if is_dead else line.send(text))

    page.route_web_socket("**/live/", pass_on)
    open_pair(page, "1m")
    expect(chart(page)).to_have_attribute("data-feed", "live")
    is_dead.append(True)
    # Two pings, ten seconds from each other.
    expect(chart(page)).to_have_attribute("data-feed", "away", timeout=2 * PATIENCE)
    is_dead.clear()
    expect(chart(page)).to_have_attribute("data-feed", "live", timeout=PATIENCE)


def test_a_sentence_goes_once_candles_come(page: Page) -> None:
    def answer(line: WebSocketRoute) -> None:
        def hear(_: str | bytes) -> None:
            line.send(json.dumps({"method": "subscribe", "success": False, "error": "The database is away."}))
            line.send(json.dumps({"type": "feed", "state": "live"}))
            row = {
                "timestamp": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:00Z}",
                "state": "forming",
                "trade_count": 1,
            }
            prices = dict.fromkeys(("open", "high", "low", "close", "volume"), "7")
            page.wait_for_timeout(1_500)
            update = {"channel": "candles", "type": "update", "data": [{**row, **prices, "complete": True}]}
            line.send(json.dumps(update))

        line.on_message(hear)

    page.route_web_socket("**/live/", answer)
    page.goto(f"{PAIR}?interval=1m")
    message = page.locator("#pair-chart [data-message]")
    expect(message).to_have_text("The database is away.")
    expect(chart(page).locator("[data-fact=close]")).to_have_text("7")
    expect(message).to_be_hidden()


def test_another_interval_is_a_button_away(page: Page, troubles: list[str]) -> None:
    open_pair(page, "1h")
    page.get_by_role("button", name="1d", exact=True).click()
    expect(chart(page)).to_have_attribute("data-interval", "1d")
    expect(page.locator("[data-fact=time]")).to_have_text(re.compile(r"^\d{4}-\d\d-\d\d$"))
    assert page.url.endswith("interval=1d")
    expect(page.get_by_role("button", name="1d", exact=True)).to_have_attribute("aria-pressed", "true")
    assert troubles == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280, 2560])
def test_the_pairs_page_fits_every_width(page: Page, scheme: str, width: int, troubles: list[str]) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.set_viewport_size({"width": width, "height": 900})
    open_pair(page, "1h")
    expect(page.get_by_text("days:")).to_be_visible()
    page.wait_for_timeout(500)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    keep(page, f"pair-{scheme}-{width}")
    assert troubles == []


def test_a_pair_without_data_says_so(page: Page, troubles: list[str]) -> None:
    page.goto("/admin/krakendata/pair/WIFFLEBALLCOIN_2FUSD/change/")
    expect(page.get_by_text("Nothing was collected yet.")).to_be_visible()
    expect(page.locator("#pair-chart [data-message]")).to_contain_text("No candles of WIFFLEBALLCOIN/USD yet")
    keep(page, "pair-empty")
    assert troubles == []
