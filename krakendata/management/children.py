"""Processes that a command starts beside itself, and ends with itself."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from django.conf import settings

# A worker ends within seconds; one that waits for something that does not come is not waited for.
SECONDS_TO_END = 40
LOG_LINES_SHOWN = 5


@contextmanager
def child_processes(
    commands: Mapping[str, Sequence[str]],
    variables: Mapping[str, str],
    logs: Path,
    died: Callable[[str], None],
) -> Iterator[None]:
    """Run `python -m COMMAND` for each of `commands` with these variables, its output in `logs`, until the block ends.

    They do not see the terminal's Ctrl-C: all end together, in good order, when the block does, or when this process
    is killed. `died` is told a sentence, from another thread, about each that ends before.
    """
    logs.mkdir(parents=True, exist_ok=True)
    children: list[_Child] = []
    try:
        for name, arguments in commands.items():
            children.append(_Child(name, arguments, variables, logs / f"{name}.log", died))
        yield
    finally:
        for child in children:
            child.ask_to_end()
        for child in children:
            child.wait()


class _Child:
    """One of them, and the thread that waits for its end."""

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        variables: Mapping[str, str],
        log: Path,
        died: Callable[[str], None],
    ) -> None:
        self._name, self._log, self._died = name, log, died
        self._is_to_end = threading.Event()
        with log.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 (our own arguments)
                [sys.executable, "-m", "krakendata.management.child", *arguments],
                env={**os.environ, **variables},
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        threading.Thread(target=self._watch, name=name, daemon=True).start()

    def ask_to_end(self) -> None:
        self._is_to_end.set()
        self._process.terminate()

    def wait(self) -> None:
        """Return when it has ended; after long enough it is killed, with whatever it started."""
        try:
            self._process.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._kill_group()
            self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()

    def _watch(self) -> None:
        code = self._process.wait()
        if self._is_to_end.is_set():
            return
        # A worker that was killed leaves the processes that do its tasks.
        self._kill_group()
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES_SHOWN:]
        self._died(
            f"The {self._name} has ended by itself (exit code {code}). Its log, {self._log}, ends: {' | '.join(lines)}"
        )

    def _kill_group(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)


def celery_command(*arguments: str) -> list[str]:
    """`celery` for the project whose `celery.py` has the queue: the package of its settings."""
    return ["celery", "-A", str(settings.SETTINGS_MODULE).rpartition(".")[0], *arguments]


def manage_command(*arguments: str) -> list[str]:
    """A command of ours, in the project of these settings."""
    return ["django", *arguments, "--settings", str(settings.SETTINGS_MODULE)]
