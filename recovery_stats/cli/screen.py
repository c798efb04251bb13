"""What a verb says and where: results on stdout, messages on stderr."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any

import click

MARKS = {"ok": "green", "caution": "yellow", "fail": "red"}


@dataclass(slots=True)
class Screen:
    """How one verb talks: `verbosity` -1 quiet, 0 usual, 1 and 2 more; as_json: for machines."""

    as_json: bool = False
    verbosity: int = 0
    colour: bool | None = None

    def result(self, text: str) -> None:
        """Print a result on stdout. A reader who left is no reason to stop the work."""
        try:
            click.echo(text, color=self.colour)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def data(self, value: Any) -> None:
        """Print a value as JSON on stdout."""
        self.result(json.dumps(_finite(value), indent=1, ensure_ascii=False, allow_nan=False))

    def say(self, text: str, level: int = 0) -> None:
        """Print a message on stderr, unless the verb is to be quieter than `level`."""
        if self.verbosity >= level:
            click.echo(text, err=True, color=self.colour)

    def complain(self, text: str) -> None:
        """Print an error on stderr, quiet or not."""
        click.echo(f"{self.mark('fail', 'Error')}: {text}", err=True, color=self.colour)

    def progress(self, text: str) -> None:
        """Print what is going on, where a person watches."""
        if self.verbosity > 0 or (self.verbosity == 0 and sys.stderr.isatty()):
            self.say(text)

    def meter(self) -> Callable[[str, int, int], None] | None:
        """Show on one line of a terminal how far a step is; None where no person watches."""
        if self.verbosity < 0 or not sys.stderr.isatty():
            return None
        shown = -1

        def show(step: str, done: int, of: int) -> None:
            nonlocal shown
            percent = 100 * done // of
            if percent == shown:
                return
            shown = percent
            text = "" if done >= of else f"  {step}: {done} of {of}"
            click.echo(f"\r\033[K{text}", err=True, nl=False)

        return show

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Show how far the steps inside the block are, and leave a clean line behind them."""
        from recovery_stats.core.progress import listening

        meter = self.meter()
        try:
            with listening(meter):
                yield
        finally:
            if meter is not None:
                click.echo("\r\033[K", err=True, nl=False)

    def mark(self, verdict: str, text: str) -> str:
        """Colour a word by verdict; click drops the colour where there is no terminal."""
        return click.style(text, fg=MARKS[verdict])


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity: they become null."""
    if isinstance(value, dict):
        return {key: _finite(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(member) for member in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def screened(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a verb --json, -q, -v and --no-color, and hand it a Screen as `screen`."""

    @click.option("--json", "as_json", is_flag=True, help="Result on stdout as JSON.")
    @click.option("-q", "--quiet", is_flag=True, help="No messages but errors.")
    @click.option("-v", "--verbose", count=True, help="More messages; twice for all of them.")
    @click.option("--no-color", is_flag=True, help="No colours (also: NO_COLOR).")
    @wraps(function)
    def talking(
        *args: Any, as_json: bool, quiet: bool, verbose: int, no_color: bool, **options: Any
    ) -> Any:
        plain = no_color or bool(os.environ.get("NO_COLOR"))
        screen = Screen(as_json, -1 if quiet else verbose, False if plain else None)
        return function(*args, screen=screen, **options)

    return talking
