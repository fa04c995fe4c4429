"""What an export's folder holds, and of which data: one JSON file beside the files."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from krakendata.errors import ExportError

__all__ = ["Entry", "Manifest"]

NAME = "export.json"
VERSION = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """One file: what was asked for, what the data were, and how complete. Times are ISO 8601 in UTC.

    `digest` changes with any of the rows; `rows` and `bytes` are the file's; the last three are the ledger's word.
    """

    symbol: str
    kind: str
    start: str
    end: str
    columns: list[str]
    rows: int
    bytes: int
    digest: str
    written: str
    proven: list[list[str]]
    provisional: list[list[str]]
    holes: list[list[str]]


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
            raise ExportError(
                f"{path} is not the manifest of an export: move it away, or name another folder."
            ) from error
        if (version, found) != (VERSION, layout):
            raise ExportError(
                f"{folder} holds an export of the layout {found}: name another folder for {layout}."
            )
        return cls(folder, layout, entries)

    def matches(self, path: str, entry: Entry) -> bool:
        """Whether the file is there and was made of the same data in the same form."""
        known = self.entries.get(path)
        if known is None or not self.is_whole(path):
            return False
        return (known.digest, known.columns, known.kind, known.symbol) == (
            entry.digest, entry.columns, entry.kind, entry.symbol,
        )  # fmt: skip

    def is_whole(self, path: str) -> bool:
        """Whether the file is there with the size it was written with."""
        known, file = self.entries.get(path), self.folder / path
        return known is not None and file.exists() and file.stat().st_size == known.bytes

    def save(self, path: str, entry: Entry) -> None:
        """Note one more file, at once: an export that is stopped goes on behind it."""
        self.entries[path] = entry
        facts = {
            "version": VERSION,
            "layout": self.layout,
            "files": {name: asdict(each) for name, each in sorted(self.entries.items())},
        }
        target = self.folder / NAME
        unfinished = target.with_name(f"{NAME}.unfinished")
        with unfinished.open("w", encoding="utf-8") as file:
            json.dump(facts, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(target)
