"""A process that works for another ends with it, also where that one was killed.

A worker waits for its next task on a pipe whose other end every worker holds: the death of the
process it works for never reaches it there, and it would wait for ever with all of its memory.
"""

from __future__ import annotations

import os
from multiprocessing import parent_process
from multiprocessing.connection import wait
from threading import Thread

ALONE = 1  # exit code of a worker whose work nobody wants any more


def end_with_parent() -> None:
    """Watch over the process that this one works for; to be called as a worker begins."""
    parent = parent_process()
    if parent is not None:
        Thread(target=_watch, args=(parent.sentinel,), daemon=True).start()


def _watch(sentinel: int) -> None:
    wait([sentinel])
    os._exit(ALONE)  # nothing is left to be tidied: what is written is written by the parent
