"""Several files read as if they were one: the byte slices in which Kraken hosts its largest zips."""

import io
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class JoinedFiles(io.RawIOBase):
    """A seekable, read-only concatenation of `paths`; one of them is open at a time."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._opened: tuple[int, io.FileIO] | None = None
        self._paths = paths
        self._starts = [0, *accumulate(path.stat().st_size for path in paths)]
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._starts[-1]}[whence]
        if origin + offset < 0:
            raise OSError(f"seek to {origin + offset}, before the first byte")
        self._position = origin + offset
        return self._position

    def readinto(self, buffer: "WriteableBuffer") -> int:
        if self._position >= self._starts[-1]:
            return 0
        number = bisect_right(self._starts, self._position) - 1
        file = self._file(number)
        file.seek(self._position - self._starts[number])
        view = memoryview(buffer).cast("B")
        chunk = file.read(min(len(view), self._starts[number + 1] - self._position))
        view[: len(chunk)] = chunk
        self._position += len(chunk)
        return len(chunk)

    def close(self) -> None:
        if self._opened is not None:
            self._opened[1].close()
            self._opened = None
        super().close()

    def _file(self, number: int) -> io.FileIO:
        if self._opened is not None:
            if self._opened[0] == number:
                return self._opened[1]
            self._opened[1].close()
        file = self._paths[number].open("rb", buffering=0)
        self._opened = (number, file)
        return file


def open_joined(paths: Sequence[Path]) -> BinaryIO:
    """One buffered stream over `paths`; a single path is opened plainly."""
    return paths[0].open("rb") if len(paths) == 1 else io.BufferedReader(JoinedFiles(paths))
