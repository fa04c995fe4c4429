"""Reads on a whole installation, each beside what is closest to the database, on the same data in the same run."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from krakendata.storage.editions import EDITIONS
from tests.benchmarks.questions import QuestionResult, ask_all
from tests.benchmarks.read_api import ApiResult, measure_api
from tests.benchmarks.read_frames import FrameResult, measure_frames
from tests.benchmarks.read_market import SYMBOL, import_archives, years
from tests.benchmarks.servers import BenchServer


@dataclass(frozen=True)
class ReadsResult:
    """Everything on one edition."""

    questions: Sequence[QuestionResult]
    frames: Sequence[FrameResult]
    api: Sequence[ApiResult]


def measure_reads(
    server: BenchServer, folders: tuple[Path, ...], directory: Path, scale: float
) -> ReadsResult:
    """Import the folders' archives and read them; `directory`, which is made, is for files and a Redis."""
    directory.mkdir()
    import_archives(server, folders)
    questions = asyncio.run(ask_all(server.url_of("ours"), EDITIONS[server.edition], SYMBOL))
    frames = measure_frames(server, directory, years(scale))
    return ReadsResult(questions, frames, measure_api(server, directory, years(scale)))
