"""A Dataset to a .sav or .zsav file with everything SPSS keeps, the same bytes every time.

pyreadstat cannot write weight, roles, attributes or multiple-response sets, and truncates
without a word what is too long; so the file is written here. Text is UTF-8, cells are
bytecode-compressed. Source: the PSPP developers' description of the system file format.
Checked: pyreadstat and PSPP read what is written.
"""

from __future__ import annotations

from pathlib import Path

from recovery_stats.core.dataset import Dataset
from recovery_stats.data import sav_layout, sav_records
from recovery_stats.data.sav_cells import compressed_cases
from recovery_stats.data.sav_column import prepare
from recovery_stats.data.sav_zip import write_zipped
from recovery_stats.data.whole_file import whole_file
from recovery_stats.errors import UsageError


def write_spss(dataset: Dataset, path: str | Path) -> None:
    """Write `dataset` so that reading it again gives the same values, labels and definitions.

    Nothing is truncated, renamed or rounded: what SPSS cannot hold raises DataError naming the
    column (names that differ only in case, labels too long, infinite numbers, time zones …).
    Strings grow wider where UTF-8 needs it; a categorical is written as its codes with labels.
    A file is written whole or not at all. `path` ends in .sav or .zsav.
    """
    path = Path(path)
    if path.suffix.lower() not in (".sav", ".zsav"):
        raise UsageError(f"SPSS files are written as .sav or .zsav, not {path.suffix!r}.")
    sav_layout.check(dataset)
    columns = tuple(prepare(dataset, str(name)) for name in dataset.frame.columns)
    layout = sav_layout.lay_out(columns)
    zipped = path.suffix.lower() == ".zsav"
    head = sav_records.dictionary(dataset, layout, compression=2 if zipped else 1)
    with whole_file(path) as file:
        file.write(head)
        pieces = compressed_cases(columns, len(dataset.frame))
        if zipped:
            write_zipped(file, pieces, len(head))
        else:
            file.writelines(pieces)
