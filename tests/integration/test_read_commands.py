"""`manage.py candles` and `manage.py coverage`: text for people, one JSON object for programs."""

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from tests.fix_history import History


def output_of(*arguments: str) -> str:
    stdout = StringIO()
    call_command(*arguments, stdout=stdout)
    return stdout.getvalue()


def last_line(*arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(output_of(*arguments).splitlines()[-1])
    return found


def test_a_table_shows_candles_and_how_complete_they_are(history: History) -> None:
    start, end = history.fence, history.fence + timedelta(hours=2)
    lines = output_of("candles", "XBTUSD", "1h", f"--start={start}", f"--end={end}").splitlines()
    assert lines[0].split() == ["start", "(UTC)", "open", "high", "low", "close", "volume", "vwap", "trades"]
    assert lines[1].startswith(f"{start:%Y-%m-%d %H:%M}")
    assert lines[-1] == "2 1h candles of BTC/USD. Every trade of the time is in."


def test_json_is_one_object_with_decimals_as_texts(history: History) -> None:
    start, end = history.fence, history.fence + timedelta(minutes=1)
    facts = last_line("candles", "BTC/USD", "1m", f"--start={start}", f"--end={end}", "--json")
    (candle,) = facts["candles"]
    assert (candle["low"], candle["trade_count"], facts["symbol"]) == ("99.5", 2, "BTC/USD")
    assert facts["coverage"]["holes"] == []
    assert candle["timestamp"] == f"{start:%Y-%m-%dT%H:%M:%SZ}"


def test_the_json_format_prints_the_object_alone(history: History) -> None:
    arguments = ("candles", "ADAUSD", "1d", "--limit=2")
    (line,) = output_of(*arguments, "--format=json").splitlines()
    assert json.loads(line) == last_line(*arguments, "--json")


def test_csv_has_a_header_and_a_line_a_candle(history: History) -> None:
    header, first, second = output_of("candles", "ADAUSD", "1440", "--limit=2", "--format=csv").splitlines()
    assert header.startswith("timestamp,open,high,low,close,volume,vwap")
    assert second == f"{history.fence + timedelta(days=1):%Y-%m-%dT%H:%M:%SZ},1,3,0.5,2,30,,40,,,,True"
    assert first < second


def test_coverage_sums_up_every_symbol(history: History) -> None:
    lines = output_of("coverage").splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["ADA/USD", "BTC/USD", "ETH/USD"]
    collected = str(2 * len(history.minutes))
    assert lines[2].split()[3:5] == [collected, "0"]


def test_coverage_of_one_symbol_lists_what_is_missing(history: History) -> None:
    text = output_of("coverage", "XBTUSD")
    assert f"2013-09-01 00:00 to {history.start:%Y-%m-%d %H:%M}" in text
    facts = last_line("coverage", "XBTUSD", "--json")["symbols"][0]
    assert facts["trades"]["collected"] == 2 * len(history.minutes)
    assert len(facts["missing"]) == 2


@pytest.mark.parametrize(
    ("arguments", "sentence", "code"),
    [
        (("candles", "NOPE", "1h"), "Unknown symbol 'NOPE'", 2),
        (("candles", "XBTUSD", "7m"), "Unknown interval '7m'", 2),
        (("candles", "XBTUSD", "1h", "--limit=0"), "limit is 0", 2),
        (("coverage", "NOPE"), "Unknown symbol 'NOPE'", 2),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(
    arguments: tuple[str, ...], sentence: str, code: int, history: History
) -> None:
    with pytest.raises(CommandError, match=sentence) as raised:
        output_of(*arguments)
    assert raised.value.returncode == code


def test_a_time_that_is_none_is_refused() -> None:
    with pytest.raises(CommandError, match="is no time"):
        output_of("candles", "XBTUSD", "1h", "--start=yesterday")
