"""What an export's folder holds, and of which data: one JSON file beside the files."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from krakendata.errors import ExportError
from krakendata.export.files import UNFINISHED

__all__ = ["Entry", "Manifest"]

NAME = "export.json"
VERSION = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """One file: what was asked for, what the data were, and how complete. Times are ISO 8601 in UTC.

    `kind` is an interval's name or "trades"; `start` and `end` are what was asked for, `form` the format and the
    columns. `first` is the first row's time, `digest` changes with any of the rows. The last three are the ledger's
    word, in the same state of the database as the rows.
    """

    symbol: str
    kind: str
    start: str | None
    end: str | None
    form: list[str]
    rows: int
    first: str
    digest: str
    bytes: int = 0
    written: str = ""
    proven: list[list[str]] = field(default_factory=list)
    provisional: list[list[str]] = field(default_factory=list)
    holes: list[list[str]] = field(default_factory=list)

    @property
    def question(self) -> tuple[object, ...]:
        """What was asked for, and in which form."""
        return self.symbol, self.kind, self.start, self.end, self.form


@dataclass(slots=True)
class Manifest:
    """The entries by path within the folder. Saved as a whole, and never seen half written."""

    folder: Path
    layout: str
    entries: dict[str, Entry] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path, layout: str) -> Manifest:
        """The folder's manifest, a new one where there is none; ExportError where it is another layout's, or none."""
        path = folder / NAME
        if not path.exists():
            return cls(folder, layout)
        try:
            facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            entries = {name: Entry(**each) for name, each in facts["files"].items()}
            version, found = facts["version"], facts["layout"]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            told = f"{path} is not the manifest of an export: move it away, or name another folder."
            raise ExportError(told) from error
        if (version, found) != (VERSION, layout):
            raise ExportError(
                f"{folder} holds an export of the layout {found}: name another folder for {layout}."
            )
        return cls(folder, layout, entries)

    def whole(self, path: str) -> Entry | None:
        """What is known of a file that is there with the size it was written with."""
        known, file = self.entries.get(path), self.folder / path
        return known if known is not None and file.exists() and file.stat().st_size == known.bytes else None

    def save(self, path: str, entry: Entry) -> None:
        """Note one more file, at once: an export that is stopped goes on behind it."""
        self.entries[path] = entry
        files = {name: asdict(each) for name, each in sorted(self.entries.items())}
        facts = {"version": VERSION, "layout": self.layout, "files": files}
        unfinished = self.folder / f"{NAME}{UNFINISHED}"
        with unfinished.open("w", encoding="utf-8") as file:
            json.dump(facts, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(self.folder / NAME)
