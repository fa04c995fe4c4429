"""`verify_archive`, `import_pairs`, `upkeep` and its task, run as a user runs them."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from krakendata.candles import fold_candles
from krakendata.models import Pair
from krakendata.tasks import upkeep
from krakendata.types import interval_of
from tests.archive_files import made_minutes, write_candles

START = datetime(2025, 7, 7, tzinfo=UTC)
MINUTES = made_minutes(START, START + timedelta(hours=6))
HOURS = fold_candles(MINUTES, interval_of("1h"))


def run(*arguments: str) -> tuple[str, dict[str, Any]]:
    """Run a command with --json; give its text and the object of its last line."""
    output = StringIO()
    call_command(*arguments, "--json", stdout=output)
    return output.getvalue(), json.loads(output.getvalue().splitlines()[-1])


def write_hours(folder: Path, hours: list[Any]) -> Path:
    folder.mkdir()
    return write_candles(folder / "XBTUSD_60.csv", hours)


@pytest.fixture
def imported(conninfo: dict[str, Any], tmp_path: Path) -> None:
    """The minutes are in."""
    run("import_csv", str(write_candles(tmp_path / "XBTUSD_1.csv", MINUTES)))


@pytest.mark.usefixtures("imported")
class TestVerifyArchive:
    def test_hours_that_equal_the_rollup_show_no_difference(self, tmp_path: Path) -> None:
        _, facts = run("verify_archive", str(write_hours(tmp_path / "hours", HOURS)))
        assert (facts["compared"], facts["differences"]) == (6, 0)

    def test_every_differing_field_is_told(self, tmp_path: Path) -> None:
        wrong = replace(HOURS[2], close=HOURS[2].close + Decimal("0.1"), trade_count=HOURS[2].trade_count + 1)
        path = write_hours(tmp_path / "hours", [*HOURS[:2], wrong, *HOURS[3:]])
        output = StringIO()
        with pytest.raises(CommandError, match="2 differences"):
            call_command("verify_archive", str(path), stdout=output)
        assert f"BTC/USD 1h 2025-07-07 02:00: close is {wrong.close} in the archive" in output.getvalue()
        assert f"trade_count is {wrong.trade_count} in the archive" in output.getvalue()

    def test_a_candle_the_rollup_lacks_is_told(self, tmp_path: Path) -> None:
        gone = [minute for minute in MINUTES if minute.timestamp.hour != 3]
        run(
            "import_csv",
            str(write_candles(tmp_path / "ETHUSD_1.csv", [replace(each, symbol="ETH/USD") for each in gone])),
        )
        folder = tmp_path / "hours"
        folder.mkdir()
        output = StringIO()
        with pytest.raises(CommandError):
            call_command("verify_archive", str(write_candles(folder / "ETHUSD_60.csv", HOURS)), stdout=output)
        assert "ETH/USD 1h 2025-07-07 03:00: the archive has a candle" in output.getvalue()

    def test_the_noise_of_archived_volumes_is_no_difference(self, tmp_path: Path) -> None:
        noisy = [replace(each, volume=each.volume * (1 + Decimal("1e-15"))) for each in HOURS]
        _, facts = run("verify_archive", str(write_hours(tmp_path / "hours", noisy)))
        assert facts["differences"] == 0

    def test_what_only_the_archive_has_given_is_not_compared(self, tmp_path: Path) -> None:
        earlier = [replace(each, timestamp=each.timestamp - timedelta(days=9)) for each in HOURS]
        path = write_hours(tmp_path / "hours", earlier)
        run("import_csv", str(path))
        _, facts = run("verify_archive", str(path))
        assert (facts["compared"], facts["uncovered"]) == (0, 6)


@pytest.mark.django_db(transaction=True)
class TestImportPairs:
    def test_the_whole_list_is_stored_and_taken_again(self, samples: Path) -> None:
        for _ in range(2):
            _, facts = run("import_pairs", str(samples / "pairs" / "asset_pairs_2025-07.json"))
            assert facts["stored"] == Pair.objects.count() == 1114
        assert Pair.objects.get(altname="XBTUSD").symbol == "BTC/USD"

    def test_a_pair_gone_from_the_list_stays_as_delisted(self, tmp_path: Path, samples: Path) -> None:
        run("import_pairs", str(samples / "pairs" / "asset_pairs_2025-07.json"))
        answer = json.loads((samples / "pairs" / "asset_pairs_2025-07.json").read_text(encoding="utf-8"))
        del answer["result"]["XXBTZUSD"]
        shorter = tmp_path / "pairs.json"
        shorter.write_text(json.dumps(answer), encoding="utf-8")
        run("import_pairs", str(shorter))
        assert Pair.objects.get(symbol="BTC/USD").status == "delisted"

    @pytest.mark.parametrize(
        "text", ["no json", "[]", '{"error": ["EGeneral:Internal error"], "result": null}']
    )
    def test_what_is_no_list_is_refused_in_a_sentence(self, tmp_path: Path, text: str) -> None:
        path = tmp_path / "pairs.json"
        path.write_text(text, encoding="utf-8")
        with pytest.raises(CommandError, match="is no AssetPairs answer"):
            run("import_pairs", str(path))


@pytest.mark.django_db(transaction=True)
class TestUpkeep:
    def test_it_drops_nothing_of_an_empty_database_and_says_so(self) -> None:
        text, facts = run("upkeep")
        assert "up to date" in text
        assert facts["seconds"] >= 0

    @pytest.mark.plain
    def test_it_makes_the_partitions_of_the_weeks_to_come(self) -> None:
        run("upkeep")
        ahead = (datetime.now(UTC) + timedelta(days=30)).date()
        with connection.cursor() as cursor:
            cursor.execute("SELECT relname FROM pg_class WHERE relname ~ '^trades_\\d{8}$'")
            starts = [
                datetime.strptime(name[-8:], "%Y%m%d").replace(tzinfo=UTC).date()
                for (name,) in cursor.fetchall()
            ]
        assert any(start <= ahead < start + timedelta(days=7) for start in starts)

    def test_it_is_a_task_too(self) -> None:
        # A worker of its own runs it in test_tasks.py.
        assert upkeep.apply().state == "SUCCESS"
