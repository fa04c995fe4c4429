"""The project's settings for the type checker, which connects to nothing."""

import os

os.environ.update(
    DATABASE_URL="postgresql://localhost/typing",
    SECRET_KEY="typing",
    REDIS_URL="redis://localhost",
    KRAKENDATA_ENV_FILE=os.devnull,
)

from config.settings import *  # noqa: E402, F403
