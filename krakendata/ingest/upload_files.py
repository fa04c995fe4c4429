"""The folder in which uploads are kept: files that grow at their end, under names of our own making alone."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from krakendata.uploads import is_kept_name

# What the folder's disk keeps free, whatever is uploaded: the database is often on the same one, and stops without.
FREE_BYTES = 1_000_000_000


@dataclass(frozen=True, slots=True)
class UploadFolder:
    """`path` is made where it is missing, for this user alone."""

    path: Path

    def begin(self, name: str) -> None:
        """Make an empty file; FileExistsError where there is one."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(self.file(name), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))

    def write(self, name: str, offset: int, data: bytes) -> None:
        """Write from `offset` on, safely on the disk when it returns. Raises OSError: gone, or no room."""
        descriptor = os.open(self.file(name), os.O_WRONLY | os.O_NOFOLLOW)
        try:
            view = memoryview(data)
            while view:
                written = os.pwrite(descriptor, view, offset)
                view, offset = view[written:], offset + written
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def has(self, name: str) -> bool:
        """Whether the file is there, as a file."""
        path = self.file(name)
        return path.is_file() and not path.is_symlink()

    def remove(self, name: str) -> None:
        """Take the file away, if it is there."""
        self.file(name).unlink(missing_ok=True)

    def room(self) -> int:
        """How many bytes may still be written here; below 0 there are too few free already."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return shutil.disk_usage(self.path).free - FREE_BYTES

    def file(self, name: str) -> Path:
        """The file's path; ValueError for a name that is not ours."""
        if not is_kept_name(name):
            raise ValueError(f"{name!r} is no name of an upload.")
        return self.path / name
