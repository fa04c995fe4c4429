"""What is shown of an upload: its state, its facts, and what the check before the import found in it."""

from __future__ import annotations

from typing import Any

from django.utils.html import format_html
from django.utils.safestring import SafeString

from krakendata.admin.pages import Column, Table
from krakendata.admin.wording import NOTHING, chip, marked, minute, number, numeric, size
from krakendata.models import Upload
from krakendata.uploads import HALF_KEPT, WHOLE_KEPT

State = Upload.State

TONES = {
    State.RECEIVING: "quiet",
    State.CHECKING: "busy",
    State.READY: "busy",
    State.REFUSED: "bad",
    State.IMPORTING: "busy",
    State.DONE: "good",
    State.FAILED: "bad",
    State.DISCARDED: "quiet",
}
# What is taken away once nobody has come back to it for so long (tasks/uploading.py).
LEFT_ALONE = {State.RECEIVING, State.CHECKING, State.READY, State.FAILED}
WORDS = {State.RECEIVING: "half", State.READY: "ready to import"}
FILE_COLUMNS = [
    Column("File"),
    Column("Pair"),
    Column("What it holds"),
    Column("Rows", True, "About: by the length of the first ones"),
    Column("Behind the retention", True, "About, at most: these build candles and keep no row of their own"),
]


def state_chip(upload: Upload, state: Upload.State) -> SafeString:
    """The state in a word, and of a half how much is there."""
    shown = chip(WORDS.get(state, state.value), TONES[state])
    if state == State.RECEIVING:
        return format_html("{} {}", shown, numeric(f"{upload.received / upload.size:.0%}"))
    return shown


def upload_facts(upload: Upload) -> list[tuple[str, object]]:
    """Title and text of what is known of it without opening it."""
    facts: list[tuple[str, object]] = [
        ("Size", f"{size(upload.size)} ({number(upload.size)} bytes)"),
        ("Pair", upload.symbol or "as its members are named"),
        ("Uploaded by", upload.owner),
        ("Began (UTC)", minute(upload.created_at)),
        ("Kept as", upload.file if upload.has_file else NOTHING),
    ]
    if upload.state in LEFT_ALONE:
        kept = HALF_KEPT if upload.state == State.RECEIVING else WHOLE_KEPT
        facts.append(("Kept for", f"{kept.days} d, unless it is imported"))
    return facts


def told_findings(findings: dict[str, Any]) -> dict[str, Any] | None:
    """What the check saw, with numbers as people read them."""
    if not findings:
        return None
    told = {f"{name}_told": number(findings[name]) for name in ("rows", "looked_at", "bad")}
    return {
        **findings,
        **told,
        "files_more": findings["file_count"] - len(findings["files"]),
        "refused_more": findings["refused_count"] - len(findings["refused"]),
    }


def file_table(files: list[dict[str, Any]]) -> Table:
    """Lay out the files that would be imported."""
    rows = [
        [
            file["name"],
            file["symbol"],
            _content(file),
            numeric(number(file["rows"])),
            numeric(number(file["rows_behind"])) if file["rows_behind"] else NOTHING,
        ]
        for file in files
    ]
    return Table(FILE_COLUMNS, rows, "Nothing in it can be imported.")


def _content(file: dict[str, Any]) -> str:
    if file["kind"] == "candles":
        return f"{file['interval']}-minute candles (OHLCVT)"
    ids = "without ids" if file["schema"] == "A" else "with ids"
    return f"trades {ids} (schema {file['schema']})"


def bad_line(first: dict[str, Any] | None) -> dict[str, object] | None:
    """The first line that would be rejected, its text escaped and with its blanks to be seen."""
    return None if first is None else {**first, "line": number(first["line"]), "raw": marked(first["raw"])}
