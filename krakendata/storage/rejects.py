"""Rejections kept where an operator can see them, up to a limit, and counted beyond it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection

from krakendata.storage.sql import query
from krakendata.validation import Rejection


@dataclass(frozen=True, slots=True)
class Reject:
    """A rejection as it is kept: with the place (file or frame) and line it came from.

    Of an archive's row also what its replay needs: `layout` has the names of its fields with commas between them,
    `interval_minutes` is its candle's, and `follows` says what was taken before it from the file: the id of a row
    without ids, the second of a candle.
    """

    rejection: Rejection
    place: str
    line: int | None
    trade_id: int | None = None
    layout: str = ""
    interval_minutes: int | None = None
    follows: int | None = None


async def write_rejects(
    connection: AsyncConnection[Any],
    rejects: Sequence[tuple[str, Reject]],
    run_id: int,
    max_rejects: int,
) -> None:
    """Keep rejections, each with the symbol it is about ("" where none can be read), in the caller's transaction.

    `max_rejects` records are kept per run and reason; the others are counted.
    """
    by_reason: dict[tuple[str, str], list[tuple[str, Reject]]] = {}
    for symbol, reject in rejects:
        key = (reject.rejection.source, reject.rejection.reason)
        by_reason.setdefault(key, []).append((symbol, reject))
    for (source, reason), alike in sorted(by_reason.items(), key=lambda group: group[0]):
        cursor = await connection.execute(
            query("count_rejects"),
            {"run": run_id, "source": source, "reason": reason, "count": len(alike), "most": max_rejects},
        )
        ((counted,),) = await cursor.fetchall()
        room = max(max_rejects - (counted - len(alike)), 0)
        for symbol, reject in alike[:room]:
            await connection.execute(query("keep_reject"), _row(reject, symbol, run_id))


def _row(reject: Reject, symbol: str, run_id: int) -> dict[str, Any]:
    rejection = reject.rejection
    return {
        "run": run_id, "source": rejection.source, "place": reject.place, "line": reject.line, "symbol": symbol,
        "reason": rejection.reason, "detail": rejection.detail, "raw": rejection.raw, "trade_id": reject.trade_id,
        "layout": reject.layout, "interval_minutes": reject.interval_minutes, "follows": reject.follows,
    }  # fmt: skip
