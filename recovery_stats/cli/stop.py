"""Ctrl-C and SIGTERM, remembered: where Python cannot raise what they raise, it is raised later.

Python prints and drops an exception that meets a weak reference's callback, a `__del__` or a
callback from C. The signal is then sent once more, and whoever tells of progress looks too.
"""

from __future__ import annotations

import _thread
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from recovery_stats.core import progress

PAUSE = 0.05  # seconds until a dropped signal is sent again: what dropped it is over by then


class Terminated(BaseException):
    """SIGTERM came; raised where the program stands, so that everything is put in order."""


RAISED: dict[int, type[BaseException]] = {
    signal.SIGINT: KeyboardInterrupt,
    signal.SIGTERM: Terminated,
}


@dataclass(slots=True)
class Signals:
    """What has come so far. asked: number of the last signal, 0 for none; lost: dropped since."""

    asked: int = 0
    lost: bool = False

    def note(self, number: int, frame: FrameType | None) -> None:
        """Remember the signal and raise what stands for it."""
        self.asked, self.lost = number, False
        raise RAISED[number]

    def look(self) -> None:
        """Raise for a signal that came and did not end the work."""
        if self.asked:
            self.lost = False
            raise RAISED[self.asked]

    def dropped(self, told: Any) -> None:
        """Take what Python could not raise; all but ours goes where it would have gone."""
        if self.asked and issubclass(told.exc_type, tuple(RAISED.values())):
            self.lost = True
            _thread.start_new_thread(self._again, ())
        else:
            sys.__unraisablehook__(told)

    def _again(self) -> None:
        time.sleep(PAUSE)
        if self.lost:
            _send(self.asked)


def _send(number: int) -> None:
    """Send the signal to the main thread, in a way that ends a wait there too."""
    if sys.platform == "win32":
        _thread.interrupt_main(number)
    else:
        signal.pthread_kill(threading.main_thread().ident or 0, number)


@contextmanager
def heeded() -> Iterator[Signals]:
    """Raise KeyboardInterrupt and Terminated in the block, and lose neither."""
    signals = Signals()
    before = {number: signal.signal(number, signals.note) for number in RAISED}
    hook, sys.unraisablehook = sys.unraisablehook, signals.dropped
    try:
        with progress.guarded(signals.look):
            yield signals
            signals.look()
    finally:
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)


def deaf() -> None:
    """Heed no signal outside of `heeded`."""
    for number in RAISED:
        signal.signal(number, signal.SIG_IGN)
