"""Uploading in a real browser: an archive comes in chunks, goes on after a closed tab, is checked and imported."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis
from django.db import connection
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Page, Route, expect
from pytest_django.fixtures import Settings

from krakendata.admin import upload_chunks
from krakendata.models import Trade, Upload
from krakendata.tasks import check_upload, import_files
from tests.archive_files import made_trades, write_trades
from tests.browser.test_admin_pages import browser as browser
from tests.browser.test_admin_pages import page as page
from tests.browser.test_admin_pages import troubles as troubles
from tests.browser.test_onboarding_page import keep_picture
from tests.integration.test_tracking import queue as queue

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

CHUNK = 8_000
ROWS = 1_000
BAD = "1700000000,-1,1,b,l,,77"


@pytest.fixture(autouse=True)
def folder(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, queue: redis.Redis
) -> Iterator[Path]:
    """Turn uploads on, with small chunks."""
    path = tmp_path / "uploads"
    settings.KRAKENDATA = {**settings.KRAKENDATA, "UPLOAD_DIR": path}
    monkeypatch.setattr(upload_chunks, "CHUNK_BYTES", CHUNK)
    yield path


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Give an archive with a bad row in its middle."""
    now = datetime.now(UTC)
    trades = made_trades(7, now - timedelta(days=2), now - timedelta(days=1), ROWS)
    return write_trades(tmp_path / "XBTUSD.csv", trades, extra=[BAD])


def work(task: object, *arguments: object, **options: object) -> None:
    """Do a worker's part, away from the browser's event loop."""

    def do() -> None:
        try:
            task.apply(args=arguments, kwargs=options, throw=True)  # type: ignore[attr-defined]
        finally:
            connection.close()

    with ThreadPoolExecutor() as threads:
        threads.submit(do).result()


def test_an_archive_is_uploaded_checked_and_imported(
    page: Page, folder: Path, archive: Path, troubles: list[str]
) -> None:
    page.get_by_role("link", name="Upload", exact=False).first.click()
    keep_picture(page, "upload-empty")
    page.get_by_label("One of Kraken's archives", exact=False).set_input_files(archive)
    expect(page.get_by_text("A worker looks at it")).to_be_visible()
    upload = Upload.objects.get()
    assert (folder / upload.file).read_bytes() == archive.read_bytes()
    keep_picture(page, "upload-checking")
    work(check_upload, upload.pk)
    expect(page.get_by_role("button", name="Import it")).to_be_visible()
    expect(page.get_by_text("A price has to be above zero.")).to_be_visible()
    expect(page.get_by_text(f"line {ROWS // 2 + 1}")).to_be_visible()
    keep_picture(page, "upload-ready")
    page.get_by_role("button", name="Import it").click()
    expect(page.locator(".kd-chip", has_text="importing")).to_be_visible()
    work(import_files, str(folder / upload.file), symbol="BTC/USD")
    expect(page.get_by_text(f"{ROWS + 1:,} rows read")).to_be_visible()
    keep_picture(page, "upload-imported")
    assert Trade.objects.count() == ROWS
    page.get_by_role("link", name="See what was rejected").click()
    expect(page.locator("#result_list .kd-raw")).to_have_text(BAD)
    assert troubles == []


def test_it_goes_on_after_a_closed_tab(page: Page, folder: Path, archive: Path) -> None:
    sent: list[str] = []

    def break_off(route: Route) -> None:
        sent.append(route.request.url)
        if len(sent) >= 3:
            route.abort()
        else:
            route.continue_()

    page.route("**/chunk/**", break_off)
    page.goto(reverse("admin:krakendata_upload_changelist"))
    page.get_by_label("One of Kraken's archives", exact=False).set_input_files(archive)
    expect(page.get_by_text("The server does not answer; trying again")).to_be_visible()
    keep_picture(page, "upload-broken")
    # The tab is closed while the line is broken.
    page.goto("about:blank")
    page.unroute("**/chunk/**")
    page.goto(reverse("admin:krakendata_upload_changelist"))
    upload = Upload.objects.get()
    assert upload.received == 2 * CHUNK
    expect(page.locator(".kd-chip", has_text="half")).to_be_visible()
    keep_picture(page, "upload-half")
    offsets: list[str] = []
    page.on(
        "request",
        lambda asked: (
            offsets.append(asked.url.partition("offset=")[2].partition("&")[0])
            if "/chunk/" in asked.url
            else None
        ),
    )
    page.get_by_label("One of Kraken's archives", exact=False).set_input_files(archive)
    expect(page.get_by_text("A worker looks at it")).to_be_visible()
    assert offsets[0] == str(2 * CHUNK)
    assert (folder / upload.file).read_bytes() == archive.read_bytes()
    assert Upload.objects.count() == 1


def test_what_is_no_archive_is_refused_in_a_sentence(page: Page, tmp_path: Path) -> None:
    notes = tmp_path / "notes.csv"
    notes.write_text("to do", encoding="utf-8")
    page.goto(reverse("admin:krakendata_upload_changelist"))
    page.get_by_label("One of Kraken's archives", exact=False).set_input_files(notes)
    expect(page.get_by_text("is not named after a pair")).to_be_visible()
    keep_picture(page, "upload-refused")
    assert not Upload.objects.exists()


def test_the_focus_and_a_press_outlast_what_follows_by_itself(page: Page, folder: Path) -> None:
    upload = Upload.objects.create(
        owner="operator", name="a.csv", size=9, received=9, state="checking", file="a.csv",
        updated_at=timezone.now() - timedelta(days=1),
    )  # fmt: skip
    address = reverse("admin:krakendata_upload_change", args=[upload.pk])
    page.goto(address)
    button = page.get_by_role("button", name="Check it again")
    button.focus()
    page.evaluate("document.querySelector('.kd-upload').dataset.old = ''")
    expect(page.locator(".kd-upload[data-old]")).to_have_count(0)
    expect(button).to_be_focused()
    button.hover()
    page.mouse.down()
    with page.expect_response(f"**{address}"):
        pass
    page.wait_for_timeout(300)
    with page.expect_request("**/check/"):
        page.mouse.up()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280, 2560])
def test_it_fits_every_width_in_light_and_dark(page: Page, archive: Path, scheme: str, width: int) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(reverse("admin:krakendata_upload_changelist"))
    page.get_by_label("One of Kraken's archives", exact=False).set_input_files(archive)
    expect(page.get_by_text("A worker looks at it")).to_be_visible()
    work(check_upload, Upload.objects.get().pk)
    expect(page.get_by_role("button", name="Import it")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    keep_picture(page, f"upload-{scheme}-{width}")
