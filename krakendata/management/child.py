"""`python -m krakendata.management.child MODULE …`: `python -m MODULE …`, ended in good order when its parent is gone.

Standard input is a pipe that nobody writes to: its end is that of whoever holds the other side, however it came.
"""

import os
import runpy
import signal
import sys
import threading

STDIN = 0


def end_with_parent() -> None:
    """Ask this process to end once standard input does."""
    while os.read(STDIN, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=end_with_parent, name="parent", daemon=True).start()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
