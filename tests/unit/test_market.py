"""The made-up market: it repeats itself from a seed, looks like a market, and is written as Kraken would."""

import zipfile
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path

import pytest
from django.core.management.base import CommandError

from krakendata.candles import fold_trades
from krakendata.kraken.archives import SNIFF_BYTES, ArchiveMember, find_members, sniff
from krakendata.management.commands.generate_archive import Command
from krakendata.replay.market import MARKET_PAIRS, Market
from krakendata.replay.sample_archive import SampleFile, write_sample_archive
from krakendata.types import HistoricalCandle, Trade, ns_of

START = datetime(2026, 3, 2, tzinfo=UTC)
BITCOIN = MARKET_PAIRS["BTC/USD"]
THIN = MARKET_PAIRS["BCH/EUR"]
LISTED_MIDWAY = MARKET_PAIRS["PEPE/USD"]
UNTIL = datetime(2026, 3, 12, 9, 30, 15, tzinfo=UTC)
HOUR = timedelta(hours=1)


def trades_of(hours: int, seed: int = 1, pair: str = "BTC/USD") -> list[Trade]:
    return list(Market(MARKET_PAIRS[pair], START, seed).trades(START + hours * HOUR))


# --- trades ------------------------------------------------------------------------------------------------


def test_equal_seeds_give_equal_trades_and_others_do_not() -> None:
    assert trades_of(1) == trades_of(1)
    assert trades_of(1) != trades_of(1, seed=2)


def test_the_cuts_at_which_trades_are_asked_for_make_no_difference() -> None:
    market = Market(BITCOIN, START, 1)
    pieces = [*market.trades(START + HOUR), *market.trades(START + 3 * HOUR)]
    assert pieces == trades_of(3)


def test_ids_are_contiguous_from_one() -> None:
    trades = trades_of(3)
    assert [trade.trade_id for trade in trades] == list(range(1, len(trades) + 1))


def test_times_never_go_back_and_lie_within_what_was_asked() -> None:
    moments = [trade.ns for trade in trades_of(3)]
    assert moments == sorted(moments)
    assert ns_of(START) <= moments[0] <= moments[-1] < ns_of(START + 3 * HOUR)


@pytest.mark.parametrize("name", MARKET_PAIRS)
def test_prices_and_volumes_are_positive_decimals_of_the_pairs_precision(name: str) -> None:
    pair = MARKET_PAIRS[name]
    for trade in trades_of(24, pair=name):
        assert trade.price > 0
        assert trade.volume > 0
        assert trade.price.as_tuple().exponent == -pair.price_decimals
        assert trade.volume.as_tuple().exponent == -pair.volume_decimals


def test_some_trades_share_their_nanosecond_and_then_their_side() -> None:
    trades = trades_of(3)
    pairs = [(a, b) for a, b in zip(trades, trades[1:], strict=False) if a.ns == b.ns]
    assert len(pairs) > len(trades) / 10
    assert all((a.side, a.order_type) == (b.side, b.order_type) for a, b in pairs)


def test_both_sides_and_both_kinds_of_order_occur() -> None:
    kinds = Counter((trade.side, trade.order_type) for trade in trades_of(3))
    assert set(kinds) == {(side, kind) for side in ("buy", "sell") for kind in ("market", "limit")}


def test_there_are_bursts_and_quiet_hours() -> None:
    hours = Counter(trade.ns // 3_600_000_000_000 % 24 for trade in trades_of(24 * 3))
    assert hours[14] > 2 * hours[4]
    minutes = Counter(trade.ns // 60_000_000_000 for trade in trades_of(24 * 3))
    assert max(minutes.values()) > 10 * BITCOIN.trades_per_minute


def test_a_thin_pair_has_mostly_empty_minutes() -> None:
    minutes = {trade.ns // 60_000_000_000 for trade in trades_of(24, pair="BCH/EUR")}
    assert 0 < len(minutes) < 24 * 60 / 4


# --- candles -----------------------------------------------------------------------------------------------


def test_cheap_minutes_are_consistent_candles() -> None:
    candles = list(Market(BITCOIN, START, 1).candles(START + 24 * HOUR))
    assert len(candles) > 1_000
    for candle in candles:
        assert (
            0 < candle.low <= min(candle.open, candle.close) <= max(candle.open, candle.close) <= candle.high
        )
        assert candle.volume > 0
        assert candle.trade_count > 0


def test_trades_go_on_where_the_minutes_ended() -> None:
    market = Market(BITCOIN, START, 1)
    candles = list(market.candles(START + HOUR))
    first = next(market.trades(START + 2 * HOUR))
    assert first.ns >= ns_of(START + HOUR)
    assert first.trade_id == 1 + sum(candle.trade_count for candle in candles)
    assert abs(first.price / candles[-1].close - 1) < Decimal("0.01")


# --- archives ----------------------------------------------------------------------------------------------


def write(directory: Path, seed: int = 1, bad_rows: int = 4) -> list[SampleFile]:
    pairs = (replace(BITCOIN, trades_per_minute=0.3), LISTED_MIDWAY, THIN)
    return write_sample_archive(directory, seed, UNTIL, pairs, months=1, trade_days=1, bad_rows=bad_rows)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, SampleFile]]:
    directory = tmp_path_factory.mktemp("sample")
    return directory, {file.name: file for file in write(directory)}


def rows_of(directory: Path, name: str) -> list[list[str]]:
    (path,) = [path for path in directory.iterdir() if ("OHLCVT" in path.name) == ("OHLCVT" in name)]
    with zipfile.ZipFile(path) as zipped:
        return [line.split(",") for line in zipped.read(name).decode("ascii").splitlines()]


def test_equal_seeds_give_equal_bytes(archive: tuple[Path, dict[str, SampleFile]], tmp_path: Path) -> None:
    write(tmp_path)
    for path in archive[0].iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes()


def test_nothing_but_the_two_zips_is_left(archive: tuple[Path, dict[str, SampleFile]]) -> None:
    names = sorted(path.name for path in archive[0].iterdir())
    assert names == ["Kraken_OHLCVT_sample.zip", "Kraken_Trades_sample.zip"]


def test_the_archive_reader_understands_every_member(archive: tuple[Path, dict[str, SampleFile]]) -> None:
    schemas = {}
    for member in find_members([archive[0]]):
        assert isinstance(member, ArchiveMember)
        with member.open() as stream:
            schemas[member.stem, member.interval_minutes] = sniff(stream.read(SNIFF_BYTES), member).schema
    candles = {
        (stem, minutes): "OHLCVT" for stem in ("XBTUSD", "PEPEUSD", "BCHEUR") for minutes in (1, 60, 1440)
    }
    assert schemas == candles | {("XBTUSD", None): "D", ("PEPEUSD", None): "D", ("BCHEUR", None): "A"}


def test_what_is_told_is_what_was_written(archive: tuple[Path, dict[str, SampleFile]]) -> None:
    directory, files = archive
    for name, file in files.items():
        rows = rows_of(directory, name)
        assert file.rows == len(rows) - (rows[0][0] == "timestamp")
        assert file.bad_rows == (4 if name.endswith(("XBTUSD_1.csv", "XBTUSD.csv")) else 0)


def test_the_bad_rows_have_four_faults(archive: tuple[Path, dict[str, SampleFile]]) -> None:
    rows = rows_of(archive[0], "TimeAndSales_Combined/XBTUSD.csv")[1:]
    assert [row[1] for row in rows].count("0") == 1
    assert [row[2] for row in rows].count("NaN") == 1
    assert [row[0] for row in rows].count("soon") == 1
    assert sum(len(row) == 6 for row in rows) == 1


def test_without_bad_rows_every_row_is_whole(tmp_path: Path) -> None:
    assert not any(file.bad_rows for file in write(tmp_path, bad_rows=0))
    assert {len(row) for row in rows_of(tmp_path, "OHLCVT/XBTUSD_1.csv")} == {7}


def test_candles_are_sorted_aligned_and_end_at_until(archive: tuple[Path, dict[str, SampleFile]]) -> None:
    for minutes in (1, 60, 1440):
        times = [int(row[0]) for row in rows_of(archive[0], f"OHLCVT/PEPEUSD_{minutes}.csv")]
        assert times == sorted(set(times))
        assert all(time % (60 * minutes) == 0 for time in times)
        assert times[-1] < UNTIL.timestamp()


def test_a_pair_listed_midway_begins_midway(archive: tuple[Path, dict[str, SampleFile]]) -> None:
    first = {
        name: int(rows_of(archive[0], f"OHLCVT/{name}_1440.csv")[0][0]) for name in ("XBTUSD", "PEPEUSD")
    }
    assert first["PEPEUSD"] - first["XBTUSD"] == 15 * 86_400


def test_where_there_are_trades_the_candles_are_exactly_theirs(
    archive: tuple[Path, dict[str, SampleFile]],
) -> None:
    directory, _ = archive
    trades = [_trade(row) for row in rows_of(directory, "TimeAndSales_Combined/PEPEUSD.csv")[1:]]
    folded = [_candle_text(candle) for candle in fold_trades(trades)]
    assert [_values(row) for row in rows_of(directory, "OHLCVT/PEPEUSD_1.csv")[-len(folded) :]] == folded


def test_numbers_are_written_as_kraken_writes_them(archive: tuple[Path, dict[str, SampleFile]]) -> None:
    assert rows_of(archive[0], "OHLCVT/PEPEUSD_1.csv")[0][1].endswith("e-05")
    assert rows_of(archive[0], "TimeAndSales_Combined/BCHEUR.csv")[0][0].isdecimal()


def _trade(row: list[str]) -> Trade:
    seconds, fraction = row[0].split(".")
    moment = int(seconds) * 10**9 + int(fraction)
    return Trade("PEPE/USD", int(row[6]), moment, Decimal(row[1]), Decimal(row[2]), None, None)


def _candle_text(candle: HistoricalCandle) -> list[Decimal]:
    moment = Decimal(int(candle.timestamp.timestamp()))
    return [
        moment,
        candle.open,
        candle.high,
        candle.low,
        candle.close,
        candle.volume,
        Decimal(candle.trade_count),
    ]


def _values(row: list[str]) -> list[Decimal]:
    return [Decimal(text) for text in row]


# --- the command -------------------------------------------------------------------------------------------


def run(directory: Path, *arguments: str) -> list[str]:
    output = StringIO()
    command = Command(stdout=output)
    options = vars(
        command.create_parser("manage.py", "generate_archive").parse_args([str(directory), *arguments])
    )
    command.handle(**options)
    return output.getvalue().splitlines()


def test_the_command_tells_what_it_wrote(tmp_path: Path) -> None:
    lines = run(tmp_path, "--months", "0", "--trade-days", "1", "--pairs", "BCHEUR", "--json")
    assert lines[0].startswith(f"{tmp_path}/Kraken_OHLCVT_sample.zip!OHLCVT/BCHEUR_1.csv: ")
    assert lines[-1].startswith('{"rows": ')


def test_the_command_refuses_a_pair_there_is_not(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="There is no made-up pair 'SOLUSD'; choose from BTC/USD"):
        run(tmp_path, "--pairs", "SOLUSD")
