"""How workers leave their outcomes in Redis, and what is read of them: one hash, a few numbers a task.

A field is a task's name and what the number is about: `krakendata.tasks.upkeep success` counts how often it ended so,
`… le 5.0` those that took as long at most and longer than the bound before, `… seconds` sums how long they took, and
`… last` is when one last ended well. A Redis that was emptied begins anew, as counters may.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from math import inf

from krakendata.durations import Durations

KEY = "krakendata:metrics:tasks"
PREFIX = "krakendata.tasks."
# From a look that finds nothing to do, to more than a share of ten minutes.
BOUNDS = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0)
LE, SECONDS, LAST = "le", "seconds", "last"


@dataclass(slots=True)
class TaskOutcomes:
    """How often a task ended in which state (Celery's, in small letters), how long it took, when it last ended well."""

    states: dict[str, int] = field(default_factory=dict)
    durations: Durations = field(default_factory=lambda: Durations(BOUNDS))
    last_success: float | None = None


def increments(task: str, state: str, seconds: float) -> dict[str, float]:
    """What to add to which fields for one task that ended in a state."""
    bound = next((bound for bound in BOUNDS if seconds <= bound), inf)
    return {f"{task} {state.lower()}": 1, f"{task} {LE} {bound}": 1, f"{task} {SECONDS}": seconds}


def last_success(task: str, now: datetime) -> tuple[str, float]:
    """The field that says when it last ended well, and its value: seconds since 1970."""
    return f"{task} {LAST}", now.timestamp()


def outcomes_of(fields: Mapping[str, str]) -> dict[str, TaskOutcomes]:
    """Read the hash; fields that another version wrote and this one does not know count for nothing."""
    places = {str(bound): place for place, bound in enumerate((*BOUNDS, inf))}
    found: defaultdict[str, TaskOutcomes] = defaultdict(TaskOutcomes)
    for name, value in sorted(fields.items()):
        match name.split(" "):
            case [task, word, bound] if word == LE and bound in places:
                found[task].durations.counts[places[bound]] += int(float(value))
            case [task, word] if word == SECONDS:
                found[task].durations.seconds += float(value)
            case [task, word] if word == LAST:
                found[task].last_success = float(value)
            case [task, state]:
                found[task].states[state] = int(float(value))
    return dict(found)
