"""Who uses a private server: every holder keeps a shared lock on one file, so the kernel knows who is left.

A process that was killed does not count. Beside it `lock` is held while a server is started or stopped.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def starting_or_stopping(home: Path) -> Iterator[None]:
    """Let nobody else start or stop the server in `home` meanwhile; waits for its turn."""
    with (home / "lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def hold(home: Path) -> IO[bytes]:
    """Count as a holder of the server in `home` until the file is closed."""
    holder = (home / "holders").open("ab")
    fcntl.flock(holder, fcntl.LOCK_SH)
    return holder


def is_unused(home: Path) -> bool:
    """Whether nobody holds the server in `home`."""
    with (home / "holders").open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
