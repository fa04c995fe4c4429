"""The tables of the reads: every row as wide as its head, missing ways named, shares counted up."""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks.growth import Grown, GrowthResult
from tests.benchmarks.page_market import HOLE_IDS, PageMarket, id_runs, page_market
from tests.benchmarks.pages import PageResult, PagesResult
from tests.benchmarks.questions import QuestionResult, quantile
from tests.benchmarks.read_api import ApiResult
from tests.benchmarks.read_frames import BARE, ORM, FrameResult
from tests.benchmarks.read_market import PAIRS, make_archives, years
from tests.benchmarks.reads import ReadsResult
from tests.benchmarks.tables import growth_tables, pages_tables, reads_tables

QUESTION = QuestionResult("data range", [1.0, 3.0, 2.0], [1.0, 1.0, 1.0], [], 10, 2)
FRAMES = [
    FrameResult("provider to Polars", 1000, 2.0, 100.0),
    FrameResult(BARE, 1000, 1.0, 90.0),
    FrameResult(ORM, 1000, 20.0, 500.0, share=10),
    FrameResult("ArcticDB to pandas", missing="no Python has it"),
]
API = [ApiResult("provider alone", 1, 200.0, [5.0]), ApiResult("API, JSON", 1, 50.0, [20.0])]


def widths(table: str) -> set[int]:
    return {line.count("|") for line in table.splitlines()}


def test_every_table_of_the_reads_is_whole() -> None:
    questions, frames, api = reads_tables(ReadsResult([QUESTION], FRAMES, API))
    assert [len(widths(table)) for table in (questions, frames, api)] == [1, 1, 1]
    assert "| data range | 2.0 ms | 3.0 ms | 1.0 ms | 1.0 ms | 2.00 | the same | 2 ms | 10 ms |" in questions
    assert "| provider to Polars | 1,000 | 2.00 s | 500 | 2.00 | 1/10.0 | 100 MB |" in frames
    assert "(1/10 of them, counted up)" in frames
    assert "not measured: no Python has it" in frames
    assert "| API, JSON | 1 | 50 | 25% | 20.0 ms | 20.0 ms | 4.0 |" in api


def test_growth_is_the_slowest_size_over_the_fastest() -> None:
    slower = QuestionResult("data range", [3.0], [1.0], [], 10, 2)
    table, plan = growth_tables(
        GrowthResult([Grown(10, 1, [QUESTION]), Grown(100, 2, [slower])], [("data range", "Result")])
    )
    assert widths(table) == {5}
    assert "| data range | 2.0 ms (3.0) | 3.0 ms (3.0) | 1.50 |" in table
    assert plan.endswith("```\nResult\n```")


def test_a_quantile_is_one_of_the_values() -> None:
    assert (quantile([3, 1, 2], 0.5), quantile([3, 1, 2], 0.99)) == (2, 3)


def test_the_archives_of_all_pairs_are_one_and_end_where_the_trades_begin(tmp_path: Path) -> None:
    candles, trades = make_archives(tmp_path, 0.001)
    assert sorted(path.name for path in candles.iterdir()) == sorted(f"{pair}_1.csv" for pair in PAIRS)
    assert len({path.stat().st_ino for path in trades.iterdir()}) == 1
    last = (candles / "XBTUSD_1.csv").read_text().splitlines()[-1]
    assert int(last.split(",")[0]) + 60 == int(years(0.001).end.timestamp())


def test_a_page_over_the_aim_is_named() -> None:
    quick, slow = (
        PageResult("index", 7, 21_000, [10.0, 30.0, 20.0]),
        PageResult("trades", 9, 4_000, [10.0, 301.0]),
    )
    told, table, others = pages_tables(PagesResult(PageMarket(10, 100, 7, 3), [quick, slow], ["logout"]))
    assert told == "10 pairs, 1,000 trades, 7 rejected records, 3 runs. Over the aim: `trades`."
    assert widths(table) == {7}
    assert "| index | 7 | 21 | 20 ms | 30 ms | 300 ms |" in table
    assert others == "Not asked, or no pages: `logout`."
    assert pages_tables(PagesResult(PageMarket(1, 1, 1, 1), [quick], []))[0].endswith(
        "All are within the aim."
    )


def test_the_pages_are_measured_on_as_much_as_was_asked_for() -> None:
    assert page_market(1.0) == PageMarket(1_000, 50_000, 1_000_000, 20_000)
    assert page_market(1.0).trades == 50_000_000
    assert page_market(0.1).trades == 5_000_000


def test_a_pair_in_ten_lacks_ids() -> None:
    assert id_runs(1, 2_000) == [(1, 2_000)]
    (first, before), (after, last) = id_runs(10, 2_000)
    assert (first, after - before - 1, last) == (1, HOLE_IDS, 2_000)
