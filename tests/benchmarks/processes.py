"""What a process took: its CPU, with that of its children, and its peak memory (Linux; elsewhere not known)."""

import os
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
# Of /proc/PID/stat behind the name: user and system time, the same of children that have ended.
PARENT, OWN_TIMES, ENDED_TIMES = 1, slice(11, 13), slice(13, 15)
PEAK, NOW = "VmHWM:", "VmRSS:"

# The peak only grows, so that a look misses what it grows by in the last moment of a process at most.
LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class Ended:
    """How a command went: what it printed, its CPU seconds (user and system) and its peak memory in MB."""

    output: str
    cpu_seconds: float
    peak_mb: float


class CommandFailed(Exception):
    """It ended with an error; the message is what it printed."""


def run(command: Sequence[str | Path], environment: Mapping[str, str]) -> Ended:
    """Run a command to its end and measure it."""
    process = subprocess.Popen(
        command, env=dict(environment), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    has_ended = threading.Event()
    peaks = [0.0]

    def watch() -> None:
        while not has_ended.wait(LOOK_SECONDS):
            peaks.append(peak_mb(process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    has_ended.set()
    watcher.join()
    if process.returncode:
        raise CommandFailed(output)
    return Ended(output, usage.ru_utime + usage.ru_stime, max(peaks))


def peak_mb(pid: int) -> float:
    """The most memory that a living process has had since its program began; 0 where that is not known.

    What `wait4` tells is no less than the memory of the process that started it.
    """
    return _memory_mb(pid, PEAK)


def memory_mb(pid: int) -> float:
    """The memory that a living process has now; 0 where that is not known."""
    return _memory_mb(pid, NOW)


def _memory_mb(pid: int, kind: str) -> float:
    try:
        lines = (PROC / str(pid) / "status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(kind)), 0.0)


def cpu_seconds(root: int) -> float:
    """What a living process has used, with its living children and with those that have ended; 0 where not known."""
    processes = {}
    for path in PROC.glob("[0-9]*/stat"):
        try:
            processes[int(path.parent.name)] = path.read_text().rpartition(") ")[2].split()
        except OSError:
            continue
    if root not in processes:
        return 0.0
    of_children = (fields for fields in processes.values() if int(fields[PARENT]) == root)
    own = (fields[OWN_TIMES] for fields in (processes[root], *of_children))
    ticks = sum(int(tick) for times in (*own, processes[root][ENDED_TIMES]) for tick in times)
    return ticks / os.sysconf("SC_CLK_TCK")
