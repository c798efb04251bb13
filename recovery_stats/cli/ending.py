"""How a command ends: every way out has its exit code and one message on stderr."""

from __future__ import annotations

import errno
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

import click

from recovery_stats.cli.stop import Terminated, heeded
from recovery_stats.errors import DataError, OutputError, RecoveryError, UsageError

INTERRUPTED = 130
TERMINATED = 143
KEPT = "What was finished is kept; the same command goes on from there."


def ended(command: Callable[[], Any]) -> int:
    """Call `command` and return the exit code of however it ended; never a traceback."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # what matters is a Check in the report
    try:
        with heeded():
            code = command()
            if sys.stdout is not None:  # None where it was closed before we began
                sys.stdout.flush()
    except BaseException as error:
        return next(end(error) for kinds, end in ENDINGS if isinstance(error, kinds))
    return code if isinstance(code, int) else 0


def _told(message: str, code: int) -> int:
    try:
        click.echo(message, err=True)
    except OSError:
        return code  # nobody listens on stderr any more
    return code


def _interrupted(error: Any) -> int:
    """The answer to Ctrl-C, given as an exit code and not by the signal.

    Where it comes inside code that Python runs from text (making a dataclass while a module is
    imported), `python -m` remembers it and kills itself at exit although it was answered here;
    running a text again, an empty one, makes it forget.
    """
    exec("")  # noqa: S102
    return _told(f"Interrupted. {KEPT}", INTERRUPTED)


def _recovery(error: Any) -> int:
    return _told(f"Error: {error}", error.exit_code)


def _click(error: Any) -> int:
    error.show()
    return UsageError.exit_code


def _pipe_closed(error: Any) -> int:
    """The reader of our output left (`| head`): what it wanted it has."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _left(error: Any) -> int:
    return error.code if isinstance(error.code, int) else 0


def _system(error: Any) -> int:
    """What the system refused outside of any output folder: a file of the user, as a rule."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
    if not full and not error.filename:
        return _fault(error)
    place = f"{error.filename}: " if error.filename else ""
    code = OutputError.exit_code if full else DataError.exit_code
    return _told(f"Error: {place}{error.strerror}.", code)


def _fault(error: Any) -> int:
    from recovery_stats.study import fault

    return _told(fault.record(error), 1)


Ending = tuple[type[BaseException] | tuple[type[BaseException], ...], Callable[[Any], int]]
ENDINGS: tuple[Ending, ...] = (
    ((KeyboardInterrupt, click.Abort), _interrupted),
    (Terminated, lambda e: _told(f"Terminated. {KEPT}", TERMINATED)),
    (SystemExit, _left),
    (click.ClickException, _click),
    (RecoveryError, _recovery),
    (BrokenPipeError, _pipe_closed),
    (MemoryError, lambda e: _told("Error: Memory ran out. Close other programs.", 5)),
    (OSError, _system),
    (BaseException, _fault),
)
