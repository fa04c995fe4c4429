"""`make soak`: the fault campaigns at full size, `python -m tests.soak [--live] [--runs N] [--seed 1] [--keep-going]`.

Without `--live` 200 runs in which histories are fetched, with it 100 in which feeds listen. One line a run, a summary
at the end. Exit code 1 after a run that failed, with the command that repeats it. `--live-minutes 60` soaks the live
path at a fixed rate instead. TEST_EDITION names the edition, `plain` unless said otherwise.
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
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import stamina

from tests.campaign.live_run import LiveFacts, run_live
from tests.campaign.run import Facts, run
from tests.campaign.servers import Ground, open_ground
from tests.editions import Place, find_place
from tests.live_soak import soak_live

INTERRUPTED = 130

RUNS, LIVE_RUNS = 200, 100

# A run takes some seconds, on a busy machine some more; this one hangs.
PATIENCE_SECONDS = 600

# What the processes of a campaign need besides its database, its Redis and its exchange.
SETTINGS = {"SECRET_KEY": "for tests only", "KRAKENDATA_ENV_FILE": os.devnull, "DATABASE_JOBS": "false"}


def main(arguments: Sequence[str]) -> int:
    """Make the runs and tell of each."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument(
        "--live", action="store_true", help="of feeds that listen, not of histories that are fetched"
    )
    parser.add_argument(
        "--database-away",
        type=float,
        metavar="SECONDS",
        help="with --live: for how long a database is away (some seconds)",
    )
    parser.add_argument("--runs", type=int, help=f"how many ({RUNS}, live {LIVE_RUNS})")
    parser.add_argument(
        "--seed", type=int, default=1, help="the seed of the first one (1), the next ones follow"
    )
    parser.add_argument("--keep-going", action="store_true", help="go on after a run that failed")
    parser.add_argument(
        "--live-minutes", type=int, help="the live path for so long instead; exit code 1 when anything grows"
    )
    parser.add_argument("--live-rate", type=float, default=2_000, help="so many trades a second (2000)")
    asked = parser.parse_args(arguments)
    place = find_place(os.environ.get("TEST_EDITION", "plain"))
    if isinstance(place, str):
        parser.error(f"TEST_EDITION={os.environ['TEST_EDITION']} cannot run here: {place}.")
    os.environ.update(SETTINGS)
    # Both end it the same way, also in the background of a shell: the servers are stopped.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if asked.live_minutes:
        return soak_live(place, asked.live_minutes, asked.live_rate)
    # Every disturbance is told many times over; here they are the point.
    logging.disable(logging.CRITICAL)
    stamina.instrumentation.set_on_retry_hooks([])
    campaign = live_campaign(asked.database_away) if asked.live else FETCHING
    runs = asked.runs or (LIVE_RUNS if asked.live else RUNS)
    return soak(campaign, place, range(asked.seed, asked.seed + runs), asked.keep_going)


class Campaign(NamedTuple):
    """A kind of runs: what makes one, the words that choose it, and what there is to tell of many."""

    run: Callable[[int, Ground], Awaitable[Any]]
    words: str
    told: Callable[[Sequence[Any]], str]


def soak(campaign: Campaign, place: Place, seeds: range, keeps_going: bool) -> int:
    """Run the seeds one after the other; 1 when any failed, 130 after Ctrl-C."""
    done: list[Any] = []
    failed: list[int] = []
    started = time.monotonic()
    try:
        with open_ground(place) as ground:
            for seed in seeds:
                facts = attempt(campaign, seed, ground)
                if facts is None:
                    failed.append(seed)
                    if not keeps_going:
                        break
                else:
                    done.append(facts)
                    print(f"{len(done) + len(failed)}/{len(seeds)} {facts}", flush=True)
    except KeyboardInterrupt:
        tell(campaign, place, done, failed, time.monotonic() - started)
        return INTERRUPTED
    tell(campaign, place, done, failed, time.monotonic() - started)
    return int(bool(failed))


def attempt(campaign: Campaign, seed: int, ground: Ground) -> Any:
    """Make one run; None when it failed, which is told."""
    try:
        return asyncio.run(asyncio.wait_for(campaign.run(seed, ground), PATIENCE_SECONDS))
    except Exception:
        traceback.print_exc(file=sys.stdout)
        print(f"seed {seed} FAILED. Repeat it: {repeat(campaign, ground.edition, seed)}", flush=True)
        return None


def repeat(campaign: Campaign, edition: str, seed: int) -> str:
    return f'TEST_EDITION={edition} make soak ARGS="{campaign.words}--runs 1 --seed {seed}"'


def tell(
    campaign: Campaign, place: Place, done: Sequence[Any], failed: Sequence[int], seconds: float
) -> None:
    """The campaign in a few lines."""
    print(
        f"\n{place.edition}: {len(done)} runs as they have to be, {len(failed)} failed, {seconds:,.0f} s; "
        f"{campaign.told(done)}",
        flush=True,
    )
    for seed in failed:
        print(repeat(campaign, place.edition, seed))


def told_of_fetching(done: Sequence[Facts]) -> str:
    broken: Counter[str] = Counter()
    for facts in done:
        broken.update(facts.broken)
    by_since = Counter(facts.plan.since for facts in done)
    by_collector = Counter(facts.plan.collector for facts in done)
    return (
        f"since {told(by_since)}; collected by {told(by_collector)}; {told(broken)}; "
        f"{sum(each.trades for each in done):,} trades, {sum(each.calls for each in done):,} calls, "
        f"{sum(each.candles for each in done):,} of the exchange's candles compared, "
        f"holes: {sum(each.found for each in done)} found and {sum(each.filled for each in done)} filled "
        f"of {sum(each.holes for each in done)}, {sum(each.false_gaps for each in done)} false gaps."
    )


FETCHING = Campaign(run, "", told_of_fetching)


def live_campaign(away_seconds: float | None) -> Campaign:
    words = f"--live --database-away {away_seconds:g} " if away_seconds else "--live "
    return Campaign(partial(run_live, away_seconds=away_seconds), words, told_of_feeds)


def told_of_feeds(done: Sequence[LiveFacts]) -> str:
    events = Counter(event.kind for facts in done for event in facts.plan.events)
    closed = sorted(seconds for facts in done for seconds in facts.closed_after)
    left = sorted(seconds for facts in done for seconds in facts.left_after)
    return (
        f"{told(events)}; {sum(each.trades for each in done):,} trades, "
        f"{sum(each.stored for each in done):,} stored by feeds that told their counts, "
        f"{sum(each.duplicate for each in done):,} duplicate, {sum(each.dropped for each in done):,} dropped, "
        f"{sum(each.rejected for each in done):,} rejected; {sum(each.looks for each in done)} looks; "
        f"holes of reconnects closed in {spread(closed)}; asked to end, feeds left in {spread(left)}."
    )


def spread(seconds: Sequence[float]) -> str:
    """The middle and the worst of sorted seconds."""
    return f"{seconds[len(seconds) // 2]:.1f} s, at most {seconds[-1]:.1f} s" if seconds else "no time"


def told(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "nothing broken"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
