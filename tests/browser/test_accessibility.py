"""Every page of the admin, looked at by axe: names, labels, contrast, order; in light and in dark, wide and narrow."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from playwright.sync_api import Browser, BrowserContext, Page, expect
from pytest_django.live_server_helper import LiveServer

from krakendata.models import Pair, RejectCount, RejectedRecord, SyncRun, SyncStatus
from tests.admin_pages import AdminPage, find_admin_pages
from tests.browser.test_admin_pages import PASSWORD
from tests.browser.test_admin_pages import browser as browser
from tests.fix_market import SYMBOL

# vendor/axe-core-VERSION, as npm gives it, with its licence (MPL-2.0): for these tests alone.
FOUND = sorted(Path(__file__).parent.glob("vendor/axe-core-*/axe.min.js"))

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.slow,
    pytest.mark.skipif(not FOUND, reason="tests/browser/vendor has no axe-core"),
]

# Far fewer than there are: a register that cannot be read must not pass for one without a violation.
FEWEST_PAGES = 15
RUN = "() => axe.run(document, {resultTypes: ['violations']})"
# Where to leave the report for people, if anywhere.
REPORT = os.environ.get("KEEP_PICTURES")


@pytest.fixture
def context(browser: Browser, live_server: LiveServer) -> Iterator[BrowserContext]:
    """A browser in which axe is there on every page, whatever the page's own policy says of scripts."""
    opened = browser.new_context(base_url=live_server.url, bypass_csp=True)
    opened.add_init_script(path=FOUND[-1])
    yield opened
    opened.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    """A superuser, logged in."""
    User.objects.create_superuser("operator", password=PASSWORD)
    opened = context.new_page()
    opened.goto(reverse("admin:index"))
    opened.fill("[name=username]", "operator")
    opened.fill("[name=password]", PASSWORD)
    opened.click("button[type=submit]")
    expect(opened.get_by_role("link", name="Overview")).to_be_visible()
    return opened


@pytest.fixture
def rows(request: pytest.FixtureRequest) -> None:
    """Something on every page."""
    for name in ("trades", "minutes"):
        request.getfixturevalue(name)
    named = {"key": "XXBTZUSD", "altname": "XBTUSD", "wsname": "XBT/USD", "base": "XXBT", "quote": "ZUSD"}
    facts = {"status": "online", "price_decimals": 1, "volume_decimals": 8, "tracked": True}
    Pair.objects.create(symbol=SYMBOL, **named, **facts)
    SyncStatus.objects.create(symbol=SYMBOL, kind="trades", collected=250, stored=250, holes=1)
    run = SyncRun.objects.create(kind="import", done=1, total=4, read=10, stored=9, rejected=1)
    RejectCount.objects.create(run=run, source="archive", reason="bad_side", count=1)
    RejectedRecord.objects.create(
        run=run,
        source="archive",
        place="a.csv",
        symbol=SYMBOL,
        reason="bad_side",
        detail="The side is x.",
        raw="1,1,1,x",
    )


def test_the_login_has_no_violation(context: BrowserContext) -> None:
    opened = context.new_page()
    opened.goto(reverse("admin:login"))
    assert violations(opened) == []


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 2560)])
def test_an_empty_admin_has_no_violation(page: Page, scheme: str, width: int) -> None:
    set_window(page, scheme, width)
    assert looked_at(page, f"empty-{scheme}-{width}") == {}


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 360)])
def test_a_full_admin_has_no_violation(page: Page, scheme: str, width: int) -> None:
    set_window(page, scheme, width)
    assert looked_at(page, f"full-{scheme}-{width}") == {}


def test_what_the_theme_leaves_to_the_mouse_opens_by_the_keyboard(page: Page) -> None:
    schedules = page.get_by_role("link", name="Schedules")
    expect(schedules).to_be_hidden()
    settings = page.get_by_role("button", name="Settings")
    settings.press("Enter")
    expect(schedules).to_be_visible()
    expect(settings).to_have_attribute("aria-expanded", "true")
    account = page.get_by_role("button", name="operator")
    account.press("Space")
    expect(page.get_by_role("link", name="Change password")).to_be_visible()


def set_window(page: Page, scheme: str, width: int) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.set_viewport_size({"width": width, "height": 800})


def looked_at(page: Page, name: str) -> dict[str, list[str]]:
    """The violations of each page that has some; the report is kept where that is asked for."""
    found: dict[str, list[str]] = {}
    pages = [each for each in find_admin_pages(SYMBOL).pages if is_page(page, each)]
    assert len(pages) > FEWEST_PAGES
    for each in pages:
        page.goto(each.path)
        if said := violations(page):
            found[each.name] = said
    if REPORT:
        told = {"pages": [each.name for each in pages], "violations": found}
        Path(REPORT, f"axe-{name}.json").write_text(json.dumps(told, indent=1), encoding="utf-8")
    return found


def is_page(page: Page, each: AdminPage) -> bool:
    """Whether it is a whole page, and neither a part of one nor an address to post to."""
    answer = page.request.get(each.path, max_redirects=0)
    return answer.status == 200 and "<html" in answer.text()[:1000]


def violations(page: Page) -> list[str]:
    """What axe finds: the rule, what it wants, and where."""
    page.wait_for_load_state("networkidle")
    found: dict[str, Any] = page.evaluate(RUN)
    return [
        f"{each['id']}: {each['help']}: {' | '.join(str(node['target'][0]) for node in each['nodes'][:5])}"
        for each in found["violations"]
    ]
