"""The bytes of a study file to a TOML document and the line of each key, in bounded time."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recovery_stats.data import toml_position
from recovery_stats.data.problem import Problem, ProtocolError
from recovery_stats.errors import UsageError, nearest

LARGEST = 1_000_000  # bytes; a study file of a thousand roles has 50,000


def read_bytes(path: Path) -> bytes:
    if path.is_dir():
        raise UsageError(f"{path} is a folder; name the study file in it (study.toml).")
    if not path.exists():
        hint = near_file(path) or " Write one with: recovery-stats init FILE.sav …"
        raise UsageError(f"No study file {str(path)!r}.{hint}")
    if not path.is_file():
        raise UsageError(f"{path} is not a regular file.")
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST + 1)
    except OSError as error:
        raise UsageError(f"Cannot read {path}: {error.strerror}.") from error
    if len(raw) > LARGEST:
        raise _single(path.name, 0, f"The study file is larger than {LARGEST // 1000} kB.")
    return raw


def decode(raw: bytes, file: str) -> str:
    if 0 in raw:
        line = raw[: raw.index(0)].count(b"\n") + 1
        raise _single(file, line, "A null byte: this is not a text file.", "Save it as UTF-8.")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise _single(file, line, "Not UTF-8 text.", "Save the file as UTF-8.") from error


def parse(text: str, file: str) -> tuple[Mapping[str, int], dict[str, Any]]:
    try:
        lines = {".".join(map(str, k)): n for k, n in toml_position.positions(text).items()}
        return lines, tomllib.loads(text)
    except toml_position.TooDeep as error:
        raise _single(file, error.line, str(error)) from error
    except RecursionError as error:
        raise _single(file, 0, "Nested too deep.") from error
    except ValueError as error:
        message, line = _toml_fault(str(error), text)
        cure = "Text needs quotes, a list needs brackets, a key stands once in its section."
        raise _single(file, line, f"Not valid TOML: {message}.", cure) from error


def _toml_fault(message: str, text: str) -> tuple[str, int]:
    """Split '… (at line 3, column 5)' as tomllib writes it; shorten what it quotes."""
    if message.endswith("(at end of document)"):
        return message.removesuffix(" (at end of document)")[:200], text.rstrip().count("\n") + 1
    if "integer string" in message:
        return "a number of thousands of digits", 0
    found = re.search(r"\s*\(at line (\d+), column (\d+)\)$", message)
    if not found:
        return message[:200], 0
    return f"{message[: found.start()][:200]} at column {found[2]}", int(found[1])


def _single(file: str, line: int, message: str, cure: str = "") -> ProtocolError:
    return ProtocolError((Problem(line, "", message, cure),), file)


def near_file(path: Path) -> str:
    try:
        names = [p.name for p in path.parent.iterdir()]
    except OSError:
        return f" There is no folder {str(path.parent)!r}."
    close = nearest(path.name, names)
    return f" Did you mean {close!r}?" if close else ""
