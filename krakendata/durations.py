"""How long things took, counted by bounds: a histogram in a dozen numbers that can be kept beside other facts."""

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Durations:
    """Durations in seconds; `bounds` rise.

    `counts` has one number for each bound, of those that took as long at most and longer than the bound before, and a
    last one for all that took longer.
    """

    bounds: tuple[float, ...]
    counts: list[int] = field(default_factory=list)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.counts = self.counts or [0] * (len(self.bounds) + 1)

    def add(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.seconds += seconds

    def as_dict(self) -> dict[str, Any]:
        """Fit for JSON; `durations_of` reads it."""
        return {"bounds": self.bounds, "counts": self.counts, "seconds": round(self.seconds, 6)}


def durations_of(facts: dict[str, Any]) -> Durations:
    """Read what `as_dict` gave, by whichever bounds it was counted."""
    return Durations(tuple(facts["bounds"]), list(facts["counts"]), facts["seconds"])
