"""How complete an answer is, in a sentence for people."""

from krakendata.gaps import Coverage, Stretch

__all__ = ["completeness"]

STRETCHES_SHOWN = 5


def completeness(coverage: Coverage) -> str:
    """What is proven, provisional or missing of the time asked for; the first few holes by their times."""
    if coverage.is_proven:
        return "Every trade of the time is in."
    if coverage.is_complete:
        return "Partly from archives without trade ids: provisional."
    shown = ", ".join(map(_told, coverage.holes[:STRETCHES_SHOWN]))
    left = len(coverage.holes) - STRETCHES_SHOWN
    return f"Not covered: {shown}{f' and {left} more' if left > 0 else ''}."


def _told(stretch: Stretch) -> str:
    return f"{stretch.start:%Y-%m-%d %H:%M} to {stretch.end:%Y-%m-%d %H:%M}"
