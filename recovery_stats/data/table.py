"""Any table file to a Dataset: its content decides how it is read, and its name must agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from recovery_stats.core.dataset import Dataset
from recovery_stats.data.signature import FileKind, kind_of
from recovery_stats.errors import DataError, UsageError

SPSS = (".sav", ".zsav", ".por")
WRITTEN = (".csv", ".csv.gz", ".parquet", ".sav", ".zsav")
TEXT = (".csv", ".txt", ".tsv", ".csv.gz")
ENDINGS = (*SPSS, *TEXT, ".parquet")
CALLED: dict[FileKind, tuple[str, tuple[str, ...]]] = {
    "sav": ("an SPSS file", (".sav", ".zsav")),
    "por": ("an SPSS portable file", (".por",)),
    "parquet": ("a Parquet file", (".parquet",)),
    "text": ("text", TEXT),
    "gzip": ("gzip-compressed", (".csv.gz",)),
}


@dataclass(frozen=True, slots=True)
class TextForm:
    """How a text file is to be read where it does not say so itself; see `text.read_csv`."""

    codebook: str | Path | None = None
    delimiter: str | None = None
    skip_rows: int = 0


def read_table(
    path: str | Path,
    columns: Sequence[str] | None = None,
    form: TextForm = TextForm(),
) -> Dataset:
    """Read .sav, .zsav, .por, .csv, .csv.gz or .parquet; `columns` reads these only.

    Raises DataError for a file that is absent, unreadable or not what its name says, UsageError
    for a `form` that a file of its kind cannot have.
    """
    path = Path(path)
    kind = kind_of(path)
    ending = _ending(path)
    if ending in SPSS:
        from recovery_stats.data.sav import read_spss

        _refuse_form(path, form)
        return read_spss(path, columns)
    if kind == "empty":
        raise DataError(f"{path.name!r}: the file is empty (0 bytes). Ask for a new copy.")
    if kind not in CALLED:
        raise DataError(f"{path.name!r} is neither SPSS, CSV nor Parquet ({kind}).")
    what, endings = CALLED[kind]
    # NUL bytes make text look binary and the other way round: the reader itself says so better
    if ending not in endings and not (ending == ".gz" and kind == "gzip"):
        raise DataError(f"{path.name!r}: its content is {what}. Rename it to end in {endings[0]}.")
    return _read(path, kind, columns, form)


def _read(path: Path, kind: FileKind, columns: Sequence[str] | None, form: TextForm) -> Dataset:
    if kind == "parquet":
        from recovery_stats.data.parquet import read_parquet

        _refuse_form(path, form)
        return read_parquet(path, columns)
    from recovery_stats.data.text import read_csv

    return read_csv(
        path, form.codebook, columns=columns, delimiter=form.delimiter, skip_rows=form.skip_rows
    )


def _refuse_form(path: Path, form: TextForm) -> None:
    """SPSS and Parquet files say themselves what text files must be told about."""
    given = [name for name, value in asdict(form).items() if value]
    if given:
        raise UsageError(
            f"{path.name!r} is no text file, so it takes no {' and no '.join(given)}. Leave it out."
        )


def column_names(path: str | Path, form: TextForm = TextForm()) -> tuple[str, ...]:
    """The columns of a table file in file order, without reading its rows; none for .por."""
    path = Path(path)
    kind = kind_of(path)
    if kind == "sav":
        from recovery_stats.data.sav_codebook import read_dictionary

        return tuple(read_dictionary(path).codebook.variables)
    if kind == "parquet":
        from recovery_stats.data.parquet import column_names as in_parquet

        return in_parquet(path)
    if kind not in ("text", "gzip"):
        return ()
    from recovery_stats.data.text import column_names as in_text

    return in_text(path, form.delimiter, form.skip_rows)


def holds_a_table(path: Path) -> bool:
    """Whether `write_table` knows the ending of `path`."""
    return _ending(path) in WRITTEN


def write_table(dataset: Dataset, path: str | Path) -> None:
    """Write .sav, .zsav, .csv, .csv.gz or .parquet, by the ending of `path`."""
    from recovery_stats.data.parquet import write_parquet
    from recovery_stats.data.sav_write import write_spss
    from recovery_stats.data.text import write_csv

    match _ending(Path(path)):
        case ".parquet":
            write_parquet(dataset, path)
        case ".sav" | ".zsav":
            write_spss(dataset, path)
        case ".csv" | ".csv.gz":
            write_csv(dataset, path)
        case ending:
            raise UsageError(f"No format ends in {ending!r}. Known: {', '.join(WRITTEN)}.")


def _ending(path: Path) -> str:
    suffixes = [s.lower() for s in path.suffixes[-2:]]
    return "".join(suffixes) if suffixes[-1:] == [".gz"] else "".join(suffixes[-1:])
