"""A first study.toml from the files themselves: tables, keys and roles guessed, reasons given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def draft(paths: Sequence[str | Path]) -> str:
    """Look at the files and write a commented study file that `read_protocol` accepts."""
    raise NotImplementedError
