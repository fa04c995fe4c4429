"""`manage.py demo`: from an empty database to a market that keeps itself complete, served until Ctrl-C.

Every step looks first whether it is done, so that a second start serves within seconds, and a start after an
interruption goes on where the first one stopped. While it serves, a replay exchange trades on in a thread of this
process; a worker, beat and the feed, processes of their own, fetch from it and listen to it.
"""

import asyncio
import secrets
import socket
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvicorn
from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db.models import QuerySet

from krakendata.ingest.pair_list import refresh_pairs, track_pairs
from krakendata.kraken.pacers import LocalPacer
from krakendata.kraken.rest import KrakenRest
from krakendata.management.children import celery_command, child_processes, manage_command
from krakendata.management.command import INTERRUPTED, database_arguments
from krakendata.models import Pair, SyncRun
from krakendata.replay.demo_market import ARCHIVES_AGE, LIMITS, NEWCOMERS, TORN, UPLOADED, DemoMarket
from krakendata.replay.market import MARKET_PAIRS
from krakendata.replay.server import ReplayServer

HOST = "127.0.0.1"
PORT = 8000
EXCHANGE_PORT = 8001
ARCHIVES = Path("var/demo-archives")
ACCOUNT = "admin"
# 96 bits: nobody guesses it, and it is still typed in a moment.
PASSWORD_BYTES = 12
# One process a pair, and one for what is due meanwhile.
WORKER_PROCESSES = len(MARKET_PAIRS) + 1


class Command(BaseCommand):
    """Each step says what it does; exit 0 after Ctrl-C while serving, as that is how a demo ends, 130 before."""

    help = (
        "Fill an empty database with a made-up market, keep it complete from a replay exchange, and serve the admin. "
        "`make demo` does it for you."
    )
    # The tables they ask for are what the first step makes.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--port", type=int, default=PORT, help="where to serve (%(default)s); if it is taken, a free one"
        )
        parser.add_argument(
            "--directory", type=Path, default=ARCHIVES, help="where the demo's archives lie (%(default)s)"
        )

    def handle(self, *args: Any, port: int, directory: Path, **options: Any) -> None:
        archives = directory.absolute()
        logs = archives.parent / "logs"
        upload = archives.parent / "demo-upload" / f"Kraken_Trades_{UPLOADED.altname}.zip"
        try:
            self.prepare(archives)
            self.write_upload(archives, upload)
            with self.exchange(archives, port and EXCHANGE_PORT) as exchange:
                # The pages that are served from here ask it too.
                settings.KRAKENDATA = {**settings.KRAKENDATA, **facts(exchange)}
                self.track(exchange.rest_url)
                self.tell(
                    "A worker and beat fetch what the archives lack, and a feed hears what is traded; "
                    f"their logs are in {logs}."
                )
                variables = {name: str(value) for name, value in facts(exchange).items()}
                with child_processes(children(), variables, logs, died=self.tell):
                    self.serve(port)
        except KeyboardInterrupt:
            raise CommandError("Stopped. The next start goes on from here.", returncode=INTERRUPTED) from None
        self.tell("Stopped. The data stay; the next start goes on with them.")

    def prepare(self, archives: Path) -> None:
        self.make_tables()
        if self.is_imported(archives):
            self.tell("The demo's archives are imported already.")
        else:
            self.refuse_other_data(archives)
            self.write_archives(archives)
            self.import_archives(archives)
        self.make_account()

    def make_tables(self) -> None:
        self.tell("Making the tables (manage.py migrate).")
        call_command("migrate", interactive=False, verbosity=0)

    def is_imported(self, archives: Path) -> bool:
        return runs_of(archives).filter(state=SyncRun.State.DONE, error="").exists()

    def refuse_other_data(self, archives: Path) -> None:
        if SyncRun.objects.exclude(pk__in=runs_of(archives)).exists():
            raise CommandError(
                "This database holds data already, and the demo's are made up: give it a database of its own, "
                "for example DATABASE_URL=embedded:/tmp/krakendata-demo."
            )

    def write_archives(self, archives: Path) -> None:
        if DemoMarket.is_written(archives):
            return
        self.tell(f"Making up a market, as Kraken's archives in {archives}.")
        market = DemoMarket(datetime.now(UTC) - ARCHIVES_AGE)
        files = market.write_archives(archives, asyncio.run(market.minutes()))
        rows, bad = sum(file.rows for file in files), sum(file.bad_rows for file in files)
        self.stdout.write(
            f"  {len(files)} files with {rows:,} rows, {bad} of them bad so that you see rejects."
        )

    def write_upload(self, archives: Path, upload: Path) -> None:
        if not upload.exists():
            self.market(archives).write_upload(upload)
        self.tell(f"An archive to upload in the admin, with typing errors to mend, is {upload}.")

    def market(self, archives: Path) -> DemoMarket:
        """The market of the archives."""
        if not DemoMarket.is_written(archives):
            raise CommandError(
                f"The archives of this demo's market are gone from {archives}. Begin anew with make clean."
            )
        return DemoMarket.of_archives(archives)

    def import_archives(self, archives: Path) -> None:
        self.tell(f"Importing it (manage.py import_csv {archives}).")
        call_command("import_csv", archives, stdout=self.stdout)

    def make_account(self) -> None:
        if User.objects.filter(is_superuser=True).exists():
            self.tell(
                f"Your account is that of the first start; manage.py changepassword {ACCOUNT} sets a new password."
            )
            return
        password = secrets.token_urlsafe(PASSWORD_BYTES)
        User.objects.create_superuser(ACCOUNT, password=password)
        self.tell(f"Your account, shown this once: {ACCOUNT}, password {password}")

    @contextmanager
    def exchange(self, archives: Path, port: int) -> Iterator[ReplayServer]:
        """Let the market of the archives go on behind an address of its own."""
        exchange = self.market(archives).exchange()
        with ReplayServer(exchange, HOST, free_port(port)).in_thread() as server:
            self.tell(f"An exchange that trades on is at {server.rest_url} (KRAKEN_REST_URL).")
            yield server

    def track(self, rest_url: str) -> None:
        """Have every pair collected, once: who untracks one later is not contradicted."""
        if Pair.objects.exists():
            return

        async def track_all() -> None:
            async with LocalPacer(LIMITS) as pacer, KrakenRest(rest_url, pacer=pacer) as rest:
                await refresh_pairs(database_arguments(), rest)
            await track_pairs(database_arguments(), list(MARKET_PAIRS))

        asyncio.run(track_all())
        self.tell(
            f"Tracking its pairs (manage.py track): {', '.join(MARKET_PAIRS)}. "
            f"{NEWCOMERS.symbol} is left to you, in the admin under Track a pair, and so is the hole in {TORN.symbol}."
        )

    def serve(self, port: int) -> None:
        with listening_socket(port) as listener:
            address = f"http://{HOST}:{listener.getsockname()[1]}/"
            self.tell(f"The admin is at {address} until you press Ctrl-C.")
            server = uvicorn.Server(uvicorn.Config(asgi_application(), lifespan="off", log_level="warning"))
            # After Ctrl-C uvicorn ends in good order, and raises the signal again.
            with suppress(KeyboardInterrupt):
                server.run(sockets=[listener])

    def tell(self, sentence: str) -> None:
        """Write it at once: who reads through a pipe waits for the address."""
        self.stdout.write(self.style.MIGRATE_HEADING("• ") + sentence)
        self.stdout.flush()


def children() -> dict[str, list[str]]:
    """The processes beside this one, by name."""
    return {
        "worker": celery_command("worker", "--loglevel", "INFO", "--concurrency", str(WORKER_PROCESSES)),
        # Without a file for its process number, which a killed beat would leave behind.
        "beat": celery_command("beat", "--loglevel", "INFO", "--pidfile="),
        "feed": manage_command("stream_trades", "--name", "demo"),
    }


def facts(exchange: ReplayServer) -> dict[str, str | float]:
    """Where the demo's exchange is and what it bears, as settings."""
    return {
        "KRAKEN_REST_URL": exchange.rest_url,
        "KRAKEN_WEBSOCKET_URL": exchange.websocket_url,
        "KRAKEN_CALLS_PER_SECOND_PER_PAIR": LIMITS.per_pair,
        "KRAKEN_CALLS_PER_SECOND": LIMITS.per_address,
    }


def runs_of(archives: Path) -> QuerySet[SyncRun]:
    """The imports of that directory and nothing else."""
    return SyncRun.objects.filter(kind="import", parameters__paths=[str(archives)])


def asgi_application() -> str:
    """The project's application, as uvicorn writes it: module:name."""
    return ":".join(settings.ASGI_APPLICATION.rsplit(".", 1))


def listening_socket(port: int) -> socket.socket:
    """A socket that takes connections on `port`, or on a free one if it is taken: later questions wait for us."""
    try:
        return socket.create_server((HOST, port))
    except OSError:
        return socket.create_server((HOST, 0))


def free_port(port: int) -> int:
    """The port, or 0 for any other, if it is taken."""
    with listening_socket(port) as probe:
        return port if probe.getsockname()[1] == port else 0
