"""How far a long step has come, told to whoever listens, and to nobody where nobody does.

An analysis is a pure function: what it tells here changes no number. The listener belongs to the
context of the caller (a terminal, the process that waits for a worker), never to a result. Where
something is told, or looked for, the work can be ended too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Listener = Callable[[str, int, int], None]

_guard: ContextVar[Callable[[], None] | None] = ContextVar("guard", default=None)
_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


def tell(step: str, done: int, of: int) -> None:
    """Say that `done` of `of` parts of a step are done; raises where the work is to end."""
    look()
    listener = _listener.get()
    if listener is not None:
        listener(step, done, of)


def listen(listener: Listener) -> None:
    """Hear what is told from here on, to the end of this process."""
    _listener.set(listener)


@contextmanager
def listening(listener: Listener | None) -> Iterator[None]:
    """Hear what is told inside the block."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def look() -> None:
    """Between two parts of the work: raise where it is to end here."""
    guard = _guard.get()
    if guard is not None:
        guard()


@contextmanager
def guarded(guard: Callable[[], None]) -> Iterator[None]:
    """Ask `guard` at every look inside the block; it raises to end the work."""
    token = _guard.set(guard)
    try:
        yield
    finally:
        _guard.reset(token)
