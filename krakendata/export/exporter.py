"""The deed: every part that is not there yet, or was made of other data, into a file of its own."""

from __future__ import annotations

import fcntl
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, aclosing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from krakendata.columns.tables import Columns
from krakendata.errors import ExportError
from krakendata.export.contents import TRADES, Contents
from krakendata.export.files import UNFINISHED, Format, open_table_file
from krakendata.export.layouts import Layout
from krakendata.export.manifest import Entry, Manifest
from krakendata.export.parts import By, parts_of
from krakendata.gaps import Stretch
from krakendata.historical_provider import HistoricalDataProvider, utc_now
from krakendata.intervals import any_interval_of
from krakendata.storage.columns import Digest

__all__ = ["ExportProgress", "ExportReport", "Exporter", "Form"]

LOCK = ".krakendata-export.lock"


@dataclass(frozen=True, slots=True)
class Form:
    """What the files are: their layout and format, how the time is cut, which columns, exact or floats.

    `price_decimals` are those of a layout with fixed ones, None: as many as the exchange's list gives the pair.
    """

    layout: Layout
    format: Format
    by: By
    columns: tuple[str, ...] | None = None
    exact: bool = False
    price_decimals: int | None = None


@dataclass(slots=True)
class ExportReport:
    """What an export did, by path within the folder.

    `kept`: retention has dropped some of what these files hold, so that they were left as they are. Those of them that
    lack what has come since are `lacking` as well: shorter parts, in another folder, would hold it.
    """

    written: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    lacking: list[str] = field(default_factory=list)
    rows: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class ExportProgress:
    """How far it is: of all the time to be looked at, in seconds; rows written so far, and the file at work."""

    done: int
    total: int
    rows: int
    path: str


@dataclass(frozen=True, slots=True)
class _Part:
    """One file to be: what it holds, of which time (None: without that bound), and how long that is."""

    contents: Contents
    path: str
    start: datetime | None
    end: datetime | None
    seconds: int


class Exporter:
    """Writes candles and trades into `folder`.

    Run it again after an interruption: files that are whole and made of today's data are left as they are, every other
    is written anew, under another name until it is whole. One export at a time per folder.
    """

    def __init__(
        self,
        provider: HistoricalDataProvider,
        folder: Path,
        form: Form,
        *,
        clock: Callable[[], datetime] = utc_now,
        report: Callable[[ExportProgress], None] = lambda progress: None,
    ) -> None:
        self._provider = provider
        self._folder = folder
        self._form = form
        self._clock = clock
        self._tell = report
        self._report = ExportReport()
        self._done = self._total = 0

    async def export(
        self,
        symbols: Iterable[str],
        kinds: Iterable[str],
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> ExportReport:
        """Write what is stored of [start, end): `kinds` are names of intervals, and "trades".

        Raises UnknownSymbol, UnknownInterval, StorageError, NotExact, and ExportError where the folder cannot be used.
        """
        if start is not None and end is not None and start > end:
            raise ValueError(f"start ({start}) is after end ({end}).")
        wanted = [kind if kind == TRADES else any_interval_of(kind).name for kind in kinds]
        if TRADES in wanted and self._form.layout.trades is None:
            raise ExportError(f"The layout {self._form.layout.name} has no place for trades.")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with _alone(self._folder):
                manifest = Manifest.load(self._folder, self._form.layout.name)
                parts = []
                for symbol in symbols:
                    for kind in wanted:
                        parts += await self._parts(symbol, kind, start, end)
                self._total = sum(part.seconds for part in parts)
                for part in parts:
                    await self._export(part, manifest)
        except OSError as error:
            raise ExportError(f"{self._folder} cannot be written: {error.strerror or error}.") from error
        return self._report

    async def _parts(self, name: str, kind: str, start: datetime | None, end: datetime | None) -> list[_Part]:
        """The files of one pair and kind, by what is held of it."""
        # Trades begin where anything begins; where they are stored no longer, a look is short.
        held = await self._provider.get_data_range(name, "1h" if kind == TRADES else kind)
        if held is None:
            return []
        symbol = self._provider.symbols.resolve(name)
        pair = self._provider.symbols.pair(symbol)
        if pair is not None and self._form.price_decimals is not None:
            pair = replace(pair, price_decimals=self._form.price_decimals)
        asked = Stretch(max(held.start, start or held.start), min(held.end, end or held.end))
        found = []
        # Trades are stored for months: a year's file would lose its beginning before it is whole.
        by = By.MONTH if kind == TRADES and self._form.by is By.YEAR else self._form.by
        for label, whole in parts_of(asked, by):
            inside = Stretch(max(whole.start, asked.start), min(whole.end, asked.end))
            is_all = by is By.ALL
            first = start if is_all else max(whole.start, start or whole.start)
            last = end if is_all else min(whole.end, end or whole.end)
            contents = Contents(symbol, kind, label, whole, pair)
            path = f"{self._form.layout.path(contents)}.{self._form.format}"
            seconds = int((inside.end - inside.start).total_seconds())
            found.append(_Part(contents, path, first, last, seconds))
        return found

    async def _export(self, part: _Part, manifest: Manifest) -> None:
        digest = await self._digest(part)
        entry = self._entry(part, digest)
        known = manifest.whole(part.path)
        is_same = known is not None and known.question == entry.question
        begun = self._done
        if known is not None and is_same and known.digest == entry.digest:
            self._report.unchanged.append(part.path)
        elif known is not None and is_same and (digest.first is None or known.first < entry.first):
            self._report.kept.append(part.path)
            if await self._has_newer(part, known):
                self._report.lacking.append(part.path)
        elif digest.rows:
            manifest.save(part.path, await self._write(part, entry))
            self._report.written.append(part.path)
        self._done = begun + part.seconds
        self._tell(ExportProgress(self._done, self._total, self._report.rows, part.path))

    async def _write(self, part: _Part, entry: Entry) -> Entry:
        """The file, and what is to be remembered of it."""
        layout, path = self._form.layout, self._folder / part.path
        make = (layout.trades if part.contents.kind == TRADES else None) or layout.candles
        coverages, rows = [], 0
        async with aclosing(self._pieces(part)) as pieces, AsyncExitStack() as opened:
            file = None
            async for piece in pieces:
                table = make(piece.table, part.contents)
                if file is None:
                    file = opened.enter_context(open_table_file(path, table.schema, self._form.format))
                if table.num_rows:
                    file.write_table(table)
                rows += table.num_rows
                coverages.append(piece.coverage)
                self._report.rows += table.num_rows
                share = int(part.seconds * rows / max(entry.rows, rows))
                self._tell(ExportProgress(self._done + share, self._total, self._report.rows, part.path))
        size = path.stat().st_size
        self._report.bytes += size
        return replace(
            entry,
            rows=rows,
            bytes=size,
            written=as_text(self._clock()),
            proven=_joined(coverage.proven for coverage in coverages),
            provisional=_joined(coverage.provisional for coverage in coverages),
            holes=_joined(coverage.holes for coverage in coverages),
        )

    def _entry(self, part: _Part, digest: Digest) -> Entry:
        form = [self._form.format, *(["exact"] if self._form.exact else []), *(self._form.columns or ())]
        if self._form.layout.precisions:
            form += self._form.layout.precisions(part.contents)
        start, end = (None if moment is None else as_text(moment) for moment in (part.start, part.end))
        first = as_text(digest.first) if digest.first else ""
        # A number that JSON readers keep whole is one written as text.
        value = f"{digest.value & (2**64 - 1):016x}"
        return Entry(part.contents.symbol, part.contents.kind, start, end, form, digest.rows, first, value)

    async def _has_newer(self, part: _Part, known: Entry) -> bool:
        """Whether rows are stored of the time since the file was written."""
        written = datetime.fromisoformat(known.written)
        if part.end is not None and part.end <= written:
            return False
        return (await self._digest(replace(part, start=written))).rows > 0

    async def _digest(self, part: _Part) -> Digest:
        if part.contents.kind == TRADES:
            return await self._provider.get_trade_digest(part.contents.symbol, part.start, part.end)
        return await self._provider.get_candle_digest(
            part.contents.symbol, part.contents.kind, part.start, part.end
        )

    def _pieces(self, part: _Part) -> AsyncGenerator[Columns, None]:
        form, layout = self._form, self._form.layout
        if part.contents.kind == TRADES:
            columns = layout.trade_columns or form.columns
            return self._provider.iter_trade_columns(
                part.contents.symbol, part.start, part.end, columns=columns, exact=form.exact
            )
        return self._provider.iter_candle_columns(
            part.contents.symbol,
            part.contents.kind,
            part.start,
            part.end,
            columns=layout.columns or form.columns,
            exact=form.exact,
        )


def as_text(moment: datetime) -> str:
    """In ISO form to the microsecond, with Z, so that texts sort as times do."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _joined(parts: Iterable[Sequence[Stretch]]) -> list[list[str]]:
    """The stretches of the pieces, those that touch as one."""
    joined: list[Stretch] = []
    for part in parts:
        for each in part:
            if joined and joined[-1].end == each.start:
                joined[-1] = Stretch(joined[-1].start, each.end)
            else:
                joined.append(each)
    return [[as_text(each.start), as_text(each.end)] for each in joined]


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let no other export write here; what a killed one left is removed."""
    with (folder / LOCK).open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ExportError(f"Another export is writing to {folder}.") from None
        for left in folder.rglob(f"*{UNFINISHED}"):
            left.unlink()
        yield
