"""One writer a folder: a lock that the system itself drops when its holder dies."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recovery_stats.errors import OutputError

NAME = ".recovery_stats.lock"


@contextmanager
def held(folder: Path) -> Iterator[bool]:
    """Hold `folder` for this process; OutputError when another process does.

    A lock file left by a killed process does not hold: the lock is the system's, not the file.
    Yields whether there was one.
    """
    path = folder / NAME
    handle = _open(path, folder)
    try:
        left = os.fstat(handle).st_size > 0
        os.truncate(handle, 0)
        os.write(handle, str(os.getpid()).encode())
        yield left
    finally:
        # Removed while still held, so that nobody locks a file that is about to go; Windows
        # cannot remove an open file and keeps an empty one.
        if sys.platform == "win32":
            os.truncate(handle, 0)
            os.close(handle)
            path.unlink(missing_ok=True)
        else:
            path.unlink(missing_ok=True)
            os.close(handle)


def _open(path: Path, folder: Path) -> int:
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _lock(handle)
        except OSError:
            os.close(handle)
            raise OutputError(
                f"Another run is writing to {str(folder)!r}. "
                "Wait for it to end, or give another folder with -o."
            ) from None
        if _still_there(path, handle):
            return handle
        os.close(handle)  # its holder removed it between our open and our lock


def _still_there(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int) -> None:
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
