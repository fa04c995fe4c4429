"""The same minutes in ArcticDB, in an environment of its own that has it and pandas, and nothing of ours.

`python arcticdb_reader.py write|read DIRECTORY`: writes the Parquet file there into a library beside it, or reads that.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import arcticdb
import pandas as pd

NAME = "minutes"


def main() -> None:
    """Do it once and print how many rows, and in how many seconds."""
    what, directory = sys.argv[1], Path(sys.argv[2])
    store = arcticdb.Arctic(f"lmdb://{directory / 'arctic'}?map_size=4GB")
    frame: Any
    if what == "write":
        frame = pd.read_parquet(directory / f"{NAME}.parquet").set_index("timestamp")
        # It has no times in microseconds.
        frame.index = frame.index.astype("datetime64[ns, UTC]")
        store.get_library(NAME, create_if_missing=True).write(NAME, frame)
    started = time.perf_counter()
    if what == "read":
        frame = store.get_library(NAME).read(NAME).data
    print(json.dumps({"rows": len(frame), "seconds": time.perf_counter() - started}))


if __name__ == "__main__":
    main()
