"""What Celery runs: each task calls one deed, in shares that end in time and go on from the ledger.

`stopping` says when a worker is to end, `heartbeat` that it is there, `running` runs a deed and decides what follows
it, and the tasks themselves lie by subject: `collecting` asks the exchange, `importing` reads archives, `uploading`
looks at those that came through the browser, `auditing` looks whether what is stored is right, `keeping` keeps the
database in shape, `rejecting` replays and dismisses rejected records. `outcomes` leaves in Redis how each ended.
Their names begin with `krakendata.tasks.` wherever they lie.
"""

from krakendata.tasks import heartbeat, outcomes  # noqa: F401 (they listen to Celery's signals)
from krakendata.tasks.auditing import audit
from krakendata.tasks.collecting import backfill, fill_gaps, refresh_pairs, resume_backfills
from krakendata.tasks.importing import import_files, import_watched_folder
from krakendata.tasks.keeping import run_upkeep_now, upkeep
from krakendata.tasks.rejecting import dismiss_rejects, replay_rejects
from krakendata.tasks.uploading import check_upload

__all__ = [
    "audit",
    "backfill",
    "check_upload",
    "dismiss_rejects",
    "fill_gaps",
    "import_files",
    "import_watched_folder",
    "refresh_pairs",
    "replay_rejects",
    "resume_backfills",
    "run_upkeep_now",
    "upkeep",
]
