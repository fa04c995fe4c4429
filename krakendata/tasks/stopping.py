"""Whether this worker is to end: set in the parent at the signal, seen by its forked processes.

One byte of shared memory, without a lock: a process that is killed while it looks cannot hold up the others. Where
processes are not forked (macOS) they do not see it, and a worker ends when its tasks' shares of time are used up.
"""

import mmap
from typing import Any

from celery.signals import worker_init, worker_shutting_down

_flag = mmap.mmap(-1, 1)


def is_stopping() -> bool:
    """Whether somebody asked this worker to end."""
    return _flag[0] != 0


def ask_to_stop(**_: Any) -> None:
    """Let every deed of this worker stop at the next place where nothing is lost."""
    _flag[0] = 1


def begin(**_: Any) -> None:
    """Forget what an earlier worker of the same process was asked."""
    _flag[0] = 0


worker_init.connect(begin)
worker_shutting_down.connect(ask_to_stop)
