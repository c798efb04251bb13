"""Any table file to a Dataset: its content decides how it is read, and its name must agree."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from recovery_stats.core.dataset import Dataset
from recovery_stats.data.signature import FileKind, kind_of
from recovery_stats.errors import DataError, UsageError

SPSS = (".sav", ".zsav", ".por")
TEXT = (".csv", ".txt", ".tsv", ".csv.gz")
ENDINGS = (*SPSS, *TEXT, ".parquet")
CALLED: dict[FileKind, tuple[str, tuple[str, ...]]] = {
    "sav": ("an SPSS file", (".sav", ".zsav")),
    "por": ("an SPSS portable file", (".por",)),
    "parquet": ("a Parquet file", (".parquet",)),
    "text": ("text", TEXT),
    "gzip": ("gzip-compressed", (".csv.gz",)),
}


def read_table(path: str | Path, columns: Sequence[str] | None = None) -> Dataset:
    """Read .sav, .zsav, .por, .csv, .csv.gz or .parquet; `columns` reads these only.

    Raises DataError for a file that is absent, unreadable or not what its name says.
    """
    path = Path(path)
    kind = kind_of(path)
    ending = _ending(path)
    if ending in SPSS:
        from recovery_stats.data.sav import read_spss

        return read_spss(path, columns)
    if kind == "empty":
        raise DataError(f"{path.name!r}: the file is empty (0 bytes). Ask for a new copy.")
    if kind not in CALLED:
        raise DataError(f"{path.name!r} is neither SPSS, CSV nor Parquet ({kind}).")
    what, endings = CALLED[kind]
    # NUL bytes make text look binary and the other way round: the reader itself says so better
    if ending not in endings and not (ending == ".gz" and kind == "gzip"):
        raise DataError(f"{path.name!r}: its content is {what}. Rename it to end in {endings[0]}.")
    return _read(path, kind, columns)


def _read(path: Path, kind: FileKind, columns: Sequence[str] | None) -> Dataset:
    if kind == "parquet":
        from recovery_stats.data.parquet import read_parquet

        return read_parquet(path, columns)
    from recovery_stats.data.text import read_csv

    return read_csv(path, columns=columns)


def write_table(dataset: Dataset, path: str | Path) -> None:
    """Write .sav, .zsav, .csv, .csv.gz or .parquet, by the ending of `path`."""
    from recovery_stats.data.parquet import write_parquet
    from recovery_stats.data.sav_write import write_spss
    from recovery_stats.data.text import write_csv

    writers = {".sav": write_spss, ".zsav": write_spss, ".csv": write_csv, ".csv.gz": write_csv}
    ending = _ending(Path(path))
    if ending == ".parquet":
        write_parquet(dataset, path)
    elif ending in writers:
        writers[ending](dataset, path)
    else:
        raise UsageError(f"No format ends in {ending!r}. Known: {', '.join(sorted(writers))}.")


def _ending(path: Path) -> str:
    suffixes = [s.lower() for s in path.suffixes[-2:]]
    return "".join(suffixes) if suffixes[-1:] == [".gz"] else "".join(suffixes[-1:])
