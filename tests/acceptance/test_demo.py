"""The demo as a newcomer meets it: one command, pairs that fill up by themselves, Ctrl-C, and nothing left running."""

import http.cookiejar
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, OpenerDirector, build_opener

import pytest
from playwright.sync_api import Browser, Page, expect

from config import env
from krakendata.management.command import INTERRUPTED
from krakendata.replay.demo_market import MISTYPED_ROWS, NEWCOMERS, TORN
from tests.browser.test_admin_pages import browser as browser
from tests.browser.test_admin_pages import note_troubles

TUTORIAL = env.ROOT / "docs/tutorial.md"
SECONDS_TO_END = 30
SECOND_START_SECONDS = 30
PAIRS = ["BCH/EUR", "BTC/USD", "DOGE/USD", "ETH/USD", "PEPE/USD"]
# Nobody waits so long unless something is wrong.
PATIENCE_SECONDS = 600
CLICK_SECONDS = 60
LOOK_SECONDS = 3
# A tail is filled once it is two minutes old, at the next minute's look, which takes a moment.
TAIL = timedelta(minutes=5)

pytestmark = [
    pytest.mark.skipif(os.environ["TEST_EDITION"] != "plain", reason="the same on every edition"),
    pytest.mark.slow,
]


@dataclass
class Demo:
    """A running demo, and what it has said."""

    process: "subprocess.Popen[str]"
    said: str = ""
    opener: OpenerDirector = field(
        default_factory=lambda: build_opener(HTTPCookieProcessor(http.cookiejar.CookieJar()))
    )

    def listen(self, until: str) -> None:
        """Take in what it says up to a line with `until`; it must not end before."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said += line
            if until in line:
                return
        pytest.fail(f"The demo ended: {self.said}")

    @property
    def address(self) -> str:
        return self.found(r"The admin is at (http://\S+/) ")

    @property
    def upload(self) -> str:
        return self.found(r"An archive to upload .*, is (\S+\.zip)\.$")

    @property
    def password(self) -> str:
        return self.found(r"admin, password (\S+)$")

    def found(self, pattern: str) -> str:
        match = re.search(pattern, self.said, flags=re.MULTILINE)
        assert match is not None, self.said
        return match[1]

    def get(self, path: str, form: dict[str, str] | None = None) -> str:
        body = urlencode(form).encode() if form else None
        with self.opener.open(self.address + path.lstrip("/"), body) as answer:
            text: str = answer.read().decode()
        return text

    def log_in(self, password: str) -> str:
        """Send the login form; gives the page that follows."""
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', self.get("/admin/login/"))
        assert token is not None
        form = {"csrfmiddlewaretoken": token[1], "username": "admin", "password": password}
        return self.get("/admin/login/?next=/admin/", form)

    def interrupt(self) -> int:
        """Press Ctrl-C and wait for the end; gives the exit code."""
        self.process.send_signal(signal.SIGINT)
        rest, _ = self.process.communicate(timeout=SECONDS_TO_END)
        self.said += rest
        return self.process.returncode


@dataclass(frozen=True)
class Place:
    """Where a demo has its data, so that it can be started again."""

    home: Path
    demos: list[Demo]

    def start(self, until: str = "The admin is at", port: int = 0) -> Demo:
        """Start `manage.py demo` with nothing but PATH and its database in the environment."""
        arguments = ["--port", str(port), "--directory", str(self.home / "archives")]
        process = subprocess.Popen(
            [sys.executable, "manage.py", "demo", *arguments],
            cwd=env.ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        demo = Demo(process)
        self.demos.append(demo)
        demo.listen(until)
        return demo

    def run(self, lines: str) -> str:
        """Run lines of a shell that a newcomer types; what he has done already is left out."""
        if "make demo" in lines:
            return ""
        (self.home / "var").mkdir(exist_ok=True)
        typed = lines.replace(".venv/bin/python manage.py", f'"{sys.executable}" "{env.ROOT}/manage.py"')
        done = subprocess.run(
            ["sh", "-euc", typed.replace("cp .env.example", f'cp "{env.ROOT}/.env.example"')],
            cwd=self.home,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def environment(self) -> dict[str, str]:
        """Give PATH and a database, and nothing else."""
        return {
            "PATH": os.environ["PATH"],
            "KRAKENDATA_ENV_FILE": os.devnull,
            "DATABASE_URL": f"embedded:{self.home / 'postgres'}",
        }

    def coverage(self) -> dict[str, dict[str, Any]]:
        """Ask `manage.py coverage` how complete each of the demo's pairs is; the tutorial has one of its own."""
        said = self.run(f".venv/bin/python manage.py coverage {' '.join(PAIRS)} --json")
        return {pair["symbol"]: pair for pair in json.loads(said.splitlines()[-1])["symbols"]}

    def log(self, name: str) -> str:
        """Give what the worker or beat has said."""
        return (self.home / "logs" / f"{name}.log").read_text(encoding="utf-8")

    def wait_until(self, is_so: Callable[[], Any], what: str) -> None:
        """Return once it is so; fail when patience ends."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not is_so():
            if time.monotonic() > deadline:
                pytest.fail(f"{what} did not come. {self.coverage()} {self.log('worker')[-5_000:]}")
            time.sleep(LOOK_SECONDS)

    def processes(self) -> dict[int, str]:
        """Give the command line of every process that was told of this place, by its arguments or variables."""
        found = {}
        for path in Path("/proc").glob("[0-9]*"):
            # A process may end while we look at it.
            with suppress(OSError):
                command = (path / "cmdline").read_bytes()
                if str(self.home).encode() in command + (path / "environ").read_bytes():
                    found[int(path.name)] = command.replace(b"\0", b" ").decode(errors="replace")
        return found

    def children(self, word: str) -> list[int]:
        """Give the processes of the demo's worker or beat, the main one first."""
        return sorted(pid for pid, command in self.processes().items() if f"-A config {word}" in command)


def is_proven(pair: dict[str, Any]) -> bool:
    """Tell whether nothing lacks of a pair, and nothing waits for its trades, but for the last minutes."""
    newest = datetime.now(UTC) - TAIL
    lacking = [start for start, _ in pair["missing"] + pair["provisional"]]
    return all(datetime.fromisoformat(start) > newest for start in lacking)


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """Give an empty place that the server's account can reach."""
    with tempfile.TemporaryDirectory(prefix="krakendata-demo-") as directory:
        Path(directory).chmod(0o755)
        started = Place(Path(directory), [])
        yield started
        for demo in started.demos:
            if demo.process.poll() is None:
                demo.interrupt()


@pytest.fixture(scope="module")
def first(place: Place) -> Demo:
    """Start the demo for the first time; an impatient newcomer has stopped it once."""
    impatient = place.start(until="Making up a market")
    assert impatient.interrupt() == INTERRUPTED
    assert "Stopped." in impatient.said
    assert "Traceback" not in impatient.said
    return place.start()


def test_the_first_start_shows_candles_to_the_account_it_made(first: Demo) -> None:
    assert "Log out" in first.log_in(first.password)
    page = first.get("/admin/krakendata/pair/candles/?symbol=BTC/USD&interval=1h")
    assert page.count("<tr") > 20


def test_a_wrong_password_does_not_open_the_admin(first: Demo) -> None:
    first.opener = build_opener(HTTPCookieProcessor(http.cookiejar.CookieJar()))
    assert "Log out" not in first.log_in("not the password")


def test_the_bad_rows_of_the_sample_are_rejected_and_nothing_else(first: Demo) -> None:
    assert re.search(r" 8 rejected ", first.said), first.said


def test_its_pairs_fill_up_to_proven_by_themselves(first: Demo, place: Place) -> None:
    place.wait_until(lambda: all(map(is_proven, place.coverage().values())), "the proof of every pair")
    for pair in place.coverage().values():
        # Months of trades, of which the archives had a week.
        assert pair["trades"]["collected"] > 1_000
        assert pair["trades"]["holes"] == 0
    assert "Log out" in first.log_in(first.password)
    runs = first.get("/admin/krakendata/syncrun/")
    assert runs.count("backfill") >= len(PAIRS)
    assert len(place.children("worker")) > len(PAIRS)
    assert len(place.children("beat")) == 1


@pytest.fixture
def page(first: Demo, browser: Browser) -> Iterator[Page]:
    """The desk, as the newcomer sees it after the login; nothing goes wrong in the browser."""
    troubles: list[str] = []
    home = first.address.rstrip("/")
    context = browser.new_context(base_url=home)
    context.set_default_timeout(CLICK_SECONDS * 1000)
    opened = context.new_page()
    note_troubles(opened, home, troubles)
    opened.goto("/admin/")
    opened.get_by_label("Username").fill("admin")
    opened.get_by_label("Password").fill(first.password)
    opened.get_by_role("button", name="Log in").click()
    yield opened
    context.close()
    assert troubles == []


def keep(page: Page, name: str) -> None:
    """Leave a picture for people where the environment says so."""
    if folder := os.environ.get("KEEP_PICTURES"):
        page.screenshot(path=Path(folder, f"newcomer-{name}.png"), full_page=True)


def test_a_newcomer_sees_the_hole_and_mends_it_by_a_click(page: Page) -> None:
    line = page.locator(".kd-line", has_text=TORN.symbol)
    expect(line).to_contain_text("It has 1 hole between the trades that are held.")
    keep(page, "hole")
    line.get_by_role("button", name="Fill gaps").click()
    expect(page.get_by_text(f"A worker fills the gaps of {TORN.symbol}.")).to_be_visible()
    expect(line).to_have_count(0, timeout=PATIENCE_SECONDS * 1000)
    keep(page, "mended")
    page.goto(f"/admin/krakendata/pair/sync-status/?pair={TORN.symbol}")
    expect(page.get_by_text("1 hole")).to_have_count(0)


def test_a_newcomer_tracks_a_pair_until_it_is_proven(page: Page) -> None:
    page.get_by_role("link", name="Track a pair").first.click()
    page.get_by_label("Find a pair").fill("sol")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("link", name=f"choose: {NEWCOMERS.symbol}").click()
    page.get_by_role("button", name="See what it costs").click()
    expect(page.get_by_text("An estimate.")).to_be_visible(timeout=PATIENCE_SECONDS * 1000)
    keep(page, "cost")
    page.get_by_role("button", name=f"Track {NEWCOMERS.symbol}").click()
    expect(page.get_by_text("UTC is proven, without a hole")).to_be_visible(timeout=PATIENCE_SECONDS * 1000)
    keep(page, "proven")


def test_a_newcomer_uploads_an_archive_and_replays_what_was_mistyped(first: Demo, page: Page) -> None:
    page.get_by_role("link", name="Upload", exact=False).first.click()
    page.get_by_label("One of Kraken's archives", exact=False).set_input_files(first.upload)
    page.get_by_role("button", name="Import it").click()
    page.get_by_role("link", name="See what was rejected").click()
    expect(page.locator("#result_list tbody tr")).to_have_count(MISTYPED_ROWS)
    keep(page, "rejected")
    page.locator("#result_list tbody tr a").first.click()
    price = page.get_by_label("price", exact=True)
    price.fill(price.input_value().replace("O", "0"))
    page.get_by_role("button", name="Check").click()
    expect(page.get_by_role("status")).to_contain_text("It can be true")
    page.get_by_label("Why", exact=True).fill("The letter O was meant as a zero.")
    page.get_by_role("button", name="Correct and replay").click()
    expect(page.get_by_text("Its fields, as corrected")).to_be_visible()
    while not page.locator(".kd-chip", has_text="replayed").count():
        page.wait_for_timeout(1_000)
        page.reload()
    keep(page, "replayed")


def test_the_tutorial_runs_as_it_is_written(first: Demo, place: Place) -> None:
    steps = re.findall(r"^```(sh|text|python)\n(.*?)^```", TUTORIAL.read_text(encoding="utf-8"), re.M | re.S)
    said = ""
    for kind, block in steps:
        if kind == "sh":
            said = place.run(block)
        elif kind == "python":
            (place.home / "var/newest.py").write_text(block, encoding="utf-8")
        else:
            for line in block.splitlines():
                assert re.search(re.escape(line).replace("…", ".*"), said), f"{line} is not in {said}"
    assert "<Candles BTC/USD 1h: 24 from" in said


def test_what_is_traded_meanwhile_comes_in_and_the_pairs_stay_proven(first: Demo, place: Place) -> None:
    before = place.coverage()

    def has_grown() -> bool:
        now = place.coverage()
        assert all(map(is_proven, now.values())), now
        return all(
            now[symbol]["trades"]["collected"] > before[symbol]["trades"]["collected"]
            for symbol in ("BTC/USD", "ETH/USD")
        )

    place.wait_until(has_grown, "newer trades")


def test_ctrl_c_ends_it_in_good_order_and_leaves_nothing_running(first: Demo, place: Place) -> None:
    address = first.address
    assert first.interrupt() == 0
    assert "Stopped." in first.said
    assert "Traceback" not in first.said
    assert "by itself" not in first.said
    assert place.processes() == {}
    assert "Warm shutdown" in place.log("worker")
    assert "Traceback" not in place.log("worker") + place.log("beat")
    with pytest.raises(URLError):
        build_opener().open(address)


def test_a_second_start_serves_the_same_data_in_seconds_where_a_port_is_free(
    first: Demo, place: Place
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        started = time.monotonic()
        second = place.start(port=taken.getsockname()[1])
        assert time.monotonic() - started < SECOND_START_SECONDS
        assert f":{taken.getsockname()[1]}/" not in second.address
    assert "imported already" in second.said
    assert first.password not in second.said
    assert "Log out" in second.log_in(first.password)


def test_a_worker_that_dies_is_told_of(place: Place) -> None:
    second = place.demos[-1]
    place.wait_until(lambda: "ready." in place.log("worker"), "the worker")
    main, *others = place.children("worker")
    assert others
    os.kill(main, signal.SIGKILL)
    second.listen(until="The worker has ended by itself (exit code -9). Its log")
    place.wait_until(lambda: place.children("worker") == [], "the end of its processes")
    assert second.interrupt() == 0
    assert place.processes() == {}


def test_a_demo_that_is_killed_leaves_neither_worker_nor_beat(place: Place) -> None:
    third = place.start()
    place.wait_until(
        lambda: "ready." in place.log("worker") and "Starting" in place.log("beat"), "both of them"
    )
    third.process.kill()
    third.process.communicate()
    place.wait_until(lambda: not place.children("worker") + place.children("beat"), "their end")
    # Where they were killed too, the next command that ends takes the servers with it.
    place.coverage()
    assert place.processes() == {}
