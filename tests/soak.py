"""`make soak`: the fault campaign at full size, `python -m tests.soak [--runs 200] [--seed 1] [--keep-going]`.

One line a run, a summary at the end. Exit code 1 after a run that failed, with the command that repeats it.
TEST_EDITION names the edition, `plain` unless said otherwise.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Sequence

import stamina

from tests.campaign.run import Facts, run
from tests.campaign.servers import Ground, open_ground
from tests.editions import Place, find_place

INTERRUPTED = 130

# A run takes some seconds, on a busy machine some more; this one hangs.
PATIENCE_SECONDS = 600

# What the processes of a campaign need besides its database, its Redis and its exchange.
SETTINGS = {"SECRET_KEY": "for tests only", "KRAKENDATA_ENV_FILE": os.devnull, "DATABASE_JOBS": "false"}


def main(arguments: Sequence[str]) -> int:
    """Make the runs and tell of each."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--runs", type=int, default=200, help="how many (200)")
    parser.add_argument(
        "--seed", type=int, default=1, help="the seed of the first one (1), the next ones follow"
    )
    parser.add_argument("--keep-going", action="store_true", help="go on after a run that failed")
    asked = parser.parse_args(arguments)
    place = find_place(os.environ.get("TEST_EDITION", "plain"))
    if isinstance(place, str):
        parser.error(f"TEST_EDITION={os.environ['TEST_EDITION']} cannot run here: {place}.")
    os.environ.update(SETTINGS)
    # Both end it the same way, also in the background of a shell: the servers are stopped.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Every disturbance is told many times over; here they are the point.
    logging.disable(logging.CRITICAL)
    stamina.instrumentation.set_on_retry_hooks([])
    return soak(place, range(asked.seed, asked.seed + asked.runs), asked.keep_going)


def soak(place: Place, seeds: range, keeps_going: bool) -> int:
    """Run the seeds one after the other; 1 when any failed, 130 after Ctrl-C."""
    done: list[Facts] = []
    failed: list[int] = []
    started = time.monotonic()
    try:
        with open_ground(place) as ground:
            for seed in seeds:
                facts = attempt(seed, ground)
                if facts is None:
                    failed.append(seed)
                    if not keeps_going:
                        break
                else:
                    done.append(facts)
                    print(f"{len(done) + len(failed)}/{len(seeds)} {facts}", flush=True)
    except KeyboardInterrupt:
        tell(place, done, failed, time.monotonic() - started)
        return INTERRUPTED
    tell(place, done, failed, time.monotonic() - started)
    return int(bool(failed))


def attempt(seed: int, ground: Ground) -> Facts | None:
    """Make one run; None when it failed, which is told."""
    try:
        return asyncio.run(asyncio.wait_for(run(seed, ground), PATIENCE_SECONDS))
    except Exception:
        traceback.print_exc(file=sys.stdout)
        print(f"seed {seed} FAILED. Repeat it: {repeat(ground.edition, seed)}", flush=True)
        return None


def repeat(edition: str, seed: int) -> str:
    return f'TEST_EDITION={edition} make soak ARGS="--runs 1 --seed {seed}"'


def tell(place: Place, done: Sequence[Facts], failed: Sequence[int], seconds: float) -> None:
    """The campaign in a few lines."""
    broken: Counter[str] = Counter()
    for facts in done:
        broken.update(facts.broken)
    by_since = Counter(facts.plan.since for facts in done)
    by_collector = Counter(facts.plan.collector for facts in done)
    print(
        f"\n{place.edition}: {len(done)} runs as they have to be, {len(failed)} failed, {seconds:,.0f} s; "
        f"since {told(by_since)}; collected by {told(by_collector)}; {told(broken)}; "
        f"{sum(each.trades for each in done):,} trades, {sum(each.calls for each in done):,} calls, "
        f"{sum(each.candles for each in done):,} of the exchange's candles compared, "
        f"holes: {sum(each.found for each in done)} found and {sum(each.filled for each in done)} filled "
        f"of {sum(each.holes for each in done)}, {sum(each.false_gaps for each in done)} false gaps.",
        flush=True,
    )
    for seed in failed:
        print(repeat(place.edition, seed))


def told(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "nothing broken"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
