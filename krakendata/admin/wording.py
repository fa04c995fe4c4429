"""Numbers, times and raw text as people read them; every time is UTC, which the columns' titles say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from unicodedata import category

from django.utils.html import format_html
from django.utils.safestring import SafeString

NOTHING = "–"
UNITS = ("B", "kB", "MB", "GB", "TB")

# As in editors. Fonts lack Unicode's own pictures of control characters, so these get names.
MARKS = {" ": "·", "\t": "→", "\n": "‹LF›\n", "\r": "‹CR›", "\0": "‹NUL›"}
UNSEEN_CATEGORIES = ("Cc", "Cf", "Zs", "Zl", "Zp")


def number(value: int | None) -> str:
    """Give 1234567 as 1,234,567."""
    return NOTHING if value is None else f"{value:,}"


def exact(value: Decimal | None) -> str:
    """Give a price or volume to its last digit but for needless zeros (REST writes 75.10000), never as 1E+2."""
    text = NOTHING if value is None else f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def rounded(value: Decimal | None, digits: int = 8) -> str:
    """Give a quotient (a vwap has twenty digits) to at most `digits` significant ones."""
    return NOTHING if value is None else f"{Decimal(f'{value:.{digits}g}'):f}"


def minute(moment: datetime | None) -> str:
    """Give a moment to the minute."""
    return NOTHING if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"


def second(moment: datetime | None) -> str:
    """Give a moment to the second."""
    return NOTHING if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def microsecond(moment: datetime) -> str:
    """Give a moment as precisely as it is stored."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"


def duration(span: timedelta | None) -> str:
    """Give the two largest units of a span: 3 d 4 h, 12 min 5 s."""
    if span is None:
        return NOTHING
    seconds = max(int(span.total_seconds()), 0)
    parts: list[str] = []
    for name, length in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        count, seconds = divmod(seconds, length)
        if count or (name == "s" and not parts):
            parts.append(f"{count} {name}")
    return " ".join(parts[:2])


def ago(moment: datetime | None, now: datetime) -> str:
    """Give how long ago a moment was."""
    return "never" if moment is None else f"{duration(now - moment)} ago"


def size(count: int) -> str:
    """Give bytes in the unit that leaves at most three digits before the point."""
    value = float(count)
    for unit in UNITS[:-1]:
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} {UNITS[-1]}"


def rounded_count(count: int) -> int:
    """The first three digits of a count that is an estimate: 2592030 as 2590000."""
    return round(count, -max(len(str(count)) - 3, 0))


def counted(count: int, one: str, many: str) -> str:
    """Give a count with its words: 1 pair is, 2 pairs are."""
    return f"{count:,} {one if count == 1 else many}"


def amount(count: int, unit: str) -> str:
    """Give a count of `unit`, a word for many such as rows; bytes as sizes."""
    return size(count) if unit == "bytes" else counted(count, unit.removesuffix("s"), unit)


def percent(share: float, digits: int = 0) -> str:
    """Give a share (0 to 1) in percent, rounded down: only the whole is 100%."""
    # As decimal: 0.29 times 100 is less than 29 in binary.
    return f"{(100 * Decimal(str(share))).quantize(Decimal(1).scaleb(-digits), ROUND_DOWN)}%"


def marked(raw: str) -> SafeString:
    """Give a raw record escaped, monospaced, with its blanks and unseen characters to be seen."""
    return format_html('<pre class="kd-raw">{}</pre>', "".join(map(_visible, raw)))


def _visible(character: str) -> str:
    """Give a mark or the code point for what a page would not show: controls, blanks, direction marks."""
    if character in MARKS:
        return MARKS[character]
    return f"‹U+{ord(character):04X}›" if category(character) in UNSEEN_CATEGORIES else character


def numeric(text: str) -> SafeString:
    """Set figures so that they stand under each other."""
    return format_html('<span class="kd-figure">{}</span>', text)


def chip(text: str, tone: str) -> SafeString:
    """Give a word on a coloured ground; tones: good, bad, busy, quiet."""
    return format_html('<span class="kd-chip kd-{}">{}</span>', tone, text)
