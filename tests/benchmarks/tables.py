"""The results as tables of Markdown."""

from collections.abc import Iterable, Sequence

from tests.benchmarks.exchange import BackfillResult, ExchangeResult, GapResult, PacedResult
from tests.benchmarks.growth import GrowthResult, spread
from tests.benchmarks.imports import ImportResult
from tests.benchmarks.live import FlatOutResult, LiveResult, SteadyResult
from tests.benchmarks.live_latency import LatencyResult
from tests.benchmarks.pages import AIM_MS, PagesResult
from tests.benchmarks.questions import QuestionResult, quantile
from tests.benchmarks.read_api import ApiResult
from tests.benchmarks.read_frames import BARE, ORM, FrameResult
from tests.benchmarks.reads import ReadsResult
from tests.benchmarks.storage import StorageResult


def imports_table(results: Iterable[ImportResult]) -> str:
    head = (
        "import", "rows", "rows/s", "ratio to `psql \\copy`", "every timeframe right after",
        "ratio to bare `GROUP BY`s", "peak memory",
    )  # fmt: skip
    rows = (
        (
            each.name, f"{each.rows:,}", f"{each.rows / each.write_seconds:,.0f}", f"{each.ratio:.2f}",
            f"{each.refresh_seconds:.1f} s", f"{each.refresh_ratio:.1f}", f"{each.peak_mb:.0f} MB",
        )
        for each in results
    )  # fmt: skip
    return _table(head, rows)


def reads_tables(result: ReadsResult) -> list[str]:
    return [questions_table(result.questions), frames_table(result.frames), api_table(result.api)]


def questions_table(results: Iterable[QuestionResult]) -> str:
    head = (
        "read", "provider, p50", "p99", "bare psycopg, p50", "p99", "ratio", "bare psycopg and the view, p50", "aim",
        "floor",
    )  # fmt: skip
    rows = (
        (
            each.name,
            *(f"{quantile(each.provider_ms, share):.1f} ms" for share in (0.5, 0.99)),
            *(f"{quantile(each.bare_ms, share):.1f} ms" for share in (0.5, 0.99)),
            f"{each.ratio:.2f}", f"{quantile(each.view_ms, 0.5):.1f} ms" if each.view_ms else "the same",
            f"{each.aim_ms} ms", f"{each.floor_ms} ms",
        )
        for each in results
    )  # fmt: skip
    return _table(head, rows)


def frames_table(results: Sequence[FrameResult]) -> str:
    head = (
        "minutes of a pair into a frame",
        "rows",
        "seconds",
        "rows/s",
        "times the bare time",
        "ORM's time",
        "peak memory",
    )
    known = {each.name: each.seconds for each in results if not each.missing}
    rows = (
        (each.name, f"not measured: {each.missing}", *[""] * 5)
        if each.missing
        else (
            each.name + (f" (1/{each.share} of them, counted up)" if each.share > 1 else ""),
            f"{each.rows:,}", f"{each.seconds:.2f} s", f"{each.rows / each.seconds:,.0f}",
            f"{each.seconds / known[BARE]:.2f}", f"1/{known[ORM] / each.seconds:.1f}", f"{each.peak_mb:.0f} MB",
        )
        for each in results
    )  # fmt: skip
    return _table(head, rows)


def api_table(results: Sequence[ApiResult]) -> str:
    head = (
        "1,000 candles",
        "callers",
        "answers/s",
        "of the provider's",
        "p50",
        "p99",
        "times the provider's p99",
    )
    alone = {each.callers: each for each in results if each.name == results[0].name}
    rows = (
        (
            each.name, f"{each.callers}", f"{each.rate:,.0f}", f"{each.rate / alone[each.callers].rate:.0%}",
            f"{quantile(each.milliseconds, 0.5):.1f} ms", f"{each.p99_ms:.1f} ms",
            f"{each.p99_ms / alone[each.callers].p99_ms:.1f}",
        )
        for each in results
    )  # fmt: skip
    return _table(head, rows)


def growth_tables(result: GrowthResult) -> list[str]:
    largest = result.sizes[-1]
    plans = [f"{name}, at {largest.rows:,} minutes:\n\n```\n{plan}\n```" for name, plan in result.plans]
    return [growth_table(result), *plans]


def growth_table(result: GrowthResult) -> str:
    """Medians, and the p99 in parentheses."""
    head = (
        "provider",
        *(f"{each.rows:,} minutes, {_pairs(each.pairs)}" for each in result.sizes),
        "slowest / fastest",
    )
    rows = (
        (
            question.name,
            *(
                f"{quantile(each.questions[place].provider_ms, 0.5):.1f} ms "
                f"({quantile(each.questions[place].provider_ms, 0.99):.1f})"
                for each in result.sizes
            ),
            f"{spread(result, place):.2f}",
        )
        for place, question in enumerate(result.sizes[0].questions)
    )
    return _table(head, rows)


def storage_table(results: Iterable[StorageResult]) -> str:
    head = "table", "rows", "bytes a row", "compressed", "saved"
    rows = (
        (each.table, f"{each.rows:,}", f"{each.before:.0f}", f"{each.after:.1f}", f"{each.saved:.0%}")
        for each in results
    )
    return _table(head, rows)


def exchange_tables(result: ExchangeResult) -> list[str]:
    return [
        paced_table(result.paced),
        f"With `--newest-first` a new pair's newest hour can be read {result.newest_hour_seconds:.1f} s after the "
        "command was given, at one call a second.",
        backfills_table(result.backfills),
        gaps_table(result.gaps),
    ]


def paced_table(result: PacedResult) -> str:
    head = (
        "backfill at one call a second", "trades", "trades/s", "calls", "of the calls allowed", "refused",
        "peak memory",
    )  # fmt: skip
    row = (
        "1 pair", f"{result.trades:,}", f"{result.trades / result.seconds:,.0f}", f"{result.calls:,}",
        f"{result.share:.1%}", f"{result.refused:,}", f"{result.peak_mb:.0f} MB",
    )  # fmt: skip
    return _table(head, [row])


def backfills_table(results: Iterable[BackfillResult]) -> str:
    head = (
        "backfill without a limit", "trades", "trades/s", "ratio to `psql \\copy`", "ratio to a bare download",
        "CPU s a million: exchange", "backfill", "database", "cores busy", "peak memory",
    )  # fmt: skip
    rows = (
        (
            f"{each.pairs} pair{'s' * (each.pairs > 1)}", f"{each.trades:,}", f"{each.rate:,.0f}",
            f"{each.bare_copy_seconds / each.seconds:.2f}", f"{each.bare_client_seconds / each.seconds:.2f}",
            *(f"{cpu / each.trades * 1e6:.1f}" for cpu in (each.exchange_cpu, each.backfill_cpu, each.database_cpu)),
            f"{each.cores:.1f}", f"{each.peak_mb:.0f} MB",
        )
        for each in results
    )  # fmt: skip
    return _table(head, rows)


def gaps_table(results: Iterable[GapResult]) -> str:
    head = (
        "gap",
        "pairs at once",
        "trades",
        "candles ahead of them",
        "candles visible after",
        "proven after",
        "done after",
    )
    rows = (
        (
            f"{each.hours} h", f"{each.pairs}", f"{each.trades:,}", f"{each.candles:,}",
            f"{each.visible_seconds:.1f} s", f"{each.proven_seconds:.1f} s", f"{each.done_seconds:.1f} s",
        )
        for each in results
    )  # fmt: skip
    return _table(head, rows)


def live_tables(result: LiveResult) -> list[str]:
    return [
        flat_out_table(result.flat_out),
        steady_table(result.steady),
        candles_table(result.candles),
        latencies_table(result.latencies),
    ]


def flat_out_table(results: Iterable[FlatOutResult]) -> str:
    head = (
        "live trades, flat out", "trades", "trades/s", "ratio to a bare `COPY`", "of text that is ready",
        "trades a batch", "CPU s a million: feed", "database", "peak memory",
    )  # fmt: skip
    rows = (
        (
            _pairs(each.pairs), f"{each.stored:,}", f"{each.rate:,.0f}",
            f"{each.bare_rows_seconds / each.seconds:.2f}", f"{each.bare_text_seconds / each.seconds:.2f}",
            f"{each.batch:,.0f}", *(f"{cpu / each.stored * 1e6:.1f}" for cpu in (each.feed_cpu, each.database_cpu)),
            f"{each.peak_mb:.0f} MB",
        )
        for each in results
    )  # fmt: skip
    return _table(head, rows)


def steady_table(results: Iterable[SteadyResult]) -> str:
    head = (
        "live trades at 10,000/s", "trades", "dropped", "furthest behind", "trades a batch", "largest batch",
        "time of a batch", "cores busy: feed", "database", "peak memory",
    )  # fmt: skip
    rows = (
        (
            _pairs(each.pairs), f"{each.stored:,}", f"{each.dropped:,}", f"{each.behind:.2f} s", f"{each.batch:,.0f}",
            f"{each.largest_batch:,}", f"{each.batch_seconds * 1000:.0f} ms",
            *(f"{cpu / each.seconds:.2f}" for cpu in (each.feed_cpu, each.database_cpu)), f"{each.peak_mb:.0f} MB",
        )
        for each in results
    )  # fmt: skip
    return _table(head, rows)


def candles_table(result: FlatOutResult) -> str:
    head = (
        "live candles, flat out", "upserts", "upserts/s", "ratio to a bare `INSERT ... ON CONFLICT`",
        "candles a batch", "CPU s a million: feed", "database", "peak memory",
    )  # fmt: skip
    row = (
        _pairs(result.pairs), f"{result.stored:,}", f"{result.rate:,.0f}",
        f"{result.bare_rows_seconds / result.seconds:.2f}", f"{result.batch:,.0f}",
        *(f"{cpu / result.stored * 1e6:.1f}" for cpu in (result.feed_cpu, result.database_cpu)),
        f"{result.peak_mb:.0f} MB",
    )  # fmt: skip
    return _table(head, [row])


def latencies_table(results: Iterable[LatencyResult]) -> str:
    head = "from the exchange's time of a trade to", "trades", "median", "99% within", "all within"
    rows = (
        (
            each.place,
            f"{len(each.seconds):,}",
            *(f"{each.quantile(share) * 1000:,.0f} ms" for share in (0.5, 0.99, 1)),
        )
        for each in results
    )
    return _table(head, rows)


def pages_tables(result: PagesResult) -> list[str]:
    market = result.market
    slow = [each.name for each in result.pages if not each.is_within_aim]
    told = f"Over the aim: {', '.join(f'`{name}`' for name in slow)}." if slow else "All are within the aim."
    parts = [
        f"{_pairs(market.pairs)}, {market.trades:,} trades, {market.rejects:,} rejected records, "
        f"{market.runs:,} runs. {told}",
        pages_table(result),
    ]
    if result.left_out:
        parts.append(f"Not asked, or no pages: {', '.join(f'`{name}`' for name in result.left_out)}.")
    return parts


def pages_table(result: PagesResult) -> str:
    head = "page", "queries", "kB", "median", "p99", "aim"
    rows = (
        (
            each.name, f"{each.queries}", f"{each.size / 1000:.0f}", f"{quantile(each.milliseconds, 0.5):.0f} ms",
            f"{each.p99_ms:.0f} ms", f"{AIM_MS} ms",
        )
        for each in result.pages
    )  # fmt: skip
    return _table(head, rows)


def _pairs(count: int) -> str:
    return f"{count:,} pair{'s' * (count > 1)}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    # The line below the head has no spaces in it.
    return "\n".join(
        f"|{'|'.join(line)}|" if number == 1 else f"| {' | '.join(line)} |"
        for number, line in enumerate(lines)
    )
