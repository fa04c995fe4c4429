"""The project: settings, task queue, web entry, addresses; it alone knows where we are deployed.

Nothing in `krakendata` imports from here, and the environment is read in `config/env.py` alone. The task queue is made
with the project, so that every process that puts a task on it finds it.
"""

from config.celery import app as celery_app

__all__ = ["celery_app"]
