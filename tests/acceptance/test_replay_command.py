"""`manage.py replay` as a user runs it: a made-up market, what is stored, and what it says of wrong requests."""

from __future__ import annotations

import re
import signal
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, cast

import httpx
import pytest
from django.core.management import CommandError, call_command

from krakendata.types import NS_PER_SECOND
from tests.installations import Installation, installed

SECONDS_TO_END = 20


@pytest.fixture(scope="module")
def installation(django_db_setup: None) -> Iterator[Installation]:
    with installed("replay_command") as found:
        yield found


@contextmanager
def replaying(installation: Installation, *arguments: str) -> Iterator[httpx.Client]:
    """Run the command on a free port, give a client of it, and end it as Ctrl-C does."""
    process = installation.start("replay", "--port", "0", *arguments)
    output = cast(IO[str], process.stdout)
    try:
        first = output.readline()
        assert first.startswith("REST at "), first + output.read()
        address = first.split()[2].removesuffix("/0/public/,")
        with httpx.Client(base_url=address, trust_env=False) as web:
            yield web
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS_TO_END) == 0
        assert output.read().endswith("Stopped.\n")
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def result_of(web: httpx.Client, endpoint: str, **asked: Any) -> Any:
    answer = web.get(f"/0/public/{endpoint}", params=asked).json()
    assert answer["error"] == []
    return answer["result"]


def test_a_made_up_market_stands_at_the_time_it_is_told(installation: Installation) -> None:
    when = datetime(2026, 3, 2, 12, tzinfo=UTC)
    options = (
        "--generated",
        "--start",
        when.isoformat(),
        "--since",
        "2026-02-20",
        "--speed",
        "0",
        "--calls-per-second",
        "0",
    )
    with replaying(installation, "BTC/USD", "XDGUSD", *options) as web:
        assert result_of(web, "Time")["unixtime"] == when.timestamp()
        assert set(result_of(web, "AssetPairs")) == {"XXBTZUSD", "XDGUSD"}
        pages = [result_of(web, "Trades", pair="XBTUSD") for _ in range(5)]
        assert pages[0]["XXBTZUSD"][-1][2] < when.timestamp()
    with replaying(installation, "BTC/USD", *options) as web:
        assert result_of(web, "Trades", pair="XBTUSD") == pages[0]


def test_limits_and_faults_are_those_that_were_asked_for(installation: Installation, tmp_path: Path) -> None:
    file = tmp_path / "faults.json"
    file.write_text('{"missing_last": 1, "late_every": 9}')
    options = "--generated", "--faults", str(file), "--fault", "late_every=0", "--fault", "since=exclusive"
    with replaying(installation, "BCH/EUR", *options) as web:
        faults = web.get("/replay/faults").json()
        assert (faults["missing_last"], faults["late_every"], faults["since"]) == (1, 0, "exclusive")
        assert "last" not in result_of(web, "Trades", pair="BCHEUR")
        answers = [web.get("/0/public/Trades", params={"pair": "BCHEUR"}).json()["error"] for _ in range(6)]
        assert answers[-1] == ["EAPI:Rate limit exceeded"]


def test_what_is_stored_is_served_from_its_beginning(installation: Installation, tmp_path: Path) -> None:
    installation.run(
        "generate_archive", str(tmp_path), "--pairs", "BTC/USD", "--trade-days", "2", "--months", "1"
    )
    installation.run("import_csv", str(tmp_path))
    rows = installation.fetch(
        "SELECT trade_id, price, volume, extract(epoch FROM timestamp) FROM trades WHERE symbol = 'BTC/USD' "
        "ORDER BY timestamp, trade_id"
    )
    start = rows[0][3]
    with replaying(
        installation, "--since", datetime.fromtimestamp(float(start), UTC).isoformat(), "--speed", "0",
        "--calls-per-second", "0",
    ) as web:  # fmt: skip
        assert result_of(web, "Trades", pair="XBTUSD", since="0")["XXBTZUSD"] == []
        end = datetime.fromtimestamp(float(rows[-1][3]) + 1, UTC).isoformat()
        assert web.post("/replay/clock", json={"now": end}).status_code == 200
        found: dict[int, list[Any]] = {}
        since = "0"
        while True:
            page = result_of(web, "Trades", pair="XBTUSD", since=since)
            found |= {row[6]: row for row in page["XXBTZUSD"]}
            if page["last"] == since:
                break
            since = page["last"]
        assert list(found) == [row[0] for row in rows]
        for (_, price, volume, seconds), row in zip(rows, found.values(), strict=True):
            assert (Decimal(row[0]), Decimal(row[1])) == (price, volume)
            assert abs(row[2] - float(seconds)) < 1e-6
        candles = result_of(web, "OHLC", pair="XBTUSD", interval=60)["XXBTZUSD"]
        ((count,),) = installation.fetch(
            "SELECT sum(trade_count) FROM all_candles_1h WHERE symbol = 'BTC/USD' AND timestamp >= to_timestamp(%s)",
            candles[0][0],
        )
        assert sum(row[7] for row in candles) == count


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--generated", "FOO/USD"], "There is no made-up pair FOO/USD"),
        (["--generated", "--fault", "html=1"], "There is no fault 'html'"),
        (["--generated", "--fault", "html_520=2"], "html_520 is a share from 0 to 1"),
        (["--generated", "--faults", "/nowhere"], "/nowhere cannot be read"),
        (["--generated", "--speed", "fast"], "'fast' is no speed"),
        (["--generated", "--certificate", "/nowhere"], "--certificate and --key go together"),
        (["LUNA/USD"], "manage.py coverage LUNA/USD"),
    ],
)
def test_what_cannot_be_is_told_in_a_sentence(arguments: list[str], sentence: str) -> None:
    with pytest.raises(CommandError, match=re.escape(sentence)) as told:
        call_command("replay", *arguments)
    assert told.value.returncode in (1, 2)


def test_a_port_that_is_taken_is_told(installation: Installation) -> None:
    with replaying(installation, "--generated", "BCH/EUR") as web:
        process = installation.start("replay", "--generated", "BCH/EUR", "--port", str(web.base_url.port))
        output, _ = process.communicate(timeout=SECONDS_TO_END)
    assert process.returncode == 1
    assert "Cannot serve on 127.0.0.1" in output


def test_it_serves_by_tls_with_a_certificate(installation: Installation, tmp_path: Path) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    process = installation.start(
        "replay",
        "--generated",
        "BCH/EUR",
        "--port",
        "0",
        "--certificate",
        str(certificate),
        "--key",
        str(key),
    )
    try:
        address = cast(IO[str], process.stdout).readline().split()[2].removesuffix("/0/public/,")
        assert address.startswith("https://127.0.0.1:")
        trusting = ssl.create_default_context(cafile=certificate)
        answer = httpx.get(f"{address}/0/public/Time", verify=trusting, trust_env=False)
        assert answer.json()["result"]["unixtime"] > NS_PER_SECOND
    finally:
        process.kill()
        process.communicate()
