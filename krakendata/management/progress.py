"""One line of progress: rows, rate and time left, moving in a terminal and sparing elsewhere."""

import time
from types import TracebackType
from typing import IO, Self, cast

from django.core.management.base import OutputWrapper
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

# Away from a terminal a line is written this often: enough to follow a log, too little to fill it.
PLAIN_SECONDS = 10.0


class ProgressLine:
    """A context that shows how far a deed is on the command's `stream`."""

    def __init__(self, stream: OutputWrapper) -> None:
        self._stream = stream
        self._started = self._last_plain = time.monotonic()
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        if self._stream.isatty():
            self._progress = Progress(
                BarColumn(), TextColumn("{task.percentage:3.0f}% {task.description}"), TimeRemainingColumn(),
                console=Console(file=cast(IO[str], self._stream)),
            )  # fmt: skip
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def show(self, done: int, total: int, rows: int, message: str = "") -> None:
        """Show `done` of `total` (bytes, ids …) and the rows read so far."""
        seconds = time.monotonic() - self._started
        text = message or f"{rows:,} rows, {rows / max(seconds, 0.001):,.0f} rows/s"
        if self._progress is not None:
            if self._task is None:
                self._task = self._progress.add_task(text, total=total)
            self._progress.update(self._task, completed=done, total=total, description=text)
        elif time.monotonic() - self._last_plain >= PLAIN_SECONDS:
            self._last_plain = time.monotonic()
            left = seconds / done * (total - done) if done else 0
            self._stream.write(f"{done / max(total, 1):4.0%} {text}, {left:,.0f} s left\n")
