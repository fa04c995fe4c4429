"""The rows of which not every field was certain, judged one by one by validation.py."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from krakendata.ingest.fields_frame import lines_of
from krakendata.kraken.archives import Layout, RawBlock
from krakendata.validation import Rejection

Record = TypeVar("Record")

MAX_ID_DIGITS = 19


@dataclass(frozen=True, slots=True)
class PlacedRejection:
    """A rejection with the line it came from and the id it named, if it named one."""

    line: int
    rejection: Rejection
    trade_id: int | None = None


def judge_rows(
    raw: RawBlock,
    layout: Layout,
    lines: list[int],
    validate: Callable[[Mapping[str, str], str], Record | Rejection],
) -> tuple[list[tuple[int, Record]], list[PlacedRejection], int]:
    """Give the good records of these lines with their line numbers, the rejections, and how many lines are blank.

    `validate` takes a row's fields by name and its text.
    """
    records: list[tuple[int, Record]] = []
    rejections: list[PlacedRejection] = []
    blank = 0
    for line, text in zip(lines, lines_of(raw, lines), strict=True):
        if not text.strip():
            blank += 1
            continue
        fields = named_fields(text, layout)
        verdict = validate(fields, text)
        if isinstance(verdict, Rejection):
            rejections.append(PlacedRejection(line, verdict, _named_id(fields.get("trade_id", ""))))
        else:
            records.append((line, verdict))
    return records, rejections, blank


def named_fields(text: str, layout: Layout) -> dict[str, str]:
    """The fields of one line by the layout's names: missing ones are empty, what is too much has a name of its own."""
    cells = text.split(",")
    cells += [""] * (len(layout.columns) - len(cells))
    names = [*layout.columns, *(f"field {number + 1}" for number in range(len(layout.columns), len(cells)))]
    return dict(zip(names, cells, strict=True))


def _named_id(text: str) -> int | None:
    # Python refuses to read thousands of digits; a bigint has nineteen.
    is_number = len(text) <= MAX_ID_DIGITS and text.isascii() and text.isdigit()
    return int(text) if is_number and 0 < int(text) < 2**63 else None
