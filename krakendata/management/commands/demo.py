"""`manage.py demo`: from an empty database to candles in the admin, and served until Ctrl-C.

Every step looks first whether it is done, so that a second start serves within seconds, and a start after an
interruption goes on where the first one stopped.
"""

import secrets
import socket
from argparse import ArgumentParser
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvicorn
from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db.models import QuerySet

from krakendata.management.command import INTERRUPTED
from krakendata.management.commands.generate_archive import DEFAULT_SEED
from krakendata.models import SyncRun
from krakendata.replay.sample_archive import CANDLES_ZIP, TRADES_ZIP, write_sample_archive

HOST = "127.0.0.1"
PORT = 8000
ARCHIVES = Path("var/sample-archives")
ACCOUNT = "admin"
# 96 bits: nobody guesses it, and it is still typed in a moment.
PASSWORD_BYTES = 12


class Command(BaseCommand):
    """Each step says what it does; exit 0 after Ctrl-C while serving, as that is how a demo ends, 130 before."""

    help = "Fill an empty database with a made-up market and serve the admin. `make demo` does it for you."
    # The tables they ask for are what the first step makes.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--port", type=int, default=PORT, help="where to serve (%(default)s); if it is taken, a free one"
        )
        parser.add_argument(
            "--directory", type=Path, default=ARCHIVES, help="where the sample archives lie (%(default)s)"
        )

    def handle(self, *args: Any, port: int, directory: Path, **options: Any) -> None:
        try:
            self.prepare(directory.absolute())
        except KeyboardInterrupt:
            raise CommandError("Stopped. The next start goes on from here.", returncode=INTERRUPTED) from None
        self.serve(port)

    def prepare(self, archives: Path) -> None:
        self.make_tables()
        if self.is_imported(archives):
            self.tell("The sample archives are imported already.")
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
        if all((archives / name).exists() for name in (CANDLES_ZIP, TRADES_ZIP)):
            return
        self.tell(f"Making up a market, as Kraken's archives (manage.py generate_archive {archives}).")
        files = write_sample_archive(archives, DEFAULT_SEED, datetime.now(UTC))
        rows, bad = sum(file.rows for file in files), sum(file.bad_rows for file in files)
        self.stdout.write(
            f"  {len(files)} files with {rows:,} rows, {bad} of them bad so that you see rejects."
        )

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

    def serve(self, port: int) -> None:
        with listening_socket(port) as listener:
            address = f"http://{HOST}:{listener.getsockname()[1]}/"
            self.tell(f"The admin is at {address} until you press Ctrl-C.")
            server = uvicorn.Server(uvicorn.Config(asgi_application(), lifespan="off", log_level="warning"))
            # After Ctrl-C uvicorn ends in good order, and raises the signal again.
            with suppress(KeyboardInterrupt):
                server.run(sockets=[listener])
        self.tell("Stopped. The data stay; the next start goes on with them.")

    def tell(self, sentence: str) -> None:
        """Write it at once: who reads through a pipe waits for the address."""
        self.stdout.write(self.style.MIGRATE_HEADING("• ") + sentence)
        self.stdout.flush()


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
