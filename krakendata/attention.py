"""What needs an operator's attention, and in which order: the desk's facts in, lines with their remedies out.

Every sentence names moments, never ages: it changes when the matter does, not with the clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum, StrEnum

# A tail is due after two minutes, the timetable looks every minute, and asking for many pairs takes its time: what is
# younger than this mends itself.
BEHIND_AFTER = timedelta(minutes=5)
# A feed says every two seconds that it is alive, a worker every ten.
FEED_SILENT_AFTER = timedelta(seconds=15)
WORKER_SILENT_AFTER = timedelta(seconds=45)
# The exchange sends a heartbeat every second; a feed that connects anew has half a minute for it.
DEAF_AFTER = timedelta(seconds=30)
# Celery's beat writes down what it has started every three minutes only, unless CELERY_BEAT_SYNC_EVERY says otherwise.
BEAT_WRITES_EVERY = timedelta(minutes=3)
BEAT_MARGIN = timedelta(minutes=1)
# Upkeep that was missed so often does not come by itself.
UPKEEP_MISSED = 4
# More lines of one kind are told as one: nobody reads a thousand.
MOST_LINES = 5
# A sentence of an error; all of it is on its run's page.
ERROR_CHARACTERS = 200


class Urgency(IntEnum):
    """The order of the lines: what stops everything, went wrong, is missing, waits for a decision, is late."""

    STOPPED = 0
    FAILED = 1
    MISSING = 2
    UNDECIDED = 3
    LATE = 4


class Deed(StrEnum):
    """What one click can do about a line."""

    FILL_GAPS = "fill_gaps"
    BACKFILL = "backfill"
    RESTART = "restart"
    UPKEEP = "upkeep"
    RUN_DUE = "run_due"
    FORGET_FEED = "forget_feed"
    FORGET_WORKER = "forget_worker"


class Place(StrEnum):
    """Where one click leads, if the matter is not done by one."""

    REJECTS = "rejects"


@dataclass(frozen=True, slots=True)
class Remedy:
    """What to do: by one click (`deed` of `target`, "" meaning all; `label` on the button), or `command` in a shell.

    What has to be looked at first has a `place` instead of a deed. A process that does not run cannot be started from
    a page: then there is the command alone.
    """

    command: str
    deed: Deed | None = None
    target: str = ""
    label: str = ""
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that needs attention."""

    urgency: Urgency
    subject: str
    sentence: str
    remedy: Remedy


@dataclass(frozen=True, slots=True)
class PairFacts:
    """One pair: until when everything of it is held (None: nothing is), its holes, and the error of its last try.

    Of a pair that `is_gone` from the exchange nothing more is to be had.
    """

    symbol: str
    is_tracked: bool = True
    candles_only: bool = False
    known_to: datetime | None = None
    holes: int = 0
    error: str = ""
    is_gone: bool = False

    def is_fresh(self, now: datetime) -> bool:
        """Whether nothing of it is older than mends itself."""
        return self.known_to is not None and now - self.known_to <= BEHIND_AFTER

    def seconds_behind(self, now: datetime) -> float | None:
        """Seconds since the moment until which everything is held; None where nothing is."""
        return None if self.known_to is None else max((now - self.known_to).total_seconds(), 0.0)


@dataclass(frozen=True, slots=True)
class FeedFacts:
    """The newest session of a feed; `seconds_behind` is how long its oldest trade waits to be written."""

    session: int
    name: str
    started_at: datetime
    alive_at: datetime
    ended_at: datetime | None = None
    heard_at: datetime | None = None
    symbols: int = 0
    trades_per_second: float = 0.0
    seconds_behind: float = 0.0

    def state(self, now: datetime) -> str:
        """ "live", "deaf" (hears nothing of the exchange), "silent" (ended without a word) or "ended"."""
        if self.ended_at is not None:
            return "ended"
        if now - self.alive_at > FEED_SILENT_AFTER:
            return "silent"
        return "deaf" if now - (self.heard_at or self.started_at) > DEAF_AFTER else "live"


@dataclass(frozen=True, slots=True)
class WorkerFacts:
    """A Celery worker that has not said that it ends."""

    name: str
    started_at: datetime
    alive_at: datetime

    def is_alive(self, now: datetime) -> bool:
        """Whether it has said so lately."""
        return now - self.alive_at <= WORKER_SILENT_AFTER


@dataclass(frozen=True, slots=True)
class BeatFacts:
    """Celery's timetable: when it last started something (None: never), how often its most frequent entry is due."""

    last_run_at: datetime | None
    every: timedelta

    def is_alive(self, now: datetime) -> bool:
        """Whether what was due has been started."""
        return self.last_run_at is not None and now - self.last_run_at <= self.patience

    @property
    def patience(self) -> timedelta:
        """How long it may be silent."""
        return self.every + BEAT_WRITES_EVERY + BEAT_MARGIN


@dataclass(frozen=True, slots=True)
class RunFacts:
    """A run that goes on (`is_held`: somebody is at it), or one that failed within a day.

    `at` is when it was last heard of. `is_answered`: the same was done, or begun, since.
    """

    id: int
    kind: str
    state: str
    at: datetime
    symbol: str = ""
    error: str = ""
    is_held: bool = False
    is_answered: bool = False
    done: int = 0
    total: int | None = None
    started_at: datetime | None = None

    @property
    def is_at_work(self) -> bool:
        """Whether somebody is at it."""
        return self.state == "running" and self.is_held

    @property
    def is_killed(self) -> bool:
        """Whether it ended without a word."""
        return self.state == "interrupted" or self.state == "running" and not self.is_held

    @property
    def is_failure(self) -> bool:
        """Whether it failed or was killed."""
        return self.state == "failed" or self.is_killed


@dataclass(frozen=True, slots=True)
class UpkeepFacts:
    """Something that keeps the database in shape: when it was last done (None: not yet), how often it is due."""

    name: str
    done_at: datetime | None
    every: timedelta
    is_failing: bool = False

    def is_late(self, now: datetime) -> bool:
        """Whether it was missed too often; of what fails once is too often, but the next try may come in time."""
        if self.done_at is None:
            return self.is_failing
        return now - self.done_at > (1 if self.is_failing else UPKEEP_MISSED) * self.every


@dataclass(frozen=True, slots=True)
class TableFacts:
    """What a table takes on disk, as far as the catalog knows. `before` and `after`: of what is compressed."""

    name: str
    rows: int | None
    bytes: int
    before: int = 0
    after: int = 0

    @property
    def saved(self) -> float | None:
        """The part that compression has saved, 0 to 1; None where nothing is compressed."""
        return 1 - self.after / self.before if self.before else None


@dataclass(frozen=True, slots=True)
class Desk:
    """The facts, as of `now`, which is the database's. `beat` is None where the timetable is not Celery's."""

    now: datetime
    pairs: Sequence[PairFacts] = ()
    feeds: Sequence[FeedFacts] = ()
    workers: Sequence[WorkerFacts] = ()
    beat: BeatFacts | None = None
    runs: Sequence[RunFacts] = ()
    upkeep: Sequence[UpkeepFacts] = ()
    tables: Sequence[TableFacts] = ()
    waiting_rejects: int = 0

    @property
    def tracked(self) -> list[PairFacts]:
        """The pairs that are to be kept complete, those first of which the least is known."""
        return sorted((pair for pair in self.pairs if pair.is_tracked), key=_by_age)

    @property
    def fresh(self) -> list[PairFacts]:
        """The tracked pairs that are up to date."""
        return [pair for pair in self.tracked if pair.is_fresh(self.now)]

    @property
    def behind(self) -> list[PairFacts]:
        """The tracked pairs that are not."""
        return [pair for pair in self.tracked if not pair.is_fresh(self.now)]

    @property
    def with_holes(self) -> list[PairFacts]:
        """The pairs, tracked or not, that lack trades between others."""
        return [pair for pair in self.pairs if pair.holes]

    @property
    def failures(self) -> list[RunFacts]:
        """The runs that failed or were killed, also those that were made good since."""
        return [run for run in self.runs if run.is_failure]

    @property
    def running(self) -> list[RunFacts]:
        """The runs that somebody is at."""
        return [run for run in self.runs if run.is_at_work]

    @property
    def trades_per_second(self) -> float:
        """What all living feeds together hear."""
        return sum(feed.trades_per_second for feed in self.feeds if feed.state(self.now) == "live")


def attention_lines(desk: Desk) -> list[Line]:
    """What needs attention, the most urgent first; each line has its remedy. Nothing of it is told twice."""
    lines = [
        *_beat_lines(desk), *_worker_lines(desk), *_feed_lines(desk),
        *_run_lines(desk), *_pair_lines(desk), *_reject_lines(desk), *_upkeep_lines(desk),
    ]  # fmt: skip
    return sorted(lines, key=lambda line: line.urgency)


def moment_words(moment: datetime) -> str:
    """2026-01-31 12:34 UTC."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _beat_lines(desk: Desk) -> list[Line]:
    beat = desk.beat
    if beat is None or beat.is_alive(desk.now) or not desk.tracked or _is_starting(desk, beat):
        return []
    sentence = "It has never started a task: gaps are not looked for."
    if beat.last_run_at is not None:
        since = moment_words(beat.last_run_at)
        sentence = f"It has started no task since {since}: gaps are not looked for."
    remedy = Remedy("celery -A config beat", Deed.RUN_DUE, label="Run what is due")
    return [Line(Urgency.STOPPED, "Timetable", sentence, remedy)]


def _is_starting(desk: Desk, beat: BeatFacts) -> bool:
    """Whether the first worker there ever was came a moment ago, and the timetable beside it has had no time yet."""
    started = [worker.started_at for worker in desk.workers]
    return beat.last_run_at is None and bool(started) and desk.now - min(started) <= beat.patience


def _worker_lines(desk: Desk) -> list[Line]:
    gone = [worker for worker in desk.workers if not worker.is_alive(desk.now)]
    lines = []
    if len(gone) == len(desk.workers) and desk.tracked:
        sentence = "None is running: gaps, backfills and imports wait."
        lines = [Line(Urgency.STOPPED, "Workers", sentence, Remedy("celery -A config worker"))]
    for worker in sorted(gone, key=lambda each: (each.alive_at, each.name)):
        sentence = f"The worker has said nothing since {moment_words(worker.alive_at)}."
        remedy = Remedy("celery -A config worker", Deed.FORGET_WORKER, worker.name, "Forget it")
        lines.append(Line(Urgency.FAILED, worker.name, sentence, remedy))
    return _folded(lines, _forgetting(Deed.FORGET_WORKER, "workers have said nothing for a while"))


def _feed_lines(desk: Desk) -> list[Line]:
    lines = []
    for feed in sorted(desk.feeds, key=lambda each: (each.alive_at, each.name)):
        match feed.state(desk.now):
            case "silent":
                sentence = (
                    f"The feed ended without a word; it was last heard of at {moment_words(feed.alive_at)}."
                )
                remedy = Remedy("manage.py stream_trades", Deed.FORGET_FEED, str(feed.session), "Forget it")
                lines.append(Line(Urgency.STOPPED, feed.name, sentence, remedy))
            case "deaf":
                heard = feed.heard_at or feed.started_at
                sentence = f"The feed has heard nothing of the exchange since {moment_words(heard)}."
                remedy = Remedy("manage.py fill_gaps", Deed.FILL_GAPS, label="Fill gaps meanwhile")
                lines.append(Line(Urgency.STOPPED, feed.name, sentence, remedy))
    return _folded(lines, _forgetting(Deed.FORGET_FEED, "feeds are silent"))


def _run_lines(desk: Desk) -> list[Line]:
    """Failed runs that nobody has made good, the newest first. A feed's own runs are told by its session."""
    failed = [run for run in desk.failures if not run.is_answered and run.kind != "live"]
    lines = [_run_line(run) for run in sorted(failed, key=lambda run: run.id, reverse=True)]

    def rest(count: int) -> Line:
        remedy = Remedy("manage.py fill_gaps", Deed.RESTART, label="Start all of them again")
        return Line(Urgency.FAILED, "Runs", f"{count:,} more failed within a day.", remedy)

    return _folded(lines, rest)


def _run_line(run: RunFacts) -> Line:
    subject = f"Run {run.id}: {run.kind.replace('_', ' ')} {run.symbol}".rstrip()
    if run.is_killed:
        sentence = f"It was killed; it was last heard of at {moment_words(run.at)}."
    else:
        sentence = f"It failed at {moment_words(run.at)}: {_shortened(run.error or 'nobody said why')}"
    remedy = Remedy(_command_of(run), Deed.RESTART, str(run.id), "Start again")
    return Line(Urgency.FAILED, subject, sentence, remedy)


def _command_of(run: RunFacts) -> str:
    """The command that does the same here and now."""
    if run.kind in ("replay_rejects", "dismiss_rejects"):
        return f"manage.py {run.kind} --by NAME"
    commands = {
        "backfill": "backfill",
        "gap_fill": "fill_gaps",
        "import": "import_csv PATH",
        "audit": "audit",
    }
    return f"manage.py {commands.get(run.kind, run.kind)} {run.symbol}".rstrip()


def _pair_lines(desk: Desk) -> list[Line]:
    """Pairs that are behind, then those with holes; one that is being worked on mends itself."""
    at_work = {run.symbol for run in desk.running if run.symbol}
    behind = [_behind_line(pair) for pair in desk.behind if pair.symbol not in at_work]
    told = {pair.symbol for pair in desk.behind} | {pair.symbol for pair in desk.pairs if pair.is_gone}
    torn = [pair for pair in desk.with_holes if pair.symbol not in told | at_work]
    holes = [_holes_line(pair) for pair in sorted(torn, key=lambda pair: (-pair.holes, pair.symbol))]
    told |= {pair.symbol for pair in torn} | at_work
    failing = [_error_line(pair) for pair in desk.pairs if pair.error and pair.symbol not in told]
    return [
        *_folded(_urgent_first(behind), _filling("more pairs are behind.")),
        *_folded(_urgent_first(holes), _filling("more pairs have holes.")),
        *_folded(failing, _filling("more pairs failed at their last try.")),
    ]


def _behind_line(pair: PairFacts) -> Line:
    if pair.known_to is None:
        sentence = "It is tracked, and nothing of it is collected yet."
        remedy = Remedy(f"manage.py backfill {pair.symbol}", Deed.BACKFILL, pair.symbol, "Fetch its past")
        if pair.candles_only:
            remedy = _fill(pair)
    else:
        sentence, remedy = f"Nothing newer than {moment_words(pair.known_to)} is held.", _fill(pair)
    return _with_error(Line(Urgency.MISSING, pair.symbol, sentence, remedy), pair)


def _holes_line(pair: PairFacts) -> Line:
    holes = "1 hole" if pair.holes == 1 else f"{pair.holes:,} holes"
    sentence = f"It has {holes} between the trades that are held."
    return _with_error(Line(Urgency.MISSING, pair.symbol, sentence, _fill(pair)), pair)


def _error_line(pair: PairFacts) -> Line:
    sentence = f"The last try failed: {_shortened(pair.error)}"
    return Line(Urgency.FAILED, pair.symbol, sentence, _fill(pair))


def _with_error(line: Line, pair: PairFacts) -> Line:
    if not pair.error:
        return line
    sentence = f"{line.sentence} The last try failed: {_shortened(pair.error)}"
    return Line(Urgency.FAILED, line.subject, sentence, line.remedy)


def _fill(pair: PairFacts) -> Remedy:
    return Remedy(f"manage.py fill_gaps {pair.symbol}", Deed.FILL_GAPS, pair.symbol, "Fill gaps")


def _reject_lines(desk: Desk) -> list[Line]:
    count = desk.waiting_rejects
    if not count:
        return []
    what = "1 waits" if count == 1 else f"{count:,} wait"
    sentence = f"{what} to be corrected and replayed, or dismissed."
    remedy = Remedy("manage.py replay_rejects --by NAME", label="Look at them", place=Place.REJECTS)
    return [Line(Urgency.UNDECIDED, "Rejected records", sentence, remedy)]


def _upkeep_lines(desk: Desk) -> list[Line]:
    late = sorted(
        (each for each in desk.upkeep if each.is_late(desk.now)),
        key=lambda each: (each.done_at is not None, each.done_at or desk.now, each.name),
    )
    if not late:
        return []
    worst = late[0]
    when = "never" if worst.done_at is None else f"last at {moment_words(worst.done_at)}"
    others = f", and {len(late) - 1} more" if len(late) > 1 else ""
    sentence = f"{worst.name} was brought up to date {when}{others}. Reads stay right and take longer."
    remedy = Remedy("manage.py upkeep", Deed.UPKEEP, label="Refresh now")
    return [Line(Urgency.LATE, "Upkeep", sentence, remedy)]


def _urgent_first(lines: Iterable[Line]) -> list[Line]:
    return sorted(lines, key=lambda line: line.urgency)


def _folded(lines: Sequence[Line], rest: Callable[[int], Line]) -> list[Line]:
    """The first few lines; what is beyond them becomes one, which never stands for a single line."""
    if len(lines) <= MOST_LINES + 1:
        return list(lines)
    return [*lines[:MOST_LINES], rest(len(lines) - MOST_LINES)]


def _filling(sentence: str) -> Callable[[int], Line]:
    def rest(count: int) -> Line:
        remedy = Remedy("manage.py fill_gaps", Deed.FILL_GAPS, label="Fill all gaps")
        return Line(Urgency.MISSING, "Pairs", f"{count:,} {sentence}", remedy)

    return rest


def _forgetting(deed: Deed, sentence: str) -> Callable[[int], Line]:
    def rest(count: int) -> Line:
        remedy = Remedy("manage.py doctor", deed, label="Forget all of them")
        return Line(Urgency.FAILED, "Gone", f"{count:,} more {sentence}.", remedy)

    return rest


def _shortened(text: str) -> str:
    """The first line of an error, at most so long."""
    first, _, _ = text.strip().partition("\n")
    return first if len(first) <= ERROR_CHARACTERS else first[: ERROR_CHARACTERS - 1] + "…"


def _by_age(pair: PairFacts) -> tuple[bool, datetime, str]:
    return pair.known_to is not None, pair.known_to or datetime.min.replace(tzinfo=UTC), pair.symbol
