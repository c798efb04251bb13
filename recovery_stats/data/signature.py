"""What a file is, told from its first bytes and never from its name."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from recovery_stats.errors import DataError

FileKind = Literal[
    "empty", "sav", "por", "parquet", "gzip", "zip", "text", "encrypted", "pickle", "binary"
]

LOOKED_AT = 4096
POR_SIGNATURE_AT = 456  # five 40-byte splash strings and a 256-byte character table come first

POR_LINE = 80

BY_FIRST_BYTES: tuple[tuple[bytes, FileKind], ...] = (
    (b"$FL2", "sav"),
    (b"$FL3", "sav"),
    (b"PAR1", "parquet"),
    (b"\x1f\x8b", "gzip"),
    (b"PK\x03\x04", "zip"),
)


def kind_of(path: Path) -> FileKind:
    """Say what `path` holds. Raises DataError where there is no readable file."""
    head = _head(path)
    if not head:
        return "empty"
    for first, kind in BY_FIRST_BYTES:
        if head.startswith(first):
            return kind
    for kind, test in BY_TEST:
        if test(head):
            return kind
    return "binary"


def hash_of(path: Path) -> str:
    """The sha256 of the file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def _head(path: Path) -> bytes:
    if path.is_dir():
        raise DataError(f"{path.name!r} is a folder, not a data file. Name a file inside it.")
    if not path.exists():
        raise DataError(_absent(path))
    if not path.is_file():
        raise DataError(f"{path.name!r} is a pipe or a device, not a regular file. Save it as one.")
    try:
        with path.open("rb") as file:
            return file.read(LOOKED_AT)
    except OSError as problem:
        raise DataError(f"{path.name!r} cannot be opened: {problem.strerror}.") from problem


def _absent(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"No file {path.name!r}: the folder {str(folder)!r} does not exist."
    names = sorted(p.name for p in folder.iterdir() if p.is_file())
    close = get_close_matches(path.name, names, n=3, cutoff=0.6)
    hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
    return f"No file {path.name!r} in the folder {str(folder)!r}.{hint}"


def _is_encrypted(head: bytes) -> bool:
    """SPSS wraps an encrypted file so: 28 or 36 bytes whose word from the eighth is ENCRYPTED."""
    return head[8:17] == b"ENCRYPTED"


def _is_por(head: bytes) -> bool:
    """Portable files carry SPSSPORT after their character table."""
    return portable(head)[POR_SIGNATURE_AT : POR_SIGNATURE_AT + 8] == b"SPSSPORT"


def portable(raw: bytes) -> bytes:
    """The characters of a portable file: its lines, filled up with blanks to 80, in one."""
    return b"".join(line.ljust(POR_LINE) for line in re.split(rb"\r\n|\n|\r", raw))


def _is_pickle(head: bytes) -> bool:
    """Protocols 2 to 5 begin with a two-byte frame; older ones are text and end like this."""
    return head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")


def _is_text(head: bytes) -> bool:
    controls = sum(head.count(bytes([c])) for c in range(32) if c not in (0, 9, 10, 12, 13, 27))
    return controls * 50 <= len(head) and head.count(0) * 20 <= len(head)


BY_TEST: tuple[tuple[FileKind, Callable[[bytes], bool]], ...] = (
    ("encrypted", _is_encrypted),
    ("por", _is_por),
    ("pickle", _is_pickle),
    ("text", _is_text),
)
