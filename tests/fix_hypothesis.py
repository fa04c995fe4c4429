"""How hypothesis runs here: without deadlines, which a busy machine misses for no fault of the code."""

from hypothesis import settings

settings.register_profile("krakendata", deadline=None)
settings.load_profile("krakendata")
