"""Write a file whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from recovery_stats.errors import OutputError


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file beside `path` that takes its place when the block ends well.

    Only its owner may read it (mode 0600). Raises OutputError where the system refuses.
    """
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as problem:
        raise _refused(path, problem) from problem
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        os.replace(name, path)
    except OSError as problem:
        raise _refused(path, problem) from problem
    finally:
        with suppress(OSError):
            os.unlink(name)


def _refused(path: Path, problem: OSError) -> OutputError:
    return OutputError(
        f"{path.name!r} cannot be written to {str(path.parent)!r}: {problem.strerror}."
    )
