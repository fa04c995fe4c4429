"""`python -m krakendata.management.celery_child …`: celery, which ends in good order when whoever started it is gone.

Standard input is a pipe that nobody writes to: its end is that of whoever holds the other side, however it came.
"""

import os
import signal
import threading

from celery.bin.celery import main

STDIN = 0


def end_with_parent() -> None:
    """Ask this process to end once standard input does."""
    while os.read(STDIN, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=end_with_parent, name="parent", daemon=True).start()
    main()
