"""A fault of ours: kept for us in a private file, without the data it met."""

from __future__ import annotations

import os
import tempfile
import traceback
from pathlib import Path

PREFIX = "recovery-stats-fault-"


def record(error: BaseException) -> str:
    """Write the traceback to a private file; return one line that says where both are.

    Messages of foreign exceptions quote values ("could not convert string to float: ..."), so
    the file holds places and types only.
    """
    return f"{summary(error)} {_kept(error)}"


def summary(error: BaseException) -> str:
    """What happened and where, in our own code as far as possible; never the message."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if "recovery_stats" in f.filename] or frames
    place = f" at {Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else ""
    return f"A fault in recovery_stats, not in your work: {type(error).__name__}{place}."


def text(error: BaseException) -> str:
    """The traceback of `error` and its causes, without any message."""
    parts: list[str] = []
    link: BaseException | None = error
    while link is not None:
        places = "".join(traceback.format_tb(link.__traceback__))
        parts.append(f"{places}{type(link).__module__}.{type(link).__name__}\n")
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return "\nand then:\n".join(reversed(parts))


def _kept(error: BaseException) -> str:
    try:
        handle, name = tempfile.mkstemp(prefix=PREFIX, suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text(error))
    except OSError:
        return "The traceback could not be written; run again with a TMPDIR that can be written."
    return f"The traceback is in {name}; it holds no data. Please report it."
