"""Cells of .sav files kept as Parquet, so that a large file is decoded once.

Off unless RECOVERY_STATS_CACHE says otherwise: an entry is a second copy of people's data, and
where copies may lie is for the user to say ("on": the system's folder for caches; a path: there).
An entry holds raw cells only, as `read_cells` gives them; codebook and missing codes are read
from the file itself every time. Its name is the SHA-256 of the file and that of the source of the
reader, so a changed file or program never meets an old entry. Whatever is wrong with an entry,
the file is read instead. Checked: tests/data/test_sav_cache.py.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from recovery_stats.data.sav_codebook import Dictionary
from recovery_stats.data.sav_fast import lane_asked
from recovery_stats.data.signature import hash_of
from recovery_stats.data.whole_file import whole_file
from recovery_stats.errors import RecoveryError, UsageError

VARIABLE = "RECOVERY_STATS_CACHE"
OFF, ON = ("", "off", "0", "no", "false"), ("on", "1", "yes", "true")
SMALLEST = 1 << 22  # bytes of a file that is worth an entry: below, reading takes a moment
KEPT = 30 * 86_400  # seconds since its last use after which an entry is removed
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
ENDING = ".cells.parquet"

Cells = Mapping[str, Sequence[Any]]


def folder() -> Path | None:
    """Where entries lie, None where the cache is off. Raises UsageError for a relative path."""
    said = os.environ.get(VARIABLE, "").strip()
    if said.lower() in OFF:
        return None
    if said.lower() in ON:
        return _of_system() / "recovery_stats"
    place = Path(said).expanduser()
    if not place.is_absolute():
        raise UsageError(f"{VARIABLE} takes on, off or a folder's whole path, not {said!r}.")
    return place


def _of_system() -> Path:
    """The folder in which programs of this system keep what they can make again."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    name, usual = ("LOCALAPPDATA", "AppData/Local") if os.name == "nt" else ("XDG_CACHE_HOME", "")
    said = Path(os.environ.get(name, ""))
    return said if said.is_absolute() else Path.home() / (usual or ".cache")


def cached(
    path: Path, dictionary: Dictionary, columns: Sequence[str], read: Callable[[], Cells]
) -> tuple[Cells, str]:
    """The cells of `columns` and the SHA-256 of the file: from an entry, else by `read`.

    What was read joins the cache where the file did not change meanwhile.
    """
    place = folder()
    if place is None or path.stat().st_size < SMALLEST:
        return read(), hash_of(path)
    before = _state(path)
    sha256 = hash_of(path)
    whole = Entry(place, sha256, tuple(dictionary.places), dictionary)
    some = Entry(place, sha256, tuple(columns), dictionary)
    for entry in dict.fromkeys((some, whole)):
        found = entry.cells(columns)
        if found is not None and _state(path) == before:
            return found, sha256
    cells = read()
    if _state(path) == before:
        some.store(cells)
        return cells, sha256
    return cells, hash_of(path)


def _state(path: Path) -> tuple[int, ...]:
    at = path.stat()
    return at.st_ino, at.st_size, at.st_mtime_ns


@cache
def reader_version() -> str:
    """The SHA-256 of the source of everything that turns the bytes of a file into cells."""
    digest = hashlib.sha256(sys.byteorder.encode())
    for source in sorted(Path(__file__).parent.glob("sav*.py")):
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """The cells of some columns of one file, in `folder`."""

    folder: Path
    sha256: str
    columns: tuple[str, ...]
    dictionary: Dictionary

    @property
    def path(self) -> Path:
        """Its file: named by the data, the reader and the columns, and by nothing readable."""
        parts = (self.sha256, reader_version(), lane_asked(), *self.columns)
        return self.folder / (hashlib.sha256("\0".join(parts).encode()).hexdigest() + ENDING)

    def cells(self, columns: Sequence[str]) -> Cells | None:
        """Return the cells of `columns`; None where there is no entry or it is not sound."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        if not _ours(self.path):
            return None
        try:
            names = [f"c{self.columns.index(name)}" for name in columns]
            table = pq.read_table(self.path, columns=names, page_checksum_verification=True)
            if not self._fits(table, names, columns):
                raise ValueError(self.path.name)
            found = {n: _out(table.column(c)) for n, c in zip(columns, names, strict=True)}
            os.utime(self.path)
        except (pa.ArrowException, OSError, ValueError, KeyError):
            with suppress(OSError):
                self.path.unlink()
            return None
        return found

    def _fits(self, table: Any, names: Sequence[str], columns: Sequence[str]) -> bool:
        """Whether the table is the one that was stored: file, columns, types, rows."""
        import pyarrow as pa

        wanted = [
            pa.large_string() if self.dictionary.places[n].width else pa.float64() for n in columns
        ]
        return (
            (table.schema.metadata or {}).get(b"file") == self.sha256.encode()
            and list(table.column_names) == list(names)
            and list(table.schema.types) == wanted
            and self.dictionary.cases in (-1, table.num_rows)
            and not any(column.null_count for column in table.columns)
        )

    def store(self, cells: Cells) -> None:
        """Keep `cells`, whole or not at all; where that cannot be, nothing is lost."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            columns = {f"c{i}": _in(cells[name]) for i, name in enumerate(self.columns)}
            table = pa.table(columns).replace_schema_metadata({"file": self.sha256})
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _tidy(self.folder)
            with whole_file(self.path) as file:
                pq.write_table(table, file, compression="zstd", write_page_checksum=True)
        except (pa.ArrowException, RecoveryError, OSError, ValueError):
            return


def _in(cells: Any) -> Any:
    import pyarrow as pa

    if isinstance(cells, list):
        return pa.array(cells, pa.large_string())
    return pa.array(cells, pa.float64(), from_pandas=False)


def _out(column: Any) -> Any:
    import pyarrow as pa

    if pa.types.is_floating(column.type):
        return np.array(column.to_numpy(), dtype=np.float64)
    return column.to_pylist()


def _ours(path: Path) -> bool:
    """Whether `path` is a file that nobody but us can have written."""
    try:
        at = path.lstat()
    except OSError:
        return False
    if not stat.S_ISREG(at.st_mode):
        return False
    return os.name == "nt" or (at.st_uid == os.geteuid() and not at.st_mode & OTHERS_WRITE)


def entries(place: Path) -> list[Path]:
    """The entries in `place` and what broken writes left of some."""
    return sorted(p for p in place.glob(f"*{ENDING}*") if p.is_file()) + sorted(
        p for p in place.glob(f".*{ENDING}.*") if p.is_file()
    )


def _tidy(place: Path) -> None:
    """Remove what nobody used for long: copies of people's data are not kept for nothing."""
    for path in entries(place):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > KEPT:
                path.unlink()
